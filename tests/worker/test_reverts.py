"""What a merge was made on, told from the commits themselves, however it was merged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.bare_git import BareGit
from worker.adapters.ancestry import changed_by, changes
from worker.adapters.checkout import Checkout
from worker.domain.errors import Refused
from worker.domain.revert import Merged, RevertRequest
from worker.reverts import made_on


class History:
    """A branch `main`, and a change request of two commits that began before the branch's last one."""

    def __init__(self, folder: Path) -> None:
        self.git = BareGit(folder / "r.git")
        self.began = self.git.commit(self.git.tip("refs/heads/main"), {"a": "1\n", "b": "1\n"}, "Begin")
        self.first = self.git.commit(self.began, {"a": "2\n"}, "One")
        self.head = self.git.commit(self.first, {"c": "1\n"}, "Two")
        self.tip = self.git.commit(self.began, {"b": "2\n"}, "Meanwhile")
        self.checkout = Checkout(self.git.folder, None)

    def made_on(self, merged: str, *, head: str = "", began: str = "") -> str:
        head = head or self.head
        request = RevertRequest("shop", 7, "T", merged, head, "refs/pull/7/head", began, "main", {"by": "ada"}, 1.0)
        return made_on(self.checkout, request)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.checkout.close()


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_what_a_merge_was_made_on_is_known_however_it_was_merged(history: History, method: str) -> None:
    merged = history.git.merge(history.tip, history.head, method, "Merge")
    assert history.made_on(merged) == history.tip
    found = changes(history.checkout, history.made_on(merged), merged)
    assert [each.path for each in found] == ["a", "c"]


def test_a_squash_of_one_commit_and_a_rebase_of_one_are_the_same(history: History) -> None:
    merged = history.git.merge(history.tip, history.first, "rebase", "Merge")
    assert history.made_on(merged, head=history.first) == history.tip


def test_where_the_branch_only_moved_forward_the_forge_has_to_say_where_it_had_been(history: History) -> None:
    assert history.made_on(history.head, began=history.began) == history.began
    for began in ("", "f" * 40, history.tip):
        with pytest.raises(Refused, match="does not say which commits"):
            history.made_on(history.head, began=began)


def test_rebased_commits_that_are_not_all_found_are_refused(history: History) -> None:
    other = history.git.commit(history.tip, {"d": "1\n"}, "Not of it")
    last = history.git.commit(other, {"c": "1\n"}, "Two")
    with pytest.raises(Refused, match="not found one by one"):
        history.made_on(last)


def test_the_first_commit_of_all_is_made_on_nothing(history: History) -> None:
    tree = history.git.run("rev-parse", f"{history.began}^{{tree}}").strip()
    root = history.git.commit_tree(tree, [], "Root")
    with pytest.raises(Refused, match="first commit"):
        history.made_on(root)


def test_who_changed_a_path_since_is_named_and_a_pattern_is_none(history: History) -> None:
    star = history.git.commit(history.tip, {"*": "1\n"}, "A star")
    tip = history.git.commit(star, {"a": "3\n"}, "Later")
    assert changed_by(history.checkout, "a", history.began, tip) == f"{tip[:7]} (Later)"
    assert changed_by(history.checkout, "*", history.began, tip) == f"{star[:7]} (A star)"
    assert changed_by(history.checkout, "c", history.began, tip) == ""


def test_modes_and_odd_names_are_read_as_they_are(history: History) -> None:
    tip = history.git.commit(history.tip, {"a": ("100755", b"1\n"), "ü \n.yaml": "1\n", "b": None}, "Odd")
    found = changes(history.checkout, history.tip, tip)
    assert [each.path for each in found] == ["a", "b", "ü \n.yaml"]
    assert isinstance(found[0], Merged)
    assert (found[0].before[0], found[0].after[0]) == ("100644", "100755")
    assert found[0].before[1] == found[0].after[1]
    assert (found[1].after, found[2].before) == (("", ""), ("", ""))

"""Merging a change request's head into its base, with real git: conflicts, renames, hostile attributes and refs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from plumbline.local_system import Clone, git
from tests.git_server import GitServer
from worker.adapters.checkout import Checkout
from worker.domain.errors import DesiredStateError, Unavailable

LINES = "".join(f"line {number}\n" for number in range(1, 11))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """An empty repository."""
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "r.git"))
    return tmp_path / "r.git"


@pytest.fixture
def clone(bare: Path, tmp_path: Path) -> Clone:
    """A clone with one commit of one file."""
    made = Clone(tmp_path / "clone", bare)
    made.write("app/a.txt", LINES)
    made.commit("first")
    made.push()
    return made


@pytest.fixture
def checkout(bare: Path) -> Iterator[Checkout]:
    """The worker's view of the repository."""
    with contextlib.closing(Checkout(bare, None)) as opened:
        yield opened


def both(clone: Clone, mine: dict[str, str], theirs: dict[str, str]) -> tuple[str, str]:
    """Two commits on the same one: the base's new tip and the head of a change request, pushed."""
    git("checkout", "--quiet", "-b", "proposal", at=clone.folder)
    for name, text in theirs.items():
        clone.write(name, text)
    head = clone.commit("proposed")
    git("checkout", "--quiet", "main", at=clone.folder)
    for name, text in mine.items():
        clone.write(name, text)
    base = clone.commit("base moved")
    assert clone.push("origin", "main", "proposal").returncode == 0
    return base, head


def files(checkout: Checkout, tree: str) -> dict[str, bytes]:
    """Every file of a tree and its content."""
    return {entry.path: checkout.blob(entry.id, entry.path) for entry in checkout.entries(tree, "")}


def objects(folder: Path) -> set[str]:
    """Every file of a repository's object store."""
    return {str(each) for each in (folder / "objects").rglob("*") if each.is_file()}


def test_a25_both_sides_are_in_the_merge_result_and_nothing_is_kept_of_it(
    bare: Path, clone: Clone, checkout: Checkout
) -> None:
    changed = {"app/a.txt": LINES.replace("line 1\n", "first\n")}
    base, head = both(clone, changed, {"app/a.txt": LINES.replace("line 10\n", "last\n"), "app/b.txt": "b"})
    before = objects(bare)
    with checkout.merged(base, head) as (beside, merge):
        assert merge.conflicts == ()
        both_changed = LINES.replace("line 1\n", "first\n").replace("line 10\n", "last\n").encode()
        assert files(beside, merge.tree) == {"app/a.txt": both_changed, "app/b.txt": b"b"}
        assert beside.read_file(merge.tree, "app/b.txt") == b"b"
    assert objects(bare) == before
    assert checkout.tree(merge.tree) == ""


def test_a_conflict_names_its_files_and_makes_no_tree(clone: Clone, checkout: Checkout) -> None:
    base, head = both(
        clone,
        {"app/a.txt": LINES.replace("line 5", "ours"), "app/ö.txt": "one\n"},
        {"app/a.txt": LINES.replace("line 5", "theirs"), "app/ö.txt": "two\n", "app/fine.txt": ""},
    )
    with checkout.merged(base, head) as (_, merge):
        assert merge.tree == ""
        assert merge.conflicts == ("app/a.txt", "app/ö.txt")


def test_a_file_that_one_side_renames_keeps_what_the_other_wrote(clone: Clone, checkout: Checkout) -> None:
    git("checkout", "--quiet", "-b", "proposal", at=clone.folder)
    git("mv", "app/a.txt", "app/z.txt", at=clone.folder)
    head = clone.commit("renamed")
    git("checkout", "--quiet", "main", at=clone.folder)
    clone.write("app/a.txt", LINES.replace("line 3", "three"))
    base = clone.commit("base moved")
    clone.push("origin", "main", "proposal")
    with checkout.merged(base, head) as (beside, merge):
        assert files(beside, merge.tree) == {"app/z.txt": LINES.replace("line 3", "three").encode()}


def test_a_head_that_is_in_the_base_already_merges_to_the_bases_own_tree(clone: Clone, checkout: Checkout) -> None:
    head = git("rev-parse", "HEAD", at=clone.folder).strip()
    clone.write("app/b.txt", "b")
    base = clone.commit("second")
    clone.push()
    with checkout.merged(base, head) as (_, merge):
        assert merge.tree == checkout.tree(base)


def test_histories_that_have_nothing_in_common_are_said_to_be_so(clone: Clone, checkout: Checkout) -> None:
    base = git("rev-parse", "HEAD", at=clone.folder).strip()
    git("checkout", "--quiet", "--orphan", "other", at=clone.folder)
    head = clone.commit("from nothing")
    clone.push("origin", "other")
    with pytest.raises(Unavailable, match=r"git cannot merge .*unrelated histories"), checkout.merged(base, head):
        pass


def test_a29_attributes_drivers_and_hooks_of_the_repository_have_no_say_in_a_merge(
    bare: Path, clone: Clone, checkout: Checkout
) -> None:
    canary = bare.parent / "canary"
    touch = f"touch {canary}"
    for each in (bare, clone.folder / ".git"):
        git("config", "merge.evil.driver", f"{touch}; true", at=each)
        git("config", "filter.evil.smudge", touch, at=each)
        git("config", "filter.evil.process", touch, at=each)
        git("config", "merge.default", "evil", at=each)
        git("config", "core.fsmonitor", touch, at=each)
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text("* merge=evil\n")
    for hook in ("post-merge", "pre-merge-commit", "post-index-change", "reference-transaction"):
        path = bare / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{touch}\n")
        path.chmod(0o755)
    attributes = {".gitattributes": "* merge=union text eol=crlf\n*.txt merge=evil filter=evil\n"}
    git("config", "--unset", "filter.evil.process", at=clone.folder)
    git("config", "--unset", "core.fsmonitor", at=clone.folder)
    base, head = both(
        clone,
        {"app/a.txt": LINES.replace("line 5", "ours")},
        {"app/a.txt": LINES.replace("line 5", "theirs"), **attributes},
    )
    canary.unlink(missing_ok=True)  # the clone's own git is a person's, and may run what is configured there
    with checkout.merged(base, head) as (_, merge):
        assert merge.conflicts == ("app/a.txt",)
    assert not canary.exists()


@pytest.mark.parametrize(
    "ref",
    [
        "", "HEAD", "refs/pull/7/merge", "refs/pull/../heads/main/head", "refs/pull/7/head:refs/heads/main", "--upload-pack=x",
        "+refs/pull/7/head", "refs/pull/-1/head", "refs/pull/7/head\n", "refs/heads/../x", "refs/heads/a:b", "refs/heads/",
        "refs/tags/v1", "refs/plumbline/x", "refs/merge-requests/x/head",
    ],
)  # fmt: skip
def test_a12_a_head_is_fetched_from_nowhere_but_where_forges_keep_it(
    clone: Clone, checkout: Checkout, ref: str
) -> None:
    head = git("rev-parse", "HEAD", at=clone.folder).strip()
    with pytest.raises(DesiredStateError, match="not where a forge keeps"):
        checkout.fetch_proposed(head, ref)


@pytest.mark.parametrize("ref", ["refs/pull/7/head", "refs/merge-requests/7/head", "refs/heads/queue/main/pr-7"])
def test_the_head_of_a_change_request_comes_from_its_ref(tmp_path: Path, clone: Clone, ref: str) -> None:
    git("checkout", "--quiet", "-b", "proposal", at=clone.folder)
    clone.write("app/b.txt", "b")
    head = clone.commit("proposed")
    assert clone.push("origin", f"proposal:{ref}").returncode == 0
    server = GitServer(tmp_path)
    with (
        contextlib.closing(server),
        contextlib.closing(Checkout.open(server.url("r.git"), tmp_path / "cache")) as mirror,
    ):
        mirror.fetch_proposed(head, ref)
        assert mirror.tree(head)
        with pytest.raises(Unavailable):
            mirror.fetch_proposed("0" * 39 + "1", ref)

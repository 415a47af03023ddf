"""Who approves the own change: read from the commits, on a real repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.doubles.bare_git import BareGit
from worker.adapters.checkout import Checkout
from worker.authorship import why_own_change
from worker.domain.blobs import blob_id
from worker.domain.locks import Awaited, Done, Locks, ruled
from worker.domain.orders import Order, Subject, Verb
from worker.domain.policy_update import trailer
from worker.domain.seals import Seals

SEALS = Seals(b"k" * 32)
FILES = {"a": "1\n", "gone": None}
NOW = 1_800_000_000.0


@dataclass
class Shop:
    """A repository with a branch, and the worker's view of it."""

    bare: BareGit
    checkout: Checkout
    base: str

    def sealed(self, *trailers: str, seals: Seals = SEALS, onto: str = "", claims: str = "") -> str:
        """The head of a change request with the bot's commit on it, as the bot makes it."""
        onto = onto or self.base
        facts = [("a", "100644", blob_id(b"1\n", onto)), ("gone", "", "")]
        message = seals.commit("shop", claims or onto, "\n".join(["Roll back", "", *trailers]), facts)
        return self.proposed(self.bare.commit(onto, FILES, message))

    def proposed(self, head: str) -> str:
        self.bare.set_ref("refs/pull/7/head", head)
        return head

    def why(self, head: str, by: str = "bob", **facts: object) -> str:
        given = Order("shop", "east", (Subject("production", "main"),), Verb.APPROVE, by, NOW, by_bot=True)
        given = replace(given, head=head, head_ref="refs/pull/7/head", **facts)  # type: ignore[arg-type]
        return why_own_change(self.checkout, given, self.base, SEALS)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    bare = BareGit(tmp_path / "r.git")
    base = bare.commit(bare.tip("refs/heads/main"), {"a": "0\n", "gone": "1\n", "kept": "1\n"}, "Begin")
    bare.set_ref("refs/heads/main", base)
    checkout = Checkout.open(str(bare.folder), tmp_path / "cache")
    yield Shop(bare, checkout, base)
    checkout.close()


POLICY = trailer("cart", "shop/cart:2", SEALS.word("shop", "cart", "shop/cart:2"))


@pytest.mark.parametrize(
    ("trailers", "by", "says"),
    [
        (("Requested-by: ada",), "bob", ""),
        (("Requested-by: ada",), "ada", "ada asked for this change"),
        (("Requested-by: ada",), "ADA", "ADA asked for this change"),
        (("Requested-by: ada", "Requested-by: bob"), "bob", "bob asked for this change"),
        ((), "bob", "who asked for this change is not known"),
        ((POLICY,), "bob", ""),
        ((POLICY, "Requested-by: ada"), "ada", "ada asked for this change"),
    ],
)
def test_a21_who_asked_the_bot_for_a_change_approves_the_own_one(
    shop: Shop, trailers: tuple[str, ...], by: str, says: str
) -> None:
    assert shop.why(shop.sealed(*trailers), by) == says


def test_a21_what_is_not_as_the_bot_made_it_is_everybody_s_own(shop: Shop) -> None:
    asked = "Requested-by: ada"
    made = shop.sealed(asked)
    said = shop.bare.run("log", "-1", "--format=%B", made)
    another = shop.bare.commit(shop.base, {"z": "1\n"}, "Another")
    heads = {
        "on top": shop.bare.commit(made, {"a": "2\n"}, "More"),
        "its message on top": shop.bare.commit(made, {"a": "2\n"}, said),
        "another file": shop.bare.commit(shop.base, {**FILES, "b": "1\n"}, said),
        "another content": shop.bare.commit(shop.base, {**FILES, "a": "2\n"}, said),
        "another person": shop.bare.commit(shop.base, FILES, said.replace("ada", "eve")),
        "a policy": shop.bare.commit(shop.base, FILES, said.replace(asked, POLICY)),
        "a seal of another's": shop.sealed(asked, seals=Seals(b"l" * 32)),
        "something below": shop.sealed(asked, onto=another, claims=shop.base),
        "a merge": shop.bare.commit_tree(shop.bare.run("rev-parse", f"{made}^{{tree}}"), [made, another], said),
    }
    for what, head in heads.items():
        assert "newest commit is not the one that Plumbline made" in shop.why(shop.proposed(head)), what
    assert shop.why(shop.proposed(made)) == ""


def test_a21_a_person_s_change_request_with_the_bot_s_commit_is_also_who_asked_s(shop: Shop) -> None:
    head = shop.proposed(shop.bare.commit(shop.sealed("Requested-by: ada"), {"b": "1\n"}, "Mine on top"))
    assert shop.why(head, "ada", by_bot=False) == "ada asked for this change"
    assert shop.why(head, "bob", by_bot=False) == ""


@pytest.mark.parametrize("is_merged", [True, False])
def test_a21_what_was_asked_for_earlier_on_the_branch_is_not_of_this_change(shop: Shop, is_merged: bool) -> None:
    shop.base = shop.bare.commit(shop.sealed("Requested-by: bob"), {"a": "0\n", "gone": "1\n"}, "Next")
    head = shop.sealed("Requested-by: ada")
    merged = shop.bare.commit_tree(shop.bare.run("rev-parse", f"{head}^{{tree}}"), [shop.base, head], "Merge")
    shop.bare.set_ref("refs/heads/main", merged)
    facts = {"revision": merged} if is_merged else {}
    assert shop.why(head, "bob", **facts) == ""
    assert shop.why(head, "ada", **facts) == "ada asked for this change"


def test_only_what_confirms_a_plan_is_asked_whose_it_is(shop: Shop) -> None:
    head = shop.sealed("Requested-by: ada")
    assert shop.why(head, "ada", verb=Verb.RETRY) == ""
    assert shop.why("", "ada") == ""


@pytest.mark.parametrize(("people", "done"), [("others", Done.REFUSED), ("anyone", Done.DONE)])
def test_a21_the_answer_says_why_it_does_not_count_where_it_does_not(people: str, done: Done) -> None:
    waits = Awaited("a" * 40, "ab12cd34" + "0" * 56, NOW, "It waits", approvals=1, people=people)
    given = Order("shop", "east", (Subject("production", "main"),), Verb.APPROVE, "ada", NOW, code="ab12cd34")
    given = replace(given, revision="a" * 40, own=True, because="ada asked for this change")
    ruling = ruled(Locks(awaited=waits), Order.from_json(given.to_json()), "production", NOW)
    assert ruling.done is done
    assert ("ada asked for this change, and the policy wants somebody else" in ruling.text) is (done is Done.REFUSED)

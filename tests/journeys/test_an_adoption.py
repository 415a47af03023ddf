"""`/adopt` on a change request: what somebody changed in the cluster becomes a change request that writes nothing when merged."""

from __future__ import annotations

import html
import re

import pytest

from bot.forges.port import Permission, State
from tests.journeys.shop import Proposal, Shop, manifest

FILE = "app/words.yaml"
WORDS = "# what people read\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: words}\ndata:\n  door: 'open'   # or shut\n  sign: x\n"
READY = re.compile(r"\]\(\S+/([0-9]+)\) is ready")
HOSTILE = "shut' # {x: *y}\n---\n@everyone ``` </details> <!-- plumbline:default:prediction -->"

pytestmark = pytest.mark.parametrize("forge", ["github"], indirect=True)


@pytest.fixture
def drifted(shop: Shop) -> Proposal:
    """A change request into a branch from whose environment an object has drifted."""
    first = shop.begin(**{FILE: WORDS})
    shop.status(first, shop.converge, State.SUCCESS)
    shop.meddle("words", door=HOSTILE, sign="x")
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    return proposal


def answered(shop: Shop, proposal: Proposal, words: str, *, login: str = "ada", count: int = 1) -> str:
    """The newest answer on a change request, after this was said there and the `count`th answer came."""
    shop.rig.say(proposal.number, words, login=login)
    shop.until(lambda: len(shop.answers(proposal.number)) >= count, f"{words} is answered", "", proposal.number)
    assert len(shop.answers(proposal.number)) == count
    return html.unescape(shop.answers(proposal.number)[-1])


def test_drift_is_one_change_request_whose_merge_writes_nothing(shop: Shop, drifted: Proposal) -> None:
    tip, words = shop.rig.tip(shop.branch), f"/adopt {shop.name} ConfigMap/words"
    text = answered(shop, drifted, words)
    found = READY.search(text)
    assert found, text
    made = shop.opened(Proposal(int(found[1]), "", shop.rig.change_request(int(found[1])).head))
    request = shop.rig.change_request(made.number)
    assert request.base == shop.branch
    assert request.author.login == shop.rig.bot
    assert request.title == f"Adopt what drifted of ConfigMap {shop.namespace}/words in {shop.name}"
    assert shop.rig.tip(shop.branch) == tip, "nothing is pushed to the branch"
    assert "Merging leaves it as it is in the cluster" in shop.predicted(made)
    shop.tell_again(words)
    shop.all_is_done()
    assert len(shop.answers(drifted.number)) == 1
    merged = shop.rig.merge(made.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    assert (shop.object("words") or {})["data"] == {"door": HOSTILE, "sign": "x"}
    assert shop.value("flags") == "1", "something else was changed"
    again = answered(shop, drifted, words, count=2)
    assert "has not drifted" in again


def test_who_may_not_and_what_did_not_drift_make_nothing(shop: Shop, drifted: Proposal) -> None:
    shop.rig.permit("rita", Permission.READ)
    said = answered(shop, drifted, f"/adopt {shop.name}", login="rita")
    assert "needs `write` permission" in said
    other = answered(shop, drifted, f"/adopt {shop.name} ConfigMap/other", count=2)
    assert "has not drifted" in other
    unknown = answered(shop, drifted, f"/adopt {shop.name} ConfigMap/unknown", count=3)
    assert "is nothing that Git declares here" in unknown
    assert (shop.object("words") or {})["data"]["door"] == HOSTILE

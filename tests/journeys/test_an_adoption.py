"""`/adopt` on a change request: what somebody changed in the cluster becomes a change request that writes nothing when merged."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import pytest

from bot.forges.port import Permission, State
from tests.journeys.shop import Proposal, Shop, manifest

FILE = "app/words.yaml"
WORDS = "# what people read\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: words}\ndata:\n  door: 'open'   # or shut\n  sign: x\n"
READY = re.compile(r"\]\(\S+/([0-9]+)\) is ready")
HOSTILE = "shut' # {x: *y}\n---\n@everyone ``` </details> <!-- plumbline:default:prediction -->"

ON_ONE = pytest.mark.parametrize("forge", ["github"], indirect=True)


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


@ON_ONE
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


@ON_ONE
def test_who_may_not_and_what_did_not_drift_make_nothing(shop: Shop, drifted: Proposal) -> None:
    shop.rig.permit("rita", Permission.READ)
    said = answered(shop, drifted, f"/adopt {shop.name}", login="rita")
    assert "needs `write` permission" in said
    other = answered(shop, drifted, f"/adopt {shop.name} ConfigMap/other", count=2)
    assert "has not drifted" in other
    unknown = answered(shop, drifted, f"/adopt {shop.name} ConfigMap/unknown", count=3)
    assert "is nothing that Git declares here" in unknown
    assert (shop.object("words") or {})["data"]["door"] == HOSTILE


@pytest.mark.parametrize("forge", ["gitlab", "gitea"], indirect=True)
def test_what_another_manager_holds_is_adopted_as_it_is_and_owned_together(shop: Shop) -> None:
    first = shop.begin(**{FILE: WORDS})
    shop.status(first, shop.converge, State.SUCCESS)
    proposal = shop.propose(manifest("flags", a="2"))
    place = f"/api/v1/namespaces/{shop.namespace}/configmaps/words?fieldManager=editor"
    code, answer = shop.plane.request(
        "PUT", place, {**(shop.object("words") or {}), "data": {"door": "shut", "sign": "x"}}
    )
    assert code == 200, answer
    before = dict(shop.object("words") or {})
    assert any(each["manager"] == "editor" for each in before["metadata"]["managedFields"])

    found = READY.search(text := answered(shop, proposal, f"/adopt {shop.name} ConfigMap/words"))
    assert found, text
    made = shop.opened(Proposal(int(found[1]), "", shop.rig.change_request(int(found[1])).head))
    predicted = shop.predicted(made)
    assert "Merging leaves it as it is in the cluster" in predicted
    merged = shop.rig.merge(made.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    after = dict(shop.object("words") or {})
    assert after["data"] == before["data"]
    assert owned(after)["editor"] == owned(before)["editor"], "the editor's word is not touched"
    (joined,) = owned(after).keys() - {"editor"}
    assert owned(after)[joined] == {"f:door": {}, "f:sign": {}}
    for each in (before, after):
        each["metadata"] = {
            name: value for name, value in each["metadata"].items() if name not in ("managedFields", "resourceVersion")
        }
    assert after == before, "merging writes who owns it, and nothing else"
    assert "has not drifted" in answered(shop, proposal, f"/adopt {shop.name} ConfigMap/words", count=2)


def owned(found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `data` that each manager owns."""
    return {each["manager"]: each["fieldsV1"].get("f:data") for each in found["metadata"]["managedFields"]}

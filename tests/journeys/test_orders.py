"""Orders in comments, on every forge: held until released, approved by another person, tried again, refused with what is needed."""

from __future__ import annotations

import html
import re
from typing import Final

from bot.forges.port import Permission, State
from tests.journeys.shop import Proposal, Shop, manifest

QUOTED: Final = re.compile(r"with the code ([0-9a-z]{8})|approve=([0-9a-z]{8})")


def answered(shop: Shop, number: int, body: str, words: str, login: str = "ada") -> str:
    """Says it and gives the answer, once there is one more; it has these words."""
    before = len(shop.answers(number))
    shop.rig.say(number, body, login=login)
    shop.until(lambda: len(shop.answers(number)) > before, f"{body} is answered", "", number)
    assert len(shop.answers(number)) == before + 1
    text = shop.answers(number)[-1]
    plain = html.unescape(text).replace("`", "")
    assert words in plain, plain
    assert f"@{login}" in plain
    return plain


def told(shop: Shop, revision: str, state: State, *words: str) -> str:
    """What the environment's status of a commit says, once it is in that state with these words."""

    def says() -> bool:
        found = shop.rig.statuses(revision).get(shop.converge)
        return found is not None and found.state is state and all(word in found.text for word in words)

    shop.until(says, f"{shop.converge} is {state} with {words}", revision)
    return shop.rig.statuses(revision)[shop.converge].text


def test_a_held_environment_waits_with_who_why_and_what_releases_it(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.rig.permit("rita", Permission.READ)
    answered(shop, proposal.number, f"/hold {shop.name} mine", "needs write permission", login="rita")
    shop.rig.permit("bob", Permission.WRITE)
    answered(shop, proposal.number, f"/hold {shop.name} the migration runs", "eld by bob", login="bob")
    before = shop.versions()
    merged = shop.rig.merge(proposal.number)
    told(shop, merged, State.PENDING, "Held", "by bob", "the migration runs", f"/unhold {shop.name}")
    answered(shop, proposal.number, f"/retry {shop.name}", f"/unhold {shop.name}")
    answered(shop, proposal.number, f"/status {shop.name}", "the migration runs")
    assert shop.versions() == before, "nothing is written to its objects"
    answered(shop, proposal.number, f"/unhold {shop.name}", "not held any more")
    told(shop, merged, State.SUCCESS)
    assert shop.value("flags") == "2"


def waiting(shop: Shop, value: str) -> tuple[Proposal, str, str]:
    """A merged change that waits for approval: it, the merge, and the code of its plan."""
    proposal = shop.propose(manifest("flags", a=value))
    shop.predicted(proposal)
    return proposal, *merged_and_held(shop, proposal)


def merged_and_held(shop: Shop, proposal: Proposal) -> tuple[str, str]:
    """The merge of a change request, once it waits for approval, and the code of its plan."""
    merged = shop.rig.merge(proposal.number)
    text = told(shop, merged, State.PENDING, "Held")
    found = QUOTED.search(text) or QUOTED.search(shop.system.log("worker").rpartition(merged)[2])
    assert found is not None, text
    return merged, found[1] or found[2]


def test_a21_a_plan_is_approved_by_another_person_and_only_as_it_is(shop: Shop) -> None:
    asks = shop.declaration().replace("{settle: 1s", "{converge: on-approval, settle: 1s")
    shop.begin()
    shop.rig.permit("bob", Permission.WRITE)
    shop.rig.permit("rita", Permission.READ)
    policy = shop.propose({"plumbline.yaml": asks})
    shop.predicted(policy)
    told(shop, shop.rig.merge(policy.number), State.SUCCESS)
    first, _, old = waiting(shop, "2")
    answered(shop, first.number, f"/approve {shop.name} {old}", "needs write permission", login="rita")
    answered(shop, first.number, f"/approve {shop.name} {old}", "the policy wants somebody else", login="ada")
    second, merged, new = waiting(shop, "3")
    assert new != old
    answered(shop, second.number, f"/approve {shop.name} {old}", "it changed, look at it again", login="bob")
    answered(shop, first.number, f"/approve {shop.name} {new}", "merged as that commit", login="bob")
    assert shop.value("flags") == "1", "nothing of it counted"
    answered(shop, second.number, f"/approve {shop.name} {new}", "is applied now", login="bob")
    told(shop, merged, State.SUCCESS)
    assert shop.value("flags") == "3"


def test_what_failed_is_tried_again(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    place = f"/api/v1/namespaces/{shop.namespace}/configmaps/flags"
    code, answer = shop.plane.request("PUT", place, {**(shop.object("flags") or {}), "immutable": True})
    assert code == 200, answer
    merged = shop.rig.merge(proposal.number)
    told(shop, merged, State.FAILURE)
    assert shop.value("flags") == "1"
    code, answer = shop.plane.request("DELETE", place)
    assert code == 200, answer
    answered(shop, proposal.number, f"/retry {shop.name}", "is being converged again")
    told(shop, merged, State.SUCCESS)
    assert shop.value("flags") == "2"

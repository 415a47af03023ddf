"""A change request is predicted in one comment; its merge is converged, and the commit and the comment say how it went."""

from __future__ import annotations

import pytest

from bot.forges.port import State
from tests.doubles.forge_rig import ForgeRig
from tests.journeys.shop import PREDICT, Shop, manifest


def test_a_change_request_is_predicted_in_one_comment_and_nothing_is_written_to_the_cluster(shop: Shop) -> None:
    shop.begin()
    before = shop.versions()
    proposal = shop.propose(manifest("flags", a="2"))
    comment = shop.predicted(proposal)
    assert f"Plumbline predicts 1 change in {shop.name}" in comment
    assert f"{shop.namespace}/flags" in comment
    assert "-   a: 1" in comment or "- a: 1" in comment or "1 → 2" in comment, comment
    assert "other" not in comment
    assert shop.rig.statuses(proposal.head)[PREDICT].text == "1 change in 1 environment; nothing is deleted"
    assert shop.status(proposal.head, shop.predict, State.SUCCESS).text == "1 change; nothing is deleted"
    assert shop.history(proposal.head, PREDICT) == [State.PENDING, State.SUCCESS]
    assert shop.versions() == before, "a prediction wrote to the cluster"
    assert shop.converge not in shop.rig.statuses(proposal.head), "what is proposed was converged"


def test_a_merge_is_converged_once_and_the_verdict_is_in_the_same_comment(shop: Shop) -> None:
    first = shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    assert shop.rig.tip(shop.branch) == merged
    assert merged not in (first, proposal.head)
    success = shop.status(merged, shop.converge, State.SUCCESS)
    assert "as predicted" in success.text
    assert shop.value("flags") == "2"
    assert shop.history(merged, shop.converge) == [State.PENDING, State.SUCCESS]
    comment = shop.comment(proposal.number, "Merged: converged as predicted")
    assert f"`{merged[:7]}`" in comment
    assert "1 → 2" in comment or "a: 2" in comment, "the prediction can still be read"


def test_a_squash_and_a_rebase_lead_back_to_their_change_request_too(shop: Shop) -> None:
    shop.begin()
    for method, value in (("squash", "2"), ("rebase", "3")):
        proposal = shop.push(shop.propose(manifest(method, a="1")), manifest("flags", a=value))
        shop.predicted(proposal)
        merged = shop.rig.merge(proposal.number, method=method)
        assert shop.rig.tip(shop.branch) == merged
        shop.status(merged, shop.converge, State.SUCCESS)
        assert shop.value("flags") == value
        comment = shop.comment(proposal.number, "Merged: converged as predicted")
        assert f"`{merged[:7]}`" in comment


@pytest.mark.parametrize("forge", ["github", "gitlab"], indirect=True)
def test_a_merge_is_shown_as_one_deployment(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    assert [each.revision for each in shop.rig.deployments(shop.name)].count(proposal.head) == 0
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)

    def states() -> list[State]:
        return [each.state for each in shop.rig.deployments(shop.name) if each.revision == merged]

    shop.until(lambda: states() == [State.SUCCESS], "the deployment succeeded", merged)


@pytest.mark.parametrize("forge", ["github"], indirect=True)
def test_a_prediction_and_a_result_are_shown_as_checks(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)

    def checks(revision: str) -> dict[str, State]:
        return {each.name: each.state for each in shop.rig.checks(revision)}

    shop.until(lambda: checks(proposal.head) == {"Plumbline: prediction": State.SUCCESS}, "the check is there")
    merged = shop.rig.merge(proposal.number)
    name = f"Plumbline: {shop.name}"
    shop.until(lambda: checks(merged) == {name: State.SUCCESS}, "the result's check is green")
    (check,) = shop.rig.checks(merged)
    assert "Proof" in check.summary
    assert merged in check.summary


@pytest.mark.parametrize("forge", ["gitea"], indirect=True)
def test_where_a_forge_has_neither_checks_nor_deployments_none_are_told_of(forge: ForgeRig, shop: Shop) -> None:
    first = shop.begin()
    shop.status(first, shop.converge, State.SUCCESS)
    assert forge.checks(first) == ()
    assert forge.deployments(shop.name) == ()

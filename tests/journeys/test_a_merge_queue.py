"""GitHub's merge queue: what would be merged is predicted as the queue has made it, and only that becomes the branch's tip."""

from __future__ import annotations

import pytest

from bot.forges.port import State
from tests.doubles.forge_rig import MergeRefused
from tests.doubles.github_rig import GithubRig
from tests.journeys.shop import PREDICT, Shop, broken, manifest

pytestmark = pytest.mark.parametrize("forge", ["github"], indirect=True)


@pytest.fixture
def queue(shop: Shop) -> GithubRig:
    """The rig as GitHub's, which alone has a queue."""
    assert isinstance(shop.rig, GithubRig)
    return shop.rig


def test_a_candidate_is_predicted_and_then_converged_once_it_is_the_branch(shop: Shop, queue: GithubRig) -> None:
    shop.begin()
    queue.protect(shop.branch, [PREDICT])
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    candidate = queue.queue(proposal.number)
    text = shop.status(candidate, PREDICT, State.SUCCESS).text
    assert text == "1 change in 1 environment; nothing is deleted"
    assert shop.value("flags") == "1", "a candidate was converged before it was merged"
    assert shop.converge not in queue.statuses(candidate)
    queue.leave_queue(proposal.number, candidate, is_merged=True)
    shop.status(candidate, shop.converge, State.SUCCESS)
    assert shop.value("flags") == "2"
    shop.comment(proposal.number, "Merged: converged as predicted")


def test_a_candidate_that_cannot_be_predicted_is_not_merged(shop: Shop, queue: GithubRig) -> None:
    shop.begin()
    queue.protect(shop.branch, [PREDICT])
    proposal = shop.propose({"app/flags.yaml": broken()})
    candidate = queue.queue(proposal.number)
    assert "app/flags.yaml:3" in shop.status(candidate, PREDICT, State.FAILURE).text
    with pytest.raises(MergeRefused):
        queue.leave_queue(proposal.number, candidate, is_merged=True)
    queue.leave_queue(proposal.number, candidate, is_merged=False)
    assert shop.value("flags") == "1"

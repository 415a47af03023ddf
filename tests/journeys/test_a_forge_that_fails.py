"""A forge that refuses or is away: deploys go on, nothing that was to be said is lost, and one refusal holds up nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.forges.port import State
from tests.doubles.github import Fault
from tests.doubles.github_rig import GithubRig
from tests.journeys.shop import PREDICT, Proposal, Shop, manifest

pytestmark = pytest.mark.parametrize("forge", ["github"], indirect=True)
REFUSAL = Fault(422, body=b'{"message": "Validation Failed"}')


@pytest.fixture
def failing(shop: Shop) -> Iterator[GithubRig]:
    """GitHub's double, which fails as a test says and no longer than that test."""
    assert isinstance(shop.rig, GithubRig)
    yield shop.rig
    shop.rig.double.fault = lambda _method, _path: None


def test_f44_what_a_forge_refuses_of_one_commit_holds_up_no_other(shop: Shop, failing: GithubRig) -> None:
    shop.begin()
    head = failing.push("refused", manifest("flags", a="2"), onto=failing.tip(shop.branch))
    at = f"/repos/octo/shop/statuses/{head}"
    failing.double.fault = lambda method, path: REFUSAL if (method, path) == ("POST", at) else None
    proposal = shop.opened(Proposal(failing.open("refused", shop.branch), "refused", head))
    shop.all_is_done()
    assert failing.statuses(head) == {}
    assert "predicts 1 change" in shop.comment(proposal.number), "what it takes is said all the same"
    failing.double.fault = lambda _method, _path: None
    proposal = shop.push(proposal, manifest("flags", a="3"))
    shop.predicted(proposal)


def test_f45_a_forge_that_takes_nothing_for_a_while_is_told_the_end_once_and_delays_no_deploy(
    shop: Shop, failing: GithubRig
) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.status(proposal.head, shop.predict, State.SUCCESS)
    writings = shop.writings(proposal.number)
    failing.double.fault = lambda method, _path: Fault(503) if method != "GET" else None
    merged = failing.merge(proposal.number)
    shop.until(lambda: shop.value("flags") == "2", "the merge is converged while the forge takes nothing")
    assert failing.statuses(merged) == {}
    failing.double.fault = lambda _method, _path: None
    shop.status(merged, shop.converge, State.SUCCESS)
    shop.comment(proposal.number, "Merged: converged as predicted")
    assert shop.history(merged, shop.converge)[-1] is State.SUCCESS
    posted = [path for method, path, code in failing.double.seen if method == "PATCH" and code == 200]
    assert len([path for path in posted if path.endswith(shop.ours(proposal.number)[0].id)]) <= 2
    assert writings == 1
    assert PREDICT not in failing.statuses(merged)

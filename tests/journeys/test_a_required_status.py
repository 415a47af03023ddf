"""Where a branch requires `plumbline/predict`, nothing is merged into it that was not predicted."""

from __future__ import annotations

import signal

import pytest

from bot.forges.port import State
from tests.doubles.forge_rig import MergeRefused
from tests.journeys.shop import PREDICT, Shop, broken, manifest


def test_a_merge_is_refused_until_the_prediction_is_there(shop: Shop) -> None:
    shop.begin()
    shop.rig.protect(shop.branch, [PREDICT])
    shop.system.servers["worker"].signal(signal.SIGSTOP)
    try:
        proposal = shop.propose(manifest("flags", a="2"))
        shop.status(proposal.head, PREDICT, State.PENDING)
        with pytest.raises(MergeRefused):
            shop.rig.merge(proposal.number)
    finally:
        shop.system.servers["worker"].signal(signal.SIGCONT)
    assert shop.value("flags") == "1"
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    assert shop.value("flags") == "2"


def test_a_merge_of_what_cannot_be_predicted_is_refused_until_it_is_mended(shop: Shop) -> None:
    shop.begin()
    shop.rig.protect(shop.branch, [PREDICT])
    proposal = shop.propose({"app/flags.yaml": broken()})
    shop.predicted(proposal, State.FAILURE)
    tip = shop.rig.tip(shop.branch)
    with pytest.raises(MergeRefused):
        shop.rig.merge(proposal.number)
    assert shop.rig.tip(shop.branch) == tip
    proposal = shop.push(proposal, manifest("flags", a="2"))
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)

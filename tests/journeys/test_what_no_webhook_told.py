"""Webhooks that never come cost time and nothing else: what was proposed, moved and merged is found all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.forges.port import State
from sandbox.control_plane import ControlPlane
from tests.doubles.forge_rig import ForgeRig
from tests.journeys.conftest import FORGES, rig_of, started
from tests.journeys.shop import Shop, manifest


@pytest.fixture(params=FORGES)
def unheard(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    tools: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    namespace: str,
) -> Iterator[Shop]:
    """A shop whose forge tells nobody anything, and a Plumbline that looks by itself every second."""
    rig: ForgeRig = rig_of(request.param, tmp_path_factory.mktemp("silent"), request)
    for system in started(rig, control_plane, tools, tmp_path_factory.mktemp("seeking"), poll="1s"):
        rig.listen("")
        shop = Shop(rig, system, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
        yield shop
        shop.end()
    rig.close()


def test_f03_everything_is_found_without_a_single_delivery(unheard: Shop) -> None:
    shop = unheard
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    assert "predicts 1 change" in shop.predicted(proposal)
    proposal = shop.push(proposal, manifest("more", a="1"))
    assert "predicts 2 changes" in shop.predicted(proposal)
    base = shop.rig.push(shop.branch, manifest("other", b="2"))
    shop.comment(proposal.number, f"@{base[:7]}")
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    shop.comment(proposal.number, "Merged: converged")
    assert shop.value("flags") == "2"
    assert list(shop.rig.deliveries()) == []

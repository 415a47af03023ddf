"""What may be deleted and when it counts as done; each name begins with the fault's number."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Kubectl, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.errors import Held, Refused
from worker.domain.reports import Step


@pytest.mark.parametrize("text", ["", "---\n", "# all of it is commented out\n", "---\n---\n"])
def test_f40_an_empty_render_is_refused_and_deletes_nothing(world: World, kubectl: Kubectl, text: str) -> None:
    world.converge(config_maps("one", "two", a="1"))
    prediction = world.predict(text)
    assert isinstance(prediction.hold, Refused)
    assert not isinstance(prediction.hold, Held)
    world.converge(text)
    assert "would delete all 2 objects" in world.said(Step.FAILED)
    assert "configmap/two" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


@pytest.mark.parametrize("kept", [1, 2, 9], ids=["1 of 20 stays", "2 of 20 stay", "9 of 20 stay"])
def test_f40_most_of_it_vanishing_waits_for_exactly_this_confirmation(
    world: World, kubectl: Kubectl, kept: int
) -> None:
    names = [f"c{number:02}" for number in range(20)]
    world.converge(config_maps(*names, a="1"))
    fewer = config_maps(*names[:kept], a="1")
    recorded = world.converge(fewer)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.HELD
    assert f"would prune {20 - kept} of 20 objects" in world.said(Step.HELD)
    world.converge(fewer, approvals=("00000000",))
    assert world.said(Step.HELD)
    code = world.plan(fewer).fingerprint[:8]
    world.converge(fewer, approvals=(code,))
    assert world.said(Step.VERIFIED)
    listed = kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout.split()
    assert len([name for name in listed if name.startswith("configmap/c")]) == kept


def test_f40_a_protected_kind_waits_even_when_it_is_only_one(world: World) -> None:
    claim = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    others = config_maps("one", "two", "three", a="1")
    world.converge(f"{claim}\n---\n{others}", wait=False)
    world.converge(others)
    assert "PersistentVolumeClaim" in world.said(Step.HELD)

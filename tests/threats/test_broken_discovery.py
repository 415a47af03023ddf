"""An API of which a part does not answer; each name begins with the fault's number."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from sandbox.control_plane import ControlPlane
from tests.conftest import Kubectl, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.errors import Unavailable
from worker.domain.plan import Action
from worker.domain.reports import Step

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "nowhere.example.com"


@pytest.fixture
def nowhere(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """An APIService whose Service does not exist; the API server knows by now that it does not answer."""
    service = {"namespace": namespace, "name": "none"}
    spec = {
        "group": GROUP, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "insecureSkipTLSVerify": True, "service": service,
    }  # fmt: skip
    name = f"v1.{GROUP}"
    body = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name}, "spec": spec}
    assert control_plane.request("POST", SERVICES, body)[0] == 201
    probe = World(control_plane.kubeconfig(), namespace)
    until = time.monotonic() + 30
    while not probe.cluster.discovery.unanswered():
        assert time.monotonic() < until
        probe.cluster.discovery.refresh()
        time.sleep(0.1)
    yield name
    control_plane.request("DELETE", f"{SERVICES}/{name}")


def test_f27_only_what_uses_a_group_that_does_not_answer_fails_and_nothing_is_pruned(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, nowhere: str
) -> None:
    world.converge(config_maps("a", "b", "c", x="1"))
    less = config_maps("a", "b", x="2")
    custom = json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "t"}})
    with pytest.raises(Unavailable, match=f"the API group {GROUP} is not answering now"):
        world.plan(f"{less}---\n{custom}")
    with pytest.raises(Unavailable):
        world.converge(f"{less}---\n{custom}")
    plan = world.plan(less)
    assert [change.action for change in plan.changes] == [Action.CONFIGURE, Action.CONFIGURE, Action.SKIP]
    assert f"the API group {GROUP} does not answer, and unknown is not absent" in plan.changes[2].reason
    recorded = world.converge(less)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert world.said(Step.VERIFIED).endswith(f"; not pruned, because {GROUP} did not answer: 1")
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c"]
    there = ("-n", world.namespace, "get", "configmaps", "-o", "name")
    assert "configmap/c\n" in kubectl(*there).stdout

    control_plane.request("DELETE", f"{SERVICES}/{nowhere}")
    until = time.monotonic() + 30
    while world.plan(less).summary["prune"] == 0:
        assert time.monotonic() < until, "that the group is gone is never noticed"
        time.sleep(0.2)
    recorded = world.converge(less, revision=recorded.state.operation.revision)
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b"]
    assert "configmap/c\n" not in kubectl(*there).stdout


def test_f27_what_may_not_be_pruned_when_it_was_planned_is_not_pruned_when_the_group_is_back(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, nowhere: str
) -> None:
    names = [f"c{number:02}" for number in range(20)]
    world.converge(config_maps(*names, x="1"))

    def back() -> None:
        control_plane.request("DELETE", f"{SERVICES}/{nowhere}")

    recorded = world.converge(config_maps("c00", x="2"), before_write=back)
    assert recorded.state.operation is not None
    assert len(recorded.inventory.entries) == 20, "19 deletions that nobody has confirmed"
    listed = kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout
    assert all(f"configmap/{name}\n" in listed for name in names)

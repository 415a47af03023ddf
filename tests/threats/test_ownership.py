"""Fields that several own: whose they are, who gets them, and what becomes of them; each name begins with the fault's number."""

from __future__ import annotations

from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.reports import Step

SCALED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 1
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: "registry.example/x:1"}]}
"""


def test_f18_a_field_that_a_person_edited_is_taken_back_and_it_is_said(world: World, kubectl: Kubectl) -> None:
    world.converge(config_map("one", a="1"))
    kubectl("-n", world.namespace, "patch", "configmap", "one", "--type=merge", "-p", '{"data": {"a": "theirs"}}')
    plan = world.plan(config_map("one", a="1"))
    assert plan.summary["configure"] == 1
    assert "takes data.a from kubectl-patch" in plan.warnings[0]
    world.converge(config_map("one", a="1"))
    assert kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data.a}").stdout == "1"


def test_f36_replicas_that_were_scaled_are_left_to_who_scales(world: World, kubectl: Kubectl) -> None:
    world.converge(SCALED)
    kubectl("-n", world.namespace, "scale", "deployment", "d", "--replicas=3")
    recorded = world.converge(SCALED.replace("x:1", "x:2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout == "3 registry.example/x:2"


def test_f34_applying_the_same_commit_again_writes_nothing_at_all(namespace: str, proxy: ApiProxy) -> None:
    world = World(proxy.kubeconfig, namespace)
    text = config_maps("one", "two", a="1")
    world.converge(text, revision="d" * 40)
    before = len(proxy.requests)
    world.converge(text, revision="d" * 40)
    later = [path for method, path in proxy.requests[before:] if method != "GET" and "/leases" not in path]
    assert later == []
    assert world.said(Step.VERIFIED).endswith("nothing was written")

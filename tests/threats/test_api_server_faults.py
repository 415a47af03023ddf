"""An API server that fails, refuses or is not there; each name begins with the fault's number."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.api_proxy import ApiProxy
from tests.conftest import DEPLOYMENT, Kubectl, config_map, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.errors import DesiredStateError, Moved
from worker.domain.reports import Step


def test_f18_another_apply_manager_s_field_is_refused_and_it_is_named(world: World, kubectl: Kubectl) -> None:
    kubectl(
        "-n",
        world.namespace,
        "apply",
        "--server-side",
        "--field-manager=theirs",
        "-f",
        "-",
        text=config_map("one", a="theirs"),
    )
    said = world.problems(config_map("one", a="1"))
    assert "owned by the field manager theirs (Apply)" in said
    assert "data.a" in said


@pytest.mark.parametrize(("races", "wins"), [(3, True), (100, False)], ids=["a few times", "without end"])
def test_f18_an_object_that_others_write_all_the_time_is_read_again_before_each_try(
    world: World, namespace: str, proxy: ApiProxy, kubectl: Kubectl, races: int, wins: bool
) -> None:
    world.converge(DEPLOYMENT)
    proxied = World(proxy.kubeconfig, namespace)
    touched = itertools.count(1)

    def touch(method: str, path: str) -> None:
        if method == "PATCH" and "/deployments/d?" in path and "dryRun" not in path:
            number = next(touched)
            if number <= races:
                kubectl("-n", namespace, "annotate", "--overwrite", "deployment", "d", f"race={number}")

    proxy.before = touch
    if wins:
        recorded = proxied.converge(DEPLOYMENT.replace("x:1", "x:2"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, proxied.facts
        assert next(touched) > races
        return
    with pytest.raises(Moved, match=f"Deployment {namespace}/d: changed in the cluster"):
        proxied.converge(DEPLOYMENT.replace("x:1", "x:2"))
    assert proxied.said(Step.RETRYING).startswith("applied 0 of 1")
    assert not proxied.said(Step.FAILED)
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("-n", namespace, "get", "deployment", "d", "-o", path).stdout.endswith("x:1")


def test_f19_a_desired_state_error_names_file_line_and_object(world: World) -> None:
    text = (
        config_map("fine", a="1")
        + "---\n"
        + json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": "x"}})
    )
    with pytest.raises(DesiredStateError) as caught:
        world.predict(text)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line) == ("app.yaml", 3)
    assert problem.where == f"Service {world.namespace}/s"


def test_f28_a_failure_half_way_says_what_was_done_and_prunes_nothing(
    namespace: str, proxy: ApiProxy, kubectl: Kubectl
) -> None:
    world = World(proxy.kubeconfig, namespace)
    world.converge(config_maps("gone", *(f"c{number}" for number in range(9)), a="1"))
    proxy.rule = lambda method, path: 400 if method == "PATCH" and "/c7?" in path and "dryRun" not in path else None
    names = [f"c{number}" for number in range(9)]
    recorded = world.converge(config_maps(*names, a="2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    assert "partly applied, 8 of 9" in world.said(Step.FAILED)
    assert "c7" in world.said(Step.FAILED)
    assert "configmap/gone" in kubectl("-n", namespace, "get", "configmaps", "-o", "name").stdout
    proxy.rule = lambda method, path: None
    recorded = world.converge(config_maps(*names, a="2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert "configmap/gone" not in kubectl("-n", namespace, "get", "configmaps", "-o", "name").stdout

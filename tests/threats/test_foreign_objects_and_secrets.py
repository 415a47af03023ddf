"""What an environment may touch and what may be seen of it; each name begins with the threat's number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.control_plane import ControlPlane
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map, config_maps
from tests.world import World
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.convergence import Phase
from worker.domain.environment import Ceiling
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits
from worker.domain.plan import Action
from worker.domain.reports import Step
from worker.domain.resource import COPIES

CANARY = "canary-3f1c9a7e"

SECRET_BODIES: dict[str, dict[str, Any]] = {
    "not base64": {"data": {"password": CANARY}},
    "a list": {"data": {"password": [CANARY]}},
    "a number in stringData": {"stringData": {"password": {"a": CANARY}}},
    "an unknown field": {"stringData": {"password": CANARY}, "nonsense": CANARY},
    "a wrong type": {"stringData": {"password": CANARY}, "type": {"x": CANARY}},
    "a typed Secret without its key": {"stringData": {"password": CANARY}, "type": "kubernetes.io/tls"},
    "a bad label": {"stringData": {"password": CANARY}, "metadata": {"labels": {"a": f"{CANARY} {CANARY}"}}},
}


def test_a42_a_namespace_outside_the_ceiling_is_refused_and_nothing_is_written(
    control_plane: ControlPlane, namespace: str, proxy: ApiProxy
) -> None:
    world = World(proxy.kubeconfig, namespace, ceiling=Ceiling((namespace,), ("*",), ()))
    world.states.key()
    proxy.requests.clear()
    for body in (
        {"metadata": {"name": "x", "namespace": "kube-system"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}},
        {"kind": "Namespace", "metadata": {"name": "another"}},
    ):
        text = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **body})
        assert "not allowed here" in world.problems(text)
        world.converge(text)
        assert "not allowed here" in world.said(Step.FAILED)
    assert proxy.writes() == []


@pytest.mark.parametrize("name", ["a/b", "..", "../secrets/x", "a%2fb"])
def test_a42_a_name_that_leads_elsewhere_is_refused(world: World, name: str) -> None:
    assert "name" in world.problems(config_map(name))


@pytest.mark.parametrize("metadata", [{"generateName": "x-"}, {"generateName": "x-", "name": "y"}, {}])
def test_a42_an_object_without_a_fixed_name_is_refused(world: World, tmp_path: Path, metadata: dict[str, str]) -> None:
    (tmp_path / "app.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
    renderer = Renderer(None, RenderLimits(), RenderTools(None))
    with pytest.raises(DesiredStateError, match=r"generateName|has no metadata\.name"):
        world.predict_rendered(renderer.render_folder(tmp_path, world.environment, Capabilities()).resources)


def test_a42_the_same_object_twice_is_refused_and_both_places_are_named(world: World) -> None:
    problems = world.problems(config_maps("one", "one", a="1"))
    assert "declared twice" in problems
    assert "app.yaml:1" in problems


def test_a44_two_environments_that_claim_one_object_are_told_of_each_other(world: World) -> None:
    world.converge(config_map("one", a="1"))
    other = World(world.kubeconfig, world.namespace, "second")
    said = other.problems(config_map("one", a="1"))
    assert f"belongs to the environment repo-{world.namespace}/test already" in said
    other.converge(config_map("one", a="2"))
    assert "belongs to the environment" in other.said(Step.FAILED)
    assert world.plan(config_map("one", a="1")).is_empty


def test_a46_a_label_of_ours_on_a_foreign_object_prunes_nothing(world: World, kubectl: Kubectl) -> None:
    world.converge(config_maps("one", "two", "three", a="1"))
    label = f"plumbline.io/environment={world.environment.owner_label}"
    kubectl("-n", world.namespace, "create", "configmap", "foreign", "--from-literal=a=1")
    kubectl("-n", world.namespace, "label", "configmap", "foreign", label)
    world.converge(config_maps("one", "two", a="1"))
    left = kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout
    assert "configmap/foreign" in left
    assert "configmap/three" not in left


def test_a46_an_object_that_was_made_again_by_somebody_else_is_not_pruned(world: World, kubectl: Kubectl) -> None:
    world.converge(config_maps("one", "two", "three", a="1"))
    kubectl("-n", world.namespace, "delete", "configmap", "three")
    kubectl("-n", world.namespace, "create", "configmap", "three", "--from-literal=theirs=1")
    plan = world.plan(config_maps("one", "two", a="1"))
    skipped = [change for change in plan.changes if change.key.name == "three"]
    assert [change.action for change in skipped] == [Action.SKIP]
    assert "uid differs" in skipped[0].reason
    world.converge(config_maps("one", "two", a="1"))
    assert "configmap/three" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


def test_a46_an_edited_record_turns_pruning_off_and_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(config_maps("one", "two", "three", a="1"))
    foreign = kubectl("-n", world.namespace, "create", "configmap", "foreign", "--from-literal=a=1", "-o", "json")
    name, where = world.environment.state_name, world.state_namespace
    record = json.loads(kubectl("-n", where, "get", "configmap", name, "-o", "json").stdout)
    uid = json.loads(foreign.stdout)["metadata"]["uid"]
    entries = json.loads(record["data"]["inventory"])
    entries.append(["", "ConfigMap", world.namespace, "foreign", "v1", uid])
    patch = json.dumps({"data": {"inventory": json.dumps(entries)}})
    kubectl("-n", where, "patch", "configmap", name, "--type=merge", "-p", patch)
    plan = world.plan(config_maps("one", a="1"))
    assert plan.summary["prune"] == 0
    assert "pruning is off" in plan.warnings[0]
    world.converge(config_maps("one", a="1"))
    assert "configmap/foreign" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


def test_a49_an_empty_secret_of_a_live_one_s_name_shows_no_value(world: World, kubectl: Kubectl) -> None:
    kubectl("-n", world.namespace, "create", "secret", "generic", "db", f"--from-literal=password={CANARY}")
    text = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}})
    plan = world.plan(text)
    shown = json.dumps(plan.to_json()) + repr(plan)
    assert CANARY not in shown
    assert "Y2FuYXJ5" not in shown


@pytest.mark.parametrize("case", SECRET_BODIES)
def test_a50_no_refusal_of_a_secret_quotes_its_value(world: World, case: str) -> None:
    body = SECRET_BODIES[case]
    metadata = {"name": "db", **body.get("metadata", {})}
    text = json.dumps({"apiVersion": "v1", "kind": "Secret", **body, "metadata": metadata})
    from worker.domain.resource import MalformedSecret

    try:
        said = world.problems(text)
    except MalformedSecret as error:
        said = str(error)
    assert said
    assert CANARY not in said
    assert "Y2FuYXJ5" not in said


def test_a50_a_secret_s_value_in_another_object_s_refusal_is_masked(world: World) -> None:
    secret = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"p": CANARY}})
    other = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"type": CANARY, "ports": [{"port": 1}]},
        }
    )
    said = world.problems(f"{secret}\n---\n{other}")
    assert "Service" in said
    assert CANARY not in said


def test_a44_two_environments_that_make_one_object_at_the_same_moment_do_not_share_it(
    world: World, kubectl: Kubectl
) -> None:
    other = World(world.kubeconfig, world.namespace, "second")
    first = iter([True])

    def meanwhile() -> None:
        if next(first, False):
            world.converge(config_map("one", a="theirs"))

    assert other.plan(config_map("one", a="ours")).summary["create"] == 1
    recorded = other.converge(config_map("one", a="ours"), before_write=meanwhile)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    assert world.environment.field_manager in other.said(Step.FAILED)
    assert not other.said(Step.VERIFIED)
    assert kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data.a}").stdout == "theirs"
    assert world.plan(config_map("one", a="theirs")).is_empty
    other.converge(config_map("two", a="1"))
    assert "configmap/one\n" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


def test_a44_an_object_that_kubectl_made_is_adopted_and_said_when_its_fields_are_taken(
    world: World, kubectl: Kubectl
) -> None:
    kubectl("-n", world.namespace, "create", "configmap", "one", "--from-literal=a=theirs")
    plan = world.plan(config_map("one", a="ours"))
    assert [change.action for change in plan.changes] == [Action.CONFIGURE]
    assert "takes data.a from kubectl-create" in plan.warnings[0]
    careful = world.with_policy(force=False)
    assert "owned by the field manager kubectl-create (Update)" in careful.problems(config_map("one", a="ours"))
    careful.converge(config_map("one", a="ours"))
    assert kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data.a}").stdout == "theirs"


@pytest.mark.parametrize("name", COPIES)
def test_a48_no_copy_of_a_secret_in_an_annotation_is_shown_and_all_are_sent_as_they_are(
    world: World, kubectl: Kubectl, name: str
) -> None:
    value = "c3VwZXItc2VjcmV0LXZhbHVl"
    copy = json.dumps({"data": {"config": value}})
    secret: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "immutable": True, "metadata": {"name": "s"}}
    annotated = {**secret, "metadata": {"name": "s", "annotations": {name: copy}}, "data": {"config": value}}
    world.converge(json.dumps(annotated))
    live = json.loads(kubectl("-n", world.namespace, "get", "secret", "s", "-o", "json").stdout)
    assert live["metadata"]["annotations"][name] == copy
    assert world.plan(json.dumps(annotated)).is_empty
    willing = world.with_policy(recreate=("Secret",))
    plan = json.dumps(willing.plan(json.dumps({**secret, "data": {"config": "bmV3"}})).to_json())
    assert '"recreate"' in plan
    assert value not in plan

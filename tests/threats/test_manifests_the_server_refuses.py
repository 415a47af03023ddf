"""What the API server refuses for good, or takes otherwise than it is written; each name begins with the fault's number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.control_plane import ControlPlane
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.environment import Ceiling
from worker.domain.errors import DesiredStateError, Unavailable
from worker.domain.plan import Action
from worker.domain.reports import Step

CANARY = "canary-3f1c9a7e"


def body(kind: str, version: str = "v1", name: str = "x", **members: Any) -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **members})


def deployment(**container: Any) -> str:
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "main", "image": "registry.example/x:1", **container}]},
    }
    return body("Deployment", "apps/v1", spec={"selector": {"matchLabels": {"app": "x"}}, "template": template})


REFUSED = {
    "422, a field": (
        body("Service", spec={"ports": [{"port": 99999}]}),
        "Service {ns}/x: [spec.ports[0].port: Invalid",
    ),
    "422, a Secret over 1 MiB": (
        body("Secret", stringData={"big": CANARY * 70_000}),
        "Secret {ns}/x: Invalid (data)",
    ),
    "422, annotations over 256 KiB": (
        json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "annotations": {"a": "b" * 270_000}}}
        ),
        "ConfigMap {ns}/x: metadata.annotations: Too long",
    ),
    "413, a request over 3 MiB": (
        body("ConfigMap", data={"big": "b" * 3_300_000}),
        "ConfigMap {ns}/x: Request entity too large: limit is 3145728 (make it smaller",
    ),
    "500, an unknown field": (
        body("ConfigMap", nonsense={"a": "b"}),
        "ConfigMap {ns}/x: nonsense: field not declared in schema",
    ),
    "500, a wrong type": (
        deployment(env=[{"name": "A", "value": 5}]),
        'Deployment {ns}/x: spec.template.spec.containers[name="main"].env[name="A"].value: expected string',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_f19_and_f20_what_is_refused_for_good_names_object_and_field_and_is_not_tried_again(
    namespace: str, proxy: ApiProxy, case: str
) -> None:
    world = World(proxy.kubeconfig, namespace)
    world.states.key()
    manifest, expected = REFUSED[case]
    proxy.requests.clear()
    recorded = world.converge(f"{manifest}\n---\n{config_map('fine', a='1')}")
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    said = world.said(Step.FAILED)
    assert said.startswith(f"app.yaml:1: {expected.format(ns=namespace)}"), said[:400]
    assert CANARY not in said
    assert len(said) < 1000
    tries = [path for method, path in proxy.requests if method == "PATCH" and "/x?" in path]
    assert len(tries) == 1, "it was tried again"
    assert proxy.writes() == [], "half of it was applied"


def test_f19_a_right_that_is_missing_is_named_and_nothing_is_written(
    control_plane: ControlPlane, namespace: str, kubectl: Kubectl
) -> None:
    control_plane.grant_namespace("namespaced", namespace)
    admin = World(control_plane.kubeconfig(), namespace, ceiling=Ceiling())
    admin.states.key()
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "namespaced"},
        "rules": [
            {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
        ],
    }
    kubectl("-n", namespace, "replace", "-f", "-", text=json.dumps(role))
    restricted = World(control_plane.kubeconfig("namespaced"), namespace)
    restricted.states = admin.states
    text = f"{config_map('fine', a='1')}---\n{body('Service', spec={'ports': [{'port': 80}]})}"
    said = restricted.problems(text)
    assert f"Service {namespace}/x: " in said
    assert 'cannot patch resource "services"' in said
    assert "give Plumbline's identity this right" in said
    assert "configmap/fine" not in kubectl("-n", namespace, "get", "configmaps", "-o", "name").stdout


def test_f21_a_field_that_a_custom_kind_drops_is_said_before_and_after(world: World, kubectl: Kubectl) -> None:
    group = f"{world.namespace}.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    spec = {
        "group": group,
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
    }
    definition = body("CustomResourceDefinition", "apiextensions.k8s.io/v1", f"things.{group}", spec=spec)
    good = f"{definition}\n---\n" + body("Thing", f"{group}/v1", spec={"a": "1"})
    recorded = world.converge(good)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    bad = f"{definition}\n---\n" + body("Thing", f"{group}/v1", spec={"a": "1", "unknown": "2"})
    said = world.problems(bad)
    assert "unknown" in said or any("does not keep spec.unknown" in each for each in world.plan(bad).warnings)
    kubectl("delete", "crd", f"things.{group}", "--wait=false")


def test_f21_a_duplicate_key_is_refused_with_its_line(world: World) -> None:
    with pytest.raises(DesiredStateError, match=r"app.yaml:\d+.*a"):
        world.plan("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: '1'\n  a: '2'\n")


def test_f31_a_namespace_that_is_being_deleted_is_no_missing_right(world: World, kubectl: Kubectl) -> None:
    world.converge(config_map("a", x="1"))
    patch = json.dumps({"metadata": {"finalizers": ["x.io/y"]}})
    kubectl("-n", world.namespace, "patch", "configmap", "a", "--type=merge", "-p", patch)
    kubectl("delete", "namespace", world.namespace, "--wait=false")
    try:
        said = world.problems(config_maps("a", "b", x="1"))
        assert f"ConfigMap {world.namespace}/b: the namespace {world.namespace} is being deleted" in said
        assert "right" not in said
        world.converge(config_maps("a", "b", x="1"))
        assert "is being deleted" in world.said(Step.FAILED)
        itself = f"{body('Namespace', name=world.namespace)}\n---\n{config_map('b', x='1')}"
        plan = world.plan(itself, prune=False)
        assert [change.action for change in plan.changes][:2] == [Action.RECREATE, Action.CREATE]
        assert "waiting for what is in it to go" in plan.changes[0].reason
    finally:
        nothing = json.dumps({"metadata": {"finalizers": []}})
        kubectl("-n", world.namespace, "patch", "configmap", "a", "--type=merge", "-p", nothing)


def test_f31_a_desired_namespace_that_is_going_is_made_again_with_what_is_in_it(world: World, kubectl: Kubectl) -> None:
    name = f"{world.namespace}-again"
    inside = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": name}, "data": {"x": "1"}}
    text = f"{body('Namespace', name=name)}\n---\n{json.dumps(inside)}"
    world.converge(text)
    first = kubectl("get", "namespace", name, "-o", "jsonpath={.metadata.uid}").stdout
    kubectl("delete", "namespace", name, "--wait=false")
    recorded = world.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert kubectl("get", "namespace", name, "-o", "jsonpath={.metadata.uid}").stdout not in ("", first)
    assert kubectl("-n", name, "get", "configmap", "a", "-o", "jsonpath={.data.x}").stdout == "1"
    assert world.plan(text).is_empty
    kubectl("delete", "namespace", name, "--wait=false")


IMMUTABLE = {
    "a Service's clusterIP": (
        body("Service", spec={"clusterIP": "10.96.77.6", "ports": [{"port": 80}]}),
        body("Service", spec={"clusterIP": "10.96.77.7", "ports": [{"port": 80}]}),
        "Service",
    ),
    "a Job's template": (
        body("Job", "batch/v1", spec={"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "x:1"}]}}}),
        body("Job", "batch/v1", spec={"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "m", "image": "x:2"}]}}}),
        "Job.batch",
    ),
    "an immutable ConfigMap": (
        body("ConfigMap", immutable=True, data={"a": "1"}),
        body("ConfigMap", immutable=True, data={"a": "2"}),
        "ConfigMap",
    ),
    "an immutable Secret": (
        body("Secret", immutable=True, stringData={"a": CANARY}),
        body("Secret", immutable=True, stringData={"a": f"{CANARY}-2"}),
        "Secret",
    ),
    "a Secret's type": (
        body("Secret", type="Opaque", stringData={"a": CANARY}),
        body("Secret", type="example.com/other", stringData={"a": CANARY}),
        "Secret",
    ),
    "a StatefulSet's claims": (
        body("StatefulSet", "apps/v1", spec={"replicas": 0, "serviceName": "x", "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "m", "image": "x:1"}]}}}),
        body("StatefulSet", "apps/v1", spec={"replicas": 0, "serviceName": "y", "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "m", "image": "x:1"}]}}}),
        "StatefulSet.apps",
    ),
    "a claim's class": (
        body("PersistentVolumeClaim", spec={"storageClassName": "a", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
        body("PersistentVolumeClaim", spec={"storageClassName": "b", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
        "PersistentVolumeClaim",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMMUTABLE)
def test_f32_an_immutable_field_is_found_when_planning_and_replaced_only_where_policy_says_so(
    world: World, kubectl: Kubectl, case: str
) -> None:
    first, second, kind = IMMUTABLE[case]
    ignoring = {"PersistentVolumeClaim": "ignore"}
    strict = world.with_policy(recreate=(), health=ignoring)
    recorded = strict.converge(first)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, strict.facts
    uid = ("-n", world.namespace, "get", kind, "x", "-o", "jsonpath={.metadata.uid}")
    before = kubectl(*uid).stdout
    said = strict.problems(second)
    assert f"allow {kind} in the environment's policy.recreate" in said, said
    assert CANARY not in said
    strict.converge(second)
    assert kubectl(*uid).stdout == before
    willing = world.with_policy(recreate=(kind,), health=ignoring)
    plan = willing.plan(second)
    assert [change.action for change in plan.changes] == [Action.RECREATE]
    assert plan.changes[0].fields
    recorded = willing.converge(second)
    assert recorded.state.operation is not None
    if (
        kind == "PersistentVolumeClaim"
    ):  # the cluster keeps it until no Pod uses it, which takes its controller a moment
        recorded = willing.converge(second)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, willing.facts
    assert kubectl(*uid).stdout not in ("", before)
    assert willing.plan(second).is_empty


def test_f32_what_is_to_be_made_again_waits_for_the_finalizer_of_the_old_one(world: World, kubectl: Kubectl) -> None:
    first, second, kind = IMMUTABLE["an immutable ConfigMap"]
    willing = world.with_policy(recreate=(kind,))
    willing.converge(first)
    held = json.dumps({"metadata": {"finalizers": ["x.io/y"]}})
    kubectl("-n", world.namespace, "patch", "configmap", "x", "--type=merge", "-p", held)
    with pytest.raises(Unavailable, match=r"waiting for the finalizer x\.io/y"):
        willing.converge(second)
    assert "waiting for the finalizer x.io/y" in willing.said(Step.RETRYING)
    assert kubectl("-n", world.namespace, "get", "configmap", "x", "-o", "jsonpath={.data.a}").stdout == "1"
    free = json.dumps({"metadata": {"finalizers": []}})
    kubectl("-n", world.namespace, "patch", "configmap", "x", "--type=merge", "-p", free)
    recorded = willing.converge(second)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, willing.facts
    assert kubectl("-n", world.namespace, "get", "configmap", "x", "-o", "jsonpath={.data.a}").stdout == "2"

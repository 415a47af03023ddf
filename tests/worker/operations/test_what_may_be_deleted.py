"""The guards before a deletion, and what is deleted out of its turn, on a real server."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.conftest import Kubectl
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.environment import Budget
from worker.domain.errors import Held
from worker.domain.plan import Action, code
from worker.domain.reports import Step


def maps(*names: str) -> str:
    return "\n---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}" for name in names)


def service(namespace: str, name: str, port: int) -> str:
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{type: NodePort, selector: {{app: x}}, ports: [{{port: 80, nodePort: {port}}}]}}"
    )


@pytest.mark.parametrize(
    ("budget", "pruned", "held"),
    [
        (Budget(), 2, False),
        (Budget(), 3, True),
        (Budget(1, None), 2, True),
        (Budget(2, None), 2, False),
        (Budget(None, 0.4), 2, False),
        (Budget(None, 0.3), 2, True),
        (Budget(0, None), 1, True),
    ],
    ids=str,
)
def test_more_than_the_budget_needs_exactly_its_code(
    world: World, kubectl: Kubectl, budget: Budget, pruned: int, held: bool
) -> None:
    names = ["a", "b", "c", "d", "e"]
    careful = world.with_policy(prune_budget=budget)
    careful.converge(maps(*names))
    less = maps(*names[pruned:])
    prediction = careful.predict(less)
    assert isinstance(prediction.hold, Held) == held
    recorded = careful.converge(less, approvals=("00000000",))
    assert recorded.state.operation is not None
    there = kubectl("-n", world.namespace, "get", "configmap", "-o", "name").stdout
    if not held:
        assert recorded.state.operation.phase is Phase.SUCCEEDED
        assert "configmap/a\n" not in there
        return
    assert recorded.state.operation.phase is Phase.HELD
    assert all(f"configmap/{name}\n" in there for name in names)
    assert code(prediction.plan.fingerprint) in careful.said(Step.HELD)
    done = careful.converge(less, approvals=(code(prediction.plan.fingerprint),))
    assert done.state.operation is not None
    assert done.state.operation.phase is Phase.SUCCEEDED
    assert "configmap/a\n" not in kubectl("-n", world.namespace, "get", "configmap", "-o", "name").stdout


def test_an_environment_that_moved_deletes_nothing_by_itself(world: World, kubectl: Kubectl) -> None:
    world.converge(maps("a", "b", "c"))
    moved = World(world.kubeconfig, world.namespace)
    moved.environment = replace(moved.environment, path="elsewhere")
    moved.target = replace(moved.target, environment=moved.environment)
    recorded = moved.converge(maps("b", "c"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.HELD
    assert "having moved from . in the namespace" in moved.said(Step.HELD)
    assert kubectl("-n", world.namespace, "get", "configmap", "a").returncode == 0
    assert moved.converge(maps("a", "b", "c", "d")).state.operation.phase is Phase.SUCCEEDED  # type: ignore[union-attr]


def test_a_namespace_that_the_server_never_deletes_is_left(world: World) -> None:
    system = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-public}"
    world.converge("\n---\n".join((system, maps("a"))))
    recorded = world.converge(maps("a"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts


def test_a_port_that_a_pruned_service_holds_is_freed_first(world: World, kubectl: Kubectl) -> None:
    world.converge("\n---\n".join((service(world.namespace, "old", 30777), maps("a", "b", "c"))))
    text = "\n---\n".join((service(world.namespace, "new", 30777), maps("a", "b", "c")))
    plan = world.plan(text)
    created = next(change for change in plan.changes if change.action is Action.CREATE)
    assert created.reason == (
        f"not validated: node port 30777/TCP is free once Service {world.namespace}/old is pruned"
    )
    recorded = world.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    port = kubectl("-n", world.namespace, "get", "service", "new", "-o", "jsonpath={.spec.ports[0].nodePort}").stdout
    assert port == "30777"
    kept = world.with_policy(prune=False)
    assert "provided port is already allocated" in kept.problems(
        "\n---\n".join((service(world.namespace, "third", 30777), maps("a", "b", "c")))
    )


def test_what_could_not_be_made_again_is_not_deleted(world: World, kubectl: Kubectl) -> None:
    deployment = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 0
  selector: {matchLabels: {app: d}}
  template: {metadata: {labels: {app: d}}, spec: {containers: [{name: main, image: x}]}}
"""
    willing = world.with_policy(recreate=("Deployment.apps",))
    willing.converge(deployment)
    before = kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout
    problems = willing.problems(deployment.replace("matchLabels: {app: d}", "matchLabels: {app: e}"))
    assert "`selector` does not match template `labels`" in problems
    willing.converge(deployment.replace("matchLabels: {app: d}", "matchLabels: {app: e}"))
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout == before
    plan = willing.plan(deployment.replace("app: d", "app: e"))
    assert [change.action for change in plan.changes] == [Action.RECREATE]
    paths = {field.path for field in plan.changes[0].fields}
    assert paths == {"spec.selector.matchLabels.app", "spec.template.metadata.labels.app"}
    willing.converge(deployment.replace("app: d", "app: e"))
    assert willing.said(Step.VERIFIED).endswith("as predicted")


def test_what_the_server_does_not_serve_is_left_out_where_policy_says_so(world: World) -> None:
    old = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: i}\nspec: {}"
    text = "\n---\n".join((maps("a"), old))
    assert "is of a kind that the cluster does not serve (extensions/v1beta1)" in world.problems(text)
    lenient = world.with_policy(unserved="skip")
    plan = lenient.plan(text)
    assert [str(change.action) for change in plan.changes] == ["create", "skip"]
    assert plan.changes[1].reason == "left out: the server does not serve Ingress as extensions/v1beta1"
    recorded = lenient.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert lenient.said(Step.VERIFIED).endswith("; left out, because not served: 1")
    alone = World(world.kubeconfig, world.namespace, "alone", lenient.policy)
    nothing = alone.converge(old)
    assert nothing.state.operation is not None
    assert nothing.state.operation.phase is Phase.SUCCEEDED


def test_a_field_that_the_server_drops_is_said_and_does_not_keep_the_rest_from_being_verified(world: World) -> None:
    job = """
apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec:
  suspend: true
  template:
    metadata: {annotations: {pod.beta.kubernetes.io/init-containers: "[]"}}
    spec: {restartPolicy: Never, containers: [{name: main, image: x}]}
"""
    plan = world.plan(job)
    dropped = "spec.template.metadata.annotations"
    assert any(f"does not keep {dropped}" in warning for warning in plan.warnings), plan.warnings
    recorded = world.converge(job)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert "specified fields that the API server keeps otherwise: 1" in world.said(Step.VERIFIED)


def test_an_empty_map_in_place_of_applied_fields_is_refused_with_the_way_out(world: World, kubectl: Kubectl) -> None:
    group = f"{world.namespace}.example.com"
    leaf = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"selector": leaf}}}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"foos.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": "foos", "kind": "Foo"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }

    def foo(spec: str) -> str:
        return f"{json.dumps(definition)}\n---\napiVersion: {group}/v1\nkind: Foo\nmetadata: {{name: a}}\nspec: {spec}"

    world.converge(foo("{selector: {a: b}}"))
    problems = world.problems(foo("{selector: {}}"))
    assert "makes null of an empty map in place of fields that were applied before" in problems
    assert "leave the field out in one commit" in problems
    for spec in ("{}", "{selector: {}}") if not world.problems(foo("{}")) else ("{selector: {c: d}}",):
        recorded = world.converge(foo(spec))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    kubectl("delete", "crd", f"foos.{group}", "--wait=false")


def test_what_desired_objects_live_in_is_not_pruned_from_under_them(world: World, kubectl: Kubectl) -> None:
    home = f"home-{world.namespace}"
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {home}}}"
    inside = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: inside, namespace: {home}}}"
    plural = f"things-{world.namespace}"
    definition = json.dumps({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"plural": plural, "kind": f"Thing{world.namespace.replace('-', '')}"},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }],
        },
    })  # fmt: skip
    thing = f"apiVersion: example.org/v1\nkind: Thing{world.namespace.replace('-', '')}\nmetadata: {{name: one}}"
    world.converge("\n---\n".join([namespace, inside, definition, thing]))
    less = "\n---\n".join([inside, thing])

    prediction = world.predict(less)
    assert prediction.hold is None
    skipped = {change.key.name: change for change in prediction.plan.changes if change.action is Action.SKIP}
    assert set(skipped) == {home, f"{plural}.example.org"}
    assert all("1 object of this environment would go with it" in change.reason for change in skipped.values())
    recorded = world.converge(less)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert kubectl("get", "namespace", home, "-o", "jsonpath={.status.phase}").stdout == "Active"
    assert home in {entry.key.name for entry in recorded.inventory.entries}, "forgotten: it could never be pruned later"

    emptied = world.predict(maps("other"))
    assert {change.key.name for change in emptied.plan.changes if change.action is Action.PRUNE} >= set(skipped)
    assert isinstance(emptied.hold, Held)
    kubectl("delete", "namespace", home, "--wait=false")
    kubectl("delete", "crd", f"{plural}.example.org", "--wait=false")


def test_what_becomes_prunable_after_the_plan_waits_for_the_next_one(world: World, kubectl: Kubectl) -> None:
    """The plan skipped them, so neither its budget nor its confirmation was about them."""
    careful = world.with_policy(prune_budget=Budget(0, None))
    careful.converge(maps("a", "b", "c", "d"))
    objects = ("-n", world.namespace, "annotate", "configmap", "a", "b", "c")
    kubectl(*objects, "plumbline.io/prune=disabled")
    opted_out = [True]

    def opt_in() -> None:
        if opted_out:
            opted_out.clear()
            kubectl(*objects, "plumbline.io/prune-")

    changed = maps("d").replace("metadata:", "data: {v: two}\nmetadata:")
    assert careful.predict(changed).hold is None
    recorded = careful.converge(changed, before_write=opt_in)
    assert not opted_out
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert "not pruned, because it was not planned: 3" in careful.said(Step.VERIFIED)
    there = kubectl("-n", world.namespace, "get", "configmap", "-o", "name").stdout
    assert all(f"configmap/{name}\n" in there for name in "abcd")
    assert {entry.key.name for entry in recorded.inventory.entries} == {"a", "b", "c", "d"}
    assert isinstance(careful.predict(changed).hold, Held)

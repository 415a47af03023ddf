"""What can only be made in order, and what can only be made again; each name begins with the fault's number."""

from __future__ import annotations

import json

from tests.conftest import DEPLOYMENT, Kubectl
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.plan import Action

WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(plural)s.example.com}
spec:
  group: example.com
  names: {kind: %(kind)s, plural: %(plural)s, singular: %(singular)s}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
---
apiVersion: example.com/v1
kind: %(kind)s
metadata: {name: first}
spec: {size: 3}
"""


def test_f29_a_definition_and_its_object_in_one_commit(world: World, kubectl: Kubectl) -> None:
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    plan = world.plan(WIDGETS % names)
    first = next(change for change in plan.changes if change.key.kind == "Widget")
    assert first.action is Action.CREATE
    assert first.reason.startswith("not validated: the kind Widget.example.com is new")
    recorded = world.converge(WIDGETS % names)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert recorded.state.operation.verdict == "as predicted"
    assert kubectl("-n", world.namespace, "get", "widget", "first", "-o", "jsonpath={.spec.size}").stdout == "3"
    assert world.plan(WIDGETS % names).is_empty
    kubectl("delete", "crd", "widgets.example.com", "--wait=false")


def test_f30_a_namespace_and_what_is_in_it_in_one_commit(world: World, kubectl: Kubectl) -> None:
    place = f"{world.namespace}-new"
    text = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {place}}}\n---\n" + json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": place}, "data": {"x": "1"}}
    )
    plan = world.plan(text)
    assert [change.action for change in plan.changes] == [Action.CREATE, Action.CREATE]
    assert f"the namespace {place} is new" in plan.changes[1].reason
    recorded = world.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    kubectl("delete", "namespace", place, "--wait=false")


def test_f30_a_namespace_that_is_nowhere_is_the_author_s_problem(world: World) -> None:
    text = json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "no-such-place"}}
    )
    assert "the namespace no-such-place does not exist" in world.problems(text)


def test_f32_an_immutable_field_is_refused_or_made_again_where_policy_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(DEPLOYMENT)
    moved = DEPLOYMENT.replace("app: d", "app: e")
    assert "immutable" in world.problems(moved)
    before = kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout
    willing = world.with_policy(recreate=("Deployment.apps",))
    plan = willing.plan(moved)
    assert [change.action for change in plan.changes] == [Action.RECREATE]
    recorded = willing.converge(moved)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, willing.facts
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout != before


def test_f29_a_definition_that_gains_a_field_and_an_object_that_uses_it_in_one_commit(
    world: World, kubectl: Kubectl
) -> None:
    names = {"kind": "Gadget", "plural": "gadgets", "singular": "gadget"}
    text = WIDGETS % names
    world.converge(text)
    wider = text.replace("size: {type: integer}", "size: {type: integer}, colour: {type: string}")
    wider = wider.replace("spec: {size: 3}", "spec: {size: 3, colour: red}")
    first = next(change for change in world.plan(wider).changes if change.key.kind == "Gadget")
    assert first.action is Action.UNPREDICTABLE
    assert first.reason == "the definition of Gadget.example.com changes in this change"
    recorded = world.converge(wider)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert kubectl("-n", world.namespace, "get", "gadget", "first", "-o", "jsonpath={.spec.colour}").stdout == "red"
    assert world.plan(wider).is_empty
    assert "field not declared" in world.problems(wider.replace("colour: red}", "colour: red, weight: 1}"))

"""Somebody nests one object deeper than a decoder goes: it is judged in what Git says of it, and hides no other one."""

from __future__ import annotations

import json

from tests.conftest import Kubectl
from tests.world import World
from worker.adapters.cluster import FEW, Following
from worker.domain.environment import OWNER_LABEL

LEVELS = 1100
MANY = FEW + 6


def test_a_field_nested_1100_deep_hides_nothing_and_is_named_as_an_addition(world: World, kubectl: Kubectl) -> None:
    group = f"{world.namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    things = [
        {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": f"t{number}"}, "spec": {"n": "1", "m": "1"}}
        for number in range(MANY)
    ]
    text = "\n---\n".join(json.dumps(each) for each in (definition, *things))
    world.converge(text)
    edit = ("-n", world.namespace, "patch", f"things.{group}", "--type=merge", "--field-manager=kubectl-edit")
    try:
        deep = '{"spec":{"n":"2","deep":' + '{"a":' * LEVELS + '"x"' + "}" * LEVELS + "}}"
        kubectl(*edit, "t3", "--patch-file=/dev/stdin", text=deep)
        kubectl(*edit, "t5", "-p", '{"spec":{"n":"3"}}')
        look = world.look(text).look
        assert look.reason == ""
        assert [(each.key.name, each.field.path, each.field.new, each.manager) for each in look.drift] == [
            ("t3", "spec.n", "2", "kubectl-edit"),
            ("t5", "spec.n", "3", "kubectl-edit"),
        ]
        assert {each.key.name for each in look.additions} == {"t3"}
        one = world.look(text, frozenset({each.key for each in look.drift if each.key.name == "t3"})).look
        assert [each.field.path for each in one.drift] == ["spec.n"]

        served = world.cluster.discovery.find(group, "Thing", "v1")
        assert served is not None
        following = Following(world.cluster.connection, served, world.namespace, OWNER_LABEL, silent=5)
        seen = following.round({})
        assert {next(seen).key.name for _ in range(MANY)} == {each["metadata"]["name"] for each in things}  # type: ignore[index]
        following.close()

        healed = world.heal(text)
        assert {change.key.name for change in healed.actual} == {"t3", "t5"}
        assert world.look(text).look.drift == ()
        assert world.plan(text).is_empty, "the next commit is predicted, too"
    finally:
        kubectl("delete", "crd", f"things.{group}", "--wait=false")

"""What is named first of a change, as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.world import resources
from worker.domain.environment import Environment, Policy
from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey
from worker.planning.causes import desired_changes, seen_of
from worker.planning.hazards import authority_changes, hazards

RBAC = "rbac.authorization.k8s.io/v1"
READS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


def one(api: str, kind: str, **more: Any) -> Resource:
    """An object of a kind."""
    body = {"apiVersion": api, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, **more}
    (made,) = resources(json.dumps(body))
    return made


def pods(replicas: int = 1, **pod: Any) -> Resource:
    """A Deployment."""
    return one("apps/v1", "Deployment", spec={"replicas": replicas, "template": {"spec": pod}})


def container(**context: Any) -> dict[str, Any]:
    """One container of a Pod."""
    return {"containers": [{"name": "c", "image": "i", "securityContext": context}]}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (pods(), pods(), ""),
        (pods(), pods(0), "scaled to no replicas"),
        (pods(0), pods(0), ""),
        (pods(), pods(**container(privileged=True)), "runs the container c privileged"),
        (pods(**container(privileged=True)), pods(**container(privileged=True)), ""),
        (pods(), pods(**container(privileged="yes")), ""),
        (pods(), pods(**container(capabilities={"add": ["SYS_ADMIN"]})), "capabilities SYS_ADMIN"),
        (pods(), pods(hostNetwork=True), "hostNetwork"),
        (pods(), pods(hostPID=True), "hostPID"),
        (None, pods(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "mounts / of the node"),
        (one(RBAC, "Role", rules=[READS]), one(RBAC, "Role", rules=[READS]), ""),
        (one(RBAC, "Role", rules=[READS]), one(RBAC, "Role", rules=[{**READS, "verbs": ["get"]}]), ""),
        (one(RBAC, "Role", rules=[{**READS, "verbs": ["*"]}]), one(RBAC, "Role", rules=[READS]), ""),
        (one(RBAC, "Role", rules=[READS]), one(RBAC, "Role", rules=[{**READS, "verbs": ["*"]}]), "the right to * pods"),
        (
            one(RBAC, "Role", rules=[{**READS, "resourceNames": ["a"]}]),
            one(RBAC, "Role", rules=[READS]),
            "the right to get, list pods",
        ),
        (
            one(RBAC, "RoleBinding", roleRef={"kind": "Role", "name": "r"}, subjects=[]),
            one(RBAC, "RoleBinding", roleRef={"kind": "Role", "name": "r"}, subjects=[{"kind": "User", "name": "eve"}]),
            "gives Role r to User eve",
        ),
        (one("v1", "ConfigMap", data={"a": "1"}), one("v1", "ConfigMap", data={"a": "2"}), ""),
    ],
)
def test_what_is_opened_is_named_where_it_was_closed_before(
    before: Resource | None, after: Resource, said: str
) -> None:
    change = Change(after.key, after.version, Action.CONFIGURE)
    found = hazards([change], {before.key: before} if before else {}, {after.key: after})
    assert said in "; ".join(found)
    assert bool(found) == bool(said)
    unchanged = replace(change, action=Action.UNCHANGED)
    assert hazards([unchanged], {}, {after.key: after}) == ()


@pytest.mark.parametrize(
    ("group", "kind", "said"),
    [
        ("", "PersistentVolumeClaim", "is deleted, and the data on it"),
        ("", "PersistentVolume", "and the data on it"),
        ("", "Namespace", "and everything in it"),
        ("apps", "StatefulSet", "and its Pods"),
        ("apiextensions.k8s.io", "CustomResourceDefinition", "every object of its kind"),
        ("networking.k8s.io", "NetworkPolicy", "traffic that it kept out"),
        ("", "ConfigMap", ""),
    ],
)
def test_what_a_deletion_takes_with_it_is_named(group: str, kind: str, said: str) -> None:
    key = ResourceKey(group, kind, "n", "x")
    found = hazards([Change(key, "v1", Action.PRUNE)], {}, {})
    assert said in "; ".join(found)
    assert bool(found) == bool(said)
    assert hazards([Change(key, "v1", Action.SKIP)], {}, {}) == ()
    assert "made again" in hazards([Change(key, "v1", Action.RECREATE, "immutable")], {}, {})[0]


def test_the_worst_comes_first() -> None:
    off = pods(0)
    claim = Change(ResourceKey("", "PersistentVolumeClaim", "n", "z"), "v1", Action.PRUNE)
    found = hazards([Change(off.key, "v1", Action.CONFIGURE), claim], {}, {off.key: off})
    assert [text.split()[0] for text in found] == ["PersistentVolumeClaim", "Deployment"]


def test_a23_each_change_of_authority_is_named() -> None:
    base = Environment("r", "e", "main", "app", "c", "n")
    assert authority_changes(base, base) == ()
    assert "namespace changes from n to other" in authority_changes(base, replace(base, namespace="other"))[0]
    assert (
        "policy changes prune from True to False"
        in authority_changes(base, replace(base, policy=Policy(prune=False)))[0]
    )
    assert "is new" in authority_changes(None, base)[0]
    assert "no longer declared" in authority_changes(base, None)[0]


def test_secrets_are_compared_and_masked() -> None:
    old, new = (one("v1", "Secret", stringData={"a": value}) for value in ("first", "second"))
    assert desired_changes([old], [old], {}) == ()
    (change,) = desired_changes([old], [new], {})
    text = json.dumps(change.to_json())
    assert "data.a" in text
    assert "first" not in text
    assert "second" not in text
    (gone,) = desired_changes([old], [], {})
    assert gone.action is Action.PRUNE


def test_a_status_moves_nothing_and_a_spec_or_another_object_does() -> None:
    def seen(version: str, generation: int | None, uid: str = "u") -> str:
        metadata: dict[str, Any] = {"name": "x", "namespace": "n", "uid": uid, "resourceVersion": version}
        if generation is not None:
            metadata["generation"] = generation
        made = pods()
        return seen_of({made.key: Resource(made.key, "v1", {**made.body, "metadata": metadata})})

    assert seen("1", 1) == seen("2", 1)
    assert seen("1", 1) != seen("2", 2)
    assert seen("1", 1) != seen("1", 1, "another")
    assert seen("1", None) != seen("2", None)
    assert seen_of({}) != seen("1", 1)

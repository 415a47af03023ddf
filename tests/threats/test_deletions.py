"""What may be deleted and when it counts as done; each name begins with the fault's number."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.errors import Held, Refused, Unavailable
from worker.domain.plan import Action
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


def finalized(kubectl: Kubectl, namespace: str, what: str, *finalizers: str) -> None:
    patch = json.dumps({"metadata": {"finalizers": list(finalizers)}})
    kubectl("-n", namespace, "patch", what, "--type=merge", "-p", patch)


def test_f37_what_a_finalizer_keeps_is_not_done_until_it_is_gone_and_the_other_prunes_go_on(
    world: World, kubectl: Kubectl
) -> None:
    world.converge(config_maps("a", "b", "c", "d", "e", x="1"))
    finalized(kubectl, world.namespace, "configmap/d", "x.io/y")
    less = config_maps("a", "b", "c", x="1")
    impatient = world.with_policy(health_timeout=1)
    recorded = impatient.converge(less)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    waited = f"ConfigMap {world.namespace}/d: deleting, waiting for the finalizer x.io/y"
    assert impatient.said(Step.WAITING) == waited
    assert impatient.said(Step.FAILED).startswith("not gone after 1 s: ")
    assert not impatient.said(Step.VERIFIED)
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c", "d"]
    assert "configmap/e\n" not in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout
    plan = world.plan(less)
    assert [change.reason for change in plan.changes if change.action is Action.SKIP] == [
        "no longer in Git; it is being deleted, waiting for the finalizer x.io/y"
    ]
    looks = iter(range(100))

    def let_go() -> None:
        if next(looks) == 1:
            finalized(kubectl, world.namespace, "configmap/d")

    recorded = world.converge(less, between_looks=let_go)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert world.said(Step.WAITING) == waited
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c"]


def test_f37_what_is_wanted_again_while_it_is_going_is_made_again_once_it_is_gone(
    world: World, kubectl: Kubectl
) -> None:
    both = config_maps("a", "b", x="1")
    world.converge(both)
    finalized(kubectl, world.namespace, "configmap/b", "x.io/y")
    kubectl("-n", world.namespace, "delete", "configmap", "b", "--wait=false")
    plan = world.plan(both)
    assert [change.action for change in plan.changes] == [Action.UNCHANGED, Action.RECREATE]
    assert "it is being deleted, waiting for the finalizer x.io/y" in plan.changes[1].reason
    going = kubectl("-n", world.namespace, "get", "configmap", "b", "-o", "jsonpath={.metadata.uid}").stdout
    threading.Timer(1.0, finalized, (kubectl, world.namespace, "configmap/b")).start()
    recorded = world.converge(both)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    now = kubectl("-n", world.namespace, "get", "configmap", "b", "-o", "jsonpath={.metadata.uid}").stdout
    assert now not in ("", going)
    assert world.plan(both).is_empty


def test_f38_a_prune_without_the_right_stays_inventoried_and_is_tried_again(
    world: World, kubectl: Kubectl, proxy: ApiProxy
) -> None:
    world.converge(config_maps("a", "b", "c", x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    proxy.rule = lambda method, path: 403 if method == "DELETE" and path.endswith("/c") else None
    recorded = proxied.converge(config_maps("a", "b", x="1"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c"]
    proxy.rule = lambda method, path: None
    recorded = proxied.converge(config_maps("a", "b", x="1"))
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b"]
    assert proxied.said(Step.VERIFIED)


def test_f38_a_prune_that_the_server_is_too_busy_for_is_no_failure(
    world: World, kubectl: Kubectl, proxy: ApiProxy
) -> None:
    world.converge(config_maps("a", "b", "c", x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    busy = iter([503])
    proxy.rule = lambda method, path: next(busy, None) if method == "DELETE" else None
    with pytest.raises(Unavailable, match="is busy"):
        proxied.converge(config_maps("a", "b", x="1"))
    assert not proxied.said(Step.FAILED)
    assert not proxied.said(Step.VERIFIED)
    recorded = proxied.converge(config_maps("a", "b", x="1"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert "configmap/c\n" not in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


@pytest.mark.parametrize("kind", ["Namespace", "CustomResourceDefinition"])
def test_f39_a_namespace_or_a_definition_is_never_pruned_without_its_confirmation(
    world: World, kubectl: Kubectl, kind: str
) -> None:
    if kind == "Namespace":
        name = f"{world.namespace}-inner"
        body: dict[str, Any] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    else:
        group = f"{world.namespace}.example.com"
        name = f"things.{group}"
        versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
        spec = {
            "group": group,
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": versions,
        }
        body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    kept = config_maps("a", "b", "c", x="1")
    world.converge(f"{json.dumps(body)}\n---\n{kept}")
    world.converge(kept)
    assert f"would prune {kind} {name}" in world.said(Step.HELD)
    there = ("get", kind, name, "-o", "jsonpath={.metadata.deletionTimestamp}")
    found = kubectl(*there)
    assert found.stdout == ""
    recorded = world.converge(kept, approvals=(world.plan(kept).fingerprint[:8],))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert "NotFound" in kubectl(*there, check=False).stderr, "done is said once it is gone"


def test_f39_deleting_says_that_dependents_go_in_the_background(world: World, proxy: ApiProxy) -> None:
    world.converge(config_maps("a", "b", "c", x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    proxied.converge(config_maps("a", "b", x="1"))
    deletions = [json.loads(body) for method, _, body in proxy.bodies if method == "DELETE"]
    assert [each["propagationPolicy"] for each in deletions] == ["Background"]
    assert all(each["preconditions"]["uid"] for each in deletions)


def test_f42_what_was_applied_in_a_version_that_is_served_no_more_is_still_seen_and_pruned(
    world: World, kubectl: Kubectl
) -> None:
    group = f"{world.namespace}.example.com"

    def definition(*served: str) -> str:
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        versions = [
            {"name": name, "served": name in served, "storage": name == "v1", "schema": schema}
            for name in ("v1beta1", "v1")
        ]
        spec = {
            "group": group,
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": versions,
        }
        metadata = {"name": f"things.{group}"}
        return json.dumps(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": metadata,
                "spec": spec,
            }
        )

    thing = json.dumps({"apiVersion": f"{group}/v1beta1", "kind": "Thing", "metadata": {"name": "old"}})
    kept = config_maps("a", "b", "c", x="1")
    world.converge("\n---\n".join((definition("v1beta1", "v1"), thing, kept)))
    assert world.said(Step.VERIFIED), world.facts
    later = "\n---\n".join((definition("v1"), kept))
    recorded = world.with_policy(prune=False).converge(later)
    assert "old" in [entry.key.name for entry in recorded.inventory.entries]
    fresh = World(world.kubeconfig, world.namespace)
    assert [change.key.name for change in fresh.plan(later).changes if change.action is Action.PRUNE] == ["old"]
    recorded = fresh.converge(later)
    assert "old" not in [entry.key.name for entry in recorded.inventory.entries]
    assert kubectl("-n", world.namespace, "get", f"things.{group}", "-o", "name").stdout == ""
    kubectl("delete", "crd", f"things.{group}", "--wait=false")

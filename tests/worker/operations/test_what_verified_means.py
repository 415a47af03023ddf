"""Nothing is called verified that is not: odd kinds, another version, what is going, what is unhealthy by now."""

from __future__ import annotations

import json
import time

import pytest

from tests.conftest import DEPLOYMENT, Kubectl, config_map, config_maps
from tests.world import World
from worker.adapters.inventory import Recorded
from worker.domain.convergence import EnvironmentState, Phase
from worker.domain.environment import Budget
from worker.domain.errors import Held
from worker.domain.inventory import Inventory
from worker.domain.plan import Action, code
from worker.domain.reports import Step
from worker.operations.confirming import confirm


def until(kubectl: Kubectl, wanted: str, *arguments: str) -> None:
    """Waits until kubectl prints something."""
    deadline = time.monotonic() + 20
    while kubectl(*arguments, check=False).stdout != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_status_that_is_a_field_like_any_other_is_planned_applied_and_proved(world: World, kubectl: Kubectl) -> None:
    """A kind without the subresource: its status is what the manifest says."""
    group = f"{world.namespace}.example.org"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{
                "name": "v1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }],
        },
    }  # fmt: skip
    thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}}

    def text(mode: str) -> str:
        return "\n---\n".join(json.dumps(each) for each in (definition, {**thing, "status": {"mode": mode}}))

    ignoring = world.with_policy(health={f"Thing.{group}": "ignore"})
    try:
        ignoring.converge(text("old"))
        assert ignoring.said(Step.VERIFIED), ignoring.facts
        plan = ignoring.plan(text("new"))
        assert [(field.path, field.old, field.new) for change in plan.writes for field in change.fields] == [
            ("status.mode", "old", "new")
        ]
        ignoring.converge(text("new"))
        assert ignoring.said(Step.VERIFIED).endswith("as predicted"), ignoring.facts
        mode = kubectl("-n", world.namespace, "get", f"things.{group}", "t", "-o", "jsonpath={.status.mode}").stdout
        assert mode == "new"
        assert ignoring.plan(text("new")).is_empty
    finally:
        kubectl("delete", "customresourcedefinition", f"things.{group}")


def test_objects_of_one_kind_in_two_versions_are_each_read_in_their_own(world: World) -> None:
    """More of each than are read one by one: each LIST by the label shows those of the other version too."""

    def autoscaler(name: str, version: str) -> str:
        target = {"type": "Utilization", "averageUtilization": 50}
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
        own = {"targetCPUUtilizationPercentage": 50} if version == "v1" else {"metrics": [metric]}
        scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
        return json.dumps({
            "apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"scaleTargetRef": scaled, "minReplicas": 1, "maxReplicas": 3, **own},
        })  # fmt: skip

    ignoring = world.with_policy(health={"HorizontalPodAutoscaler.autoscaling": "ignore"})
    text = "\n---\n".join(
        autoscaler(f"{version}-{number}", version) for number in range(26) for version in ("v1", "v2")
    )
    ignoring.converge(text)
    assert ignoring.said(Step.VERIFIED).endswith("as predicted"), ignoring.facts
    for _ in range(5):
        assert ignoring.plan(text).is_empty


def test_a_commit_that_converged_once_is_not_called_so_again_when_it_is_unhealthy_by_now(
    world: World, kubectl: Kubectl
) -> None:
    strict = world.with_policy(health_timeout=1)
    strict.converge(DEPLOYMENT, revision="f" * 40)
    assert strict.said(Step.CONVERGED)
    kubectl("-n", world.namespace, "create", "quota", "none", "--hard=pods=0")
    kubectl("-n", world.namespace, "delete", "pod", "--all", "--wait=false")
    until(kubectl, "", "-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.status.readyReplicas}")
    strict.converge(DEPLOYMENT, revision="f" * 40)
    assert not strict.said(Step.VERIFIED)
    assert not strict.said(Step.CONVERGED)
    assert strict.said(Step.FAILED)


def test_an_object_whose_health_is_ignored_is_not_there_while_it_is_being_deleted(
    world: World, kubectl: Kubectl
) -> None:
    ignoring = world.with_policy(health={"ConfigMap": "ignore"}, health_timeout=1)
    held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, finalizers: [example.org/held]}\n---\n"
    ignoring.converge(held + config_map("b", v="1"))
    deleted: list[int] = []

    def delete() -> None:
        if not deleted:
            deleted.append(1)
            kubectl("-n", world.namespace, "delete", "configmap", "a", "--wait=false")

    ignoring.converge(held + config_map("b", v="2"), before_write=delete)
    released = '[{"op": "remove", "path": "/metadata/finalizers"}]'
    kubectl("-n", world.namespace, "patch", "configmap", "a", "--type=json", "-p", released)
    assert not ignoring.said(Step.VERIFIED)
    assert "is being deleted" in ignoring.said(Step.FAILED)


def test_what_is_planned_to_stay_is_not_pruned_because_it_says_that_our_manager_applied_it(
    world: World, kubectl: Kubectl
) -> None:
    """Somebody makes an object anew with our field manager's name, which anybody may say."""
    world.converge(config_maps("a", "b", "c", "d", v="1"))
    kubectl("-n", world.namespace, "delete", "configmap", "a")
    manager = f"--field-manager={world.environment.field_manager}"
    kubectl("-n", world.namespace, "apply", "--server-side", manager, "-f", "-", text=config_map("a", own="theirs"))
    left = config_maps("b", "c", "d", v="1")
    assert [change.action for change in world.plan(left).changes if change.key.name == "a"] == [Action.SKIP]
    world.converge(left)
    assert not world.said(Step.PRUNED)
    found = kubectl("-n", world.namespace, "get", "configmap", "a", "-o", "jsonpath={.data.own}").stdout
    assert found == "theirs"


def test_a_plan_that_is_held_for_two_reasons_names_both_before_one_code_confirms_them(world: World) -> None:
    careful = world.with_policy(prune_budget=Budget(0, None))
    careful.converge(config_maps("a", "b", "c"))
    prediction = careful.predict(config_maps("b", "c"))
    recorded, policy = Recorded(EnvironmentState("shop/x", "uid"), Inventory(())), careful.environment.policy
    forced = Held("the branch was force-pushed", "")
    with pytest.raises(Held) as held:
        confirm(prediction, recorded, policy, 1.0, hold=forced)
    assert "the branch was force-pushed" in held.value.reason
    assert "would prune 1 of 3 objects" in held.value.reason
    confirm(prediction, recorded, policy, 1.0, codes=(code(prediction.plan.fingerprint),), hold=forced)


FIRST, SECOND = "a" * 40, "b" * 40
CONFIG = config_map("flags", a="1")


def test_a_commit_that_changes_nothing_is_converged_at_once_and_writes_nothing(world: World, kubectl: Kubectl) -> None:
    world.converge(CONFIG, revision=FIRST)
    before = kubectl("-n", world.namespace, "get", "configmap", "flags", "-o", "jsonpath={.metadata.resourceVersion}")
    recorded = world.with_policy(settle=60).converge(CONFIG, revision=SECOND, same_as=FIRST, wait=False)
    state = recorded.state
    assert [mark and mark.revision for mark in (state.applied, state.verified, state.converged)] == [SECOND] * 3
    assert state.operation is not None
    assert (state.operation.revision, state.operation.phase) == (SECOND, Phase.SUCCEEDED)
    assert state.ending["proof"]["same_as"] == FIRST
    assert state.ending["proof"]["revision"] == SECOND
    after = kubectl("-n", world.namespace, "get", "configmap", "flags", "-o", "jsonpath={.metadata.resourceVersion}")
    assert after.stdout == before.stdout


@pytest.mark.parametrize("why", ["drifted", "failed before", "another commit in between"])
def test_what_is_not_as_it_was_recorded_is_never_copied(world: World, kubectl: Kubectl, why: str) -> None:
    world.converge(CONFIG, revision=FIRST)
    if why == "drifted":
        kubectl("-n", world.namespace, "patch", "configmap", "flags", "-p", '{"data":{"a":"9"}}')
    elif why == "failed before":
        world.converge(CONFIG.replace("flags", "UPPER"), revision="c" * 40)
        assert world.said(Step.FAILED)
    else:
        world.converge(CONFIG.replace("1", "2"), revision="c" * 40)
    settling = world.with_policy(settle=60)
    recorded = settling.converge(CONFIG, revision=SECOND, same_as=FIRST, wait=False)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SETTLING, "it has to show again that it stays so"
    assert not settling.said(Step.CONVERGED)

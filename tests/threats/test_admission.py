"""Admission webhooks that deny, change, or do not answer; each name begins with the fault's number."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sandbox.control_plane import ControlPlane
from tests.admission_webhook import AdmissionWebhook, deny, patch
from tests.conftest import DEPLOYMENT, Kubectl, config_map, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.errors import Unavailable
from worker.domain.plan import Action
from worker.domain.reports import Step

VALUE = "canary-3f1c9a7e"
SECRET = json.dumps(
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": VALUE}}
)


def names(kubectl: Kubectl, namespace: str) -> str:
    return kubectl("-n", namespace, "get", "configmaps,secrets", "-o", "name").stdout


def test_f33_a_webhook_that_denies_is_the_author_s_problem_in_its_own_words_without_a_secret(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    with AdmissionWebhook(control_plane, tmp_path, world.namespace, deny(f"{VALUE} is too weak")) as webhook:
        text = f"{SECRET}\n---\n{config_map('one', a='1')}"
        said = world.problems(text)
        world.converge(text)
    assert f'ConfigMap {world.namespace}/one: admission webhook "{webhook.name}" denied the request: ••••• is' in said
    assert f'Secret {world.namespace}/db: admission webhook "{webhook.name}" denied the request' in said
    assert VALUE not in said
    assert VALUE not in world.said(Step.FAILED)
    assert "denied the request" in world.said(Step.FAILED)
    assert all(dry_run for *_, dry_run in webhook.asked), webhook.asked
    assert "configmap/one" not in names(kubectl, world.namespace)


@pytest.mark.parametrize("how", ["is down", "is too slow"])
def test_f33_a_webhook_that_does_not_answer_makes_the_plan_unpredictable_and_the_write_is_tried_again(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, tmp_path: Path, how: str
) -> None:
    text = f"{SECRET}\n---\n{config_map('one', a='1')}"
    with AdmissionWebhook(control_plane, tmp_path, world.namespace, timeout=1) as webhook:
        if how == "is down":
            webhook.stop_listening()
        else:
            webhook.delay = 1.5
        plan = world.plan(text)
        assert [change.action for change in plan.changes] == [Action.UNPREDICTABLE] * 2
        assert {change.reason for change in plan.changes} == {f"the admission webhook {webhook.name} does not answer"}
        with pytest.raises(Unavailable, match="failed calling webhook"):
            world.converge(text)
        assert world.said(Step.RETRYING).startswith("applied 0 of 2")
        assert not world.said(Step.FAILED)
        assert "configmap/one" not in names(kubectl, world.namespace)
    recorded = world.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert world.plan(text).is_empty


def test_f33_a_webhook_without_dry_runs_is_named_and_the_apply_really_tries(
    control_plane: ControlPlane, world: World, tmp_path: Path
) -> None:
    text = f"{SECRET}\n---\n{config_map('one', a='1')}"
    with AdmissionWebhook(control_plane, tmp_path, world.namespace, side_effects="Some") as webhook:
        plan = world.plan(text)
        reason = f"the admission webhook {webhook.name} does not support dry runs"
        assert [(change.action, change.reason) for change in plan.changes] == [(Action.UNPREDICTABLE, reason)] * 2
        assert all(not change.fields for change in plan.changes), "a guess was shown"
        assert not plan.is_empty
        assert webhook.asked == []
        recorded = world.converge(text)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
        assert sorted(webhook.asked) == [("CREATE", "configmaps", "one", False), ("CREATE", "secrets", "db", False)]
        assert world.plan(text).is_empty
        webhook.answer = deny("not today")
        changed = text.replace('"a": "1"', '"a": "2"')
        assert world.plan(changed).summary["unpredictable"] == 1
        world.converge(changed)
        assert "denied the request: not today" in world.said(Step.FAILED)


def test_f34_what_a_webhook_adds_is_predicted_and_not_seen_as_a_change_afterwards(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    sidecar = {"name": "sidecar", "image": "registry.example/sidecar:1"}
    additions = patch(
        {"op": "add", "path": "/metadata/labels/injected", "value": "yes"},
        {"op": "add", "path": "/spec/template/spec/containers/0", "value": sidecar},
    )
    with AdmissionWebhook(
        control_plane, tmp_path, world.namespace, additions, mutating=True, operations=("CREATE",)
    ) as webhook:
        fields = {field.path: field.new for field in world.plan(DEPLOYMENT).changes[0].fields}
        assert fields["metadata.labels.injected"] == "yes"
        assert fields["spec.template.spec.containers[name=sidecar].image"] == sidecar["image"]
        recorded = world.converge(DEPLOYMENT)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
        assert recorded.state.operation.verdict == "as predicted"
        asked = len(webhook.asked)
        plan = world.plan(DEPLOYMENT)
        assert [change.action for change in plan.changes] == [Action.UNCHANGED]
        assert len(webhook.asked) == asked, "the proof asked the server"
        recorded = world.converge(DEPLOYMENT.replace("x:1", "x:2"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    path = "jsonpath={.metadata.labels.injected} {.spec.template.spec.containers[*].image}"
    images = kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout
    assert images == "yes registry.example/sidecar:1 registry.example/x:2"


def test_f34_a_specified_field_that_a_webhook_overrules_is_said_and_never_fought_over(
    control_plane: ControlPlane, world: World, tmp_path: Path
) -> None:
    overrule = patch({"op": "replace", "path": "/data/a", "value": "theirs"})
    with AdmissionWebhook(control_plane, tmp_path, world.namespace, overrule, mutating=True):
        plan = world.plan(config_map("one", a="1"))
        assert f"ConfigMap {world.namespace}/one: the API server does not keep data.a as it is written" in plan.warnings
        recorded = world.converge(config_map("one", a="1"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED
        assert "specified fields that the API server keeps otherwise: 1" in world.said(Step.VERIFIED)
        again = world.plan(config_map("one", a="1"))
        assert again.is_empty
        assert again.warnings, "that the field is not as written is said each time"


def test_f38_what_a_webhook_keeps_from_being_deleted_stays_inventoried_and_is_tried_again(
    control_plane: ControlPlane, world: World, kubectl: Kubectl, tmp_path: Path
) -> None:
    world.converge(config_maps("a", "b", "c", "d", "e", x="1"))

    def refuse(request: dict[str, object]) -> dict[str, object]:
        if request["name"] == "d":
            return {"allowed": False, "status": {"message": "d is needed"}}
        return {"allowed": True}

    less = config_maps("a", "b", "c", x="1")
    with AdmissionWebhook(control_plane, tmp_path, world.namespace, refuse, operations=("CREATE", "DELETE")):
        recorded = world.converge(less)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.FAILED
        assert "could not be pruned" in world.said(Step.FAILED)
        assert "denied the request: d is needed" in world.said(Step.FAILED)
        assert not world.said(Step.VERIFIED)
        left = names(kubectl, world.namespace)
        assert "configmap/d\n" in left
        assert "configmap/e\n" not in left, "one that is refused stops none of the others"
        assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c", "d"]
    until = time.monotonic() + 20
    while "configmap/d\n" in names(kubectl, world.namespace):
        assert world.plan(less).summary["prune"] == 1
        recorded = world.converge(less)
        assert time.monotonic() < until, world.facts
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b", "c"]
    assert world.said(Step.VERIFIED)

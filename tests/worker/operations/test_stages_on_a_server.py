"""Hooks and waves on a real server: what comes first is healthy before what comes later exists."""

from __future__ import annotations

import time

from tests.conftest import Kubectl
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.plan import Action
from worker.domain.reports import Step

JOB = """
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {argocd.argoproj.io/hook: PreSync, argocd.argoproj.io/hook-delete-policy: HookSucceeded}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: main, image: "migrate:1"}]}
"""
APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: main, image: "app:1"}]}
"""
LAST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: announce, annotations: {argocd.argoproj.io/sync-wave: "1"}}
data: {done: "1"}
"""
ALL = "---".join((JOB, APP, LAST))


def created(kubectl: Kubectl, world: World, what: str) -> str:
    return kubectl(
        "-n", world.namespace, "get", what, "-o", "jsonpath={.metadata.creationTimestamp}", check=False
    ).stdout


def test_a_hook_runs_before_the_rest_and_goes_and_is_not_run_again(world: World, kubectl: Kubectl) -> None:
    recorded = world.converge(ALL)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    applied = [fact.text for fact in world.facts if fact.step is Step.APPLIED]
    assert applied == [
        "1 of 1, before (stage 1 of 3)", "1 of 1, wave 0 (stage 2 of 3)", "1 of 1, wave 1 (stage 3 of 3)",
    ]  # fmt: skip
    assert world.said(Step.VERIFIED).endswith("as predicted")
    until = time.monotonic() + 10
    while created(kubectl, world, "job/migrate") and time.monotonic() < until:
        time.sleep(0.1)
    assert not created(kubectl, world, "job/migrate")
    plan = world.plan(ALL)
    assert plan.is_empty, [change for change in plan.changes if change.action is not Action.UNCHANGED]
    assert "run to its end" in plan.changes[0].reason
    world.converge(ALL, revision=recorded.state.operation.revision)
    assert not created(kubectl, world, "job/migrate")
    newer = world.converge(ALL.replace("migrate:1", "migrate:2"))
    assert newer.state.operation is not None
    assert newer.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert "1 of 1, before (stage 1 of 3)" in [fact.text for fact in world.facts if fact.step is Step.APPLIED]


def test_what_is_not_healthy_stops_the_later_stages(world: World, kubectl: Kubectl) -> None:
    recorded = world.with_policy(health_timeout=2).converge("---".join((APP.replace("app:1", "app:missing"), LAST)))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.FAILED
    assert "ImagePullBackOff" in recorded.state.operation.said or "ErrImagePull" in recorded.state.operation.said
    assert recorded.state.applied is None
    assert created(kubectl, world, "deployment/app")
    assert not created(kubectl, world, "configmap/announce")
    mended = world.converge("---".join((APP, LAST)))
    assert mended.state.operation is not None
    assert mended.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert created(kubectl, world, "configmap/announce")
    assert mended.state.applied is not None

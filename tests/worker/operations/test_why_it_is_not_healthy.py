"""Why something is not healthy, on a real server, in words that a person can act on."""

from __future__ import annotations

import json

from tests.conftest import Kubectl
from tests.world import World
from worker.domain.reports import Step


def workload(kind: str, image: str = "registry.test/app:1", **spec: str) -> str:
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **spec}
    return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}, "spec": body})


QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}


def test_pods_that_a_quota_forbids_are_said_with_the_quota(world: World, kubectl: Kubectl) -> None:
    kubectl("-n", world.namespace, "apply", "-f", "-", text=json.dumps(QUOTA))
    kubectl(
        "-n", world.namespace, "wait", "--for=jsonpath={.status.hard.pods}=0", "resourcequota/none", "--timeout=20s"
    )
    short = world.with_policy(health_timeout=4)
    short.converge(workload("StatefulSet", serviceName="a"))
    said = short.said(Step.FAILED)
    assert "StatefulSet" in said
    assert "FailedCreate" in said
    assert "exceeded quota: none" in said


def test_an_image_that_cannot_be_pulled_and_one_that_crashes_are_named(world: World) -> None:
    world.converge(workload("Deployment", "registry.test/app:missing"))
    assert "ImagePull" in world.said(Step.FAILED)
    assert "registry.test/app:missing" in world.said(Step.FAILED)
    world.converge(workload("Deployment", "registry.test/app:crashing"))
    assert "CrashLoopBackOff: container c, exit code" in world.said(Step.FAILED)


def test_a_claim_without_a_volume_says_what_is_missing(world: World) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "not-there",
        },
    }
    short = world.with_policy(health_timeout=6)
    short.converge(json.dumps(claim))
    said = short.said(Step.FAILED)
    assert "waits for a volume" in said
    assert "not-there" in said


def test_the_code_of_a_plan_is_the_same_at_each_look_although_dry_runs_draw_ports_and_uids(world: World) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "selector": {"app": "a"}, "ports": [{"port": 80}]},
    }
    containers = [{"name": "c", "image": "registry.test/app:1"}]
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}
    text = "\n---\n".join(json.dumps(each) for each in (service, job))
    first, second = world.plan(text), world.plan(text)
    assert first.summary["create"] == 2
    assert first.fingerprint == second.fingerprint

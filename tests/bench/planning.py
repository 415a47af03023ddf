"""How long a plan takes when nothing changed, beside reading the same objects and beside kubectl."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from sandbox.control_plane import ControlPlane
from tests.world import World, resources
from worker.operations.predicting import predict
from worker.operations.preparing import labelled

ROUNDS = 15
NAMESPACE = "bench"


def objects(count: int) -> list[dict[str, Any]]:
    """A third each of Deployments (without replicas), Services and ConfigMaps."""
    made: list[dict[str, Any]] = []
    for number in range(count // 3):
        name = f"app-{number}"
        labels = {"app": name}
        container = {
            "name": "main",
            "image": f"registry.example/app:{number}",
            "ports": [{"containerPort": 8080}],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        }
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        made += [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "labels": labels},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "labels": labels},
                "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "labels": labels},
                "data": {"a": "1", "b": "x" * 100},
            },
        ]
    return made


def timed(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_planning(plane: ControlPlane, tools: dict[str, Path], root: Path, count: int) -> dict[str, float]:
    """Applies `count` objects, then plans them again and again beside reading them."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    plane.request("POST", "/api/v1/namespaces", body)
    world = World(plane.kubeconfig(), NAMESPACE)
    text = "\n---\n".join(json.dumps(each) for each in objects(count))
    world.converge(text)
    assert world.plan(text).is_empty
    desired = resources(text)
    recorded = world.states.read(world.environment)
    key = world.states.key()
    kinds = [
        world.cluster.discovery.find(*kind) for kind in (("apps", "Deployment"), ("", "Service"), ("", "ConfigMap"))
    ]

    def plan() -> None:
        assert predict(world.target, "r", desired, recorded, key).plan.is_empty

    def read() -> None:
        label = f"plumbline.io/environment={world.environment.owner_label}"
        for kind in kinds:
            assert kind is not None
            answer = world.cluster.connection.request("GET", kind.path(NAMESPACE), query={"labelSelector": label})
            orjson.loads(answer.body)

    pairs = [(timed(plan), timed(read)) for _ in range(ROUNDS)]  # in turns, so that a busy machine slows both
    ours = statistics.median(pair[0] for pair in pairs)
    reading = statistics.median(pair[1] for pair in pairs)
    folder = root / "bench-manifests"
    folder.mkdir()
    same = [labelled(resource, world.environment.owner_label).body for resource in desired]
    (folder / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": same}))
    kubectl = [str(tools["kubectl"]), "--kubeconfig", str(plane.kubeconfig()), "-n", NAMESPACE, "diff", "--server-side"]
    kubectl += [
        "--field-manager",
        world.environment.field_manager,
        "--force-conflicts",
        "--concurrency=8",
        "-f",
        str(folder),
    ]
    peer = timed(lambda: subprocess.run(kubectl, capture_output=True, check=False))
    return {
        "plan_seconds": ours,
        "read_seconds": reading,
        "plan_ratio": ours / reading,
        "kubectl_seconds": peer,
        "kubectl_ratio": peer / ours,
    }


def measure_command(plane: ControlPlane, root: Path) -> dict[str, float]:
    """`plumbline plan` of a small environment in which nothing changed, Python's start included."""
    folder = root / "small"
    folder.mkdir()
    (folder / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(21)}))
    plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}}
    )
    target = ["-e", "small", "-n", "small", "--kubeconfig", str(plane.kubeconfig())]
    command = [sys.executable, "-m", "plumbline"]
    subprocess.run([*command, "apply", str(folder), *target], check=True, capture_output=True)
    plan = [*command, "plan", str(folder), *target]
    times = [timed(lambda: subprocess.run(plan, check=True, capture_output=True)) for _ in range(ROUNDS)]
    return {"command_seconds": statistics.median(times)}

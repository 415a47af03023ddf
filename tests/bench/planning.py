"""How long a plan takes: nothing changed, a little changed, in a cluster full of other people's objects, by command line."""

from __future__ import annotations

import base64
import copy
import http.client
import json
import os
import shutil
import subprocess
import sys
from typing import Any

import orjson

from tests.bench.ground import OBJECTS, Figures, Ground, as_json, in_turns, objects, timed, write_files
from tests.world import World, resources
from worker.operations.predicting import predict
from worker.operations.preparing import labelled

ROUNDS = 15
CHANGED = 15
CROWD = 50_000
CROWD_NAMESPACES = 50
KINDS = (("apps", "Deployment"), ("", "Service"), ("", "ConfigMap"))


def measure_plans(ground: Ground) -> Figures:
    """Plans of 1,500 objects beside reading and decoding them, beside kubectl, with 15 changed, and in a crowd."""
    world = ground.world("bench")
    made = objects(OBJECTS)
    world.converge(as_json(made))
    ground.settled("bench")
    plan, read = planner(world, made), reader(world)
    quiet, reading = in_turns(ROUNDS, plan, read)
    some, again = in_turns(ROUNDS, planner(world, changed(made), CHANGED), plan)
    folder = ground.root / "kubectl-manifests"
    folder.mkdir()
    same = [labelled(resource, world.environment.owner_label).body for resource in resources(as_json(made))]
    (folder / "all.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": same}))
    diff = ["diff", "--server-side", "--field-manager", world.environment.field_manager, "--force-conflicts"]
    peer = min(timed(lambda: ground.kubectl("bench", *diff, "--concurrency=8", "-f", folder)) for _ in range(2))
    crowd(ground)
    crowded, reading_then = in_turns(ROUNDS, plan, read)
    return {
        "plan_seconds": quiet,
        "read_seconds": reading,
        "plan_ratio": quiet / reading,
        "kubectl_diff_seconds": peer,
        "kubectl_diff_ratio": peer / quiet,
        "changed_seconds": some,
        "changed_ratio": some / again,
        "crowd_seconds": crowded,
        "crowd_read_seconds": reading_then,
        "crowd_ratio": crowded / quiet,
    }


def planner(world: World, made: list[dict[str, Any]], writes: int = 0) -> Any:
    """A plan of rendered objects that has so many writes, as something to be timed."""
    desired, recorded, key = resources(as_json(made)), world.states.read(world.environment), world.states.key()

    def plan() -> None:
        assert len(predict(world.target, "r", desired, recorded, key).plan.writes) == writes

    return plan


def reader(world: World) -> Any:
    """One LIST of each kind by the environment's label, decoded: the least that any plan has to do."""
    label = f"plumbline.io/environment={world.environment.owner_label}"
    kinds = [world.cluster.discovery.find(*kind) for kind in KINDS]

    def read() -> None:
        for kind in kinds:
            assert kind is not None
            path = kind.path(world.namespace)
            orjson.loads(world.cluster.connection.request("GET", path, query={"labelSelector": label}).body)

    return read


def changed(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same objects with other data in some ConfigMaps."""
    other = copy.deepcopy(made)
    for each in [each for each in other if each["kind"] == "ConfigMap"][:CHANGED]:
        each["data"]["a"] = "2"
    return other


def crowd(ground: Ground) -> None:
    """50,000 other people's ConfigMaps, a fiftieth of them in the environment's own namespace.

    They are put straight into etcd, in transactions of a hundred: the API server would take minutes to be asked.
    """
    places = ["bench", *(ground.namespace(f"crowd-{number}") for number in range(1, CROWD_NAMESPACES))]
    with _etcd(ground) as ask:
        for start in range(0, CROWD, 100):
            numbers = range(start, start + 100)
            ask([_put(places[number % CROWD_NAMESPACES], f"other-{number}", number) for number in numbers])
    status, found = ground.plane.request("GET", "/api/v1/namespaces/bench/configmaps?limit=1")
    assert status == 200
    assert found["metadata"].get("remainingItemCount", 0) >= CROWD // CROWD_NAMESPACES


def _put(namespace: str, name: str, number: int) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"00000000-0000-4000-8000-{number:012d}",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": name},
    }
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"a": "1"}}
    key = f"/registry/configmaps/{namespace}/{name}"
    return {
        "requestPut": {
            "key": base64.b64encode(key.encode()).decode(),
            "value": base64.b64encode(json.dumps(body).encode()).decode(),
        }
    }


class _etcd:  # noqa: N801
    """etcd's own door of the control plane, by its JSON gateway."""

    def __init__(self, ground: Ground) -> None:
        self._connection = http.client.HTTPConnection(ground.plane.etcd_address.removeprefix("http://"), timeout=30)

    def __enter__(self) -> Any:
        return self._ask

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _ask(self, puts: list[dict[str, Any]]) -> None:
        body = json.dumps({"success": puts})
        self._connection.request("POST", "/v3/kv/txn", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(f"etcd does not take the objects: {text[:200]!r}")


# -- the command line ----------------------------------------------------------------------------------------------------


def measure_commands(ground: Ground) -> Figures:
    """`plumbline plan` from YAML files, Python's start included, with a cold and a warm render cache."""
    small = _Command(ground, "small", 21)
    whole = _Command(ground, "whole", OBJECTS)
    ground.settled("whole")
    small.plan()
    [quick] = in_turns(ROUNDS, small.plan)
    diff = ["diff", "--server-side", "--force-conflicts", "--field-manager", "plumbline:local/whole"]

    def peer() -> None:
        ground.kubectl("whole", *diff, "--concurrency=8", "-f", whole.folder)

    cold, warm, kubectl = in_turns(3, whole.cold_plan, whole.plan, peer)
    return {
        "command_seconds": quick,
        "command_cold_seconds": cold,
        "command_warm_seconds": warm,
        "command_kubectl_seconds": kubectl,
        "command_cold_ratio": kubectl / cold,
        "command_warm_ratio": kubectl / warm,
    }


class _Command:
    """An environment of the command line that is applied already."""

    def __init__(self, ground: Ground, name: str, count: int) -> None:
        self.folder = write_files(ground.root / name, objects(count))
        self._cache = ground.root / f"{name}-cache"
        self._environ = {**os.environ, "XDG_CACHE_HOME": str(self._cache)}
        ground.namespace(name)
        target = ["-e", name, "-n", name, "--kubeconfig", str(ground.plane.kubeconfig())]
        self._words = [sys.executable, "-m", "plumbline"]
        self._arguments = [str(self.folder), *target]
        self._run("apply", "--timeout", "10m")

    def _run(self, command: str, *more: str) -> None:
        words = [*self._words, command, *self._arguments, *more]
        subprocess.run(words, check=True, capture_output=True, env=self._environ)

    def plan(self) -> None:
        """Plans; the exit code 0 says that nothing would change."""
        self._run("plan")

    def cold_plan(self) -> None:
        """Plans as if for the first time."""
        shutil.rmtree(self._cache, ignore_errors=True)
        self._run("plan")

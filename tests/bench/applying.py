"""How long applying takes, beside the API server's own pace and beside `kubectl apply --server-side`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from tests.bench.ground import OBJECTS, Figures, Ground, as_json, objects, timed, write_files
from tests.world import World, resources
from worker.adapters.cluster.connection import Connection
from worker.adapters.cluster.objects import APPLY_PATCH, THREADS
from worker.operations.applying import apply
from worker.operations.predicting import predict
from worker.operations.preparing import labelled


def measure_applies(ground: Ground) -> Figures:
    """A first apply of 1,500 objects and a second one, raw, by us and by kubectl, each in a namespace of its own."""
    made = objects(OBJECTS)
    before = _raw(ground, "raw-before", made)
    world, planning, writing = _first(ground, made)
    after = _raw(ground, "raw-after", made)
    folder = write_files(ground.root / "apply", made)
    words = ("apply", "--server-side", "-f", folder)
    ground.namespace("kubectl")
    first = timed(lambda: ground.kubectl("kubectl", *words))
    ground.settled("kubectl")
    world.converge(as_json(made), revision="a" * 40)
    again, versions = [], _versions(world)
    for _ in range(3):
        theirs = timed(lambda: ground.kubectl("kubectl", *words))
        ours = timed(lambda: world.converge(as_json(made), revision="a" * 40))
        again.append((theirs, ours))
    written = sum(versions[key] != version for key, version in _versions(world).items())
    theirs, ours = sorted(again, key=lambda pair: pair[0] / pair[1])[1]
    return {
        "raw_seconds": (before + after) / 2,
        "apply_plan_seconds": planning,
        "apply_write_seconds": writing,
        "apply_write_ratio": writing / ((before + after) / 2),
        "kubectl_apply_seconds": first,
        "apply_whole_ratio": first / (planning + writing),
        "again_seconds": ours,
        "kubectl_again_seconds": theirs,
        "again_ratio": theirs / ours,
        "again_writes": float(written),
    }


def _first(ground: Ground, made: list[dict[str, Any]]) -> tuple[World, float, float]:
    """Our plan and our writes of objects that are not there yet, in seconds."""
    world = ground.world("ours")
    desired, recorded, key = resources(as_json(made)), world.states.read(world.environment), world.states.key()
    world.cluster.discovery.refresh()
    found: list[Any] = []
    planning = timed(lambda: found.append(predict(world.target, "r", desired, recorded, key)))
    outcome: list[Any] = []
    writing = timed(
        lambda: outcome.append(apply(world.target, found[0], 0, lambda: None, lambda _done, _intended: None))
    )
    assert len(outcome[0].actual) == len(made)
    assert not outcome[0].failed
    ground.settled("ours")
    return world, planning, writing


def _raw(ground: Ground, name: str, made: list[dict[str, Any]]) -> float:
    """Seconds that the server takes to apply the same bodies, as many at once as we send, with nothing done of the answers."""
    world = ground.world(name)
    world.cluster.discovery.refresh()
    manager = {"fieldManager": "raw", "force": "false", "fieldValidation": "Strict"}
    bodies = []
    for resource in resources(as_json(made)):
        served = world.cluster.discovery.of(resource.key, resource.version)
        assert served is not None
        body = orjson.dumps(labelled(resource, "raw").body)
        bodies.append((served.path(name, resource.key.name), body))
    connection: Connection = world.cluster.connection

    def send(pair: tuple[str, bytes]) -> None:
        answer = connection.request("PATCH", pair[0], query=manager, body=pair[1], content_type=APPLY_PATCH)
        assert answer.status == 201

    with ThreadPoolExecutor(THREADS) as pool:
        seconds = timed(lambda: list(pool.map(send, bodies)))
    ground.settled(name)
    return seconds


def _versions(world: World) -> dict[str, str]:
    """The resourceVersion of every object of the environment."""
    label = f"plumbline.io/environment={world.environment.owner_label}"
    found: dict[str, str] = {}
    for kind in ("/apis/apps/v1/namespaces/{}/deployments", "/api/v1/namespaces/{}/services",
                 "/api/v1/namespaces/{}/configmaps"):  # fmt: skip
        answer = world.cluster.connection.request(
            "GET", kind.format(world.namespace), query={"labelSelector": label}
        ).json()
        found |= {f"{kind}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in answer["items"]}
    assert len(found) == OBJECTS
    return found

"""Ten thousand objects in one environment: is everything still linear, and how much memory does a worker take."""

from __future__ import annotations

from tests.bench.ground import OBJECTS, Figures, Ground, as_json, in_turns, objects
from tests.bench.planning import planner
from tests.bench.pushing import whole_path

LARGE = 10_000 - 10_000 % 3
ROUNDS = 5


def measure_scale(ground: Ground) -> Figures:
    """A plan without changes of 1,500 and of 10,000 objects, then the whole path with 10,000."""
    seconds = {count: _plan(ground, count) for count in (OBJECTS, LARGE)}
    figures = whole_path(ground, LARGE, "large")
    _, listed = ground.plane.request("GET", "/api/v1/namespaces/plumbline-system/configmaps")
    shards = [
        each for each in listed["items"] if each["metadata"].get("labels", {}).get("plumbline.io/record") == "inventory"
    ]
    return figures | {
        "small_plan_seconds": seconds[OBJECTS],
        "large_plan_seconds": seconds[LARGE],
        "linear_ratio": (seconds[LARGE] / LARGE) / (seconds[OBJECTS] / OBJECTS),
        "inventory_shards": float(len(shards)),
    }


def _plan(ground: Ground, count: int) -> float:
    world = ground.world(f"scale-{count}").with_policy(health_timeout=600)
    world.converge(as_json(objects(count)))
    ground.settled(world.namespace, 900)
    [seconds] = in_turns(ROUNDS, planner(world, objects(count)))
    return seconds

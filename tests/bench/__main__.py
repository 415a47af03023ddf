"""`python -m tests.bench`: speed as ratios against a real peer in the same run; prints a table and writes JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from sandbox.control_plane import ControlPlane
from sandbox.redis_server import RedisServer
from sandbox.tools import find
from tests.bench.planning import measure_command, measure_planning
from tests.bench.pushing import measure_pushes
from worker.garbage import relax_collector

ROWS = (
    ("plan, nothing changed: ours / LIST and decode", "plan_ratio", "<= 2.0"),
    ("plan, nothing changed: kubectl diff / ours", "kubectl_ratio", "> 1"),
    ("`plumbline plan`, nothing changed, with Python's start, s", "command_seconds", "< 1.0"),
    ("end of push to live, p50, s", "live_p50", "<= 0.6"),
    ("end of push to live, p95, s", "live_p95", "<= 1.2"),
    ("predicted diff printed, p50, s", "predicted_p50", "<= 0.8"),
    ("one object by kubectl apply / end of push to live", "apply_ratio", ""),
)


def main() -> int:
    """Measures everything; returns 0 (a figure that is missed is shown, not failed: the machine is shared)."""
    parser = argparse.ArgumentParser(prog="tests.bench")
    parser.add_argument("--objects", type=int, default=1500, help="objects of the plan (1500)")
    parser.add_argument("--pushes", type=int, default=20, help="pushes that are measured (20)")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    relax_collector()  # as the worker's process does
    tools = find(progress=lambda text: print(text, file=sys.stderr))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
        root = Path(folder)
        redis = RedisServer(root / "redis")
        try:
            with ControlPlane.start(root / "cluster", tools) as plane:
                figures |= measure_pushes(plane, tools, redis.url, root, arguments.pushes)
                figures |= measure_command(plane, root)
                figures |= measure_planning(plane, tools, root, arguments.objects)
        finally:
            redis.stop()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(figures, indent=2) + "\n")
    for words, name, aim in ROWS:
        print(f"{words:<60} {figures[name]:>8.3f}   {aim}")
    print(f"written to {arguments.output}")
    return 0


def quantile(values: list[float], share: float) -> float:
    """The value below which a share of the values lies."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.bench`: speed as ratios against a real peer in the same run; prints a table and writes JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sandbox.control_plane import ControlPlane
from sandbox.redis_server import RedisServer
from sandbox.tools import find
from tests.bench.applying import measure_applies
from tests.bench.door import measure_door
from tests.bench.editing import measure_edits
from tests.bench.figures import table
from tests.bench.forging import measure_forge
from tests.bench.ground import Figures, Ground
from tests.bench.planning import measure_commands, measure_plans
from tests.bench.pushing import measure_fleet, measure_pushes, measure_whole_path
from tests.bench.rendering import measure_rendering
from tests.bench.rolling_back import measure_rollbacks
from tests.bench.scaling import measure_scale
from tests.bench.watching import measure_drift, measure_looks, measure_watching
from worker.garbage import relax_collector

FAMILIES: Final[Mapping[str, Callable[[Ground], Figures]]] = {
    "plan": measure_plans,
    "command": measure_commands,
    "render": measure_rendering,
    "apply": measure_applies,
    "push": measure_pushes,
    "path": measure_whole_path,
    "fleet": measure_fleet,
    "scale": measure_scale,
    "door": measure_door,
    "forge": measure_forge,
    "rollback": measure_rollbacks,
    "drift": measure_drift,
    "look": measure_looks,
    "watch": measure_watching,
    "edit": measure_edits,
}
"""Each on a control plane and a Redis of its own, so that none works on what another left behind."""


def main() -> int:
    """Measures; 1 where something could not be measured. A figure that is missed is shown, not failed."""
    parser = argparse.ArgumentParser(prog="tests.bench")
    parser.add_argument("--only", action="append", choices=FAMILIES, metavar="NAME", help=", ".join(FAMILIES))
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    relax_collector()  # as the worker's process does
    tools = find(progress=_say)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figures: Figures = {}
    failed: list[str] = []
    for name in arguments.only or FAMILIES:
        began = time.monotonic()
        _say(f"measuring: {name}")
        with tempfile.TemporaryDirectory(prefix="plumbline-bench-") as folder:
            root = Path(folder)
            redis = RedisServer(root / "redis")
            try:
                with ControlPlane.start(root / "cluster", tools) as plane:
                    figures |= FAMILIES[name](Ground(plane, tools, redis.url, root))
            except Exception as error:  # the other families are worth measuring all the same
                failed.append(f"not measured: {name}: {error}")
            finally:
                redis.stop()
        _say(f"measured:  {name} in {time.monotonic() - began:.0f} s")
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join([*table(figures), *failed, f"written to {arguments.output}"]))
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

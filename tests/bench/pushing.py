"""The whole path: from a push to the live object, and until everything is verified, by the Procfile's own processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from tests.bench.ground import OBJECTS, Figures, Ground, Watched, as_files, objects, quantile

PUSHES = 20
LINES = 5
ENVIRONMENTS = 200
DECLARATION = (
    "environments:\n  - {{name: production, path: app, namespace: {0}, policy: {{settle: 1s, health-timeout: 10m}}}}\n"
)


class Live:
    """Watches one ConfigMap, and knows when it had which value under `data.value`."""

    def __init__(self, plane: ControlPlane, namespace: str, name: str) -> None:
        self.seen: dict[str, float] = {}
        self._watched = Watched(plane, namespace, name, self._take)

    def _take(self, data: Mapping[str, str]) -> None:
        self.seen.setdefault(data.get("value", ""), time.perf_counter())

    def wait(self, value: str, seconds: float = 30) -> float:
        """When the object had a value."""
        self._watched.wait_for(lambda: value in self.seen, seconds, f"the object never had the value {value}")
        return self.seen[value]


def started(ground: Ground, namespace: str) -> LocalSystem:
    """Every process of the Procfile, on a repository of its own."""
    return LocalSystem.start(
        ground.root / f"system-{namespace}",
        kubeconfig=ground.plane.kubeconfig("worker"),
        redis_url=ground.redis_url,
        tools=ground.tools["helm"].parent,
        namespaces=[ground.namespace(namespace)],
    )


def config_map(number: int, value: str) -> str:
    """One of the small environment's objects."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"value": value}}
    return json.dumps(body) + "\n"


def measure_pushes(ground: Ground) -> Figures:
    """Pushes one changed line again and again into an environment of 20 objects."""
    with started(ground, "pushes") as system:
        clone = Clone(ground.root / "clone-pushes", system.repository)
        clone.write("plumbline.yaml", DECLARATION.format("pushes"))
        for number in range(20):
            clone.write(f"app/c{number}.yaml", config_map(number, "start"))
        clone.commit("start")
        assert clone.push().returncode == 0
        live = Live(ground.plane, "pushes", "c7")
        live.wait("start")
        lived, predicted = [], []
        for number in range(PUSHES):
            clone.write("app/c7.yaml", config_map(7, str(number)))
            revision = clone.commit(str(number))
            moved = _when_moved(system, revision)
            began = time.perf_counter()
            printed = 0.0
            for line in clone.pushed():
                if "objects change" in line and not printed:
                    printed = time.perf_counter() - began
            lived.append(live.wait(str(number)) - moved())
            predicted.append(printed)
        applies = [_kubectl_apply(ground, live, number) for number in range(5)]
    return {
        "live_p50": quantile(lived, 0.5),
        "live_p95": quantile(lived, 0.95),
        "predicted_p50": quantile(predicted, 0.5),
        "predicted_p95": quantile(predicted, 0.95),
        "one_apply_seconds": statistics.median(applies),
        "one_apply_ratio": statistics.median(applies) / quantile(lived, 0.5),
    }


def _when_moved(system: LocalSystem, revision: str) -> Callable[[], float]:
    """Looks at the branch every half millisecond; the returned function waits for the moment when it moved."""
    ref = system.repository / "refs" / "heads" / "main"
    found: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                if ref.read_text().strip() == revision:
                    found.append(time.perf_counter())
                    done.set()
            except OSError:
                pass
            time.sleep(0.0005)

    threading.Thread(target=look, daemon=True).start()

    def moved() -> float:
        if not done.wait(30):
            raise TimeoutError(
                f"the branch never moved to {revision}: {git('rev-parse', 'main', at=system.repository)}"
            )
        return found[0]

    return moved


def _kubectl_apply(ground: Ground, live: Live, number: int) -> float:
    """What `kubectl apply --server-side` of the one object takes until it is live: the least that anybody could wait."""
    value = f"kubectl-{number}"
    began = time.perf_counter()
    ground.kubectl(
        "pushes", "apply", "--server-side", "--force-conflicts", "-f", "-", text=config_map(7, value).encode()
    )
    return live.wait(value) - began


def measure_whole_path(ground: Ground) -> Figures:
    """1,500 objects in plain YAML: their first convergence, then one line of them, and the worker's peak of memory."""
    return whole_path(ground, OBJECTS, "path")


def whole_path(ground: Ground, count: int, prefix: str) -> Figures:
    """The figures of `count` objects, from the start of the push; their names begin with `prefix`."""
    made = objects(count)
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}, "data": {"value": "start"}}
    made[-1] = probe
    name = f"app/app-{count // 3 - 1}.yaml"
    with started(ground, prefix) as system:
        # ten thousand new objects take longer to dry-run than a push waits, and the hook is told what to do then
        git("config", "plumbline.whenAway", "accept", at=system.repository)
        clone = Clone(ground.root / f"clone-{prefix}", system.repository)
        clone.write("plumbline.yaml", DECLARATION.format(prefix))
        for file, text in as_files(made).items():
            clone.write(f"app/{file}", text)
        clone.commit("start")
        live = Live(ground.plane, prefix, "probe")
        began = time.perf_counter()
        steps = _steps(clone, began)
        if "verified" not in steps:
            raise RuntimeError(f"the first push of {count} objects was not verified:\n" + system.log("worker"))
        ground.settled(prefix)
        lived, verified = [], []
        for number in range(LINES):
            clone.write(name, (clone.folder / name).read_text().replace(_value(number - 1), _value(number)))
            clone.commit(str(number))
            began = time.perf_counter()
            then = _steps(clone, began)
            lived.append(live.wait(_value(number).split()[1]) - began)
            verified.append(then.get("verified", float("nan")))
        peak = peak_memory(system.servers["worker"].pid)
    return {
        f"{prefix}_first_applied_seconds": steps["applied"],
        f"{prefix}_first_verified_seconds": steps["verified"],
        f"{prefix}_line_seconds": statistics.median(lived),
        f"{prefix}_line_verified_seconds": statistics.median(verified),
        f"{prefix}_memory_mib": peak,
    }


def _value(number: int) -> str:
    return "value: start" if number < 0 else f"value: v{number}"


def _steps(clone: Clone, began: float) -> dict[str, float]:
    """When each step of a push was printed first, in seconds from its start; what was printed is in an error."""
    steps: dict[str, float] = {}
    lines = []
    for line in clone.pushed("-o", "plumbline.wait=600", "origin", "main"):
        lines.append(line)
        words = line.removeprefix("remote:").split()
        if words:
            steps.setdefault(words[0], time.perf_counter() - began)
    if "converged" not in steps:
        raise RuntimeError("the push did not end well:\n" + "\n".join(lines[-12:]))
    return steps


def peak_memory(pid: int) -> float:
    """The most memory that a process ever held (its resident set), in MiB."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM")) / 1024


def measure_fleet(ground: Ground) -> Figures:
    """200 environments of four objects each, all changed by one push, until every one of them is verified."""
    names = [f"env-{number:03d}" for number in range(ENVIRONMENTS)]
    rows = [
        {"name": name, "path": name, "namespace": "fleet", "policy": {"settle": "0s", "health-timeout": "10m"}}
        for name in names
    ]
    with started(ground, "fleet") as system:
        clone = Clone(ground.root / "clone-fleet", system.repository)
        clone.write("plumbline.yaml", yaml.safe_dump({"environments": rows}))
        for name in names:
            bodies = [_renamed(body, name, number) for number, body in enumerate(objects(6)[:4])]
            clone.write(f"{name}/all.yaml", yaml.safe_dump_all(bodies, sort_keys=False))
        clone.commit("all of them")
        began = time.perf_counter()
        printed = subprocess.run(
            ["git", "push", "-o", "plumbline.wait=300", "origin", "main"],
            cwd=clone.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        done = sum("verified" in line for line in printed.stderr.splitlines())
        if printed.returncode != 0 or done < ENVIRONMENTS:
            end = "\n".join(printed.stderr.splitlines()[-12:])
            raise RuntimeError(f"{done} of {ENVIRONMENTS} environments were verified:\n{end}\n{system.log('worker')}")
        peak = peak_memory(system.servers["worker"].pid)
    return {"fleet_seconds": seconds, "fleet_memory_mib": peak}


def _renamed(body: dict[str, object], name: str, number: int) -> dict[str, object]:
    text = json.dumps(body).replace("app-0", f"{name}-{number}").replace("app-1", f"{name}-{number}")
    renamed: dict[str, object] = json.loads(text)
    return renamed

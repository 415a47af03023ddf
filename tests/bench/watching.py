"""How soon drift is noticed and healed, what a look at everything costs, and what watching many objects costs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plumbline.local_system import Clone, LocalSystem
from sandbox.control_plane import ControlPlane
from tests.bench.ground import OBJECTS, Figures, Ground, Watched, as_files, as_json, in_turns, objects, quantile
from tests.bench.planning import reader
from tests.bench.pushing import Live, config_map, started
from tests.world import resources
from worker.adapters.cluster import connect
from worker.domain.environment import Environment
from worker.operations.observing import Applied, look_at
from worker.operations.preparing import prepare

DRIFTS = 30
TAKEOVERS = 5
MANY = 10_000
A_SECOND = 50
SECONDS = 30.0
POLICY = "mode: heal, diff-after: 0s, settle: 1s, health-timeout: 10m"
DECLARATION = "environments:\n  - {{name: production, path: app, namespace: {0}, policy: {{" + POLICY + "}}}}\n"
NOT_READY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: slow}
spec:
  replicas: 1
  selector: {matchLabels: {app: slow}}
  template:
    metadata: {labels: {app: slow}}
    spec: {containers: [{name: main, image: "registry.example/slow:never-ready"}]}
"""


class Recorded:
    """Watches an environment's record, and knows when it was written and which episode it has."""

    def __init__(self, plane: ControlPlane, environment: str) -> None:
        self.writes: list[float] = []
        self.episode: Mapping[str, Any] | None = None
        name = Environment("shop", environment, "", "", "", "").state_name
        self._watched = Watched(plane, "plumbline-system", name, self._take)

    def _take(self, data: Mapping[str, str]) -> None:
        self.episode = json.loads(data["state"])["state"]["episode"]
        self.writes.append(time.perf_counter())

    def first_after(self, moment: float, seconds: float = 30) -> float:
        """When it was first written after a moment."""

        def written() -> list[float]:
            return [write for write in self.writes if write > moment]

        self._watched.wait_for(lambda: bool(written()), seconds, "the record was never written")
        return written()[0]

    def wait_quiet(self, seconds: float = 60) -> None:
        """Waits until no episode is open."""
        self._watched.wait_for(lambda: not self.episode, seconds, "the episode is never closed")


def measure_drift(ground: Ground) -> Figures:
    """Edits one of 20 objects by hand again and again; lets a commit take over from one that waits for health."""
    with started(ground, "drift") as system:
        clone = Clone(ground.root / "clone-drift", system.repository)
        clone.write("plumbline.yaml", DECLARATION.format("drift"))
        for number in range(20):
            clone.write(f"app/c{number}.yaml", config_map(number, "start"))
        clone.commit("start")
        assert clone.push().returncode == 0
        live = {number: Live(ground.plane, "drift", f"c{number}") for number in range(20)}
        live[7].wait("start")
        record = Recorded(ground.plane, "production")
        record.first_after(0)
        noticed, healed = [], []
        for number in range(DRIFTS):
            record.wait_quiet()
            place = number % 20
            live[place].seen.clear()
            made = edit(ground, "drift", f"c{place}", f"by hand {number}", f"hand-{number}")
            healed.append(live[place].wait("start") - made)
            noticed.append(record.first_after(made) - made)
        record.wait_quiet()
        takeovers = [take_over(ground, clone, number) for number in range(TAKEOVERS)]
    return {
        "noticed_p50": quantile(noticed, 0.5),
        "noticed_p95": quantile(noticed, 0.95),
        "healed_p50": quantile(healed, 0.5),
        "healed_p95": quantile(healed, 0.95),
        "takeover_seconds": max(takeovers),
    }


def edit(ground: Ground, namespace: str, name: str, value: str, manager: str) -> float:
    """Changes a ConfigMap as somebody else; when the API server had taken it."""
    connection = connect(ground.plane.kubeconfig())
    body = json.dumps({"data": {"value": value}}).encode()
    answer = connection.request(
        "PATCH", f"/api/v1/namespaces/{namespace}/configmaps/{name}", query={"fieldManager": manager}, body=body,
        content_type="application/merge-patch+json",
    )  # fmt: skip
    assert answer.status == 200, answer.body
    return time.perf_counter()


def take_over(ground: Ground, clone: Clone, number: int) -> float:
    """Seconds from the end of a push to the live object, while the commit before it waits for health."""
    clone.write("app/slow.yaml", NOT_READY)
    clone.write("app/c0.yaml", config_map(0, f"waits {number}"))
    clone.commit("waits")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    live = Live(ground.plane, "drift", "c0")
    live.wait(f"waits {number}")
    (clone.folder / "app/slow.yaml").unlink()
    clone.write("app/c0.yaml", config_map(0, f"takes over {number}"))
    clone.commit("takes over")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    pushed = time.perf_counter()
    return max(0.0, live.wait(f"takes over {number}") - pushed)


def measure_looks(ground: Ground) -> Figures:
    """A look at everything of 1,500 converged objects, beside reading and decoding them."""
    world = ground.world("looks")
    made = objects(OBJECTS)
    world.converge(as_json(made))
    ground.settled("looks")
    recorded = world.states.read(world.environment)
    applied = Applied(prepare(world.target, resources(as_json(made))))

    def look() -> None:
        seen = look_at(world.target, applied, recorded, "r").look
        assert not seen.drift
        assert not seen.troubles
        assert not seen.reason

    looking, reading = in_turns(15, look, reader(world))
    return {"look_seconds": looking, "look_ratio": looking / reading}


def measure_watching(ground: Ground) -> Figures:
    """10,000 watched objects, of which 50 a second are written by others beside our fields; what the processes use."""
    with started(ground, "many") as system:
        clone = Clone(ground.root / "clone-many", system.repository)
        clone.write("plumbline.yaml", DECLARATION.format("many"))
        for name, text in as_files(objects(MANY - MANY % 3)).items():
            clone.write(f"app/{name}", text)
        clone.commit("start")
        subprocess.run(["git", "-C", str(system.repository), "config", "plumbline.whenAway", "accept"], check=True)
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        record = Recorded(ground.plane, "production")
        wait_converged(system, record)
        before = {name: used(system, name) for name in ("watch", "worker")}
        began, writes = time.perf_counter(), len(record.writes)
        written = write_beside(ground, "many")
        seconds = time.perf_counter() - began
        cpu = sum(used(system, name) - spent for name, spent in before.items())
        assert len(record.writes) == writes, "what others own beside us was taken for drift"
        return {
            "watch_cpu_share": cpu / seconds,
            "watch_changes_a_second": written / seconds,
            "watch_memory_mib": memory(system, "watch"),
        }


def wait_converged(system: LocalSystem, record: Recorded, seconds: float = 900) -> None:
    """Waits until the bot says that it is converged, and the watches have begun."""
    until = time.monotonic() + seconds
    while " converged repository=" not in system.log("bot"):
        if time.monotonic() > until:
            raise TimeoutError("10,000 objects are never converged")
        time.sleep(0.5)
    idle = len(record.writes)
    quiet = time.monotonic()
    while time.monotonic() - quiet < 5:  # the looks that begin with the watches are over
        time.sleep(0.5)
        if len(record.writes) != idle:
            idle, quiet = len(record.writes), time.monotonic()


def write_beside(ground: Ground, namespace: str) -> int:
    """Annotates ConfigMaps as an operator would, so many a second; how many it were."""
    connection = connect(ground.plane.kubeconfig())
    began, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < SECONDS:
        if number > passed * A_SECOND:
            time.sleep(0.002)
            continue
        body = json.dumps({"metadata": {"annotations": {"operator.example/seen": str(number)}}}).encode()
        answer = connection.request(
            "PATCH", f"/api/v1/namespaces/{namespace}/configmaps/app-{number % (MANY // 3)}",
            query={"fieldManager": "operator"}, body=body, content_type="application/merge-patch+json",
        )  # fmt: skip
        assert answer.status == 200, answer.body
        number += 1
    return number


def used(system: LocalSystem, name: str) -> float:
    """Seconds of CPU that a process has used (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{system.servers[name].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(system: LocalSystem, name: str) -> float:
    """The most memory that a process had, in MiB."""
    lines = Path(f"/proc/{system.servers[name].pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

"""How long one line takes from the end of a push to the live object, and until its prediction is printed."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

import urllib3

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from worker.adapters.cluster import connect

NAMESPACE = "pushes"
DECLARATION = f"environments:\n  - {{name: production, path: app, namespace: {NAMESPACE}, policy: {{settle: 1s}}}}\n"


def config_map(number: int, value: str) -> str:
    """One of the environment's objects."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"value": value}}
    return json.dumps(body) + "\n"


class Live:
    """Watches one object, and knows when it had which value."""

    def __init__(self, plane: ControlPlane, name: str) -> None:
        self.seen: dict[str, float] = {}
        self._changed = threading.Condition()
        connection = connect(plane.kubeconfig())
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}"}
        self._answer = connection.stream(f"/api/v1/namespaces/{NAMESPACE}/configmaps", query, 600)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        text = b""
        while chunk := self._chunk():
            text += chunk
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                value = json.loads(line)["object"].get("data", {}).get("value", "")
                with self._changed:
                    self.seen.setdefault(value, time.perf_counter())
                    self._changed.notify_all()

    def _chunk(self) -> bytes:
        try:
            return self._answer.read1(1 << 16)
        except urllib3.exceptions.HTTPError:
            return b""

    def wait(self, value: str) -> float:
        """When the object had a value."""
        with self._changed:
            if not self._changed.wait_for(lambda: value in self.seen, 30):
                raise TimeoutError(f"the object never had the value {value}")
            return self.seen[value]


def measure_pushes(
    plane: ControlPlane, tools: dict[str, Path], redis_url: str, root: Path, count: int
) -> dict[str, float]:
    """Pushes one changed line `count` times into an environment of 20 objects."""
    from tests.bench.__main__ import quantile

    plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    with LocalSystem.start(
        root / "system", kubeconfig=plane.kubeconfig("worker"), redis_url=redis_url, tools=tools["helm"].parent,
        namespaces=[NAMESPACE],
    ) as system:  # fmt: skip
        clone = Clone(root / "clone", system.repository)
        clone.write("plumbline.yaml", DECLARATION)
        for number in range(20):
            clone.write(f"app/c{number}.yaml", config_map(number, "start"))
        clone.commit("start")
        assert clone.push().returncode == 0
        live = Live(plane, "c7")
        live.wait("start")
        lived, predicted = [], []
        for number in range(count):
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
        applies = [_kubectl_apply(plane, tools, live, number) for number in range(5)]
    return {
        "live_p50": quantile(lived, 0.5),
        "live_p95": quantile(lived, 0.95),
        "predicted_p50": quantile(predicted, 0.5),
        "predicted_p95": quantile(predicted, 0.95),
        "apply_seconds": sorted(applies)[2],
        "apply_ratio": sorted(applies)[2] / quantile(lived, 0.5),
    }


def _when_moved(system: LocalSystem, revision: str):  # type: ignore[no-untyped-def]
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


def _kubectl_apply(plane: ControlPlane, tools: dict[str, Path], live: Live, number: int) -> float:
    """What `kubectl apply --server-side` of the one object takes until it is live: the least that anybody could wait."""
    command = [
        str(tools["kubectl"]),
        "--kubeconfig",
        str(plane.kubeconfig()),
        "-n",
        NAMESPACE,
        "apply",
        "--server-side",
    ]
    value = f"kubectl-{number}"
    began = time.perf_counter()
    subprocess.run(
        [*command, "--force-conflicts", "-f", "-"], input=config_map(7, value).encode(), check=True, capture_output=True
    )
    return live.wait(value) - began

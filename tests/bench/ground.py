"""What every family of measurements stands on: a control plane of its own, the objects, a clock, a small cluster client."""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

from sandbox.control_plane import ControlPlane
from tests.world import World
from worker.adapters.cluster import connect

OBJECTS = 1500
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Ground:
    """A fresh control plane, the tools, a Redis, and a folder that is thrown away."""

    plane: ControlPlane
    tools: Mapping[str, Path]
    redis_url: str
    root: Path

    def namespace(self, name: str) -> str:
        """A new namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.plane.request("POST", "/api/v1/namespaces", body)
        return name

    def world(self, name: str) -> World:
        """An environment in a new namespace of its own, in this process."""
        return World(self.plane.kubeconfig(), self.namespace(name))

    def kubectl(self, namespace: str, *arguments: str | Path, text: bytes | None = None) -> None:
        """Runs kubectl; `diff` ends with 1 where something differs, so its exit code says nothing."""
        command = [str(self.tools["kubectl"]), "--kubeconfig", str(self.plane.kubeconfig()), "-n", namespace]
        command += [str(each) for each in arguments]
        subprocess.run(command, input=text, capture_output=True, check=arguments[0] != "diff")

    def settled(self, namespace: str, seconds: float = 300) -> None:
        """Waits until the controllers have seen every Deployment of a namespace, so that they work for nobody else."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _, found = self.plane.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments")
            if all(each.get("status", {}).get("observedGeneration") for each in found["items"]):
                return
            time.sleep(0.3)
        raise TimeoutError(f"the Deployments of {namespace} are not seen by their controller")


def objects(count: int) -> list[dict[str, Any]]:
    """A third each of Deployments (without replicas), Services and ConfigMaps."""
    return [each for number in range(count // 3) for each in _application(number)]


def _application(number: int) -> Iterator[dict[str, Any]]:
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
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"a": "1", "b": "x" * 100},
    }


def as_json(made: Iterable[Mapping[str, Any]]) -> str:
    """Objects as one text for `World`."""
    return "\n---\n".join(json.dumps(each) for each in made)


def as_files(made: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Objects as plain YAML, the three of an application in one file."""
    return {
        f"app-{start // 3}.yaml": yaml.safe_dump_all(made[start : start + 3], sort_keys=False)
        for start in range(0, len(made), 3)
    }


def write_files(folder: Path, made: Sequence[Mapping[str, Any]]) -> Path:
    """The files of `as_files` in a new folder."""
    folder.mkdir(parents=True)
    for name, text in as_files(made).items():
        (folder / name).write_text(text)
    return folder


class Watched:
    """One ConfigMap that is watched: `take` is called with each version of its `data`, in order, by a thread."""

    def __init__(
        self, plane: ControlPlane, namespace: str, name: str, take: Callable[[Mapping[str, str]], None]
    ) -> None:
        self._take = take
        self._changed = threading.Condition()
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}"}
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._answer = connect(plane.kubeconfig()).stream(path, query, 1200)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        text = b""
        while chunk := self._chunk():
            text += chunk
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                data = json.loads(line)["object"].get("data") or {}
                with self._changed:
                    self._take(data)
                    self._changed.notify_all()

    def _chunk(self) -> bytes:
        try:
            return self._answer.read1(1 << 20)
        except urllib3.exceptions.HTTPError:
            return b""

    def wait_for(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Waits until something holds of what was taken; raises TimeoutError with `otherwise`."""
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(otherwise)


def timed(work: Callable[[], object]) -> float:
    """Seconds that a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(rounds: int, *works: Callable[[], object]) -> list[float]:
    """The best seconds of each piece of work, done in turns: what it takes where nothing else is in its way."""
    rows = [[timed(work) for work in works] for _ in range(rounds)]
    return [min(column) for column in zip(*rows, strict=True)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies."""
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]

"""The real servers that tests run on: one control plane and one Redis per session."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
import yaml

from plumbline.forge_system import ForgeSystem
from plumbline.local_system import Clone, LocalSystem
from sandbox.control_plane import ControlPlane
from sandbox.forge import GiteaServer
from sandbox.gitea_program import find_gitea
from sandbox.processes import begin_tethered
from sandbox.redis_server import RedisServer
from sandbox.tools import find
from tests.api_proxy import ApiProxy
from tests.forked import Forks
from tests.truth.corpora import corpora_folder
from tests.world import World

os.environ.pop("COLUMNS", None)  # what runs tests beside each other sets it, and programs would fold their lines by it
CORPORA = corpora_folder()
_NUMBERS = itertools.count(1)

Kubectl = Callable[..., subprocess.CompletedProcess[str]]


class StartSystem(Protocol):
    """Starts all of Plumbline on plain Git, by kubeconfig and Redis' address; `more` are lines at the end of app.yaml."""

    def __call__(self, kubeconfig: Path, redis_url: str, *, poll: str = "1s", more: str = "") -> LocalSystem:
        """The running system."""


class StartForgeSystem(Protocol):
    """Starts all of Plumbline beside a repository of the session's Gitea, on a Redis; branches are looked at every `poll`."""

    def __call__(
        self, redis_url: str, *, poll: str, with_webhook: bool = True, with_hooks: bool = False
    ) -> ForgeSystem:
        """The running system."""


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    """Every program of the sandbox, built where it is missing."""
    return find(progress=print)


@pytest.fixture(scope="session", autouse=True)
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """How Plumbline's own processes are started: forked from one that has imported them."""
    made = Forks(tmp_path_factory.mktemp("forks"))
    LocalSystem.begin = staticmethod(made.start)
    yield made
    LocalSystem.begin = staticmethod(begin_tethered)
    made.close()


@pytest.fixture
def as_in_the_procfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes are started by the Procfile's own lines."""
    monkeypatch.setattr(LocalSystem, "begin", staticmethod(begin_tethered))


@pytest.fixture(scope="session")
def control_plane(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One real cluster for the session."""
    with ControlPlane.start(tmp_path_factory.mktemp("cluster"), tools) as plane:
        yield plane


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis: the user's own by PLUMBLINE_REDIS_URL, else one of the session."""
    own = os.environ.get("PLUMBLINE_REDIS_URL")
    if own:
        yield own
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def empty_redis(redis_url: str) -> str:
    """The session's Redis, emptied."""
    with contextlib.closing(redis.Redis.from_url(redis_url)) as connection:
        connection.flushall()
    return redis_url


@pytest.fixture(scope="session")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GiteaServer]:
    """One real Gitea for the session."""
    with GiteaServer.start(tmp_path_factory.mktemp("forge"), find_gitea(print)) as server:
        yield server


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A fresh namespace, which stays: to delete it takes as much of the processor as many a test (0.27 s, measured)."""
    name = f"t{next(_NUMBERS)}-{os.getpid()}"
    status, _ = control_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    assert status == 201
    return name


@pytest.fixture
def kubectl(control_plane: ControlPlane, tools: dict[str, Path]) -> Kubectl:
    """kubectl as admin; `text` goes to its stdin."""

    def run(*arguments: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(tools["kubectl"]), "--kubeconfig", str(control_plane.kubeconfig()), *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=check, timeout=60)

    return run


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Real manifests and tables of other projects' expected outputs, when they lie beside the checkout."""
    if not CORPORA.is_dir():
        pytest.skip(f"the corpora are not there ({CORPORA}; PLUMBLINE_CORPORA names another folder)")
    return CORPORA


def objects_in(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text."""
    return [document for document in yaml.safe_load_all(text) if document]


def table(corpora: Path, name: str) -> list[dict[str, Any]]:
    """The cases of a corpora table."""
    cases: list[dict[str, Any]] = json.loads((corpora / "tables" / f"{name}.json").read_text())["cases"]
    return cases


@pytest.fixture
def world(control_plane: ControlPlane, namespace: str) -> World:
    """An environment of its own in a fresh namespace."""
    return World(control_plane.kubeconfig(), namespace)


@pytest.fixture
def proxy(control_plane: ControlPlane, tmp_path: Path) -> Iterator[ApiProxy]:
    """A proxy before the API server that records, and fails as told."""
    made = ApiProxy(control_plane.kubeconfig(), tmp_path)
    yield made
    made.close()


@pytest.fixture
def start_system(tools: dict[str, Path], namespace: str, tmp_path: Path) -> StartSystem:
    """Starts all of Plumbline; environments may use the test's namespace."""

    def start(kubeconfig: Path, redis_url: str, *, poll: str = "1s", more: str = "") -> LocalSystem:
        return LocalSystem.start(
            tmp_path / "system",
            kubeconfig=kubeconfig,
            redis_url=redis_url,
            tools=tools["helm"].parent,
            namespaces=[namespace],
            state_namespace=f"state-{namespace}",
            poll=poll,
            more=more,
        )

    return start


@pytest.fixture
def start_forge_system(
    gitea: GiteaServer, control_plane: ControlPlane, tools: dict[str, Path], namespace: str, tmp_path: Path
) -> StartForgeSystem:
    """Starts all of Plumbline beside Gitea; environments may use the test's namespace."""

    def start(redis_url: str, *, poll: str, with_webhook: bool = True, with_hooks: bool = False) -> ForgeSystem:
        return ForgeSystem.beside(
            gitea,
            tmp_path / "system",
            kubeconfig=control_plane.kubeconfig("worker"),
            redis_url=redis_url,
            tools=tools["helm"].parent,
            namespaces=[namespace],
            state_namespace=f"state-{namespace}",
            poll=poll,
            with_webhook=with_webhook,
            with_hooks=with_hooks,
        )

    return start


@pytest.fixture
def system(control_plane: ControlPlane, empty_redis: str, start_system: StartSystem) -> Iterator[LocalSystem]:
    """All of Plumbline on a repository of its own."""
    with start_system(control_plane.kubeconfig("worker"), empty_redis) as running:
        yield running


@pytest.fixture
def clone(system: LocalSystem, namespace: str, tmp_path: Path) -> Clone:
    """A person's clone, with an environment `production` declared and not pushed yet."""
    made = Clone(tmp_path / "clone", system.repository)
    made.write("plumbline.yaml", declaration(namespace))
    return made


def declaration(
    namespace: str, name: str = "production", *, settle: str = "1s", path: str = "app", more: str = ""
) -> str:
    """A plumbline.yaml with one environment."""
    return (
        f"environments:\n  - name: {name}\n    path: {path}\n    namespace: {namespace}\n"
        f"    policy: {{settle: {settle}, health-timeout: 30s}}\n{more}"
    )


def config_map(name: str, **data: str) -> str:
    """A ConfigMap as JSON, which is YAML."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}) + "\n"


def config_maps(*names: str, **data: str) -> str:
    """ConfigMaps with the same data."""
    return "---\n".join(config_map(name, **data) for name in names)


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 1
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: "registry.example/x:1"}]}
"""
"""One replica of one container, as YAML."""

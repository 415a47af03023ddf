"""One forge after the other, with all of Plumbline beside it: the same journeys run on each.

GitHub and GitLab are doubles of this project with real git behind them, Gitea is real. Each system has a Redis of its own and
serves every journey on its forge; a journey has a branch, an environment and a namespace for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.control_plane import ControlPlane
from sandbox.redis_server import RedisServer
from tests.doubles.forge_rig import ForgeRig
from tests.doubles.gitea_rig import GiteaRig
from tests.doubles.github_rig import GithubRig
from tests.doubles.gitlab_rig import GitLabRig
from tests.journeys.shop import Shop
from tests.journeys.system import RiggedSystem

FORGES: Final = ("github", "gitlab", "gitea")
IN_TURNS: Final = frozenset(
    {
        "test_a_fork.py",
        "test_a_prediction_stays_true.py",
        "test_a_required_status.py",
        "test_an_image.py",
        "test_deliveries.py",
        "test_several_environments.py",
    }
)
"""Files whose journeys take turns at the forges, one each, unless all faults are asked for (`make test-all`): a run has to stay
short, and what differs between the forges is tried by their adapters' own tests and by the other journeys, which run on each."""

EVERY_NAMESPACE: Final = "t*"
"""What the fixture `namespace` makes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is not a journey's turn, and has pytest say how many that are."""
    if os.environ.get("PLUMBLINE_ALL_FAULTS"):
        return
    turns: dict[str, int] = {}
    left: list[pytest.Item] = []
    for item in items:
        called = getattr(item, "callspec", None)
        if item.path.name not in IN_TURNS or called is None or "forge" not in called.params:
            continue
        journey, _, _ = item.nodeid.partition("[")
        turn = turns.setdefault(journey, len(turns))
        if called.params["forge"] != FORGES[turn % len(FORGES)]:
            left.append(item)
    config.hook.pytest_deselected(items=left)
    gone = set(left)
    items[:] = [each for each in items if each not in gone]


@pytest.fixture(scope="session", params=FORGES)
def forge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeRig]:
    """A forge with a repository and people."""
    rig = rig_of(request.param, tmp_path_factory.mktemp(request.param), request)
    yield rig
    rig.close()
    if isinstance(rig, GithubRig):
        assert rig.double.faults == [], "every exchange fits GitHub's own description"


def rig_of(name: str, folder: Path, request: pytest.FixtureRequest) -> ForgeRig:
    """A new rig of a forge by its name."""
    if name == "gitea":
        return GiteaRig(folder, request.getfixturevalue("gitea"))
    if name == "gitlab":
        return GitLabRig(folder)
    rig = GithubRig(folder)
    rig.double.content_a_minute = 100_000  # many journeys share one installation and a minute
    rig.double.remaining = 10_000_000
    return rig


@pytest.fixture(scope="session")
def rigged(
    forge: ForgeRig, control_plane: ControlPlane, tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RiggedSystem]:
    """All of Plumbline beside the forge; what no webhook tells of is looked for every minute only."""
    yield from started(forge, control_plane, tools, tmp_path_factory.mktemp("system"), poll="1m")


def started(
    rig: ForgeRig,
    plane: ControlPlane,
    tools: dict[str, Path],
    folder: Path,
    *,
    poll: str,
    more: Mapping[str, Any] | None = None,
    port: int = 0,
) -> Iterator[RiggedSystem]:
    """Starts all of Plumbline with a Redis of its own (web on `port` where one is given), and ends both."""
    redis = RedisServer(folder / "redis")
    try:
        with RiggedSystem.beside(
            rig,
            folder / "system",
            kubeconfig=plane.kubeconfig("worker"),
            redis_url=redis.url,
            tools=tools["helm"].parent,
            namespaces=[EVERY_NAMESPACE],
            state_namespace=f"state-{folder.name}",
            poll=poll,
            more=more,
            port=port,
        ) as system:
            yield system
    finally:
        redis.stop()


@pytest.fixture
def shop(forge: ForgeRig, rigged: RiggedSystem, control_plane: ControlPlane, namespace: str) -> Iterator[Shop]:
    """A journey's own branch, environment and namespace."""
    made = Shop(forge, rigged, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
    yield made
    made.end()

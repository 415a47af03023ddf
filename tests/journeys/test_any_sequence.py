"""Whatever happens in whatever order, a rollback among it: after quiet time every environment is proven converged at the
branch's head, or says what differs."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import SandboxError, wait_until
from tests.api_proxy import ApiProxy, Fault
from tests.conftest import Kubectl, StartSystem, config_map
from tests.invariants import recorded_of
from worker.domain.convergence import Phase
from worker.domain.episode_text import is_vanished
from worker.domain.episodes import Event

SEEDS = range(1, 13) if os.environ.get("PLUMBLINE_ALL_FAULTS") else (1, 2)
MOVES = 9
NAMES = ("a", "b", "c")
MODES = {"watched": "alert", "kept": "heal"}
COMMANDS = "refs/plumbline/commands"
RULES = f"""\
    roles:
      releasers: {{users: [{pwd.getpwuid(os.geteuid()).pw_name}]}}
    commands: {{rollback: releasers, rollback-push: releasers}}
"""


class Story:
    """Two environments in one namespace, one that only alerts and one that heals, and what is done to them."""

    def __init__(self, system: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str, folder: Path) -> None:
        self.system, self.proxy, self.kubectl, self.namespace = system, proxy, kubectl, namespace
        self.clone = Clone(folder, system.repository)
        self.revision = ""
        self.desired: dict[str, dict[str, str]] = {environment: {} for environment in MODES}
        self.counter = 0
        self.answered = 0
        self.said: Counter[tuple[str, str, str]] = Counter()

    def commit(self, chance: random.Random) -> None:
        """One or several objects of both environments change in one commit."""
        self.counter += 1
        self.read_head()
        if not self.revision:
            environments = "".join(
                f"  - {{name: {name}, path: {name}, namespace: {self.namespace}, "
                f"policy: {{mode: {mode}, rollback: push, diff-after: 0s, settle: 1s, resync: 10s, prune-budget: 5}}}}\n"
                for name, mode in MODES.items()
            )
            self.clone.write("plumbline.yaml", f"environments:\n{environments}")
        for environment in MODES:
            for name in NAMES if not self.revision else chance.sample(NAMES, 1):
                self.clone.write(f"{environment}/{name}.yaml", config_map(f"{environment}-{name}", n=str(self.counter)))
        self.clone.commit(f"{self.counter}")
        pushed = self.clone.push("-o", "plumbline.wait=0", "origin", "HEAD:main")
        assert pushed.returncode == 0 or "fetch first" in pushed.stderr, pushed.stderr  # a rollback was faster
        self.read_head()

    def rollback(self, chance: random.Random) -> None:
        """Somebody takes an environment back, straight on the branch, if there is something to go back to."""
        asked = f"plumbline.rollback={chance.choice(list(MODES))} --push"
        said = self.clone.push("-o", asked, "origin", f"HEAD:{COMMANDS}").stderr
        self.answered += "goes back to" in said
        assert "needs" not in said, said
        self.read_head()

    def read_head(self) -> None:
        """What the branch wants now, whoever committed it."""
        head = git("for-each-ref", "--format=%(objectname)", "refs/heads/main", at=self.system.repository).strip()
        if head == self.revision:
            return
        git("fetch", "--quiet", "origin", "main", at=self.clone.folder)
        git("reset", "--quiet", "--hard", head, at=self.clone.folder)
        self.revision = head
        self.desired = {
            environment: {
                name: json.loads((self.clone.folder / environment / f"{name}.yaml").read_text())["data"]["n"]
                for name in NAMES
            }
            for environment in MODES
        }

    def edit(self, chance: random.Random) -> None:
        """Somebody changes a value by hand."""
        self.counter += 1
        name = f"{chance.choice(list(MODES))}-{chance.choice(NAMES)}"
        patch = json.dumps({"data": {"n": f"by hand {self.counter}"}})
        manager = f"--field-manager=hand-{self.counter}"
        self.kubectl("-n", self.namespace, "patch", "configmap", name, manager, "-p", patch, check=False)

    def delete(self, chance: random.Random) -> None:
        """Somebody deletes an object."""
        name = f"{chance.choice(list(MODES))}-{chance.choice(NAMES)}"
        self.kubectl("-n", self.namespace, "delete", "configmap", name, check=False)

    def outage(self, chance: random.Random) -> None:
        """The API server answers nobody of Plumbline's for a while."""
        self.proxy.rule = lambda _method, _path: Fault(cut="before")
        self.proxy.cut_watches()
        with contextlib.suppress(SandboxError):
            wait_until(lambda: False, chance.uniform(0.2, 1.5), "it is over")
        self.proxy.rule = lambda _method, _path: None

    def kill(self, chance: random.Random) -> None:
        """A process dies, and its manager starts it again."""
        name = chance.choice(["worker", "watch", "bot"])
        self.system.servers[name].signal(signal.SIGKILL)
        self.system.servers[name].restart()

    def flush(self, chance: random.Random) -> None:
        """Redis is emptied."""
        with redis.Redis.from_url(self.system.redis_url) as connection:
            connection.flushall()

    def live(self, environment: str) -> dict[str, str]:
        """What there is of an environment's objects."""
        found = self.kubectl("-n", self.namespace, "get", "configmaps", "-o", "json").stdout
        return {
            item["metadata"]["name"].removeprefix(f"{environment}-"): item["data"]["n"]
            for item in json.loads(found)["items"]
            if item["metadata"]["name"].startswith(f"{environment}-")
        }

    def is_settled(self, environment: str) -> bool:
        """Whether the record says the truth: converged at the newest commit, or exactly what differs from it."""
        self.read_head()
        state = recorded_of(self.system, environment).state
        for news in state.news:
            self.said[environment, news.episode.id, f"{news.event} {news.at}"] = 1
        operation, desired, live = state.operation, self.desired[environment], self.live(environment)
        if operation is None or operation.phase is not Phase.SUCCEEDED or operation.revision != self.revision:
            return False
        differing = {name for name in desired if live.get(name) != desired[name]}
        if not differing:
            return state.episode is None and state.converged is not None and state.converged.revision == self.revision
        if MODES[environment] == "heal" or state.episode is None:
            return False
        named = {each.key.name.removeprefix(f"{environment}-") for each in state.episode.drift}
        vanished = {each.key.name.removeprefix(f"{environment}-") for each in state.episode.drift if is_vanished(each)}
        return named == differing and vanished == {name for name in desired if name not in live}


@pytest.fixture
def story(
    proxy: ApiProxy, empty_redis: str, start_system: StartSystem, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> Iterator[Story]:
    """The two environments, converged once."""
    with start_system(proxy.kubeconfig, empty_redis, more=RULES) as system:
        made = Story(system, proxy, kubectl, namespace, tmp_path / "clone")
        made.commit(random.Random(0))
        for environment in MODES:
            wait_until(partial(made.is_settled, environment), 60, f"{environment} is converged")
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_f52_after_any_sequence_and_quiet_time_every_environment_is_converged_or_says_what_differs(
    story: Story, seed: int
) -> None:
    chance = random.Random(seed)
    moves = [chance.choice(("commit", "edit", "edit", "delete", "outage", "kill", "flush")) for _ in range(MOVES)]
    moves.append("rollback")
    print(f"\n  seed {seed}: {', '.join(moves)}", end="")
    for move in moves:
        getattr(story, move)(chance)
    assert story.answered == 1, "there was a converged revision to go back to, and the branch went back"
    for environment in MODES:
        wait_until(partial(story.is_settled, environment), 120, f"{environment} says the truth")
    for event in (Event.OPENED, Event.CONVERGED):
        counted = Counter(
            (environment, episode) for environment, episode, said in story.said if said.startswith(f"{event} ")
        )
        assert all(times == 1 for times in counted.values()), (event, counted)
    for name in ("worker", "watch", "bot", "web"):
        assert "Traceback" not in story.system.log(name)

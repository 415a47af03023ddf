"""`plumbline status` on what a push converged and somebody changed by hand: it says what the pages say, from the record alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis

from bot.board import Board
from plumbline.local_system import REPOSITORY, ROOT, Clone, LocalSystem
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
from tests.invariants import recorded_of, wait_converged
from tests.journeys.test_drift import with_policy
from worker.domain.axes import standing, told
from worker.domain.episodes import Event

Status = Callable[..., subprocess.CompletedProcess[str]]


def status_of(control_plane: ControlPlane, namespace: str) -> Status:
    """`plumbline status` of the environment `production`, as its operator calls it."""

    def status(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable, "-m", "plumbline", "status", "-e", "production", "--repository", REPOSITORY,
            "--kubeconfig", str(control_plane.kubeconfig()), "-n", namespace, "--state-namespace", f"state-{namespace}",
            *arguments,
        ]  # fmt: skip
        return subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environ}, timeout=60, check=False
        )

    return status


def facts_of(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def on_a_terminal(command: list[str], **environ: str) -> str:
    """What a command writes where its output is a terminal."""
    master, slave = pty.openpty()
    running = subprocess.Popen(command, stdout=slave, stderr=slave, cwd=ROOT, env={**os.environ, **environ})
    os.close(slave)
    written = b""
    with os.fdopen(master, "rb", buffering=0) as terminal:
        while True:
            try:
                piece = terminal.read(4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not piece:
                break
            written += piece
    running.wait()
    return written.decode()


def assert_pages_agree(system: LocalSystem, found: dict[str, Any]) -> None:
    """What the bot was told comes to the same as what the record says."""
    with closing(redis.Redis.from_url(system.redis_url)) as connection:
        board = Board(connection)
        stands = standing(told(board.history(REPOSITORY, "production"), board.episodes(REPOSITORY, "production")))
    axes = stands.axes
    assert (axes.sync.value, axes.health.value, axes.operation.value, stands.word.value) == (
        found["sync"], found["health"], found["operation"], found["state"],
    )  # fmt: skip


def heard(system: LocalSystem, event: Event) -> bool:
    """Whether the bot has noted an event as the last one."""
    with closing(redis.Redis.from_url(system.redis_url)) as connection:
        said = Board(connection).episodes(REPOSITORY, "production")
        return bool(said) and said[-1].news.event is event


def test_status_says_who_changed_what_and_what_comes_next_and_when_it_is_over(
    system: LocalSystem, clone: Clone, control_plane: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    status = status_of(control_plane, namespace)
    clone.write("plumbline.yaml", with_policy(namespace, "mode: alert, diff-after: 0s, settle: 1s, remind: 1h"))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"word": "hunter2-of-git"}}
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.write("app/gone.yaml", config_map("gone", n="1"))
    clone.write("app/s.yaml", json.dumps(secret))
    revision = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, revision)

    run = status("-o", "json")
    assert run.returncode == 0, run.stderr
    found = facts_of(run)
    assert (found["state"], found["sync"], found["health"], found["operation"]) == (
        "converged", "in sync", "healthy", "succeeded",
    )  # fmt: skip
    assert (found["episode"], found["next"], found["cause"]) == (None, [], None)
    assert found["proof"]["revision"] == revision
    assert found["proof"]["objects"] == 3
    assert len(found["proof"]["digest"]) == 64
    assert [entry["what"] for entry in found["timeline"]] == ["converged"]
    assert_pages_agree(system, found)

    kubectl("-n", namespace, "patch", "configmap", "a", "--field-manager=bob", "-p", '{"data":{"n":"9"}}')
    kubectl("-n", namespace, "patch", "secret", "s", "--field-manager=eve", "-p", '{"stringData":{"word":"hunter2-live"}}')  # fmt: skip
    kubectl("-n", namespace, "delete", "configmap", "gone")

    def all_seen() -> bool:
        episode = recorded_of(system).state.episode
        return episode is not None and len(episode.drift) == 3

    wait_until(all_seen, 20, "all of it is noticed")
    run = status("-o", "json")
    assert run.returncode == 3, run.stderr
    found = facts_of(run)
    assert (found["state"], found["sync"], found["health"], found["cause"]) == (
        "drifted",
        "diverged",
        "missing",
        "drift",
    )
    episode = found["episode"]
    assert set(episode["author"].split(", ")) == {"bob", "eve"}
    by_object = {each["object"].rpartition("/")[2]: each for each in episode["fields"]}
    value = by_object["a"]
    assert (value["path"], value["git"], value["cluster"]) == ("data.n", "1", "9")
    assert (value["manager"], value["operation"]) == ("bob", "Update")
    assert value["at"].endswith("Z")
    gone = by_object["gone"]
    assert (gone["cluster"], gone["manager"], gone["operation"], gone["at"]) == ("is gone", None, None, None)
    assert [each["what"] for each in found["next"]] == [
        "stays as it is until Git or the cluster is changed",
        "reminder",
    ]
    assert 3500 < found["next"][1]["seconds"] <= 3600
    assert "hunter2" not in run.stdout

    def pages_know() -> bool:
        with closing(redis.Redis.from_url(system.redis_url)) as connection:
            said = Board(connection).episodes(REPOSITORY, "production")
            return bool(said) and len(said[-1].news.episode.drift) == 3

    wait_until(pages_know, 10, "the bot heard of it")
    assert_pages_agree(system, found)

    text = status()
    assert text.returncode == 3
    assert text.stdout.startswith("production  drifted for ")
    assert "\x1b" not in text.stdout, "no colours where nobody sees them"
    words = " ".join(text.stdout.split())
    for said in (
        "sync diverged (drift)",
        "ConfigMap t",
        "data.n 9, Git says 1 by bob (Update), last wrote at ",
        "is gone, Git has it by whom and when is not known",
        "reminder in 59 m",
        f"proof {revision[:7]}: every specified field of 3 objects; 3 healthy",
        "diverged",
    ):
        assert said in words, text.stdout
    assert "hunter2" not in text.stdout
    shown = on_a_terminal(list(text.args))
    assert shown.startswith("\x1b[31;1mproduction  drifted for ")
    assert "\x1b" not in on_a_terminal(list(text.args), NO_COLOR="1")

    kubectl("-n", namespace, "apply", "--server-side", "--field-manager=bob", "--force-conflicts", "-f", "-", text=config_map("gone", n="1"))  # fmt: skip
    kubectl("-n", namespace, "patch", "configmap", "a", "--field-manager=bob", "-p", '{"data":{"n":"1"}}')
    kubectl("-n", namespace, "patch", "secret", "s", "--field-manager=eve", "-p", '{"stringData":{"word":"hunter2-of-git"}}')  # fmt: skip
    kubectl("-n", namespace, "label", "configmap", "gone", f"plumbline.io/environment={label_of(kubectl, namespace)}")
    wait_until(lambda: heard(system, Event.CONVERGED), 30, "it is over")
    run = status("-o", "json")
    assert run.returncode == 0, run.stdout
    found = facts_of(run)
    assert (found["state"], found["episode"], found["next"]) == ("converged", None, [])
    assert [entry["what"] for entry in found["timeline"]] == ["converged", "diverged", "converged"]
    assert_pages_agree(system, found)


def label_of(kubectl: Kubectl, namespace: str) -> str:
    where = "jsonpath={.metadata.labels.plumbline\\.io/environment}"
    return kubectl("-n", namespace, "get", "configmap", "a", "-o", where).stdout

"""An environment that is taken out of plumbline.yaml while it differs: that ends with a word of its own, and is told once."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import redis

from bot.board import Board
from bot.standing import timeline, view
from plumbline.local_system import REPOSITORY, Clone
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import Kubectl, StartSystem, config_map
from tests.invariants import note_of, recorded_of, wait_converged
from tests.journeys.test_alerts import told
from tests.journeys.test_drift import edit, value_of, with_policy
from tests.journeys.test_status import facts_of, status_of
from worker.domain.axes import Word
from worker.domain.convergence import Phase


def test_what_is_no_longer_declared_is_left_as_it_is_and_told_once_and_converged_when_it_is_declared_again(
    tmp_path: Path,
    namespace: str,
    control_plane: ControlPlane,
    empty_redis: str,
    start_system: StartSystem,
    kubectl: Kubectl,
) -> None:
    with told(tmp_path / "system", control_plane, empty_redis, start_system) as (system, receiver):

        def of_type(name: str) -> list[dict[str, str]]:
            return [each["data"] for each in receiver.events if each["type"] == f"io.plumbline.{name}"]

        clone = Clone(tmp_path / "clone", system.repository)

        def push(text: str) -> str:
            clone.write("plumbline.yaml", text)
            revision = clone.commit("declared")
            pushed = clone.push("-o", "plumbline.wait=0", "origin", "main")
            assert pushed.returncode == 0, pushed.stderr
            return revision

        clone.write("app/a.yaml", config_map("a", n="1"))
        declared = with_policy(namespace, "mode: alert, diff-after: 0s, settle: 1s")
        revision = push(declared)
        wait_converged(system, revision)
        edit(kubectl, namespace, "9")
        wait_until(lambda: bool(of_type("diff")), 20, "the drift is told of")
        without = push("environments: []\n")
        wait_until(lambda: bool(of_type("left")), 30, "that nobody looks any more is told")
        (left,), (diff,) = of_type("left"), of_type("diff")
        assert left["episode"] == diff["episode"]
        assert left["text"].startswith(f"No longer declared in {without[:7]}: its objects stay as they are")
        state = recorded_of(system).state
        assert (state.episode, state.operation and state.operation.phase) == (None, Phase.LEFT)
        wait_until(lambda: note_of(system, revision).get("state") == "left", 10, "the drifted commit's note says it")

        run = status_of(control_plane, namespace)
        found = facts_of(run("-o", "json"))
        assert (found["state"], found["sync"], found["watched"]) == ("no longer declared", "unknown", False)
        assert (found["episode"], found["health"]) == (None, "healthy")
        text = run().stdout
        assert re.search(rf"reason +no longer declared in {without[:7]}: its objects stay", text)
        assert "nobody looks at it any more" in text
        with closing(redis.Redis.from_url(empty_redis)) as connection:
            board = Board(connection)
            history, episodes = board.history(REPOSITORY, "production"), board.episodes(REPOSITORY, "production")
            shown = view(history, episodes)
            assert (shown.standing.word, shown.episode) == (Word.LEFT, None)
            assert shown.sentence.startswith(f"No longer declared in {without[:7]}")
            assert [str(each.word) for each in timeline(history, episodes)][:2] == ["no longer declared", "left"]

        edit(kubectl, namespace, "8")  # nobody looks, so nothing is said, and nothing is healed
        again = push(with_policy(namespace, "mode: alert, diff-after: 0s, settle: 1s, remind: 1h"))
        wait_converged(system, again)
        assert value_of(kubectl, namespace) == "1"
        assert (len(of_type("left")), len(of_type("diff"))) == (1, 1)
        assert recorded_of(system).state.episode is None

"""Who wants to know is told: of the commit, of the drift with its author, and of its end; and the commit's note says it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import Kubectl, StartSystem, config_map
from tests.doubles.receiver import SECRET, Receiver, receiving
from tests.invariants import wait_converged
from tests.journeys.test_drift import edit, with_policy


@contextmanager
def told(
    folder: Path, control_plane: ControlPlane, redis_url: str, start_system: StartSystem
) -> Iterator[tuple[LocalSystem, Receiver]]:
    """All of Plumbline, and somebody who is told of everything."""
    folder.mkdir()
    key = folder / "receiver-key"
    key.touch(mode=0o600)
    key.write_text(SECRET)
    with receiving() as receiver:
        more = (
            f"alerts: {{receivers: [{{name: ops, webhook: 'http://127.0.0.1:{receiver.port}/hook', "
            "secret: {file: receiver-key}, networks: [127.0.0.1/32]}]}\n"
        )
        with start_system(control_plane.kubeconfig("worker"), redis_url, more=more) as system:
            yield system, receiver


def test_a_drift_is_told_with_its_author_once_and_once_that_it_is_over(
    tmp_path: Path,
    namespace: str,
    control_plane: ControlPlane,
    empty_redis: str,
    start_system: StartSystem,
    kubectl: Kubectl,
) -> None:
    with told(tmp_path / "system", control_plane, empty_redis, start_system) as (system, receiver):
        clone = Clone(tmp_path / "clone", system.repository)
        clone.write("plumbline.yaml", with_policy(namespace, "mode: alert, diff-after: 0s, settle: 1s"))
        clone.write("app/a.yaml", config_map("a", n="1"))
        revision = clone.commit("first")
        pushed = clone.push("-o", "plumbline.wait=0", "origin", "main")
        assert pushed.returncode == 0, pushed.stderr
        wait_converged(system, revision)

        def types() -> list[str]:
            return [each["type"].removeprefix("io.plumbline.") for each in receiver.events]

        def note() -> str:
            return git("notes", "--ref", "refs/notes/plumbline", "show", revision, at=system.repository).split("\n")[0]

        wait_until(lambda: types() == ["change-committed", "converged"], 20, "the commit is told of")
        edit(kubectl, namespace, "9")
        began = time.monotonic()
        wait_until(lambda: "diff" in types(), 20, "the drift is told of")
        print(f"\n  told after {time.monotonic() - began:.2f} s", end="")
        (diff,) = [each["data"] for each in receiver.events if each["type"] == "io.plumbline.diff"]
        (entry,) = diff["objects"]
        (field,) = entry["fields"]
        assert (diff["revision"], entry["key"]["name"]) == (revision, "a")
        assert (field["path"], field["desired"], field["observed"]) == ("data.n", "1", "9")
        assert (field["manager"], field["operation"]) == ("bob", "Update")
        wait_until(lambda: "Drifted: ConfigMap" in note(), 20, "the note says it")
        assert "data.n 9, Git says 1 (bob, " in note()
        edit(kubectl, namespace, "1")
        wait_until(lambda: types()[3:] == ["converged"], 30, "and that it is over")
        over = receiver.events[3]["data"]
        assert (over["episode"], over["proof"]["revision"]) == (diff["episode"], revision)
        assert types() == ["change-committed", "converged", "diff", "converged"]
        wait_until(lambda: "Back to what Git says" in note(), 20, "the note says that too")
        assert SECRET not in system.log("bot")

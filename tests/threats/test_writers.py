"""Several writers, and one that stands still; each name begins with the fault's number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Kubectl, config_map
from tests.world import World
from worker.adapters.lease import held
from worker.domain.environment import Mode
from worker.domain.errors import LeaseLost, Superseded
from worker.domain.reports import Step


def test_f11_two_writers_are_serial_and_an_older_revision_never_lands_after_a_newer(world: World) -> None:
    order: list[str] = []
    guard = threading.Lock()

    def write(number: int) -> None:
        mine = World(world.kubeconfig, world.namespace)
        mine.states.key()
        with held(mine.states.records, mine.environment.state_name, "test", f"writer-{number}") as lease:
            lease.check()
            with guard:
                order.append(f"in {number}")
            lease.check()
            with guard:
                order.append(f"out {number}")

    world.states.key()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(order) == 24
    for entered, left in zip(order[::2], order[1::2], strict=True):
        assert entered.removeprefix("in ") == left.removeprefix("out ")


def test_f11_a_newer_commit_stops_an_older_one_at_its_next_group(world: World, kubectl: Kubectl) -> None:
    def newer_came() -> None:
        if "configmap/one" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout:
            raise Superseded("b" * 40)

    service = json.dumps(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    )
    with pytest.raises(Superseded):
        world.converge(f"{config_map('one', a='1')}\n---\n{service}", before_write=newer_came)
    assert kubectl("-n", world.namespace, "get", "services", "-o", "name").stdout == ""


def test_f12_a_writer_that_stood_still_writes_nothing_after_another_took_over(world: World, tmp_path: Path) -> None:
    script = tmp_path / "holder.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            from tests.world import World
            from worker.adapters.lease import held
            from worker.domain.errors import LeaseLost

            world = World(Path(sys.argv[1]), sys.argv[2])
            with held(world.states.records, world.environment.state_name, "test", "first") as lease:
                print("holding", flush=True)
                sys.stdin.readline()
                try:
                    lease.check()
                except LeaseLost as error:
                    print(f"stopped: {error}", flush=True)
                else:
                    print("wrote", flush=True)
            """
        )
    )
    root = Path(__file__).parents[2]
    first = subprocess.Popen(
        [sys.executable, str(script), str(world.kubeconfig), world.namespace],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == "holding\n"
    first.send_signal(signal.SIGSTOP)
    until = time.monotonic() + 60
    while True:
        try:
            world.converge(config_map("second", a="1"), holder="second")
            break
        except Exception as error:
            assert time.monotonic() < until, error
    first.send_signal(signal.SIGCONT)
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline().startswith("stopped: lease lost")
    first.communicate(timeout=20)
    assert first.returncode == 0


def test_f01_f05_the_same_revision_again_says_how_it_ended_records_nothing_and_never_that_it_converges(
    world: World, kubectl: Kubectl
) -> None:
    text, revision = config_map("a", n="1"), "a" * 40
    first = world.converge(text, revision=revision)
    assert [fact.step for fact in world.facts][:1] == [Step.CONVERGING]
    record = ("-n", world.state_namespace, "get", "configmaps", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
    before = kubectl(*record).stdout
    assert before
    again = world.converge(text, revision=revision)
    assert [fact.step for fact in world.facts] == [Step.VERIFIED, Step.CONVERGED]
    assert first.state.ending is not None
    assert world.facts[-1].at == first.state.ending["at"], "the ending is the old one: nothing newer was said before it"
    assert 0 < world.facts[0].at < world.facts[-1].at, "the ending stays the newest word: nothing settles once more"
    assert again.state == first.state
    assert kubectl(*record).stdout == before

    kubectl("-n", world.namespace, "patch", "configmap", "a", "-p", '{"data":{"n":"9"}}')
    left = world.converge(text, revision=revision)
    assert [fact.step for fact in world.facts] == [Step.CONVERGED], "drift is not healed by asking again, in mode alert"
    assert left.state == first.state
    live = ("-n", world.namespace, "get", "configmap", "a", "-o", "jsonpath={.data.n}")
    assert kubectl(*live).stdout == "9"

    healing = world.with_policy(mode=Mode.HEAL)
    healing.converge(text, revision=revision)
    steps = [fact.step for fact in healing.facts]
    assert steps[0] is Step.CONVERGING, "something is to be done after all"
    assert steps[-1] is Step.CONVERGED
    assert kubectl(*live).stdout == "1"


def test_lease_lost_is_an_error_of_its_own() -> None:
    assert "held by another worker" in str(LeaseLost("production"))

"""`plumbline apply`: apply a folder, wait for health in this process, prove every field."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from typing import TYPE_CHECKING

from plumbline.target_arguments import add_source, add_target, gathered, states_of

if TYPE_CHECKING:
    from worker.domain.convergence import Operation
    from worker.operations.advancing import Fact

DIVERGED, HELD = 3, 4
LOOK_EVERY = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_source(parser)
    add_target(parser)
    parser.add_argument("--prune", action="store_true", help="also delete what is no longer in the folder")
    parser.add_argument("--timeout", type=_seconds, default=120.0, metavar="T", help="how long to wait for health (2m)")
    parser.add_argument("--settle", type=_seconds, default=0.0, metavar="T", help="how long it must stay so (0s)")
    parser.add_argument(
        "--confirm-prune",
        action="append",
        default=[],
        metavar="CODE",
        help="confirm exactly the held plan of this code",
    )
    parser.epilog = "Exit code: 0 verified, 3 diverged (why is printed), 4 held, 1 error, 64 wrong call."
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    from worker.domain.schema import seconds_of

    found = seconds_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write it like 30s, 5m or 1h30m")
    return found


def run(arguments: argparse.Namespace) -> int:
    """Applies and waits; the exit code says how it ended."""
    from worker.adapters.lease import held
    from worker.domain.convergence import Phase
    from worker.domain.errors import Refused
    from worker.operations.converging import Run, converge, look

    target, rendered = gathered(arguments)
    states = states_of(arguments, target.cluster)
    environment = target.environment
    began = time.time()

    def say(_: Operation, fact: Fact) -> None:
        _print(fact, time.time() - began)

    holder = f"{socket.gethostname()}-{os.getpid()}"
    with held(states.records, environment.state_name, environment.name, holder) as lease:
        recorded = states.read(environment)
        operation = recorded.state.operation
        if operation is not None and operation.branch:
            raise Refused(
                f"the environment {environment.name} follows the branch {operation.branch}, which a server converges",
                "push to the branch instead, or use another environment's name",
            )
        revision = f"worktree:{rendered.inputs[:40]}"
        running = Run(target, states, revision, "", began, time.time, say, lease.check)
        recorded = converge(running, recorded, lambda: rendered.resources, tuple(arguments.confirm_prune))
        while (operation := recorded.state.operation) is not None and operation.phase.is_open:
            time.sleep(LOOK_EVERY)
            recorded = look(running, recorded, lambda: rendered.resources)
    phase = operation.phase if operation else Phase.FAILED
    if phase is Phase.SUCCEEDED:
        return 0
    return HELD if phase is Phase.HELD else DIVERGED


def _print(fact: Fact, seconds: float) -> None:
    from plumbline.screen import print_fact
    from worker.domain.reports import Step

    colours = {
        Step.FAILED: "31;1",
        Step.DEGRADED: "31",
        Step.HELD: "33;1",
        Step.VERIFIED: "32;1",
        Step.CONVERGED: "32;1",
        Step.HEALTHY: "32",
    }
    stream = sys.stderr if fact.step in (Step.FAILED, Step.HELD) else sys.stdout
    print_fact(str(fact.step), colours.get(fact.step, "0"), fact.text, seconds, stream)

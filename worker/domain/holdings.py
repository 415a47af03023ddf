"""What holds an environment, and what lies beside Git there: the one list of each, for pages, terminals and chat."""

from __future__ import annotations

from typing import Final

from worker.domain.brevity import is_full
from worker.domain.convergence import EnvironmentState, Phase, short
from worker.domain.episode_text import addition, lost
from worker.domain.locks import Holding, locked, waits

MOST: Final = 20

RUNS: Final = {
    Phase.QUEUED: "is to be converged",
    Phase.PLANNING: "is being planned",
    Phase.APPLYING: "is being applied",
    Phase.WAITING: "waits for health",
    Phase.SETTLING: "is settling",
}


def holdings(state: EnvironmentState, environment: str, now: float) -> tuple[Holding, ...]:
    """What holds an environment at a Unix time, the longest word first: freeze, hold, a plan that waits, what runs."""
    found, operation = list(held(state, environment, now)), state.operation
    if operation is not None and operation.phase in RUNS:
        what = f"{short(operation.revision)} {RUNS[operation.phase]}"
        found.append(Holding(what, operation.started, operation.said, "", "ends by itself"))
    return tuple(found)


def held(state: EnvironmentState, environment: str, now: float) -> tuple[Holding, ...]:
    """What holds an environment until people end it, in the same order."""
    found, locks = [], state.locks
    if locks.freeze is not None:
        found.append(locked(locks.freeze, "freeze", environment))
    if locks.hold is not None:
        found.append(locked(locks.hold, "hold", environment))
    if state.awaited is not None:
        found.append(waits(locks, state.awaited, environment, now))
    return tuple(found)


def beside(state: EnvironmentState) -> list[str]:
    """What people's tools added and whose fields are not ours any more, a sentence each; at most MOST, the rest counted."""
    found = [*map(addition, state.additions), *map(lost, state.lost)]
    if is_full(state.additions) or is_full(state.lost):
        left = len(found) - MOST
        return [*found[:MOST], f"and at least {left} more" if left > 0 else "and more than the record has room for"]
    more = f"and {len(found) - MOST} more: plumbline status names them"
    return found if len(found) <= MOST else [*found[:MOST], more]

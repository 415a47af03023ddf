"""An environment that is left: what was open of it ends with a word of its own, and nothing looks at it any more."""

from __future__ import annotations

import pytest

from worker.adapters.inventory import Recorded
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase
from worker.domain.episodes import Cause, Episode, Stage
from worker.domain.inventory import Inventory
from worker.domain.locks import Lock, Locks
from worker.leaving import left
from worker.observing import is_watched

REVISION, TEXT = "a" * 40, "no longer declared in bbbbbbb: its objects stay as they are, and are not looked at any more"
OPEN = Episode("e1", REVISION, Cause.DRIFT, Stage.OPEN, 100.0, alerted=110.0)
NOTICED = Episode("e1", REVISION, Cause.DRIFT, Stage.NOTICED, 100.0)


def state(phase: Phase, episode: Episode | None = None) -> EnvironmentState:
    return EnvironmentState(
        "shop/production", "uid", Operation(REVISION, "main", phase, 1.0, 2.0, said="before", troubled=3.0),
        applied=Mark(REVISION, 4.0), converged=Mark(REVISION, 5.0), episode=episode, health="degraded", next_at=700.0,
        locks=Locks(hold=Lock("bob", 6.0, "because")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("before", "was", "episode"),
    [
        (state(Phase.SUCCEEDED), "converged", ""),
        (state(Phase.SUCCEEDED, OPEN), "diverged", "e1"),
        (state(Phase.SUCCEEDED, NOTICED), "converged", ""),  # never alerted: nobody is to be told that it ends
        (state(Phase.FAILED), "failed", ""),
        (state(Phase.HELD, OPEN), "diverged", "e1"),
        (state(Phase.WAITING), "waiting", ""),
        (state(Phase.APPLYING), "applying", ""),
    ],
)
def test_what_was_open_ends_and_how_it_stood_is_said(before: EnvironmentState, was: str, episode: str) -> None:
    after = left(before, TEXT, 900.0)
    assert after.operation is not None
    assert (after.operation.phase, after.operation.said, after.operation.troubled) == (Phase.LEFT, TEXT, 0.0)
    assert (after.episode, after.healed, after.next_at, after.health) == (None, None, 0.0, "")
    assert (after.ending["proof"]["was"], after.ending["proof"]["episode"]) == (was, episode)
    assert (after.ending["step"], after.ending["text"], after.ending["at"]) == ("left", TEXT, 900.0)
    assert after.history[-1]["outcome"] == "left"
    assert (after.applied, after.converged, after.locks) == (before.applied, before.converged, before.locks)
    assert EnvironmentState.from_json(after.to_json()) == after


def test_what_is_left_is_not_watched() -> None:
    before = state(Phase.SUCCEEDED, OPEN)
    assert is_watched(Recorded(before, Inventory(())))
    assert not is_watched(Recorded(left(before, TEXT, 900.0), Inventory(())))

"""How often what is held is told: once a period, not when it begins, and the same whoever says it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.domain.convergence import EnvironmentState, Operation, Phase
from worker.domain.hold_reminder import HoldReport, times_due
from worker.domain.holdings import held
from worker.domain.locks import Awaited, Holding, Lock, Locks
from worker.domain.reports import report_from_json

REVISION = "f" * 40
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("since", "period", "expected"),
    [
        (NOW, 10.0, 0),
        (NOW - 9.9, 10.0, 0),
        (NOW - 10.0, 10.0, 1),
        (NOW - 19.9, 10.0, 1),
        (NOW - 20.0, 10.0, 2),
        (NOW - 7 * 86400.0, 3600.0, 168),
        (NOW + 60.0, 10.0, 0),  # another machine's clock
    ],
)
def test_a_hold_is_told_once_a_period(since: float, period: float, expected: int) -> None:
    assert times_due(since, period, NOW) == expected


HELD, FROZEN = Lock("bob", 1.0, "migration"), Lock("eve", 2.0)
AWAITED = Awaited(REVISION, "a" * 64, 3.0, "3 deletions", confirmation=True)


@pytest.mark.parametrize(
    ("phase", "locks", "expected"),
    [
        (Phase.SUCCEEDED, Locks(), []),
        (Phase.WAITING, Locks(), []),  # that ends by itself
        (Phase.SUCCEEDED, Locks(hold=HELD), [("held", 1.0)]),
        (Phase.HELD, Locks(hold=HELD, freeze=FROZEN), [("frozen", 2.0), ("held", 1.0)]),
        (Phase.HELD, Locks(awaited=AWAITED), [("waits for a confirmation of its deletions", 3.0)]),
        (Phase.SUCCEEDED, Locks(awaited=AWAITED), []),  # it waits no more
    ],
)
def test_what_only_people_end_is_told(phase: Phase, locks: Locks, expected: list[tuple[str, float]]) -> None:
    state = EnvironmentState("shop/production", "uid", Operation(REVISION, "main", phase, 1.0, 2.0), locks=locks)
    assert [(each.what, each.since) for each in held(state, "production", NOW)] == expected


def test_a_reminder_stays_itself_on_its_way_and_is_told_from_every_other_hold() -> None:
    report = HoldReport("shop", "production", "main", REVISION, Holding("frozen", NOW, "", "eve", "/thaw"), 2, 10.0)
    assert report_from_json(report.to_json()) == report
    assert report.at == NOW + 20.0
    later = replace(report, holding=replace(report.holding, since=NOW + 0.5))
    assert later.subject != report.subject

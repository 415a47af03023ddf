"""When what moved is looked at: at once after quiet, together within a moment, and seldom where something always moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from worker.domain.resource import ResourceKey
from worker.moves import BETWEEN, BETWEEN_ALWAYS, IN_A_ROW, LATER, SOON, Moves

SLUG = "shop/production"
READY = frozenset({SLUG})


def key(number: int) -> ResourceKey:
    return ResourceKey("", "ConfigMap", "n", f"c{number}")


def looks(moves: Moves, times: Iterable[float], *, is_written: bool = True, until: float) -> list[float]:
    """When looks are asked for (to 10 ms) while an object moves at each of `times`; seconds."""
    left, found = sorted(times), []
    for step in range(int(until * 100) + 1):
        now = step / 100
        while left and left[0] <= now:
            moves.add(SLUG, key(len(left)), left.pop(0), is_written=is_written)
        if moves.due(now, READY):
            found.append(now)
    return found


def test_what_moves_after_quiet_is_looked_at_at_once_and_what_comes_with_it_in_the_same_look() -> None:
    moves = Moves()
    moves.add(SLUG, key(1), 5.0, is_written=True)
    moves.add(SLUG, key(2), 5.005, is_written=True)
    assert moves.due(5.0 + SOON / 2, READY) == {}
    assert moves.due(5.0 + SOON, READY) == {SLUG: frozenset({key(1), key(2)})}
    assert moves.due(99.0, READY) == {}, "nothing is looked at twice"


def test_a_status_alone_waits() -> None:
    assert looks(Moves(), [0.0], is_written=False, until=3) == [LATER]


def test_what_is_not_ready_is_kept_until_it_is() -> None:
    moves = Moves()
    moves.add(SLUG, key(1), 0.0, is_written=True)
    assert moves.due(1.0, frozenset()) == {}
    assert moves.wait(1.0, frozenset()) is None
    assert moves.due(1.0, READY) == {SLUG: frozenset({key(1)})}


def test_where_something_always_moves_looks_grow_apart_and_come_soon_again_after_a_pause() -> None:
    storm = [number / 50 for number in range(50 * 10)]
    found = looks(Moves(), [*storm, 20.0], until=22)
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert all(gap >= BETWEEN - 0.011 for gap in gaps)
    assert all(gap < 2 * BETWEEN for gap in gaps[: IN_A_ROW - 1]), "for two seconds it is followed closely"
    assert all(gap >= BETWEEN_ALWAYS - 0.011 for gap in gaps[IN_A_ROW + 1 :])
    assert max(gap for gap in gaps[:-1]) < 1.5 * BETWEEN_ALWAYS, "nothing waits longer than that"
    assert found[-1] - 20.0 <= SOON + 0.011, "after a pause at once"


def test_drift_that_is_healed_every_second_is_no_storm() -> None:
    times = [at + echo for at in range(20) for echo in (0.0, 0.06)]
    found = looks(Moves(), times, until=21)
    for at in range(20):
        assert any(at <= look <= at + SOON + 0.011 for look in found), f"the one at {at} s is looked at at once"

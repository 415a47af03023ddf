"""The outbox on a real Redis: the latest of each thing, in order, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from bot.outbox import Outbox
from worker.domain.errors import Unavailable


@pytest.fixture
def outbox(redis_url: str) -> Iterator[Outbox]:
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        yield Outbox(connection)


def test_f45_forty_missed_changes_become_one_write_and_nothing_older_comes_after(outbox: Outbox) -> None:
    for number in range(40):
        assert outbox.put("shop", "convergence r production", number, "convergence", {"n": number})
    (row,) = outbox.rows("shop")
    assert (row.sequence, row.message) == (39, {"n": 39})
    outbox.done("shop", row)
    assert not outbox.rows("shop")
    assert not outbox.put("shop", "convergence r production", 12, "convergence", {"n": 12})
    assert not outbox.rows("shop")


def test_what_is_said_while_it_is_written_is_kept_and_rows_come_in_order(outbox: Outbox) -> None:
    outbox.put("shop", "b", 1, "convergence", {"n": 1})
    outbox.put("shop", "a", 2, "convergence", {"n": 2})
    first, _ = outbox.rows("shop")
    assert first.name == "b"
    outbox.put("shop", "b", 3, "convergence", {"n": 3})
    outbox.done("shop", first)
    assert [(row.name, row.message["n"]) for row in outbox.rows("shop")] == [("a", 2), ("b", 3)]
    assert not outbox.rows("other")


def test_one_process_writes_at_a_time(outbox: Outbox) -> None:
    with outbox.writing("shop"):
        with pytest.raises(Unavailable), outbox.writing("shop"):
            pass
        with outbox.writing("other"):
            pass
    with outbox.writing("shop"):
        pass


def test_f44_a_forge_that_is_away_is_left_alone_for_as_long_as_it_asks_and_longer_each_time(outbox: Outbox) -> None:
    assert outbox.quiet("shop") == 0
    assert outbox.failed("shop", 90.0) == 90.0
    assert 80 < outbox.quiet("shop") <= 90
    waits = [outbox.failed("shop", None) for _ in range(9)]
    assert waits == sorted(waits)
    assert waits[-1] == 300.0
    outbox.succeeded("shop")
    assert outbox.quiet("shop") == 0
    assert outbox.failed("shop", None) == 1.0


def test_f46_what_was_written_is_known(outbox: Outbox) -> None:
    assert outbox.written("shop", "r plumbline/predict") == ""
    outbox.wrote("shop", "r plumbline/predict", "d1")
    assert outbox.written("shop", "r plumbline/predict") == "d1"
    assert outbox.written("shop", "r plumbline/converge") == ""


def test_a_process_knows_whether_another_wrote_since_it_did(outbox: Outbox, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        other = Outbox(connection)
        found = []
        for each, repository in (
            (outbox, "a"),
            (outbox, "a"),
            (other, "a"),
            (outbox, "b"),
            (outbox, "a"),
            (outbox, "a"),
        ):
            with each.writing(repository) as is_same:
                found.append(is_same)
    assert found == [False, True, False, False, False, True]

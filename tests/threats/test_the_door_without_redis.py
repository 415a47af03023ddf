"""The door for webhooks while Redis stands still or is gone: refused at once, by a server that goes on, and taken afterwards."""

from __future__ import annotations

import concurrent.futures
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from sandbox.processes import wait_until
from sandbox.redis_server import RedisServer
from tests.bot.test_webhooks import Door, headers, jobs, push

CROWD = 350
"""More than web has threads."""


@pytest.fixture
def door(own_redis: RedisServer, tmp_path: Path) -> Iterator[Door]:
    """The shipped web process on that Redis, which it has spoken to."""
    made = Door(tmp_path, own_redis.url)
    assert made.deliver(push("before"), **headers(push("before"), "before"))[0] == 202
    yield made
    made.process.terminate()
    made.process.wait(20)


PAUSE_MS = 6000


def pause(server: RedisServer, which: str, milliseconds: int = PAUSE_MS) -> None:
    """Nothing else ends the pause of everything than its time."""
    with contextlib.closing(redis.Redis.from_url(server.url)) as connection:
        connection.client_pause(milliseconds, all=which == "ALL")


HOW: dict[str, tuple[Callable[[RedisServer], None], Callable[[RedisServer], None]]] = {
    "CLIENT PAUSE ALL": (lambda own: pause(own, "ALL"), lambda own: None),
    "CLIENT PAUSE WRITE": (lambda own: pause(own, "WRITE"), lambda own: None),
    "SIGSTOP": (lambda own: own.server.signal(signal.SIGSTOP), lambda own: own.server.signal(signal.SIGCONT)),
    "SIGKILL": (lambda own: own.server.kill(), lambda own: own.server.restart()),
}


@pytest.mark.timed
@pytest.mark.parametrize("how", HOW)
def test_f04_a_delivery_is_refused_within_two_seconds_while_redis_stands_still_and_taken_afterwards(
    door: Door, own_redis: RedisServer, how: str
) -> None:
    away, back = HOW[how]
    away(own_redis)

    def deliver(number: int) -> tuple[int, float]:
        body, began = push(f"b{number}"), time.monotonic()
        code, _ = door.deliver(body, **headers(body, f"d{number}"))
        return code, time.monotonic() - began

    code, seconds = deliver(0)
    assert code == 503
    assert seconds < 2
    with concurrent.futures.ThreadPoolExecutor(CROWD) as pool:
        answers = list(pool.map(deliver, range(CROWD)))
        assert {code for code, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < 2, "a crowd waits no longer than one does"
    assert door.answers(), "the server itself goes on"

    back(own_redis)
    wait_until(lambda: deliver(CROWD)[0] == 202, PAUSE_MS / 1000 + 5, "a delivery is taken again")
    answers = [deliver(number) for number in range(CROWD)]
    assert {code for code, _ in answers} == {202}, "what was refused counts as a duplicate"
    with contextlib.closing(redis.Redis.from_url(own_redis.url)) as connection:
        assert jobs(connection) >= CROWD + 1
        assert sum(1 for _ in connection.scan_iter("rq:job:look-*")) == jobs(connection), "a job stands in no queue"


@pytest.mark.timed
def test_f04_the_first_crowd_that_meets_a_redis_that_stands_still_waits_no_longer(
    door: Door, own_redis: RedisServer
) -> None:
    own_redis.server.signal(signal.SIGSTOP)

    def deliver(number: int) -> tuple[int, float]:
        body, began = push(f"b{number}"), time.monotonic()
        code, _ = door.deliver(body, **headers(body, f"d{number}"))
        return code, time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(deliver, range(40)))
    assert {code for code, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < 2


def test_f04_a_crowd_that_meets_a_redis_that_hesitates_is_taken_whole(door: Door, own_redis: RedisServer) -> None:
    def deliver(number: int) -> int:
        body = push(f"b{number}")
        return door.deliver(body, **headers(body, f"d{number}"))[0]

    with concurrent.futures.ThreadPoolExecutor(250) as pool:
        pause(own_redis, "ALL", 700)
        assert set(pool.map(deliver, range(250))) == {202}, "each has a connection of its own to wait with"
    with contextlib.closing(redis.Redis.from_url(own_redis.url)) as connection:
        assert jobs(connection) == 251

"""The newest request of its kind, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bot.queue import Requests
from worker.domain.messages import KEYS, PROPOSALS_QUEUE, SCHEMA, ProposalRequest
from worker.newest import Newest
from worker.signed_queue import SignedQueue

NAME = "propose-shop-7"


def said(head: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "head": head}


@pytest.fixture
def queue(empty_redis: str) -> Iterator[SignedQueue]:
    made = SignedQueue(empty_redis, b"k" * 32)
    yield made
    made.connection.close()


def test_the_later_one_is_found_in_whichever_order_they_come(queue: SignedQueue) -> None:
    newest = Newest(queue)
    assert newest.of(NAME) is None
    assert newest.lay(NAME, said("a"), 100.0)
    assert newest.lay(NAME, said("b"), 100.5)
    assert not newest.lay(NAME, said("a"), 100.2)
    assert newest.of(NAME) == said("b")
    assert newest.of("propose-shop-8") is None
    assert newest.lay(NAME, said("c"), 100.5), "of two of the same time the one that comes last counts"


def test_what_another_laid_there_counts_for_nothing(queue: SignedQueue, empty_redis: str) -> None:
    newest, other = Newest(queue), Newest(SignedQueue(empty_redis, b"x" * 32))
    other.lay(NAME, said("evil"), 100.0)
    assert newest.of(NAME) is None
    newest.lay("propose-shop-8", said("b"), 100.0)
    of_seven, of_eight = f"{KEYS}:newest:{NAME}", f"{KEYS}:newest:propose-shop-8"
    assert queue.connection.copy(of_eight, of_seven, replace=True)
    assert newest.of(NAME) is None, "one of another change request was taken"
    queue.connection.hset(of_eight, "body", '{"head":"evil"}')
    assert newest.of("propose-shop-8") is None
    queue.connection.hset(of_eight, "signature", b"\xff\xfe")
    assert newest.of("propose-shop-8") is None


def test_what_another_version_laid_there_is_left_to_it(queue: SignedQueue) -> None:
    newest = Newest(queue)
    newest.lay(NAME, said("a") | {"schema": SCHEMA + 1}, 100.0)
    assert newest.of(NAME) is None


def test_a_crowd_of_pushes_to_one_change_request_is_one_job_and_the_last_of_them_its_request(
    queue: SignedQueue,
) -> None:
    requests = Requests(queue)
    asked = [
        requests.propose(ProposalRequest("shop", 7, f"{number:040x}", "refs/pull/7/head", "main", 50.0), 100.0 + number)
        for number in range(20)
    ]
    assert asked == [True] + [False] * 19
    assert queue.length(PROPOSALS_QUEUE) == 1
    found = Newest(queue).of(ProposalRequest("shop", 7, "0" * 40, "refs/pull/7/head", "main", 50.0).name)
    assert found is not None
    assert ProposalRequest.from_json(found).head == f"{19:040x}"
    assert requests.propose(ProposalRequest("shop", 7, "0" * 40, "refs/pull/7/head", "other", 50.0), 100.0), (
        "another base"
    )

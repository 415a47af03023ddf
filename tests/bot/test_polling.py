"""What the poller asks for, beside a double of a forge and on a real Redis: what no webhook told of, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import intake, polling
from bot.forges.port import State
from bot.requests import MOST_MISSED
from sandbox.processes import wait_until
from tests.bot.beside_a_double import BesideADouble, beside_a, comes_back, goes_away
from worker.domain.errors import Unavailable
from worker.domain.messages import (
    INTAKE_QUEUE,
    PROPOSALS_QUEUE,
    LookRequest,
    PollRequest,
    applies_queue,
)

POLL = PollRequest("shop").to_json()


@pytest.fixture(params=["github", "gitlab"])
def beside(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    """The bot beside a double, on an empty Redis."""
    with beside_a(request.param, tmp_path, empty_redis) as made:
        yield made


def looks(beside: BesideADouble) -> int:
    return int(beside.redis.llen(f"rq:queue:{INTAKE_QUEUE}"))


def polled(beside: BesideADouble) -> int:
    """How many looks a poll asks for."""
    beside.redis.delete(f"rq:queue:{INTAKE_QUEUE}")
    for key in beside.redis.keys("rq:job:look-*"):
        beside.redis.delete(key)
    polling.poll(beside.desk, POLL)
    return looks(beside)


def test_f03_what_nobody_told_of_is_found_once_and_what_was_seen_is_left_alone(beside: BesideADouble) -> None:
    assert polled(beside) == 2, "the branch and the change request; a branch that nobody follows is not looked at"
    beside.look()
    beside.predicts()
    assert polled(beside) == 0
    beside.rig.push("feature", {"app/a.yaml": "a: 3\n"})
    assert polled(beside) == 1
    beside.look()
    beside.rig.push("elsewhere", {"app/a.yaml": "a: 3\n"})
    assert polled(beside) == 0
    beside.rig.push("main", {"app/b.yaml": "b: 1\n"})
    assert polled(beside) == 1
    beside.look()
    beside.rig.close_request(beside.number)
    assert polled(beside) == 0


def test_f03_a_look_asks_for_what_follows_and_the_pages_know_what_people_call_the_commit(
    beside: BesideADouble,
) -> None:
    beside.look()
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 1
    assert beside.redis.llen(f"rq:queue:{applies_queue('blue')}") == 1
    known = beside.desk.board.commits([("shop", beside.base), ("shop", beside.head)])
    assert known["shop", beside.base].subject == "Begin here"
    assert known["shop", beside.base].author
    assert ("shop", beside.head) not in known
    beside.write()
    assert beside.rig.statuses(beside.base)["plumbline/converge/staging"].state is State.PENDING


def test_the_pages_call_a_merge_by_its_change_request(beside: BesideADouble) -> None:
    beside.look()
    beside.rig.protect("main", [])
    beside.rig.edit(beside.number, title="Cart 1.5.0")
    revision = beside.rig.merge(beside.number)
    beside.converged(revision, beside.now)
    beside.write()
    found = beside.desk.board.commits([("shop", revision)])["shop", revision]
    assert (found.subject, found.author) == ("Cart 1.5.0", "ada")


def test_a_poll_asks_for_so_many_looks_at_most_and_the_next_one_for_the_rest(beside: BesideADouble) -> None:
    shop = beside.desk.settings.installation.repositories[0]
    everything = replace(shop, branches=("*",))
    object.__setattr__(beside.desk.settings.installation, "repositories", (everything,))
    for number in range(MOST_MISSED + 3):
        beside.rig.push(f"b{number}", {"x": f"{number}"}, onto=beside.base)
    assert polled(beside) == MOST_MISSED
    for branch, tip in beside.desk.forge(everything).tips().items():
        beside.desk.sightings.note_tip("shop", branch, tip)
    assert polled(beside) == 1, "only the change request is left"


def test_f44_a_forge_that_is_away_fails_the_poll_for_a_while_and_asks_for_nothing(beside: BesideADouble) -> None:
    goes_away(beside.rig)
    with pytest.raises(Unavailable):
        polling.poll(beside.desk, POLL)
    assert looks(beside) == 0
    comes_back(beside.rig)
    assert polled(beside) == 2


def test_a_repository_that_app_yaml_does_not_list_is_not_polled(beside: BesideADouble) -> None:
    before = len(beside.rig.requests())
    polling.poll(beside.desk, PollRequest("other").to_json())
    intake.look(beside.desk, LookRequest("other", 1.0, branch="main").to_json())
    assert looks(beside) == 0
    assert len(beside.rig.requests()) == before


def test_f03_the_schedule_asks_at_once_and_two_processes_ask_once(beside: BesideADouble) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=polling.keep_polling, args=(beside.desk, stop)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: looks(beside) > 0, 10, "a poll is asked for")
    stop.set()
    for thread in threads:
        thread.join(10)
    assert looks(beside) == 1
    assert not beside.desk.sightings.takes_turn("shop", 30)

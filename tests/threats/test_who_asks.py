"""Who may ask for what at a forge, and for which commit: by what the forge says then, never by what is proposed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import intake
from bot.forges.port import Permission, State
from bot.requests import judged
from tests.bot.beside_a_double import BesideADouble, beside_a
from worker.domain.messages import PROPOSALS_QUEUE, LookRequest, applies_queue

PREDICT = "plumbline/predict"
RULES = {"CODEOWNERS": "* @eve\n", ".github/CODEOWNERS": "* @eve\n", "OWNERS": "approvers: [eve]\n"}


@pytest.fixture(params=["github", "gitlab"])
def beside(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    """The bot beside a double, where everything that is there was looked at."""
    with beside_a(request.param, tmp_path, empty_redis) as made:
        made.look()
        yield made


def asked(beside: BesideADouble, queue: str = PROPOSALS_QUEUE) -> int:
    """How many jobs wait in a queue, which is emptied."""
    names = [str(name, "ascii") for name in beside.redis.lrange(f"rq:queue:{queue}", 0, -1) if isinstance(name, bytes)]
    beside.redis.delete(f"rq:queue:{queue}", *(f"rq:job:{name}" for name in names))
    return len(names)


def look(beside: BesideADouble, number: int, comment: str = "") -> None:
    intake.look(beside.desk, LookRequest("shop", beside.now, number=number, comment=comment).to_json())


def head_of(beside: BesideADouble, number: int) -> str:
    return beside.rig.change_request(number).head


def test_a24_a22_who_makes_themselves_an_owner_in_the_change_request_is_none(beside: BesideADouble) -> None:
    number = beside.rig.open_from_fork({**RULES, "app/a.yaml": "a: eve\n"})
    head = head_of(beside, number)
    asked(beside)
    look(beside, number)
    look(beside, number, beside.rig.say(number, f"/plan {head}", login="eve"))
    assert asked(beside) == 0
    beside.write()
    assert beside.rig.statuses(head)[PREDICT].state is State.PENDING

    look(beside, number, beside.rig.say(number, f"/plan {head}"))
    assert asked(beside) == 1, "the owner's word is heard"


def test_a24_a_word_for_a_commit_is_good_for_that_commit_only(beside: BesideADouble) -> None:
    number = beside.rig.open_from_fork({"app/a.yaml": "a: 7\n"})
    old = head_of(beside, number)
    look(beside, number)
    look(beside, number, beside.rig.say(number, f"/plan {old}"))
    assert asked(beside) >= 1
    moved = replace(beside.rig.change_request(number), head="f" * 40)
    known = beside.desk.sightings.change_request("shop", number)
    assert known is not None

    found = judged(moved, beside.desk.settings.installation.repositories[0], known, at=9.0, name=PREDICT)
    assert found.proposal is None
    assert found.from_fork

    look(beside, number, beside.rig.say(number, f"/plan {'f' * 40}"))
    assert asked(beside) == 0, "nobody names a commit that is not the head"


def test_a14_a24_what_the_forge_says_at_that_moment_counts(beside: BesideADouble) -> None:
    number = beside.rig.open_from_fork({"app/a.yaml": "a: 7\n"})
    head = head_of(beside, number)
    beside.rig.permit("mallory", Permission.WRITE)
    comment = beside.rig.say(number, f"/plan {head}", login="mallory")
    beside.rig.permit("mallory", Permission.READ)
    look(beside, number)
    asked(beside)
    look(beside, number, comment)
    assert asked(beside) == 0, "who may no longer write asks for nothing"
    beside.rig.permit("mallory", Permission.WRITE)
    look(beside, number, comment)
    assert asked(beside) == 0, "a comment that was refused is not obeyed later"
    look(beside, number, beside.rig.say(number, f"/plan {head}", login="mallory"))
    assert asked(beside) == 1


def test_a16_plumbline_s_own_words_ask_for_nothing_also_when_they_quote_a_command(beside: BesideADouble) -> None:
    number = beside.rig.open_from_fork({"app/a.yaml": "a: 7\n"})
    head = head_of(beside, number)
    look(beside, number)
    beside.write()
    (own,) = beside.rig.comments(number)
    assert f"/plan {head}" in own.body, "its comment tells how to ask"
    asked(beside)
    look(beside, number, own.id)
    beside.desk.forge(beside.desk.settings.installation.repositories[0]).put_comment(number, "/plan", f"/plan {head}")
    look(beside, number, beside.rig.comments(number)[-1].id)
    assert asked(beside) == 0


def test_f01_a_delivery_that_comes_again_days_later_changes_nothing(beside: BesideADouble) -> None:
    assert asked(beside, applies_queue("blue")) == 1
    branch = LookRequest("shop", beside.now - 25 * 3600, branch="main").to_json()
    beside.predicts()
    beside.write()
    said, head = beside.rig.status_count(beside.base), beside.rig.status_count(beside.head)
    comments = beside.rig.comments(beside.number)
    for _ in range(3):
        intake.look(beside.desk, branch)
        intake.look(beside.desk, LookRequest("shop", beside.now - 25 * 3600, number=beside.number).to_json())
    beside.write()
    assert asked(beside, applies_queue("blue")) == 0, "its commit is the one that was asked for"
    assert beside.rig.status_count(beside.base) == said
    assert beside.rig.status_count(beside.head) == head, "no status goes back to pending"
    assert beside.rig.comments(beside.number) == comments

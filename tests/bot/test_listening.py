"""Commands that no webhook told of, beside a double of a forge and on a real Redis: heard once, in time, or said to be late."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import conversation, intake, polling
from bot.answers import Origin, answer
from bot.sightings import Heard
from tests.bot.beside_a_double import BesideADouble, beside_a, comes_back
from tests.doubles import github, gitlab
from tests.doubles.github_rig import GithubRig
from worker.domain.errors import Unavailable
from worker.domain.messages import INTAKE_QUEUE, PROPOSALS_QUEUE, LookRequest, PollRequest

POLL = PollRequest("shop").to_json()


@pytest.fixture(params=["github", "gitlab"])
def beside(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    with beside_a(request.param, tmp_path, empty_redis) as made:
        made.look()
        yield made


def forget_jobs(beside: BesideADouble) -> None:
    """All that was asked for is as good as done."""
    for key in beside.redis.keys("rq:*"):
        beside.redis.delete(key)


def predictions(beside: BesideADouble) -> int:
    """How many predictions are asked for: what `/plan` comes to."""
    return int(beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}"))


def polled(beside: BesideADouble) -> list[str]:
    """The ids of the comments that a poll has heard."""
    forget_jobs(beside)
    polling.poll(beside.desk, POLL)
    jobs = [b"rq:job:" + bytes(name) for name in beside.redis.lrange(f"rq:queue:{INTAKE_QUEUE}", 0, -1)]  # type: ignore[arg-type]
    data = [zlib.decompress(bytes(beside.redis.hget(each, "data"))) for each in jobs]  # type: ignore[arg-type]
    asked = [json.loads(json.loads(each)[2][0]) for each in data]
    return [each["comment"] for each in asked if each["comment"]]


def listen(beside: BesideADouble) -> list[str]:
    """A poll, and what it asks for; the comments that were heard."""
    found = polled(beside)
    for comment in found:
        hear(beside, comment)
    return found


def hear(beside: BesideADouble, comment: str, number: int = 0) -> None:
    number = number or beside.number
    intake.look(beside.desk, LookRequest("shop", beside.now, number=number, comment=comment).to_json())


def answers(beside: BesideADouble) -> list[str]:
    beside.write()
    found = beside.rig.comments(beside.number)
    return [each.body for each in found if each.author.login == beside.rig.bot and ":answer:" in each.body]


def refuses_writes(beside: BesideADouble) -> None:
    fault = (github if isinstance(beside.rig, GithubRig) else gitlab).Fault(503)
    beside.rig.double.fault = lambda method, _path: None if method in ("GET", "HEAD") else fault


def wrote(beside: BesideADouble, comment: str, seconds: float) -> None:
    """Makes a comment this much older at the forge."""
    rig = beside.rig
    if isinstance(rig, GithubRig):
        made = rig.double.comments[int(comment)]
    else:
        made = next(each for each in rig.double.notes[beside.number] if str(each["id"]) == comment)
        event = next(each for each in rig.double.commented if each["note"] is made)
        event["created_at"] = github.at(beside.now - seconds)
    made["created_at"] = made["updated_at"] = github.at(beside.now - seconds)


def test_f03_a_command_that_no_webhook_told_of_is_heard_once_and_talk_is_not(beside: BesideADouble) -> None:
    beside.rig.say(beside.number, "looks good")
    comment = beside.rig.say(beside.number, "/status")
    assert listen(beside) == [comment]
    (text,) = answers(beside)
    assert "staging" in text
    assert beside.rig.reactions(beside.number, comment) == [(beside.rig.bot, "eyes")]
    for _ in range(3):
        assert listen(beside) == [], "what is done is not asked about again"
    assert answers(beside) == [text]


def test_f03_a_poll_is_one_request_for_all_that_is_said_and_words_cost_nothing_more(beside: BesideADouble) -> None:
    listen(beside)
    beside.rig.say(beside.number, "/status")
    listen(beside)
    before = len(beside.rig.requests())
    for number in range(5):
        beside.rig.say(beside.number, f"word {number}")
    assert listen(beside) == []
    asked = [path for _, path in beside.rig.requests()[before:]]
    assert len([path for path in asked if "comments" in path or "/events" in path]) == 1, asked
    assert not [path for path in asked if "/notes" in path or "reactions" in path], asked


def test_f03_it_is_heard_on_a_merged_change_request_too_and_on_no_issue(beside: BesideADouble) -> None:
    beside.rig.protect("main", [])
    beside.rig.merge(beside.number)
    if isinstance(beside.rig, GithubRig):
        beside.rig.double.make_comment(99, "ada", "/status")
    comment = beside.rig.say(beside.number, "/status")
    assert listen(beside) == [comment]
    assert len(answers(beside)) == 1


def test_f03_a_webhook_that_comes_after_the_poll_changes_nothing(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    assert listen(beside) == [comment]
    before = answers(beside)
    forget_jobs(beside)
    hear(beside, comment)
    assert answers(beside) == before
    assert predictions(beside) == 0


def test_a15_a16_what_is_edited_gone_or_our_own_is_not_obeyed(beside: BesideADouble) -> None:
    edited = beside.rig.say(beside.number, "looks good")
    beside.rig.edit_comment(beside.number, edited, "/plan")
    gone = beside.rig.say(beside.number, "/plan")
    beside.rig.say(beside.number, "/plan", login=beside.rig.bot)
    assert set(polled(beside)) == {edited, gone}
    beside.rig.delete_comment(beside.number, gone)
    forget_jobs(beside)
    for comment in (edited, gone):
        hear(beside, comment)
    assert answers(beside) == []
    assert beside.rig.reactions(beside.number, edited) == []
    assert predictions(beside) == 0
    assert listen(beside) == []


def test_two_installations_hear_their_own(tmp_path: Path, empty_redis: str) -> None:
    with beside_a("github", tmp_path, empty_redis, "instance: blue") as beside:
        beside.rig.say(beside.number, "/plumbline:green status")
        own = beside.rig.say(beside.number, "/plumbline:blue status")
        assert listen(beside) == [own]
        (text,) = answers(beside)
        assert text.startswith(f"<!-- plumbline:blue:answer:{own} -->")


# -- age ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("age", [conversation.LATE_SECONDS + 60, conversation.LATE_SECONDS - 60])
def test_a_command_that_is_heard_an_hour_late_is_not_obeyed_and_said_to_be_late(
    beside: BesideADouble, age: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plumbline.security")
    comment = beside.rig.say(beside.number, "/plan")
    wrote(beside, comment, age)
    forget_jobs(beside)
    assert listen(beside) == [comment]
    (text,) = answers(beside)
    is_late = age > conversation.LATE_SECONDS
    assert ("heard only now" in text) is is_late
    assert ("written 1 h ago" in text) is is_late
    assert predictions(beside) == (0 if is_late else 1)
    (line,) = [json.loads(each.message) for each in caplog.records if each.name == "plumbline.security"]
    assert line.get("reason", "") == ("heard too late" if is_late else "")
    beside.redis.flushall()
    listen(beside)
    assert answers(beside) == [text]


def test_what_was_begun_in_time_is_done_however_long_the_forge_was_away(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    refuses_writes(beside)
    with pytest.raises(Unavailable):
        listen(beside)
    assert beside.desk.sightings.heard("shop", comment, "/plan") is Heard.BEGUN
    assert polled(beside) == [comment], "it is asked for again until it is done"
    comes_back(beside.rig)
    wrote(beside, comment, conversation.LATE_SECONDS * 2)
    forget_jobs(beside)
    hear(beside, comment)
    (text,) = answers(beside)
    assert "heard only now" not in text
    assert predictions(beside) == 1


def test_a15_a_comment_that_is_edited_between_two_tries_is_not_obeyed(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/status")
    refuses_writes(beside)
    with pytest.raises(Unavailable):
        hear(beside, comment)
    comes_back(beside.rig)
    beside.rig.edit_comment(beside.number, comment, "/plan")
    forget_jobs(beside)
    assert listen(beside) == [comment]
    assert answers(beside) == []
    assert predictions(beside) == 0


def test_what_a_reaction_touched_is_still_as_it_was_begun(beside: BesideADouble) -> None:
    """GitLab changes the time of a comment that gets a reaction, also ours."""
    comment = beside.rig.say(beside.number, "/status")
    lost: list[str] = []

    def fault(method: str, path: str) -> github.Fault | gitlab.Fault | None:
        if method == "POST" and path.endswith(("reactions", "award_emoji")) and not lost:
            lost.append(path)
            if isinstance(beside.rig, GithubRig):
                return github.Fault(502, after=True)
            return gitlab.Fault(502, is_taken=True)
        return None

    beside.rig.double.fault = fault  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        hear(beside, comment)
    assert beside.rig.reactions(beside.number, comment) == [(beside.rig.bot, "eyes")]
    hear(beside, comment)
    (text,) = answers(beside)
    assert "staging" in text


# -- an emptied Redis ---------------------------------------------------------------------------------------------


def test_f05_what_was_answered_is_not_answered_again_after_a_flush(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    listen(beside)
    before = answers(beside)
    assert len(before) == 1
    beside.redis.flushall()
    assert listen(beside) == [comment]
    assert answers(beside) == before
    assert listen(beside) == []
    assert predictions(beside) == 0


def test_f05_what_was_received_and_never_answered_is_said_once_also_while_the_forge_refuses_writes(
    beside: BesideADouble,
) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    listen(beside)
    refuses_writes(beside)
    beside.redis.flushall()  # with the answer
    assert listen(beside) == [comment]
    assert listen(beside) == []
    comes_back(beside.rig)
    (text,) = answers(beside)
    assert "not done a second time" in text
    assert predictions(beside) == 0
    listen(beside)
    assert answers(beside) == [text]


def test_f05_what_nobody_had_heard_is_done_after_a_flush(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    beside.redis.flushall()
    assert listen(beside) == [comment]
    (text,) = answers(beside)
    assert "not done a second time" not in text
    assert predictions(beside) == 1


def test_f05_an_answer_that_was_on_its_way_takes_the_place_of_what_was_said_meanwhile(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    listen(beside)
    beside.redis.flushall()
    listen(beside)
    assert "not done a second time" in answers(beside)[0]
    answer(beside.desk, "shop", Origin("ada", beside.number, comment), "it is done")
    (text,) = answers(beside)
    assert text.endswith("it is done")
    listen(beside)
    assert answers(beside) == [text]


def test_f05_a_redis_that_is_emptied_while_a_poll_reads_does_not_shorten_the_next(beside: BesideADouble) -> None:
    sightings = beside.desk.sightings
    assert sightings.listened("shop") == 0
    sightings.note_listened("shop", 17.5)
    assert sightings.listened("shop") == 17.5
    beside.redis.flushall()
    sightings.note_listened("shop", 18.5)
    assert sightings.listened("shop") == 0


def test_what_waits_for_its_answer_is_not_taken_for_lost(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/rollback staging")
    assert listen(beside) == [comment]
    for _ in range(3):
        assert listen(beside) == []
    assert answers(beside) == [], "the worker looks, and answers later"

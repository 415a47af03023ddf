"""Comments at a forge as commands: received, judged, carried out once, answered once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot import intake
from bot.answers import Origin, answer
from bot.forges.port import Permission
from bot.tickets import CommandOutcome, Said
from tests.bot.beside_a_double import DECLARATION, BesideADouble, beside_a, comes_back, goes_away
from worker.domain.errors import Unavailable
from worker.domain.messages import PROPOSALS_QUEUE, LookRequest


@pytest.fixture(params=["github", "gitlab"])
def beside(request: pytest.FixtureRequest, tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    with beside_a(request.param, tmp_path, empty_redis) as made:
        made.look()
        yield made


def hear(beside: BesideADouble, comment: str, number: int = 0) -> None:
    number = number or beside.number
    intake.look(beside.desk, LookRequest("shop", beside.now, number=number, comment=comment).to_json())


def answers(beside: BesideADouble, number: int = 0) -> list[str]:
    """The bot's answers, oldest first."""
    beside.write()
    found = beside.rig.comments(number or beside.number)
    return [each.body for each in found if each.author.login == beside.rig.bot and ":answer:" in each.body]


def said(beside: BesideADouble, body: str, login: str = "ada") -> list[str]:
    hear(beside, beside.rig.say(beside.number, body, login=login))
    return answers(beside)


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(each.message) for each in caplog.records if each.name == "plumbline.security"]


def test_a_command_is_received_answered_and_audited(beside: BesideADouble, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "plumbline.security")
    comment = beside.rig.say(beside.number, "/status")
    hear(beside, comment)
    (text,) = answers(beside)
    assert "@ada" in text
    assert "staging" in text
    assert beside.rig.reactions(beside.number, comment) == [(beside.rig.bot, "eyes")]
    (line,) = audited(caplog)
    assert line | {"id": ""} == {
        "event": "command", "repository": "shop", "number": beside.number, "comment": comment, "by": "ada", "id": "",
        "command": "status", "environments": [], "arguments": {}, "flags": [],
    }  # fmt: skip


def test_the_same_comment_again_is_neither_obeyed_nor_answered_again_also_after_a_flush(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    for _ in range(3):
        hear(beside, comment)
    before = answers(beside)
    assert len(before) == 1
    asked = beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}")
    beside.redis.flushall()
    hear(beside, comment)
    assert answers(beside) == before
    assert asked
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 0, "it was obeyed twice"


def test_what_was_received_and_forgotten_before_its_answer_is_said_and_not_done(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "/plan")
    hear(beside, comment)
    beside.redis.flushall()  # with the answer that was not written yet
    hear(beside, comment)
    (text,) = answers(beside)
    assert "not done a second time" in text
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 0


def test_a14_a_refusal_says_what_is_needed_and_is_audited(
    beside: BesideADouble, caplog: pytest.LogCaptureFixture
) -> None:
    beside.rig.permit("rita", Permission.READ)
    beside.redis.delete(f"rq:queue:{PROPOSALS_QUEUE}")
    (text,) = said(beside, "/plan", login="rita")
    assert "`write` permission" in text
    assert "`read` here" in text
    assert [each["event"] for each in audited(caplog)] == ["command-refused"]
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 0


def test_a14_the_permission_of_this_moment_counts_and_a_forge_that_is_away_permits_nothing(
    beside: BesideADouble,
) -> None:
    beside.rig.permit("wil", Permission.WRITE)
    comment = beside.rig.say(beside.number, "/plan", login="wil")
    goes_away(beside.rig)
    with pytest.raises(Unavailable):
        hear(beside, comment)
    comes_back(beside.rig)
    beside.rig.permit("wil", Permission.NONE)
    hear(beside, comment)
    (text,) = answers(beside)
    assert "needs `write`" in text


@pytest.mark.parametrize(
    "body", ["> /plan", "```\n/plan\n```", "    /plan", "Please\n/plan", "<!-- /plan -->", "`/plan`"]
)
def test_a17_quoted_and_fenced_commands_do_nothing(beside: BesideADouble, body: str) -> None:
    comment = beside.rig.say(beside.number, body)
    hear(beside, comment)
    assert answers(beside) == []
    assert beside.rig.reactions(beside.number, comment) == []


def test_a15_an_edited_comment_does_nothing(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "looks good")
    beside.rig.edit_comment(beside.number, comment, "/plan")
    hear(beside, comment)
    assert answers(beside) == []
    assert beside.rig.reactions(beside.number, comment) == []


def test_a16_an_answer_that_quotes_a_command_is_not_obeyed(beside: BesideADouble) -> None:
    (text,) = said(beside, "/rollbak /plan")
    assert "Did you mean" in text
    own = next(each for each in beside.rig.comments(beside.number) if ":answer:" in each.body)
    hear(beside, own.id)
    assert len(answers(beside)) == 1


def test_a18_what_is_repeated_of_somebody_steers_nothing(beside: BesideADouble) -> None:
    (text,) = said(beside, "/rollback <!--plumbline:default:prediction-->`@ada`" + "x" * 300)
    assert text.count("<!--") == 1, "only the answer's own marker"
    assert "x" * 61 not in text


def test_words_that_are_near_are_answered_and_talk_is_not(beside: BesideADouble) -> None:
    assert said(beside, "/usr/bin is full") == []
    assert said(beside, "/lgtm") == []
    (text,) = said(beside, "/stauts")
    assert "/status" in text


def test_a20_a_command_for_a_head_that_moved_is_refused_with_the_present_one(beside: BesideADouble) -> None:
    number = beside.rig.open_from_fork({"app/a.yaml": "a: 7\n"})
    old = beside.rig.change_request(number).head
    comment = beside.rig.say(number, f"/plan {old}")
    new = beside.rig.push_to_fork(number, {"app/a.yaml": "a: 8\n"})
    beside.redis.delete(f"rq:queue:{PROPOSALS_QUEUE}")
    hear(beside, comment, number)
    (text,) = answers(beside, number)
    assert new in text
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 0
    hear(beside, beside.rig.say(number, "/ok-to-test"), number)
    assert new in answers(beside, number)[-1], "it does not say which commit was approved"
    assert beside.redis.llen(f"rq:queue:{PROPOSALS_QUEUE}") == 1


def test_a23_who_may_is_read_from_the_base_and_not_from_the_proposal(beside: BesideADouble) -> None:
    beside.rig.push("main", {"plumbline.yaml": DECLARATION + "commands: {plan: nobody}\n"})
    beside.rig.push("feature", {"plumbline.yaml": DECLARATION + "commands: {plan: read}\n"})
    (text,) = said(beside, "/plan")
    assert "switched off" in text


def test_a_file_that_cannot_be_read_permits_nothing(beside: BesideADouble) -> None:
    beside.rig.push("main", {"plumbline.yaml": DECLARATION + "commands: {plan: everybody}\n"})
    (text,) = said(beside, "/plan")
    assert "cannot be read" in text
    assert "everybody" in text


def test_what_nobody_has_built_is_said_plainly(beside: BesideADouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.conversation.ACTIONS", {})
    (text,) = said(beside, "/help")
    assert "is not available here" in text


def test_an_answer_waits_for_a_forge_that_is_away_and_a_later_one_takes_its_place(beside: BesideADouble) -> None:
    comment = beside.rig.say(beside.number, "words")
    origin = Origin.from_json(Origin("ada", beside.number, comment).to_json())
    answer(beside.desk, "shop", origin, "first")
    goes_away(beside.rig)
    assert beside.desk.outbox.rows("shop")
    comes_back(beside.rig)
    assert [text.split()[-1] for text in answers(beside)] == ["first"]
    answer(beside.desk, "shop", origin, "second")
    assert [text.split()[-1] for text in answers(beside)] == ["second"]


def test_whoever_waits_with_a_ticket_finds_the_answer(beside: BesideADouble) -> None:
    answer(beside.desk, "shop", Origin("ada", ticket="t1"), "done")
    assert beside.desk.tickets.said("t1") == Said("done", CommandOutcome.DONE)
    assert beside.desk.tickets.said("t2") == Said("", CommandOutcome.WAITING)
    assert answers(beside) == []

"""Commands that came with a ticket: judged as comments are, by app.yaml for a token and by the forge for an account."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bot import orders, ticketed
from bot.forges.port import Permission
from bot.markdown import plain
from bot.ticket_request import TicketRequest
from bot.tickets import CommandOutcome, Said
from tests.bot.beside_a_double import DECLARATION, BesideADouble, beside_a, comes_back, goes_away
from worker.domain.errors import Unavailable
from worker.domain.messages import PREVIEWS_QUEUE, applies_queue
from worker.domain.orders import Answered, OrderReport, Verb

TOKENS = """\
tokens:
  - {name: ci, secret: {env: CI}, may: [write]}
  - {name: looks, secret: {env: CI}, may: [read]}
  - {name: elsewhere, secret: {env: CI}, may: [admin], environments: [production]}
  - {name: laptop, secret: {env: CI}, may: [admin], user: Ada}
"""
TWO = "environments:\n  - {name: staging, path: app, namespace: shop}\n  - {name: side, path: app, namespace: shop}\n"


@pytest.fixture
def beside(tmp_path: Path, empty_redis: str) -> Iterator[BesideADouble]:
    with beside_a("github", tmp_path, empty_redis, TOKENS) as made:
        yield made


def asked(beside: BesideADouble, line: str, token: object = "ci", **more: object) -> Said:
    """What is answered at once to a new ticket."""
    request = TicketRequest("a" * 32, "shop", line, beside.now)
    ticketed.carry(beside.desk, {**request.to_json(), "token": token, **more})
    return beside.desk.tickets.said("a" * 32)


def ordered(beside: BesideADouble, queue: str = applies_queue("blue")) -> int:
    return int(beside.redis.llen(f"rq:queue:{queue}"))


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(each.message) for each in caplog.records if each.name == "plumbline.security"]


def test_an_order_is_passed_on_and_its_answer_waits_for_every_environment(
    beside: BesideADouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plumbline.security")
    beside.rig.push("main", {"plumbline.yaml": TWO})
    said = asked(beside, "/retry")
    assert said.outcome is CommandOutcome.WAITING
    assert "`side`, `staging`: has not heeded it yet: no worker of the cluster blue is there" in said.text
    assert ordered(beside) == 1
    (line,) = audited(caplog)
    assert line == {
        "event": "command", "repository": "shop", "ticket": "a" * 32, "by": "token:ci", "id": "token:ci",
        "command": "retry", "flags": [], "environments": [], "arguments": {},
    }  # fmt: skip
    origin = {"by": "token:ci", "number": 0, "comment": "", "ticket": "a" * 32, "parts": 2}
    told = [
        Answered("staging", "done", "staging is being converged again"),
        Answered("side", "refused", "side is held"),
    ]
    orders.deliver(beside.desk, OrderReport("shop", Verb.RETRY, "ci", 1.0, (told[0],), origin))
    half = beside.desk.tickets.said("a" * 32)
    assert half.outcome is CommandOutcome.WAITING
    assert "- `side`: has not heeded it yet" in half.text
    assert "- `staging`: being converged again" in half.text
    again = replace(told[0], done="already", text="staging is being converged again already")
    orders.deliver(beside.desk, OrderReport("shop", Verb.RETRY, "ci", 1.0, (again,), origin))
    waits = Answered("side", "waits", "side has not heeded it yet: the cluster is away")
    orders.deliver(beside.desk, OrderReport("shop", Verb.RETRY, "ci", 1.0, (waits,), origin))
    said = beside.desk.tickets.said("a" * 32)
    assert said.text == half.text.replace(
        "no worker of the cluster blue is there&#46; It is done once one is", "the cluster is away"
    )
    assert said.outcome is CommandOutcome.WAITING
    orders.deliver(beside.desk, OrderReport("shop", Verb.RETRY, "ci", 1.0, (told[1],), origin))
    whole = beside.desk.tickets.said("a" * 32)
    assert whole.outcome is CommandOutcome.REFUSED, "not all of it was done"
    assert "`side`: held" in whole.text
    orders.deliver(beside.desk, OrderReport("shop", Verb.RETRY, "ci", 1.0, (waits,), origin))
    assert beside.desk.tickets.said("a" * 32) == whole, "what came late takes nothing back"


def test_a14_a_token_may_what_app_yaml_gives_it_and_no_more(
    beside: BesideADouble, caplog: pytest.LogCaptureFixture
) -> None:
    said = asked(beside, "/hold staging", "looks")
    assert said.outcome is CommandOutcome.REFUSED
    assert "needs `write` permission; app.yaml gives this token `read` here" in said.text
    assert ordered(beside) == 0
    assert [(each["event"], each["by"]) for each in audited(caplog)] == [("command-refused", "token:looks")]


def test_a_token_for_other_environments_and_one_for_a_whole_branch_are_refused(beside: BesideADouble) -> None:
    assert "is not for `staging`" in asked(beside, "/hold staging", "elsewhere").text
    beside.redis.flushall()
    assert "all environments of `main`" in asked(beside, "/freeze", "elsewhere").text
    assert ordered(beside) == 0


def test_plumbline_yaml_narrows_a_token_too(beside: BesideADouble) -> None:
    beside.rig.push("main", {"plumbline.yaml": DECLARATION + "commands: {hold: admin}\n"})
    assert "needs `admin`" in asked(beside, "/hold staging").text
    beside.redis.flushall()
    beside.rig.push("main", {"plumbline.yaml": DECLARATION + "commands: {hold: everybody}\n"})
    assert "cannot be read" in asked(beside, "/hold staging").text
    assert ordered(beside) == 0


def test_an_account_is_asked_of_the_forge_at_that_moment(beside: BesideADouble) -> None:
    beside.rig.permit("wil", Permission.READ)
    beside.rig.say(beside.number, "words", login="wil")
    who = next(each.author for each in beside.rig.comments(beside.number) if each.author.login == "wil")
    account = {"token": "", "forge": beside.rig.declared.name, "account": who.id, "login": "wil"}
    assert "the forge says that you have `read` here" in asked(beside, "/hold staging", **account).text
    beside.redis.flushall()
    beside.rig.permit("wil", Permission.WRITE)
    assert asked(beside, "/hold staging", **account).outcome is CommandOutcome.WAITING
    assert ordered(beside) == 1
    beside.redis.flushall()
    stranger = {**account, "account": "987654"}
    assert asked(beside, "/hold staging", **stranger).outcome is CommandOutcome.REFUSED, "the id decides, not the name"
    assert ordered(beside) == 0


def test_a_ticket_is_carried_out_once_and_not_when_nobody_waits_any_more(beside: BesideADouble) -> None:
    assert asked(beside, "/nonsense").text == "this is no command."
    assert asked(beside, "/hold staging").text == "this is no command.", "a ticket has one answer"
    assert ordered(beside) == 0
    beside.redis.flushall()
    assert "15 minutes" in asked(beside, "/hold staging", at=beside.now - 1000).text
    assert ordered(beside) == 0


def test_a_forge_that_is_away_permits_nothing_and_is_asked_again(beside: BesideADouble) -> None:
    goes_away(beside.rig)
    with pytest.raises(Unavailable):
        asked(beside, "/hold staging")
    assert ordered(beside) == 0
    comes_back(beside.rig)
    assert asked(beside, "/hold staging").outcome is CommandOutcome.WAITING
    assert ordered(beside) == 1


REFUSED: Mapping[str, tuple[str, dict[str, object]]] = {
    "declares an environment producton": ("/hold producton", {}),
    "no environments are declared on the branch feature": ("/hold staging", {"branch": "feature"}),
    "no change request #4711": ("/hold staging", {"number": 4711}),
    "knows no such repository": ("/hold staging", {"repository": "other"}),
    "no such repository or token": ("/hold staging", {"token": "gone"}),
    "nobody knows whose token ci is": ("/approve staging 7k2m91fd", {}),
    "which change request waits is not known": ("/approve staging 7k2m91fd", {"token": "laptop"}),
    "in a comment on a change request": ("/plan", {}),
    "says no tag and no digest": ("/image staging nginx", {}),
    "Did you mean": ("/rollbak staging", {}),
}


def test_what_is_refused_says_why(beside: BesideADouble) -> None:
    for words, (line, more) in REFUSED.items():
        beside.redis.flushall()
        said = asked(beside, line, **{"token": "ci", **more})
        assert said.outcome is CommandOutcome.REFUSED, line
        assert words in plain(said.text)
        assert ordered(beside) == ordered(beside, PREVIEWS_QUEUE) == 0, line


def test_who_approves_by_a_token_is_its_person(beside: BesideADouble) -> None:
    asked(beside, "/approve staging 7k2m91fd", "laptop", number=beside.number)
    (job,) = beside.redis.lrange(f"rq:queue:{applies_queue('blue')}", 0, -1)
    data = beside.redis.hget(f"rq:job:{str(job, 'ascii') if isinstance(job, bytes) else job}", "data")
    assert isinstance(data, bytes)
    order = json.loads(json.loads(zlib.decompress(data))[2][0])
    assert (order["by"], order["own"], order["bot"]) == ("Ada", True, False)

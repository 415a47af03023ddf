"""Words that mean nothing on a plain Git server get one answer that helps, whoever says them; all others are carried out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bot import pushed, ticketed
from bot.actions import ACTIONS
from bot.instead import INSTEAD
from bot.markdown import plain
from bot.push_request import PushedCommand
from bot.ticket_request import TicketRequest
from bot.tickets import CommandOutcome, Said
from tests.bot.beside_a_double import DECLARATION
from tests.bot.beside_plain_git import TICKET, BesidePlainGit
from worker.domain.messages import INTAKE_QUEUE, PREVIEWS_QUEUE, ConvergeRequest, applies_queue
from worker.domain.orders import Order, Verb


@pytest.fixture
def bot(tmp_path: Path, empty_redis: str) -> BesidePlainGit:
    made = BesidePlainGit(tmp_path, empty_redis, "commands: {confirm-prune: releasers, image: releasers}")
    made.push({"plumbline.yaml": DECLARATION})
    return made


def said(bot: BesidePlainGit, line: str, by: str = "ada") -> Said:
    """What is answered at once to a push of this command."""
    bot.redis.flushall()
    pushed.carry(bot.desk, PushedCommand(TICKET, "shop", line, by, bot.desk.requests.queue.now()).to_json())
    return bot.desk.tickets.said(TICKET)


@pytest.mark.parametrize(
    ("line", "helps"),
    [
        ("/plan", "every push prints what it would change"),
        ("/plan staging", "plumbline plan"),
        ("/diff staging", "is in /status"),
        ("/ok-to-test", "nothing comes from a fork here"),
        ("/apply staging", "pushing applies"),
        ("/revert", "git revert COMMIT"),
        ("/revert 1a2b3c4 please", "git revert COMMIT"),
    ],
)
def test_what_is_said_of_change_requests_is_answered_with_what_there_is_instead(
    bot: BesidePlainGit, line: str, helps: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "plumbline.security")
    for by in ("ada", "eve", ""):
        found = said(bot, line, by)
        assert found.outcome is CommandOutcome.REFUSED
        assert helps in plain(found.text)
    assert caplog.text.count("there are no change requests") == 3
    bot.redis.flushall()
    request = TicketRequest(TICKET, "shop", line, bot.desk.requests.queue.now(), account="7", login="ada", number=3)
    ticketed.carry(bot.desk, request.to_json())
    assert bot.desk.tickets.said(TICKET) == found
    assert bot.redis.keys("rq:queue:*") == []


def test_the_help_names_just_what_can_be_said(bot: BesidePlainGit) -> None:
    text = said(bot, "/help").text
    named = {word for word in ACTIONS if f"`/{word}" in text}
    assert named == set(ACTIONS) - set(INSTEAD)
    assert "A command is an option of a push" in text


def test_a_confirmation_of_deletions_is_an_order_of_its_own_and_no_approval(bot: BesidePlainGit) -> None:
    assert "needs the role" in said(bot, "/confirm-prune staging 7k2m91fd", "eve").text
    assert bot.asked(applies_queue("blue")) == []
    assert said(bot, "/confirm-prune staging 7k2m91fd").outcome is CommandOutcome.WAITING
    (asked,) = map(Order.from_json, bot.asked(applies_queue("blue")))
    assert (asked.verb, asked.code, asked.by, asked.anywhere) == (Verb.CONFIRM_PRUNE, "7k2m91fd", "ada", True)


TWO = """\
environments:
  - {name: staging, path: app, namespace: shop}
  - {name: production, path: app, namespace: shop, commands: {approve: releasers}}
"""


@pytest.mark.parametrize(
    ("line", "by", "confirmed"),
    [
        ("/approve staging 7k2m91fd", "eve", {"staging"}),
        ("/approve production 7k2m91fd", "eve", set()),
        ("/approve production 7k2m91fd", "ada", {"production"}),
    ],
)
def test_a_word_for_a_plan_counts_where_it_was_judged_that_it_may_be_given_and_nowhere_else(
    tmp_path: Path, empty_redis: str, line: str, by: str, confirmed: set[str]
) -> None:
    bot = BesidePlainGit(tmp_path, empty_redis, "commands: {approve: everybody}")
    bot.push({"plumbline.yaml": TWO})
    assert (said(bot, line, by).outcome is CommandOutcome.DONE) == bool(confirmed)
    asked = [ConvergeRequest.from_json(each) for each in bot.asked(applies_queue("blue"))]
    assert {each.environment for each in asked if each.approvals == ("7k2m91fd",)} == confirmed
    assert {(each.branch, each.revision) for each in asked} <= {("main", bot.tip)}
    assert len(asked) == len(confirmed)
    assert bot.asked(INTAKE_QUEUE) == [], "what is announced of a whole branch would count in all its environments"


def test_a_word_of_whom_a_rule_lets_confirm_no_deletions_approves_alone(tmp_path: Path, empty_redis: str) -> None:
    bot = BesidePlainGit(tmp_path, empty_redis, "commands: {approve: everybody, confirm-prune: releasers}")
    bot.push({"plumbline.yaml": TWO})
    assert "confirms no deletions" in plain(said(bot, "/approve staging 7k2m91fd", "eve").text)
    (asked,) = map(ConvergeRequest.from_json, bot.asked(applies_queue("blue")))
    assert asked.approvals == ("7k2m91fd:approve",)
    assert "deletions" not in said(bot, "/approve staging 7k2m91fd", "ada").text
    (asked,) = map(ConvergeRequest.from_json, bot.asked(applies_queue("blue")))
    assert asked.approvals == ("7k2m91fd",)


def test_who_may_not_asks_the_worker_for_nothing(bot: BesidePlainGit) -> None:
    assert "needs the role" in said(bot, "/image staging acme/api:2", "eve").text
    assert bot.asked(PREVIEWS_QUEUE) == []
    assert said(bot, "/image staging acme/api:2").outcome is CommandOutcome.WAITING
    assert len(bot.asked(PREVIEWS_QUEUE)) == 1

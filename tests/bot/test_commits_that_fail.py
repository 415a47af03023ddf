"""Commits of the bot's, where the forge fails on the way: made once, forgotten never, and what became of them is said."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot import rollbacks
from bot.answers import Origin
from bot.commits import ATTEMPTS, GIVEN_UP
from bot.queue import CommitRequest
from bot.tickets import CommandOutcome, Said
from tests.bot.beside_a_double import BesideADouble, beside_a, comes_back, fails
from tests.bot.test_branches_of_its_own import opened, reported, sealed
from worker.domain.messages import COMMITS_QUEUE, PREVIEWS_QUEUE
from worker.domain.rollback import RollbackReport

TICKET = "a" * 32
WORDS = {"github": "Changes must be made through a pull request", "gitlab": "not allowed to push into this branch"}
FORGES = pytest.mark.parametrize("forge", ["github", "gitlab"])


def asked(bot: BesideADouble, **changed: Any) -> RollbackReport:
    """The worker's word for a rollback that somebody waits for with a ticket; `changed` of the request."""
    report = reported(bot)
    origin = Origin("ada", ticket=TICKET).to_json()
    return replace(report, request=replace(report.request, origin=origin, **changed), may_push=True)


def commit(bot: BesideADouble, report: RollbackReport, tries: int = 0) -> Said:
    """What is answered so far, once the job has run."""
    rollbacks.commit(bot.desk, CommitRequest(report, tries).to_json())
    return bot.desk.tickets.said(TICKET)


def is_opening(method: str, path: str) -> bool:
    """Whether a request opens a change request."""
    return method == "POST" and path.endswith(("/pulls", "/merge_requests"))


def asked_of_the_worker(bot: BesideADouble) -> list[dict[str, Any]]:
    """What the worker is to judge anew."""
    found = []
    for job in bot.redis.lrange(f"rq:queue:{PREVIEWS_QUEUE}", 0, -1):
        assert isinstance(job, bytes)
        data = bot.redis.hget(f"rq:job:{job.decode()}", "data")
        assert isinstance(data, bytes)
        found.append(json.loads(json.loads(zlib.decompress(data))[2][0]))
    return found


@FORGES
@pytest.mark.parametrize("is_done", [True, False], ids=["the answer is lost", "the forge is away"])
def test_f46_a_change_request_is_opened_once_whatever_became_of_the_first_try(
    is_done: bool, forge: str, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = asked(bot)
        fails(bot.rig, is_opening, is_done=is_done)
        assert commit(bot, report) == Said("", CommandOutcome.WAITING), "neither done nor refused"
        made = bot.rig.tip(sealed(bot, report))
        assert made, "the commit is there, and its change request is not (known)"
        assert bot.redis.zcard(f"rq:scheduled:{COMMITS_QUEUE}") == 1, "it is tried again later"
        comes_back(bot.rig)
        assert len(opened(bot)) == is_done
        said = commit(bot, report, 1)
        assert said.outcome is CommandOutcome.DONE
        assert "is ready; its prediction follows there" in said.text
        assert commit(bot, report, 1) == said, "a job that runs twice finds it"
        assert opened(bot) == [f"Roll back staging to {report.target[:7]}"]
        assert bot.rig.tip(sealed(bot, report)) == made
        assert bot.rig.tip("main") == report.onto


@FORGES
def test_a_base_that_moves_after_the_commit_was_made_changes_nothing_of_the_change_request(
    forge: str, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = asked(bot)
        fails(bot.rig, is_opening, is_done=False)
        commit(bot, report)
        made = bot.rig.tip(sealed(bot, report))
        moved = bot.rig.push("main", {"app/a.yaml": "a: 4\n"})
        comes_back(bot.rig)
        assert commit(bot, report, 1).outcome is CommandOutcome.DONE
        assert opened(bot) == [f"Roll back staging to {report.target[:7]}"]
        assert bot.rig.tip(sealed(bot, report)) == made, "the forge says the conflict, the prediction does"
        assert bot.rig.tip("main") == moved
        assert asked_of_the_worker(bot) == []


@FORGES
@pytest.mark.parametrize("push", [False, True])
def test_a_base_that_moved_before_is_judged_anew_some_times_and_leaves_nothing_behind(
    push: bool, forge: str, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = asked(bot, push=push)
        moved = bot.rig.push("main", {"app/a.yaml": "a: 4\n"})
        assert commit(bot, report) == Said("", CommandOutcome.WAITING)
        (anew,) = asked_of_the_worker(bot)
        assert (anew["attempt"], anew["target"], anew["branch"]) == (1, report.target, "main")
        assert anew["since"] == (report.onto if push else ""), "what was pushed may be there"
        last = replace(report, request=replace(report.request, attempt=ATTEMPTS - 1))
        said = commit(bot, last)
        assert said.outcome is CommandOutcome.REFUSED
        assert f"{ATTEMPTS} times while it was being made" in said.text
        assert len(asked_of_the_worker(bot)) == 1
        assert opened(bot) == []
        assert (bot.rig.tip("main"), bot.rig.tip(sealed(bot, report))) == (moved, "")


@FORGES
def test_a_branch_that_takes_no_push_gets_a_change_request_and_the_answer_says_why(
    forge: str, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = asked(bot, push=True)
        bot.rig.protect("main", [])
        said = commit(bot, report)
        assert said.outcome is CommandOutcome.DONE
        assert "is ready; its prediction follows there" in said.text
        assert "was not pushed straight to `main`" in said.text
        assert WORDS[forge] in said.text
        assert opened(bot) == [f"Roll back staging to {report.target[:7]}"]
        assert bot.rig.tip("main") == report.onto
        assert commit(bot, report).outcome is CommandOutcome.DONE
        assert len(opened(bot)) == 1


@FORGES
def test_what_the_forge_never_took_is_said_and_not_made_any_more(forge: str, tmp_path: Path, empty_redis: str) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = asked(bot, at=bot.now - GIVEN_UP - 1)
        fails(bot.rig, is_opening, is_done=False)
        said = commit(bot, report)
        assert said.outcome is CommandOutcome.REFUSED
        assert "It was tried for 12 hours; ask again" in said.text
        assert bot.redis.zcard(f"rq:scheduled:{COMMITS_QUEUE}") == 0
        comes_back(bot.rig)
        assert opened(bot) == []

"""Branches of the bot's own: nobody can occupy one before it is there, and what lies on one is looked at before it is used."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from bot import orders, rollbacks
from bot.answers import Origin
from bot.commands import Command, parse
from bot.declarations import declared_at
from bot.forges.port import FileChange, Made, Person
from bot.given import Given
from bot.queue import CommitRequest
from bot.rollback_text import branch_name
from tests.bot.beside_a_double import BesideADouble, beside_a
from worker.domain.blobs import blob_id
from worker.domain.messages import applies_queue
from worker.domain.orders import Order
from worker.domain.rollback import Restored, RollbackReport, RollbackRequest
from worker.domain.seals import Seals

BEFORE, NOW = "a: 1\n", "a: 3\n"


def reported(bot: BesideADouble) -> RollbackReport:
    """The worker's word for going back to the first commit of the branch."""
    target = bot.base
    tip = bot.rig.push("main", {"app/a.yaml": NOW})
    asked = RollbackRequest("shop", "staging", target, "main", push=False, origin={}, at=bot.now)
    file = Restored("app/a.yaml", blob_id(BEFORE.encode(), tip), "100644", "app/a.yaml", "100644")
    return RollbackReport(asked, "main", tip, target, (file,), explanation=("1 file as then",))


def sealed(bot: BesideADouble, report: RollbackReport) -> str:
    return bot.desk.seals.branch("shop", branch_name(report))


def commit(bot: BesideADouble, report: RollbackReport) -> None:
    rollbacks.commit(bot.desk, CommitRequest(report).to_json())


def opened(bot: BesideADouble) -> list[str]:
    """The titles of what the bot opened."""
    forge = bot.desk.forge(bot.desk.settings.installation.repositories[0])
    return [each.title for each in forge.open_change_requests() if each.number != bot.number]


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a23_a_branch_that_somebody_made_under_a_name_that_can_be_computed_is_never_used(
    forge: str, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = reported(bot)
        theirs = bot.rig.push(branch_name(report), {"app/a.yaml": "a: stolen\n"})
        commit(bot, report)
        assert opened(bot) == [f"Roll back staging to {report.target[:7]}"]
        assert bot.rig.tip(branch_name(report)) == theirs
        speaker = bot.desk.forge(bot.desk.settings.installation.repositories[0])
        ours = bot.rig.tip(sealed(bot, report))
        assert speaker.made(ours) == Made((report.onto,), frozenset({"app/a.yaml"}))
        assert speaker.file(ours, "app/a.yaml") == BEFORE.encode()


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a_branch_of_which_the_answer_was_lost_is_found_again(forge: str, tmp_path: Path, empty_redis: str) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = reported(bot)
        speaker = bot.desk.forge(bot.desk.settings.installation.repositories[0])
        made = speaker.commit(sealed(bot, report), report.onto, "Back", [FileChange("app/a.yaml", BEFORE)])
        commit(bot, report)
        assert opened(bot) == [f"Roll back staging to {report.target[:7]}"]
        assert bot.rig.tip(sealed(bot, report)) == made


@pytest.mark.parametrize("forge", ["github", "gitlab"])
@pytest.mark.parametrize(
    "files",
    [
        {"app/a.yaml": "a: stolen\n"},
        {"app/a.yaml": BEFORE, "app/b.yaml": "b: 1\n"},
        {"app/b.yaml": "b: 1\n"},
        {"app/a.yaml": None},
    ],
)
def test_a23_a_branch_of_the_bot_s_that_holds_something_else_is_refused(
    files: dict[str, str | None], forge: str, tmp_path: Path, empty_redis: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = reported(bot)
        theirs = bot.rig.push(sealed(bot, report), files)
        commit(bot, report)
        assert opened(bot) == []
        assert bot.rig.tip(sealed(bot, report)) == theirs
        assert "holds something else" in caplog.text
        assert "Delete it and ask again" in caplog.text


@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a23_the_right_files_on_another_commit_are_something_else(
    forge: str, tmp_path: Path, empty_redis: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = reported(bot)
        for files in ({"app/evil.yaml": "b: 1\n"}, {"app/a.yaml": BEFORE}):
            bot.rig.push(sealed(bot, report), files)
        commit(bot, report)
        assert opened(bot) == []
        assert "holds something else" in caplog.text


@pytest.mark.parametrize(("forge", "theirs"), [("github", False), ("gitlab", False), ("github", True)])
def test_a21_the_worker_is_told_of_which_commit_and_whether_the_bot_opened_it(
    forge: str, theirs: bool, tmp_path: Path, empty_redis: str
) -> None:
    with beside_a(forge, tmp_path, empty_redis) as bot:
        report = reported(bot)
        commit(bot, report)
        repository = bot.desk.settings.installation.repositories[0]
        speaker = bot.desk.forge(repository)
        request = next(each for each in speaker.open_change_requests() if (each.number == bot.number) is theirs)
        declaration = declared_at(bot.desk, repository, speaker, "main", report.onto)
        command = parse("/approve staging ab12cd34")
        assert isinstance(command, Command)
        origin = Origin("bob", request.number, "1")
        given = Given(repository, command, Person("9", "bob"), origin, "main", declaration, request)
        assert orders.give(bot.desk, given) is None
        (job,) = bot.redis.lrange(f"rq:queue:{applies_queue('blue')}", 0, -1)
        assert isinstance(job, bytes)
        data = bot.redis.hget(f"rq:job:{job.decode()}", "data")
        assert isinstance(data, bytes)
        _, _, (body, _), _ = json.loads(zlib.decompress(data))
        told = Order.from_json(json.loads(body))
        assert (told.by, told.own, told.by_bot) == ("bob", False, not theirs)
        assert (told.head, told.head_ref) == (request.head, request.head_ref)
        if not theirs:
            assert told.head == bot.rig.tip(sealed(bot, report))


SEALS = Seals(b"k" * 32)
FILES = (("app/a.yaml", "100644", "c" * 40), ("app/b.yaml", "", ""))


def test_a_branch_s_name_is_the_same_each_time_and_another_s_elsewhere() -> None:
    name = SEALS.branch("shop", "plumbline/revert-7-onto-aaaaaaa")
    assert name == SEALS.branch("shop", "plumbline/revert-7-onto-aaaaaaa")
    assert name.startswith("plumbline/revert-7-onto-aaaaaaa-")
    others = {SEALS.branch("till", "plumbline/revert-7-onto-aaaaaaa"), Seals(b"l" * 32).branch("shop", name[:-13])}
    assert name not in others
    assert len(others) == 2


@pytest.mark.parametrize(
    ("repository", "parent", "message", "files", "expected"),
    [
        ("shop", "a" * 40, "", FILES, True),
        ("shop", "a" * 40, "", tuple(reversed(FILES)), True),
        ("till", "a" * 40, "", FILES, False),
        ("shop", "b" * 40, "", FILES, False),
        ("shop", "a" * 40, "Requested-by: bob\n", FILES, False),
        ("shop", "a" * 40, "Plumbline-Seal: 00\n", FILES, False),
        ("shop", "a" * 40, "", FILES[:1], False),
        ("shop", "a" * 40, "", (("app/a.yaml", "100755", "c" * 40), FILES[1]), False),
        ("shop", "a" * 40, "", (("app/a.yaml", "100644", "d" * 40), FILES[1]), False),
    ],
)
def test_a21_a_seal_is_of_one_parent_these_files_and_who_asked(
    repository: str, parent: str, message: str, files: tuple[tuple[str, str, str], ...], expected: bool
) -> None:
    said = SEALS.commit("shop", "a" * 40, "Use it\n\nRequested-by: ada\n", FILES)
    assert SEALS.is_ours(repository, parent, said + message, files) is expected
    assert not Seals(b"l" * 32).is_ours(repository, parent, said + message, files)
    assert not SEALS.is_ours("shop", "a" * 40, said.replace("ada", "eve"), FILES)

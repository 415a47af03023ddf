"""Whose code counts that comes with a push to a plain Git server: the bot's own job on a real repository and Redis."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import intake
from bot.authority import confirming, facts_of_pusher, judged
from bot.commands import Command
from tests.bot.beside_plain_git import APP, BesidePlainGit
from worker.domain.command_rules import CommandRules
from worker.domain.declaration import Declaration
from worker.domain.installation import Repository
from worker.domain.installation_file import read_installation
from worker.domain.messages import NO_COMMIT, Committed, ConvergeRequest, RefUpdate, applies_queue

OPEN = """\
environments:
  - {name: staging, path: app, namespace: shop}
  - {name: production, path: app, namespace: shop}
"""
NARROW = OPEN.replace("namespace: shop}\n", "namespace: shop, commands: {approve: releasers}}\n").replace(
    ", commands: {approve: releasers}", "", 1
)


def shop(more: str = "") -> Repository:
    (found,) = read_installation(APP.format(url="/s.git", more=more), "app.yaml").repositories
    return found


@pytest.mark.parametrize(
    ("more", "declared", "by", "counts"),
    [
        ("", {}, "eve", True),
        ("", {}, "", True),
        ("commands: {approve: releasers}", {}, "ada", True),
        ("commands: {approve: releasers}", {}, "Ada", True),
        ("commands: {approve: releasers}", {}, "eve", False),
        ("commands: {approve: releasers}", {}, "", False),
        ("commands: {approve: releasers}", {}, "ada\n", False),
        ("commands: {approve: everybody}", {}, "eve", True),
        ("commands: {approve: everybody}", {}, "", False),
        ("commands: {approve: write}", {}, "ada", False),
        ("commands: {approve: nobody}", {}, "ada", False),
        ("commands: {rollback: releasers}", {}, "eve", True),
        ("", {"approve": ("releasers",)}, "eve", False),
        ("", {"approve": ("releasers",)}, "ada", True),
        ("commands: {approve: everybody}", {"approve": ("releasers",)}, "eve", False),
    ],
)
def test_a_code_counts_from_whom_every_written_rule_lets_approve(
    more: str, declared: dict[str, tuple[str, ...]], by: str, counts: bool
) -> None:
    repository = shop(more)
    rules = Declaration((), commands=CommandRules(environments={"production": declared}))
    asked = confirming(repository, rules, "production")
    found = judged(Command("approve", ("production",)), asked, facts_of_pusher(by), repository)
    assert (found is None) == counts


class Plain(BesidePlainGit):
    """The bot's desk at a plain repository, to which somebody pushes with a code."""

    def pushed(self, declaration: str, before: str, by: str | None) -> dict[str, tuple[str, ...]]:
        """The approvals that each environment is converged with, after a push with a code."""
        new = self.push({"plumbline.yaml": declaration})
        update = RefUpdate("refs/heads/main", before, new)
        alert = Committed("shop", (update,), 1.0, {"main": declaration}, ("1a2b3c4d",), by)
        intake.committed(self.desk, alert.to_json())
        asked = map(ConvergeRequest.from_json, self.asked(applies_queue("blue")))
        return {each.environment: each.approvals for each in asked if each.revision == new}

    def shown(self) -> str:
        """What the push's terminal shows."""
        entries = self.desk.board.read("shop", {self.tip: "0"}, 1)
        return " ".join(" ".join(entry.get("line", "") for _, _, entry in entries).split())


@pytest.fixture
def plain(tmp_path: Path, empty_redis: str) -> Plain:
    return Plain(tmp_path, empty_redis)


def test_a_code_of_somebody_else_is_left_out_where_the_rule_stands_and_that_is_said(plain: Plain) -> None:
    code = ("1a2b3c4d",)
    assert plain.pushed(NARROW, NO_COMMIT, "eve") == {"staging": code, "production": code}, "no rule was there before"
    assert plain.pushed(NARROW, plain.tip, "eve") == {"staging": code, "production": ()}
    assert "the code does not count for production: /approve needs the role releasers" in plain.shown()
    assert "staging" not in plain.shown()
    assert plain.pushed(NARROW, plain.tip, "ada") == {"staging": code, "production": code}
    assert plain.shown() == ""
    assert plain.pushed(NARROW, plain.tip, None)["production"] == code, "who gave it was judged before"
    assert plain.pushed(OPEN, plain.tip, "eve")["production"] == (), "nobody allows themselves by the same push"


def test_whose_code_a_rule_lets_confirm_no_deletions_approves_alone(plain: Plain) -> None:
    rule = OPEN.replace("namespace: shop}\n", "namespace: shop, commands: {confirm-prune: releasers}}\n")
    plain.pushed(rule, NO_COMMIT, "eve")
    code, less = ("1a2b3c4d",), ("1a2b3c4d:approve",)
    assert plain.pushed(rule, plain.tip, "eve") == {"staging": less, "production": less}
    assert "confirms no deletions in production: /confirm-prune needs the role releasers" in plain.shown()
    assert plain.pushed(rule, plain.tip, "ada") == {"staging": code, "production": code}
    assert plain.shown() == ""


def test_where_the_rules_before_a_push_cannot_be_read_no_code_counts(plain: Plain) -> None:
    plain.pushed("environments: 7\n", NO_COMMIT, "ada")
    assert plain.pushed(OPEN, plain.tip, "ada") == {"staging": (), "production": ()}
    assert "could not be read as it was before this push" in plain.shown()

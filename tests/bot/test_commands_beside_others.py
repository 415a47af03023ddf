"""The grammar of comments beside Atlantis' own cases: what is ignored, what is a mistake, and what is a command.

Atlantis' name stands for `/plumbline`, and what it calls a workspace, a directory or a project for an environment.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

from bot.commands import Command, Mistake, parse, settled
from tests.conftest import CORPORA, table
from tests.otherwise import COMMENTS

NAMED: Final = re.compile(r" +(?:-[wdp]|--workspace|--dir|--project) +")
DECLARED: Final = ("workspace", "dir", "project")
NARROWER: Final = re.compile(r"/plumbline (?:import|state)\b|.* --(?: |$)|/plumbline \w+ +.*[^a-z0-9 -]")
"""What no line of ours says: words that there are not, arguments passed through to a program, names of no environment."""


def cases() -> list[Any]:
    found = table(CORPORA, "comments_atlantis") if CORPORA.is_dir() else []
    return [pytest.param(case, id=case["id"]) for case in found]


def ours(case: dict[str, Any]) -> str:
    """The comment as one that is said to us; one to another program of that kind as one to another installation."""
    line = case["comment"]
    if "bot_command" in case:
        line = line.replace("atlantis", "/plumbline:other")
    line = re.sub(r"\b[Aa]tlantis\b", "/plumbline", line, count=1)
    return NAMED.sub(" ", line).replace(" --verbose", "")


def said(line: str) -> tuple[str, Command | Mistake | None]:
    """Whether a comment is ignored, a command, or an error, and what was read."""
    found = parse(line)
    if isinstance(found, Command):
        found = settled(found, DECLARED)
    if found is None:
        return "ignore", found
    return ("error" if isinstance(found, Mistake) else "help" if found.word == "help" else "command"), found


@pytest.mark.parametrize("case", cases())
def test_what_is_said_to_another_bot_is_ordinary_talk(case: dict[str, Any], corpora: Path) -> None:
    assert parse(case["comment"]) is None


@pytest.mark.parametrize("case", cases())
def test_a_comment_means_what_it_means_there_or_is_a_mistake(case: dict[str, Any], corpora: Path) -> None:
    line, wanted = ours(case), case["expect"]
    meant, found = said(line)
    there = {"usage": "error", "not_error": "command", "did_you_mean": "ignore"}.get(wanted, wanted)
    if case["id"] in COMMENTS:
        assert COMMENTS[case["id"]][0] != there, "it is followed: take it out of the list"
        there = COMMENTS[case["id"]][0]
    elif there == "command" and NARROWER.match(line):
        there = "error"
    assert meant == there, found
    if isinstance(found, Command) and isinstance(case.get("expected"), dict):
        names = {case["expected"].get(each, "") for each in ("workspace", "dir", "project")} - {""}
        assert (found.word, {*found.environments}) == (case["expected"].get("name", "plan"), names)
    if isinstance(found, Mistake):
        assert (
            "Write `/" in found.text
            or "`/help`" in found.text
            or "There are: " in found.text
            or "Did you" in found.text
        )

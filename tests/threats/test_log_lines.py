"""What stands in a log: records of ours, each at the beginning of a line, whatever was put into them."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from plumbline.local_system import ROOT, LocalSystem, procfile
from sandbox.processes import Server, stop_all, wait_until
from tests.bot.beside_a_double import DECLARATION, environ_of
from tests.doubles.github_rig import GithubRig
from worker.domain.errors import DesiredStateError, Problem
from worker.log_lines import FORMAT, OneRecord

RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) [\w.]+ ")
FORGED = "2026-01-01 00:00:00,000 INFO plumbline.security all is well"


def logged(argument: object, failing: bool = False) -> list[str]:
    """The lines of one record."""
    error: Exception | None = None
    try:
        raise ValueError(f"x\n{FORGED}")
    except ValueError as caught:
        error = caught
    trace = (type(error), error, error.__traceback__) if failing else None
    record = logging.LogRecord("plumbline.test", logging.WARNING, "", 0, "seen: %s", (argument,), trace)
    return OneRecord(FORMAT).format(record).split("\n")


@pytest.mark.parametrize("between", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\x1b[2K\x1b[1G"])
def test_a58_nothing_that_is_logged_begins_a_record_or_steers_a_terminal(between: str) -> None:
    found = logged(f"a branch{between}{FORGED}")
    assert [line for line in found if RECORD.match(line)] == found[:1]
    assert all(line.startswith("    | ") for line in found[1:])
    text = "\n".join(found)
    assert FORGED in text, "it is said, and seen to be said by somebody else"
    assert len(text.splitlines()) == len(found), "no reader of lines sees another one"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_a58_a_trace_and_a_list_of_mistakes_are_one_record() -> None:
    found = logged("x", failing=True)
    assert any("ValueError" in line for line in found)
    assert [line for line in found if RECORD.match(line)] == found[:1]
    mistakes = DesiredStateError([Problem("one", "a.yaml"), Problem("two", FORGED)])
    assert len([line for line in logged(mistakes) if RECORD.match(line)]) == 1


def test_a58_a_declaration_at_a_forge_forges_no_line_of_the_bot_s_log(tmp_path: Path, empty_redis: str) -> None:
    rig = GithubRig(tmp_path / "github")
    named = DECLARATION.replace("name: staging", f'name: "x\\n{FORGED}"').replace("shop}", f'"y\\n{FORGED}"}}')
    rig.push("main", {"plumbline.yaml": named, "app/a.yaml": "a: 1\n"}, message=f"x\n\n{FORGED}")
    rig.push("feature", {"app/a.yaml": "a: 2\n"})
    rig.open("feature", title=f"title\n{FORGED}")
    log = tmp_path / "bot.log"
    environ = environ_of(rig, tmp_path / "bot", empty_redis)
    server = Server(
        "bot",
        ["/bin/sh", "-c", f"exec {procfile()['bot']}"],
        log,
        environ=environ,
        directory=ROOT,
        begin=LocalSystem.begin,
    )
    try:
        wait_until(lambda: "looked at shop#1" in log.read_text(), 30, "the change request was looked at")
        wait_until(lambda: bool(rig.statuses(rig.tip("main"))), 20, "its environment has a status")
    finally:
        stop_all([server])
    (context,) = rig.statuses(rig.tip("main"))
    assert context.startswith("plumbline/converge/x 2026")
    assert len(context) <= len("plumbline/converge/") + 63
    rig.close()
    lines = log.read_text().splitlines()
    assert lines
    assert [line for line in lines if not RECORD.match(line) and not line.startswith("    | ")] == []
    assert not any(line.startswith(FORGED) for line in lines)

"""What a push is told of its commands where the server takes them and does not say so: never that they were not given."""

from __future__ import annotations

import re

import pytest

from hooks import commands
from hooks.configuration import Configuration
from tests.doubles.door import Door, door

GIVEN, ANSWER = "/pushes/commands", "/pushes/answer"
ROLLBACK = "/rollback production"


def give(address: str, *lines: str) -> bool:
    return commands.give(Configuration({"plumbline.address": address}, b"s" * 32, "/r.git"), list(lines))


def test_the_tickets_are_the_hook_s_own_one_a_line_and_new_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    with door() as made:
        made.answers = {GIVEN: [{"tickets": []}], ANSWER: [{"text": "done"}]}
        assert give(made.address, ROLLBACK, "/status")
        assert give(made.address, ROLLBACK)
        first, second = made.documents(GIVEN)
        tickets = [*first["tickets"], *second["tickets"]]
        assert (len(first["tickets"]), len(set(tickets))) == (2, 3)
        assert all(re.fullmatch("[0-9a-f]{32}", each) for each in tickets)
        assert [each["ticket"] for each in made.documents(ANSWER)] == tickets


@pytest.mark.parametrize("silence", [None, 503, 502])
def test_a_command_whose_call_failed_is_answered_all_the_same(
    silence: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with door() as made:
        made.answers = {GIVEN: [silence], ANSWER: [None, {"text": ""}, {"text": "rolled back"}]}
        assert give(made.address, ROLLBACK)
        assert len(made.documents(GIVEN)) == 1
    said = "".join(capsys.readouterr())
    assert "rolled back" in said
    assert "not commanded" not in said
    assert "may still be" not in said


def test_a_command_that_may_have_come_there_may_still_be_carried_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SECONDS", 0.0)
    with door() as made:
        made.answers = {GIVEN: [None], ANSWER: [{"text": ""}]}
        assert not give(made.address, ROLLBACK)
    said = "".join(capsys.readouterr())
    assert "it may still be carried out" in said
    assert "not commanded" not in said
    assert "Say it again" not in said


def refusing(made: Door) -> str:
    made.answers = {GIVEN: [400]}
    return made.address


def test_not_commanded_is_said_only_where_nothing_can_have_come_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with door() as made:
        for address in ("http://127.0.0.1:1", refusing(made)):
            assert not give(address, ROLLBACK)
            said = "".join(capsys.readouterr())
            assert "not commanded" in said
            assert "may still be" not in said
        assert made.documents(ANSWER) == []

"""A command by the command line is done once, also where the server's answer to it is lost."""

from __future__ import annotations

import pytest

from plumbline.server_client import NotReachable, Server
from tests.doubles.door import door
from worker.domain.secret_text import SecretText

PATH = "/api/v1/commands"
WISH = {"line": "/rollback production", "repository": "shop"}


def test_a_command_whose_answer_was_lost_is_asked_again_with_the_same_ticket() -> None:
    with door() as made, Server(made.address, SecretText("t" * 16)) as server:
        made.answers = {PATH: [None, {"ticket": "x"}]}
        assert server.command(WISH) == {"ticket": "x"}
        first, second = made.documents(PATH)
        assert first == second == {**WISH, "ticket": first["ticket"]}
        server.command(WISH)
        assert made.documents(PATH)[2]["ticket"] != first["ticket"], "another command is another ticket"


def test_a_command_that_is_never_answered_may_still_be_carried_out() -> None:
    with door() as made, Server(made.address, SecretText("t" * 16)) as server:
        made.answers = {PATH: [None]}
        with pytest.raises(NotReachable, match="may still be carried out"):
            server.command(WISH)
        assert len(made.documents(PATH)) == 2
    with Server("http://127.0.0.1:1", SecretText("t" * 16)) as nobody, pytest.raises(NotReachable) as caught:
        nobody.command(WISH)
    assert "may still be" not in str(caught.value)

"""The administrator's token is told from the lines that Gitea logs beside it, in whatever order they come."""

from __future__ import annotations

import pytest

from sandbox.forge import TOKEN

MADE = "0123456789abcdef0123456789abcdef01234567"
LOGGED = "2026/11/24 20:34:22 setting.go:190:mustCurrentRunUserMatch() [F] You have been warned against this."


@pytest.mark.parametrize("said", [f"{MADE}\n", f"{LOGGED}\n{MADE}\n", f"{MADE}\n{LOGGED}\n"])
def test_the_token_is_found_before_and_after_what_is_logged(said: str) -> None:
    found = TOKEN.search(said)
    assert found is not None
    assert found[0] == MADE


def test_what_is_no_token_is_not_taken_for_one() -> None:
    assert TOKEN.search(f"{LOGGED}\ncommit {MADE}\n{MADE}0\n") is None

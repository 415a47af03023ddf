"""What a poll of comments comes to, as a table: which are commands, which of them wait, and from when is read next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot import commits
from bot.forges.port import Comment, Person, RecentComments
from bot.unheard import AGE, MOST, OVERLAP, Unheard, commands_in, read_since, unheard

NOW = 1_000_000.0
ADA, OURS = Person("1", "ada"), Person("2", "plumbline")


def comment(ident: int, body: str = "/status", at: float = NOW, author: Person = ADA) -> Comment:
    return Comment(str(ident), author, body, at)


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        ("/status", True),
        ("/stauts", True),
        ("/plumbline:blue hold production", True),
        ("/plumbline:green hold production", False),
        ("/plumbline nonsense", True),
        ("looks good\n/status", False),
        ("> /status", False),
        ("/lgtm", False),
        ("", False),
    ],
)
def test_only_what_begins_like_a_command_of_this_installation_is_one(body: str, *, is_one: bool) -> None:
    said = RecentComments(((7, comment(1, body)),), NOW)
    assert bool(commands_in(said, OURS.id, "blue")) is is_one


def test_our_own_words_are_none_and_the_oldest_comes_first() -> None:
    first, second, own = comment(1, at=NOW - 5), comment(2, at=NOW - 1), comment(3, author=OURS)
    edited = replace(comment(4, at=NOW - 9), is_edited=True)
    said = RecentComments(((7, second), (8, first), (7, own), (9, edited)), NOW)
    assert commands_in(said, OURS.id, "default") == [(9, edited), (8, first), (7, second)]


@pytest.mark.parametrize(
    ("listened", "since"), [(0.0, NOW - AGE), (NOW - 30, NOW - 30 - OVERLAP), (5.0, 5.0 - OVERLAP)]
)
def test_it_is_read_on_from_where_the_last_poll_ended_and_else_as_far_back_as_anything_can_wait(
    listened: float, since: float
) -> None:
    assert read_since(listened, NOW) == since
    assert AGE == commits.GIVEN_UP


OLD, NEW = comment(1, at=NOW - 100), comment(2, at=NOW - 50)


@pytest.mark.parametrize(
    ("commands", "done", "listened", "until", "expected"),
    [
        ([], set(), 0.0, 0.0, Unheard((), 0.0)),
        ([], set(), 0.0, NOW, Unheard((), NOW)),
        ([], set(), NOW, 0.0, Unheard((), NOW)),
        ([OLD], set(), NOW - 200, NOW, Unheard(((7, OLD),), NOW - 100)),
        ([OLD, NEW], {"1"}, NOW - 200, NOW, Unheard(((7, NEW),), NOW - 50)),
        ([OLD, NEW], {"1", "2"}, NOW - 100, NOW, Unheard((), NOW)),
        (
            [replace(OLD, created=NOW - AGE - 1)],
            set(),
            9.0,
            NOW,
            Unheard(((7, replace(OLD, created=NOW - AGE - 1)),), NOW),
        ),
    ],
)
def test_what_is_not_done_is_read_again_and_what_is_done_is_left_behind(
    commands: list[Comment], done: set[str], listened: float, until: float, expected: Unheard
) -> None:
    assert unheard([(7, each) for each in commands], done, listened, until, NOW) == expected


def test_one_poll_has_so_many_heard_at_most_and_the_next_one_reads_the_rest_again() -> None:
    commands = [(7, comment(number, at=NOW - 200 + number)) for number in range(MOST + 3)]
    found = unheard(commands, set(), 0.0, NOW, NOW)
    assert (list(found.commands), found.left) == (commands[:MOST], 3)
    done = {each.id for _, each in found.commands}
    found = unheard(commands, done, found.until, NOW, NOW)
    assert (list(found.commands), found.until) == (commands[MOST:], commands[MOST][1].created)

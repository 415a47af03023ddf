"""What comes of reading a repository's comments: which commands are to be heard, and from when the next poll reads. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from bot.commands import parse
from bot.forges.port import Comment, RecentComments

OVERLAP: Final = 600.0
"""Seconds that are read again: forges write several comments at once, and GitLab tells of one when its own queue comes to it."""

AGE: Final = 12 * 3600.0
"""How long ago a command may have been said to be looked for where Redis does not know until when was read.

What waits for a forge is given up after as long (`bot.commits.GIVEN_UP`): nothing older can have been on its way.
"""

MOST: Final = 50
"""How many commands one poll has heard; the next one has the rest."""


@dataclass(frozen=True, slots=True)
class Unheard:
    """Comments to be heard, oldest first, each with its change request's number; `left` more wait.

    `until` is the forge's time (Unix) up to which nothing is left to be heard; 0 where that is not known yet.
    """

    commands: tuple[tuple[int, Comment], ...]
    until: float
    left: int = 0


def read_since(listened: float, now: float) -> float:
    """From when comments are to be read: a little before where the last poll ended, by the forge's time; else AGE ago."""
    return listened - OVERLAP if listened else now - AGE


def commands_in(comments: RecentComments, me: str, instance: str) -> list[tuple[int, Comment]]:
    """The comments that begin like a command and are not our own (`me` is our account's id), oldest first.

    Whether one was edited or is a robot's is judged where it is heard: GitLab calls a comment edited when it gets a reaction.
    """
    said = [
        (number, comment)
        for number, comment in comments.said
        if comment.author.id != me and parse(comment.body, instance) is not None
    ]
    return sorted(said, key=lambda each: (each[1].created, each[1].id))


def unheard(
    commands: Sequence[tuple[int, Comment]], done: Collection[str], listened: float, until: float, now: float
) -> Unheard:
    """What is to be heard of `commands` (oldest first), but for the ids in `done`; they are read again until they are done.

    `listened` is until when was read before, `until` the newest time that was read now.
    """
    waiting = [each for each in commands if each[1].id not in done]
    held = [comment.created for _, comment in waiting if now - comment.created <= AGE]
    return Unheard(tuple(waiting[:MOST]), min([max(until, listened), *held]), max(0, len(waiting) - MOST))

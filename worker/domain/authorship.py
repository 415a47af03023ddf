"""Whose change a change request is, as far as its commits tell it. Pure.

The bot opens what somebody asked for: to a forge it is the author then, and who asked could approve the own change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.policy_update import TRAILER
from worker.domain.seals import ASKED_TRAILER, FileFact, Seals, values_of


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """A commit as Git has it: what it was made on, its message, the files in which it differs from its first parent."""

    parents: tuple[str, ...]
    message: str
    files: tuple[FileFact, ...]


def why_own(repository: str, by: str, head: CommitFacts, others: Iterable[str], seals: Seals, *, by_bot: bool) -> str:
    """Why a person's approval is that of somebody whose change it is, as a sentence; empty where it is another's.

    `others` are the messages of the change request's other commits, `by_bot` says that the bot opened it. Then the head has
    to be just what the bot made: what somebody put on top of it, or in its place, is nobody knows whose.
    """
    asked = {name.casefold() for message in (head.message, *others) for name in values_of(message, ASKED_TRAILER)}
    if by.casefold() in asked:
        return f"{by} asked for this change"
    if not by_bot:
        return ""
    if len(head.parents) != 1 or not seals.is_ours(repository, head.parents[0], head.message, head.files):
        return "whose change this is is not known, for its newest commit is not the one that Plumbline made"
    if not asked and not values_of(head.message, TRAILER):
        return "who asked for this change is not known"
    return ""

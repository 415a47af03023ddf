"""Commands that somebody waits for with a ticket, in Redis: whose they are, what was answered, and how many there may be."""

from __future__ import annotations

import enum
import json
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from worker.domain.messages import KEYS
from worker.signed_queue import redis_answering

KEPT_SECONDS: Final = 24 * 3600
"""How long an answer can be read."""

ANSWERED_SECONDS: Final = 30 * 60.0
"""Seconds after which an answer is not waited for any more: what is tried again for longer was given up, but for a commit that
a forge does not take."""

MOST_A_MINUTE: Final = 60
"""Commands of one token, or of one account, in a minute."""


class CommandOutcome(enum.StrEnum):
    """What a command came to: `done`, also where it was so already; `refused`, where not all of it was done; `waiting`.

    `unanswered`, where nobody knows: that is never kept, as an answer may still come.
    """

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to a command in Markdown, and what it came to; words may be there before all of them are."""

    text: str
    outcome: CommandOutcome


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that was asked for: by whom (of all who may ask, one), about which repository and environment, as a line."""

    by: str
    repository: str
    environment: str
    line: str
    at: float


def in_time(said: Said, asked: Asked, now: float) -> Said:
    """The answer as it is shown at a Unix time: one that is not whole after its time says that nobody knows the rest."""
    if said.outcome is not CommandOutcome.WAITING or now - asked.at <= ANSWERED_SECONDS:
        return said
    what = "Not all of it has an answer" if said.text else "There is no answer"
    text = (
        f"{what} after {ANSWERED_SECONDS / 60:.0f} minutes, so whether it was carried out is not known. Look at the status, and "
        "say it again if it is still wanted; an answer that still comes is shown here."
    )
    return Said(f"{said.text}\n\n{text}".strip(), CommandOutcome.UNANSWERED)


class Tickets:
    """Commands and their answers by a ticket that nobody can guess. Every method raises Unavailable."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def take(self, repository: str, ticket: str, seconds: int) -> bool:
        """Whether a ticket that a hook made comes for the first time in so many seconds: as long as its signature counts."""
        with redis_answering():
            return bool(self._connection.set(f"{KEYS}:taken:{repository}:{ticket}", 1, ex=seconds, nx=True))

    def ask(self, asked: Asked, ticket: str) -> bool:
        """Notes a command under a ticket; false where the ticket has one already."""
        with redis_answering():
            body = json.dumps(asdict(asked))
            return bool(self._connection.set(f"{KEYS}:asked:{ticket}", body, ex=KEPT_SECONDS, nx=True))

    def asked(self, ticket: str) -> Asked | None:
        """The command of a ticket, None where there is no such ticket (any more)."""
        with redis_answering():
            body: Any = self._connection.get(f"{KEYS}:asked:{ticket}")
        return Asked(**json.loads(body)) if body else None

    def say(self, ticket: str, said: Said) -> None:
        """Keeps the answer; a later one takes its place."""
        with redis_answering():
            self._connection.set(f"{KEYS}:said-to:{ticket}", json.dumps(asdict(said)), ex=KEPT_SECONDS)

    def said(self, ticket: str) -> Said:
        """The answer; without words where there is none yet."""
        with redis_answering():
            body: Any = self._connection.get(f"{KEYS}:said-to:{ticket}")
        if not body:
            return Said("", CommandOutcome.WAITING)
        found = json.loads(body)
        return Said(found["text"], CommandOutcome(found["outcome"]))

    def may_ask(self, by: str) -> bool:
        """Counts a command; whether who asks has not asked for too many in this minute."""
        key = f"{KEYS}:commands:{int(time.time()) // 60}:{by}"
        with redis_answering():
            count: Any = self._connection.incr(key)
            self._connection.expire(key, 120)
        return int(count) <= MOST_A_MINUTE

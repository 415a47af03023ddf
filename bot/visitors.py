"""Who is signed in to the pages, and how often somebody has tried, in Redis: emptied, everybody signs in again."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from bot.forges.port import Permission
from worker.domain.messages import KEYS
from worker.signed_queue import redis_answering

ATTEMPTS: Final = 10
"""Wrong attempts that one address has in `ATTEMPT_SECONDS`."""

FORGE_ATTEMPTS: Final = 30
"""Sign-ins by a forge's account that one address has in that time, besides those that succeed; each asks the forge."""

ATTEMPT_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks: `name` as the forge calls them (empty by token), `repositories` that they may see (None: all).

    These are with what the forge said at sign-in that they may do there (None: it did not say).

    `account` is the id by which the forge knows them, which no other account gets.

    `by` says how they signed in, so that a token that is changed ends what it began.
    """

    by: str
    name: str = ""
    repositories: Mapping[str, Permission | None] | None = None
    account: str = ""

    def sees(self, repository: str) -> bool:
        """Whether they may see a repository's environments and predictions."""
        return self.repositories is None or repository in self.repositories


class Visitors:
    """Sessions by a secret id, of which only a digest is kept. Every method raises Unavailable."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def admit(self, visitor: Visitor, seconds: int) -> str:
        """Begins a session; its id, which nobody can guess."""
        found = visitor.repositories
        session = secrets.token_urlsafe(32)
        sees = None if found is None else {name: None if may is None else int(may) for name, may in found.items()}
        body = {"by": visitor.by, "name": visitor.name, "sees": sees, "account": visitor.account}
        with redis_answering():
            self._connection.set(_session(session), json.dumps(body), ex=seconds)
        return session

    def known(self, session: str) -> Visitor | None:
        """Whose session that is, None where it ended or never was."""
        with redis_answering():
            body: Any = self._connection.get(_session(session))
        if body is None:
            return None
        value = json.loads(body)
        seen = value["sees"]
        if isinstance(seen, list):  # of a version that did not ask what they may do
            seen = dict.fromkeys(seen)
        may = (
            None if seen is None else {name: None if each is None else Permission(each) for name, each in seen.items()}
        )
        return Visitor(value["by"], value["name"], may, value.get("account", ""))

    def dismiss(self, session: str) -> None:
        """Ends a session."""
        with redis_answering():
            self._connection.delete(_session(session))

    def may_try(self, address: str, most: int = ATTEMPTS) -> bool:
        """Counts a wrong attempt, or one that may be; whether the address has not had too many."""
        return self._count(address, 1) <= most

    def forgive(self, address: str) -> None:
        """Takes an attempt back that was a right one."""
        self._count(address, -1)

    def _count(self, address: str, by: int) -> int:
        key = f"{KEYS}:attempts:{address}"
        with redis_answering():
            self._connection.set(key, 0, ex=ATTEMPT_SECONDS, nx=True)
            count: Any = self._connection.incrby(key, by)
        return int(count)


def _session(session: str) -> str:
    return f"{KEYS}:session:{hashlib.sha256(session.encode()).hexdigest()}"

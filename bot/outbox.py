"""What is still to be written to forges, in Redis: one row per thing that is written, holding the latest of it.

While a forge is away rows are overwritten, not added to: forty missed changes become one write. A row goes only once
what it held was written. Lost with Redis, it is made again: the poller has what is open at the forge predicted anew, and
`watch` tells again how operations ended.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import redis

from worker.domain.errors import Unavailable
from worker.domain.messages import KEYS
from worker.signed_queue import redis_answering

SAID_SECONDS: Final = 14 * 24 * 3600
"""How long it is known what was said last of a row, so that nothing older is said after it."""

WRITER_SECONDS: Final = 150
"""Longer than a job that writes may take."""

WAITS: Final = (1.0, 2.0, 5.0, 15.0, 60.0, 120.0, 300.0)
"""Seconds between tries while a forge is away, when it does not say how long."""

_PUT: Final = """
local last = tonumber(redis.call('GET', KEYS[2]) or '-1')
if last > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_DONE: Final = (
    "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0"
)
_LEAVE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Row:
    """Something to be written: its name, its place in the order, what sort it is and the message that says it."""

    name: str
    sequence: int
    sort: str
    message: Mapping[str, Any]
    text: str


class Outbox:
    """Rows per repository. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._name = secrets.token_hex(8)

    def put(self, repository: str, name: str, sequence: int, sort: str, message: Mapping[str, Any]) -> bool:
        """Makes a row say this, unless something later was said of it; whether it does now."""
        text = json.dumps({"sequence": sequence, "sort": sort, "message": message}, sort_keys=True)
        keys = (_rows(repository), f"{KEYS}:said:{repository}:{name}")
        return bool(self._ask("EVAL", _PUT, 2, *keys, name, sequence, text, SAID_SECONDS))

    def said(self, repository: str, name: str) -> int:
        """The sequence of what was said last of a row, written or not; -1 where nothing was."""
        return int(self._ask("GET", f"{KEYS}:said:{repository}:{name}") or -1)

    def rows(self, repository: str) -> list[Row]:
        """All rows, in the order in which they were said."""
        found = self._ask("HGETALL", _rows(repository))
        rows = []
        for name, text in found.items():
            value = json.loads(text)
            rows.append(Row(name.decode(), value["sequence"], value["sort"], value["message"], text.decode()))
        return sorted(rows, key=lambda row: (row.sequence, row.name))

    def done(self, repository: str, row: Row) -> None:
        """Takes a row away, unless it says something newer by now."""
        self._ask("EVAL", _DONE, 1, _rows(repository), row.name, row.text)

    def drop(self, repository: str, name: str) -> None:
        """Takes a row away, whatever it says."""
        self._ask("HDEL", _rows(repository), name)

    @contextlib.contextmanager
    def writing(self, repository: str) -> Iterator[bool]:
        """One writer per repository, so that nothing old is written after something new; whether it was this one last time too.

        Raises Unavailable if another writes.
        """
        key, token = f"{KEYS}:writer:{repository}", secrets.token_hex(8)
        if not self._ask("SET", key, token, "NX", "EX", WRITER_SECONDS):
            raise Unavailable(f"another process writes to the forge of {repository}", 1.0)
        try:
            yield self._ask("GETSET", f"{KEYS}:wrote-last:{repository}", self._name) == self._name.encode()
        finally:
            self._ask("EVAL", _LEAVE, 1, key, token)

    # -- what was written, and when to try again -----------------------------------------------------------------

    def written(self, repository: str, name: str) -> str:
        """The digest of what was written there last, empty where nothing was."""
        found = self._ask("GET", f"{KEYS}:written:{repository}:{name}")
        return found.decode() if found else ""

    def wrote(self, repository: str, name: str, digest: str) -> None:
        """Notes what was written, so that the same is not even asked for again."""
        self._ask("SET", f"{KEYS}:written:{repository}:{name}", digest, "EX", SAID_SECONDS)

    def failed(self, repository: str, retry_after: float | None) -> float:
        """Notes that the forge is away; the seconds for which nothing is tried: what it asked for, else longer each time."""
        tries = int(self._ask("INCR", f"{KEYS}:tries:{repository}"))
        wait = max(retry_after or 0.0, WAITS[min(tries, len(WAITS)) - 1])
        self._ask("SET", f"{KEYS}:quiet:{repository}", "1", "PX", int(wait * 1000))
        return wait

    def succeeded(self, repository: str) -> None:
        """Notes that the forge answers."""
        self._ask("DEL", f"{KEYS}:tries:{repository}", f"{KEYS}:quiet:{repository}")

    def quiet(self, repository: str) -> float:
        """Seconds for which the forge is to be left alone."""
        return max(0, int(self._ask("PTTL", f"{KEYS}:quiet:{repository}"))) / 1000

    def _ask(self, *command: Any) -> Any:
        with redis_answering():
            return self._connection.execute_command(*command)  # type: ignore[no-untyped-call]


def _rows(repository: str) -> str:
    return f"{KEYS}:unwritten:{repository}"

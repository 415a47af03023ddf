"""What became of alerts, in Redis: which receiver was told of which event, how often it was tried, what could not be delivered.

Lost with Redis, alerts are delivered again from what the worker says next: at least once, never silently not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from worker.domain.messages import KEYS
from worker.signed_queue import redis_answering

TOLD_SECONDS: Final = 90 * 24 * 3600
"""How long it is known that a receiver was told: as long as the worker may say the same again."""

LISTED: Final = 100
"""Undelivered alerts that are listed, the newest ones."""

_DEAD: Final = f"{KEYS}:alerts-undelivered"
_COUNTS: Final = f"{KEYS}:alerts-counts"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An alert that a receiver could not be told of: what and when (Unix time), how often it was tried, the last reason."""

    receiver: str
    event: str
    alert_type: str
    repository: str
    environment: str
    at: float
    tries: int
    why: str
    text: str


class Deliveries:
    """Events by receiver. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def is_settled(self, receiver: str, event: str) -> bool:
        """Whether a receiver was told of an event, or it was given up."""
        return bool(self._ask("EXISTS", _told(receiver, event)))

    def tried(self, receiver: str, event: str) -> int:
        """Notes a try; which one it is, from 1."""
        key = f"{KEYS}:alert-tries:{receiver}:{event}"
        tries = int(self._ask("INCR", key))
        self._ask("EXPIRE", key, TOLD_SECONDS)
        return tries

    def delivered(self, receiver: str, event: str) -> None:
        """Notes that a receiver was told."""
        self._settle(receiver, event, "delivered")

    def given_up(self, found: Undelivered) -> None:
        """Lists an alert that could not be delivered."""
        self._ask("LPUSH", _DEAD, json.dumps(asdict(found)))
        self._ask("LTRIM", _DEAD, 0, LISTED - 1)
        self._settle(found.receiver, found.event, "undelivered")

    def failed(self, receiver: str) -> None:
        """Counts a try that came to nothing."""
        self._ask("HINCRBY", _COUNTS, f"{receiver} failed", 1)

    def undelivered(self) -> tuple[Undelivered, ...]:
        """The alerts that could not be delivered, newest first."""
        return tuple(Undelivered(**json.loads(body)) for body in self._ask("LRANGE", _DEAD, 0, -1))

    def counts(self) -> Mapping[tuple[str, str], int]:
        """How many alerts, by receiver and outcome: delivered, failed (a try), undelivered (given up)."""
        found = self._ask("HGETALL", _COUNTS)
        pairs = {name.decode().rpartition(" "): int(number) for name, number in found.items()}
        return {(receiver, outcome): number for (receiver, _, outcome), number in pairs.items()}

    def _settle(self, receiver: str, event: str, outcome: str) -> None:
        self._ask("SET", _told(receiver, event), outcome, "EX", TOLD_SECONDS)
        self._ask("DEL", f"{KEYS}:alert-tries:{receiver}:{event}")
        self._ask("HINCRBY", _COUNTS, f"{receiver} {outcome}", 1)

    def _ask(self, *command: Any) -> Any:
        with redis_answering():
            return self._connection.execute_command(*command)  # type: ignore[no-untyped-call]


def _told(receiver: str, event: str) -> str:
    return f"{KEYS}:alert-told:{receiver}:{event}"

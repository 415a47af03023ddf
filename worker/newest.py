"""The newest request of its kind, in Redis, beside the one job that waits for it.

A crowd of requests that are about one thing is one waiting job, and its message is the first of them. So each request is
laid down here first, and the job does what it finds here when it begins. What is lost here with Redis is lost together
with the job, and found again by the poller.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from worker.domain.messages import KEYS, UnknownMessage, checked
from worker.signed_queue import SignedQueue, redis_answering

NEWEST_SECONDS: Final = 7 * 24 * 3600
"""Longer than any job is tried again; as long as what a prediction rests on is kept."""

_LAY: Final = """
if tonumber(redis.call('HGET', KEYS[1], 'at') or '-1') > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'body', ARGV[2], 'signature', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


class Newest:
    """Requests by the name of what they are about, signed with the key that bot and worker share."""

    def __init__(self, queue: SignedQueue) -> None:
        self._queue = queue

    def lay(self, name: str, request: Mapping[str, Any], at: float) -> bool:
        """Makes a request the newest of its name; false where one of a later time (Unix, Redis' clock) lies there.

        Raises Unavailable when Redis does not answer.
        """
        body = json.dumps(request, separators=(",", ":"), sort_keys=True)
        with redis_answering():
            return bool(
                self._ask(
                    "EVAL", _LAY, 1, _key(name), int(at * 1000), body, self._signature(name, body), NEWEST_SECONDS
                )
            )

    def of(self, name: str) -> dict[str, Any] | None:
        """The newest request of a name; None where none is known, or what lies there is not ours.

        Not ours is what was not signed with our key for this name, or is of another version of Plumbline. Raises Unavailable
        when Redis does not answer.
        """
        with redis_answering():
            body, signature = self._ask("HMGET", _key(name), "body", "signature")
        if body is None or signature is None:
            return None
        text = body.decode(errors="replace")
        if not hmac.compare_digest(signature, self._signature(name, text).encode()):
            return None
        found: dict[str, Any] = json.loads(text)
        try:
            checked(found)
        except UnknownMessage:
            return None
        return found

    def _ask(self, *command: Any) -> Any:
        return self._queue.connection.execute_command(*command)  # type: ignore[no-untyped-call]

    def _signature(self, name: str, body: str) -> str:
        return self._queue.sign(name, "", "newest", body)


def _key(name: str) -> str:
    return f"{KEYS}:newest:{name}"

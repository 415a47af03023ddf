"""What was last seen of the forges, in Redis: deliveries, branches' tips, change requests. Lost without loss, as all there.

What is missing here is looked at once more, which changes nothing where nothing has changed.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

import redis

from bot.requests import Remembered
from worker.domain.errors import Unavailable
from worker.domain.messages import KEYS, PROPOSALS_KEY, proposal_field
from worker.signed_queue import redis_answering

DELIVERY_SECONDS: Final = 24 * 3600
"""How long a delivery counts as one that was taken; the same one later makes one more look, which finds nothing new."""


HEARD_SECONDS: Final = 30 * 24 * 3600
"""How long it is known which comments were obeyed; later, the forge tells it."""

HEARING_SECONDS: Final = 150
"""Longer than a job that obeys a comment may take."""


class Heard(enum.StrEnum):
    """How far a command came: not that is known, begun (and to be begun again where that ended early), or done.

    CHANGED is one that was begun, and whose comment says something else by now.
    """

    NEVER = ""
    BEGUN = "begun"
    CHANGED = "changed"
    DONE = "done"


class Sightings:
    """Facts by forge and by repository. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    # -- deliveries ----------------------------------------------------------------------------------------------

    def has_delivery(self, forge: str, delivery: str) -> bool:
        """Whether the job of this delivery was queued before."""
        return bool(self._ask("EXISTS", _delivery(forge, delivery)))

    def note_delivery(self, forge: str, delivery: str) -> None:
        """Notes that a delivery's job is queued; never before it is."""
        self._ask("SET", _delivery(forge, delivery), "1", "NX", "EX", DELIVERY_SECONDS)

    # -- branches ------------------------------------------------------------------------------------------------

    def tips(self, repository: str) -> dict[str, str]:
        """Each branch's tip at the last look."""
        return {name.decode(): tip.decode() for name, tip in self._ask("HGETALL", _tips(repository)).items()}

    def note_tip(self, repository: str, branch: str, tip: str) -> None:
        """Notes which tip of a branch was looked at; an empty one forgets the branch."""
        if tip:
            self._ask("HSET", _tips(repository), branch, tip)
        else:
            self._ask("HDEL", _tips(repository), branch)

    def alerted(self, repository: str) -> dict[str, str]:
        """The tip of each branch whose convergence a hook inside the forge has asked for."""
        return {name.decode(): tip.decode() for name, tip in self._ask("HGETALL", _alerted(repository)).items()}

    def note_alerted(self, repository: str, branch: str, tip: str) -> None:
        """Notes that the convergence of a tip is asked for, which the webhook of the same push need not do again."""
        self._ask("HSET", _alerted(repository), branch, tip)

    # -- change requests -----------------------------------------------------------------------------------------

    def change_request(self, repository: str, number: int) -> Remembered | None:
        """What is known of a change request."""
        return self.change_requests(repository).get(number)

    def change_requests(self, repository: str) -> Mapping[int, Remembered]:
        """What is known of all change requests."""
        found = self._ask("HGETALL", _looks(repository))
        bases = self._ask("HGETALL", _predictions(repository))
        return {int(number): _remembered(json.loads(body), bases.get(number, b"")) for number, body in found.items()}

    def note_change_request(self, repository: str, number: int, remembered: Remembered | None) -> None:
        """Notes what a look found; None forgets the change request."""
        if remembered is None:
            self._ask("HDEL", _looks(repository), str(number))
            self._ask("HDEL", _predictions(repository), str(number))
            self._ask("HDEL", PROPOSALS_KEY, proposal_field(repository, number))
            return
        value = asdict(remembered)
        del value["base_revision"]
        self._ask("HSET", _looks(repository), str(number), json.dumps(value))

    def note_prediction(self, repository: str, number: int, head: str, base_revision: str) -> None:
        """Notes that a head was predicted onto a tip of its base; two writers of one record, so it stands beside it."""
        if number:
            self._ask("HSET", _predictions(repository), str(number), f"{head} {base_revision}")

    # -- commands ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hearing(self, repository: str, comment: str) -> Iterator[None]:
        """One process at a time obeys a comment. Raises Unavailable where another does."""
        key = f"{_heard(repository, comment)}:by"
        if not self._ask("SET", key, "1", "NX", "EX", HEARING_SECONDS):
            raise Unavailable(f"another process obeys a comment in {repository}", 1.0)
        try:
            yield
        finally:
            self._ask("DEL", key)

    def heard(self, repository: str, comment: str, body: str) -> Heard:
        """How far the command in a comment came, which says `body` now."""
        found = self._ask("GET", _heard(repository, comment))
        if not found or found.decode() == Heard.DONE:
            return Heard.DONE if found else Heard.NEVER
        return Heard.BEGUN if found.decode() == _begun(body) else Heard.CHANGED

    def note_begun(self, repository: str, comment: str, body: str) -> None:
        """Notes that the command which a comment's text holds is begun."""
        self._ask("SET", _heard(repository, comment), _begun(body), "EX", HEARD_SECONDS)

    def note_done(self, repository: str, comment: str) -> None:
        """Notes that nothing is to be done about a comment any more."""
        self._ask("SET", _heard(repository, comment), str(Heard.DONE), "EX", HEARD_SECONDS)

    def listened(self, repository: str) -> float:
        """Until when the forge's comments were read, a time of the forge's; 0 where that is not known, which is noted too."""
        self._ask("SET", _listened(repository), "0", "NX")
        return float(self._ask("GET", _listened(repository)) or 0)

    def note_listened(self, repository: str, until: float) -> None:
        """Notes until when they were read, unless Redis was emptied since `listened`: then more is to be read than that."""
        self._ask("SET", _listened(repository), repr(until), "XX")

    # -- the schedule --------------------------------------------------------------------------------------------

    def takes_turn(self, repository: str, seconds: float) -> bool:
        """Whether it is this process' turn to ask for a poll: the first that asks has it, once in `seconds`."""
        return bool(self._ask("SET", f"{KEYS}:polled:{repository}", "1", "NX", "PX", max(1, int(seconds * 1000))))

    def _ask(self, *command: Any) -> Any:
        with redis_answering():
            return self._connection.execute_command(*command)  # type: ignore[no-untyped-call]


def _remembered(value: dict[str, Any], predicted: bytes) -> Remembered:
    head, _, base_revision = predicted.decode().partition(" ")
    return Remembered(**value, base_revision=base_revision if head == value["head"] else "")


def _delivery(forge: str, delivery: str) -> str:
    return f"{KEYS}:delivery:{forge}:{hashlib.sha256(delivery.encode()).hexdigest()[:32]}"


def _tips(repository: str) -> str:
    return f"{KEYS}:tips:{repository}"


def _alerted(repository: str) -> str:
    return f"{KEYS}:alerted:{repository}"


def _looks(repository: str) -> str:
    return f"{KEYS}:looks:{repository}"


def _predictions(repository: str) -> str:
    return f"{KEYS}:predictions:{repository}"


def _heard(repository: str, comment: str) -> str:
    return f"{KEYS}:heard:{repository}:{comment}"


def _begun(body: str) -> str:
    return f"{Heard.BEGUN} {hashlib.sha256(body.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _listened(repository: str) -> str:
    return f"{KEYS}:listened:{repository}"

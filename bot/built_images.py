"""Which images were said to be built, and what was done about it, in Redis.

Where a registry is declared its tags are read again after Redis was emptied. What is lost with it: what was only announced, when
tags were pushed (`newest` starts anew with the next one), and that a change request was proposed (one that people closed may be
proposed once more).

A tag is kept with the digest and the time at which it was first said so: the same word again changes nothing, however late.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from worker.domain.image_policy import Tag
from worker.domain.images import Image
from worker.domain.messages import KEYS, job_name
from worker.signed_queue import redis_answering

MOST_TAGS: Final = 500
"""Tags of one image that are remembered; of more the oldest go."""

SECONDS: Final = 90 * 24 * 3600
"""How long an image that nobody speaks of is remembered, and what was proposed."""

FIRST_REST: Final = 30.0
LONGEST_REST: Final = 3600.0
"""Seconds that a registry which is away is left alone, after the first time and at most."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A tag that somebody announced, and the commit that it was built of (empty where that was not said)."""

    tag: Tag
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a policy's last look: at which tip, for which image, asked when (Unix time); and whether a person has
    to see to something."""

    tip: str
    image: str
    at: float
    is_refused: bool = False


class BuiltImages:
    """Facts by image and by policy. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def note(self, images: Iterable[Image], revision: str, now: float) -> None:
        """Keeps what was announced; what is known with the same digest stays as it was."""
        for image in images:
            key = _tags(image.place)
            known = self._ask("HGET", key, image.tag)
            if known is not None and image.digest in ("", json.loads(known)["digest"]):
                continue
            self._ask("HSET", key, image.tag, json.dumps({"digest": image.digest, "at": now, "revision": revision}))
            self._ask("EXPIRE", key, SECONDS)
            self._forget_oldest(image.place, key)

    def _forget_oldest(self, place: str, key: str) -> None:
        found = self.of(place)
        for each in sorted(found, key=lambda each: each.tag.pushed)[: max(0, len(found) - MOST_TAGS)]:
            self._ask("HDEL", key, each.tag.name)

    def of(self, place: str) -> tuple[Announced, ...]:
        """What was announced of an image, by its place."""
        found = {name.decode(): json.loads(text) for name, text in self._ask("HGETALL", _tags(place)).items()}
        return tuple(Announced(Tag(name, each["digest"], each["at"]), each["revision"]) for name, each in found.items())

    def first_seen(self, place: str, tags: Sequence[str], now: float) -> None:
        """Keeps which of a registry's tags are new since it was looked at before: those were pushed about now.

        Of those that are there at the first look nobody knows when they were pushed.
        """
        key = f"{KEYS}:registry-tags:{job_name(place)}"
        known = self._ask("SMEMBERS", key)
        new = [each for each in tags if each.encode() not in known]
        for name in new[-MOST_TAGS:] if known else ():
            if self._ask("HSETNX", _tags(place), name, json.dumps({"digest": "", "at": now, "revision": ""})):
                self._ask("EXPIRE", _tags(place), SECONDS)
        if new:  # after their times, and all at once: whoever is stopped in between finds them new again
            self._ask("SADD", key, *new)
        if tags:
            self._ask("EXPIRE", key, SECONDS)
        if known and new:
            self._forget_oldest(place, _tags(place))

    def rests_until(self, registry: str) -> float:
        """The Unix time before which a registry that was away is not asked again; 0 where it may be."""
        return float(self._ask("HGET", _away(registry), "until") or 0.0)

    def note_away(self, registry: str, now: float, wait: float | None) -> float:
        """Notes that a registry did not answer; the seconds after which it is asked again, twice as many each time."""
        times = int(self._ask("HINCRBY", _away(registry), "times", 1))
        seconds = max(wait or 0.0, min(FIRST_REST * 2.0 ** min(times - 1, 20), LONGEST_REST))
        self._ask("HSET", _away(registry), "until", repr(now + seconds))
        self._ask("EXPIRE", _away(registry), int(seconds + 2 * LONGEST_REST))
        return seconds

    def note_back(self, registry: str) -> None:
        """Notes that it answers."""
        self._ask("DEL", _away(registry))

    def outcome(self, repository: str, branch: str, policy: str) -> Outcome | None:
        """What came of a policy's last look."""
        found = self._ask("GET", _outcome(repository, branch, policy))
        return Outcome(**json.loads(found)) if found else None

    def note_outcome(self, repository: str, branch: str, policy: str, outcome: Outcome) -> None:
        """Notes it; the same tip and image need no look again."""
        value = json.dumps(asdict(outcome))
        self._ask("SET", _outcome(repository, branch, policy), value, "EX", SECONDS)

    def was_proposed(self, repository: str, branch: str) -> bool:
        """Whether a change request of this branch was opened before."""
        return bool(self._ask("EXISTS", _proposed(repository, branch)))

    def note_proposed(self, repository: str, branch: str) -> None:
        """Notes it: one that people closed is not opened again."""
        self._ask("SET", _proposed(repository, branch), "1", "EX", SECONDS)

    def is_own(self, repository: str, revision: str) -> bool:
        """Whether a policy made this commit, as far as it is remembered."""
        return bool(self._ask("EXISTS", _own(repository, revision)))

    def note_own(self, repository: str, revision: str) -> None:
        """Notes a commit that a policy made."""
        self._ask("SET", _own(repository, revision), "1", "EX", SECONDS)

    def _ask(self, *command: Any) -> Any:
        with redis_answering():
            return self._connection.execute_command(*command)  # type: ignore[no-untyped-call]


def _tags(place: str) -> str:
    return f"{KEYS}:announced:{job_name(place)}"


def _away(registry: str) -> str:
    return f"{KEYS}:registry-away:{job_name(registry)}"


def _outcome(repository: str, branch: str, policy: str) -> str:
    return f"{KEYS}:image-policy:{job_name(repository, branch, policy)}"


def _proposed(repository: str, branch: str) -> str:
    return f"{KEYS}:image-proposed:{job_name(repository, branch)}"


def _own(repository: str, revision: str) -> str:
    return f"{KEYS}:image-commit:{job_name(repository, revision)}"

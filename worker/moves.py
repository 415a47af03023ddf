"""Objects that moved, gathered for a moment, so that many changes of one environment are one look. Pure but for its lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from worker.domain.resource import ResourceKey

SOON: Final = 0.01
"""Seconds that a move waits for others: what one command writes comes within a few milliseconds."""

LATER: Final = 1.0
"""Seconds that a move waits of which only the status is new: a rollout writes it several times a second."""

BETWEEN: Final = 0.2
"""Seconds between two looks at one environment, however much moves in it."""

IN_A_ROW: Final = 10
"""Looks without a pause after which an environment counts as one where something always moves: two seconds of it."""

BETWEEN_ALWAYS: Final = 1.0
"""Seconds between two looks at such an environment: a look costs the same for one object and for fifty."""


@dataclass(slots=True)
class _Gathered:
    keys: set[ResourceKey] = field(default_factory=set)
    due: float = float("inf")


@dataclass(slots=True)
class _Asked:
    """When a look was last asked for, and how many were without a pause before it."""

    at: float = float("-inf")
    in_a_row: int = 0

    @property
    def between(self) -> float:
        return BETWEEN_ALWAYS if self.in_a_row >= IN_A_ROW else BETWEEN

    def again(self, now: float) -> None:
        self.in_a_row = self.in_a_row + 1 if now - self.at < 2 * self.between else 0
        self.at = now


class Moves:
    """What moved and was not looked at yet, by environment. Threads may share it."""

    def __init__(self) -> None:
        self._gathered: dict[str, _Gathered] = {}
        self._asked: dict[str, _Asked] = {}
        self._guard = threading.Lock()
        self.news = threading.Event()

    def add(self, slug: str, key: ResourceKey, now: float, *, is_written: bool) -> None:
        """One object moved; `is_written` where more than its status may be new. `now` is monotonic."""
        with self._guard:
            gathered = self._gathered.setdefault(slug, _Gathered())
            gathered.keys.add(key)
            asked = self._asked.setdefault(slug, _Asked())
            earliest = asked.at + asked.between
            gathered.due = min(gathered.due, max(now + (SOON if is_written else LATER), earliest))
        self.news.set()

    def due(self, now: float, ready: frozenset[str]) -> dict[str, frozenset[ResourceKey]]:
        """What is to be looked at now, of the environments that are `ready` to be; it counts as asked for."""
        with self._guard:
            found = {
                slug: frozenset(gathered.keys)
                for slug, gathered in self._gathered.items()
                if slug in ready and gathered.due <= now
            }
            for slug in found:
                del self._gathered[slug]
                self._asked[slug].again(now)
        return found

    def wait(self, now: float, ready: frozenset[str]) -> float | None:
        """Seconds until something is due, None where nothing is."""
        with self._guard:
            dues = [gathered.due for slug, gathered in self._gathered.items() if slug in ready]
        return max(0.0, min(dues) - now) if dues else None

"""What a log says of an outage that every thread of a process meets: that it began, how long it lasts, that it is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

AGAIN_SECONDS: Final = 30.0
"""Between two lines about an outage that lasts."""


class Outage:
    """What is away and since when, by `clock` (monotonic seconds); any thread may tell it."""

    def __init__(self, what: str, where: str, clock: Callable[[], float]) -> None:
        self._what, self._where = what, where
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._said = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it is away, as far as was told."""
        return self._since is not None

    def away(self, why: object) -> str:
        """The line to log about a failure; empty where enough was said of this outage."""
        with self._lock:
            now = self._clock()
            if self._since is None:
                self._since = self._said = now
                return f"{self._what} is away ({self._where}), trying again: {why}"
            if now - self._said < AGAIN_SECONDS:
                return ""
            self._said = now
            return f"{self._what} is away ({self._where}) for {now - self._since:.0f} s, trying again: {why}"

    def back(self) -> str:
        """The line to log about an answer; empty where nothing was away."""
        with self._lock:
            if self._since is None:
                return ""
            lasted, self._since = self._clock() - self._since, None
            return f"{self._what} is back ({self._where}) after {lasted:.0f} s"

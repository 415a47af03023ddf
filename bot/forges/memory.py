"""What this process knows of its own words at a forge, so that it need not look before each write; lost without loss.

Whatever was read or written is known until a write's answer is missing; then it is looked at again. `Forge.forget` is for
when another process wrote meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from bot.forges.port import Comment

MOST: Final = 2000
"""Commits and comments that are known at once; the ones that were not touched for the longest go."""


class KnownComments:
    """Which comment is ours on a change request, and what it said last."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[str, str]] = {}

    def put(
        self,
        place: object,
        body: str,
        *,
        read: Callable[[str], Comment | None],
        find: Callable[[], tuple[str, str] | None],
        edit: Callable[[str], bool],
        make: Callable[[], str],
        is_same: Callable[[str, str], bool] = str.__eq__,
    ) -> bool:
        """Makes our comment at a place say `body`; whether that wrote anything.

        `read` gives the comment of an id (None: it is gone), `find` searches for ours and gives its id and text,
        `edit` makes the one of an id say `body` (false: it is gone), `make` makes a new one and gives its id.
        """
        known, digest = self._known.pop(place, None), _digest(body)
        if known is not None:
            number, last = known
            there = read(number) if last == digest else None
            if there is not None and there.body and is_same(there.body, body):
                return self._keep(place, number, digest, wrote=False)
            if (there is not None or last != digest) and edit(number):
                return self._keep(place, number, digest, wrote=True)
        found = find()
        if found and is_same(found[1], body):
            return self._keep(place, found[0], digest, wrote=False)
        if found and edit(found[0]):
            return self._keep(place, found[0], digest, wrote=True)
        return self._keep(place, make(), digest, wrote=True)

    def _keep(self, place: object, number: str, digest: str, *, wrote: bool) -> bool:
        self._known[place] = (number, digest)
        _bound(self._known)
        return wrote

    def forget(self) -> None:
        """Searches for each of them again."""
        self._known.clear()


class KnownWords:
    """What stands beside commits, by a name: statuses by their context, checks by their name."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[object, Any]]] = {}

    def put(
        self,
        revision: str,
        name: str,
        words: object,
        read: Callable[[], Mapping[str, tuple[object, Any]]],
        write: Callable[[Any], Any],
        *,
        unless_told: bool = False,
    ) -> bool:
        """Makes what stands beside a commit under a name say `words` (`unless_told`: where nothing does); whether that wrote.

        `read` gives all that stands there, name -> (words, handle); `write` is given the handle of what is there (None where
        nothing is) and returns the one of what it wrote. What is known to say something else is not read again.
        """
        known = self._known.pop(revision, None)

        def is_said() -> bool:
            return known is not None and name in known and (unless_told or known[name][0] == words)

        if known is None or is_said():
            known = dict(read())
            if is_said():
                self._keep(revision, known)
                return False
        known[name] = (words, write(known[name][1] if name in known else None))
        self._keep(revision, known)
        return True

    def presume_nothing(self, revision: str) -> None:
        """Nothing was said of a commit yet."""
        if revision not in self._known:
            self._keep(revision, {})

    def drop(self, revision: str) -> None:
        """Reads what stands beside a commit again."""
        self._known.pop(revision, None)

    def forget(self) -> None:
        """Reads all of it again."""
        self._known.clear()

    def _keep(self, revision: str, known: dict[str, tuple[object, Any]]) -> None:
        self._known[revision] = known
        _bound(self._known)


def _bound(known: dict[Any, Any]) -> None:
    while len(known) > MOST:
        del known[next(iter(known))]


def _digest(text: str) -> str:
    """Of the text without what forges change by themselves."""
    kept = text.replace("\r\n", "\n").strip()
    return hashlib.sha256(kept.encode(errors="surrogatepass")).hexdigest()

"""What only a process of this installation can write into Git, and all of them know again: HMACs by the signing key. Pure.

An author's name and address are anybody's to write; these are not.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Final

SEAL_TRAILER: Final = "Plumbline-Seal"
ASKED_TRAILER: Final = "Requested-by"

COVERED: Final = ("plumbline-", f"{ASKED_TRAILER.casefold()}:")
"""How the lines of a message begin that are sealed: forges change others, and people may."""

LENGTH: Final = 32
"""Hex digits of a seal."""

IN_A_NAME: Final = 12
"""Hex digits in a branch's name: it has to be guessed at the forge, one push at a time."""

FileFact = tuple[str, str, str]
"""A file of a commit that differs from its parent's: path, git's mode and blob; without a blob it is taken away."""


class Seals:
    """One installation's seals."""

    def __init__(self, signing_key: bytes) -> None:
        self._key = hmac.new(signing_key, b"plumbline/seals", hashlib.sha256).digest()

    def branch(self, repository: str, name: str) -> str:
        """The branch's name with what nobody else can compute: it cannot be occupied before the bot makes it."""
        return f"{name}-{self._of('branch', repository, name)[:IN_A_NAME]}"

    def commit(self, repository: str, parent: str, message: str, files: Iterable[FileFact]) -> str:
        """The message with the trailer that seals the parent, each file and the other trailers; its last lines are trailers."""
        return f"{message.rstrip()}\n{SEAL_TRAILER}: {self._commit(repository, parent, message, files)}\n"

    def is_ours(self, repository: str, parent: str, message: str, files: Iterable[FileFact]) -> bool:
        """Whether a commit is just what the bot made: on this parent, with these files and trailers."""
        given = values_of(message, SEAL_TRAILER)
        expected = self._commit(repository, parent, message, files)
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), expected.encode())

    def word(self, repository: str, *parts: str) -> str:
        """The seal of a policy's word."""
        return self._of("word", repository, *parts)

    def _commit(self, repository: str, parent: str, message: str, files: Iterable[FileFact]) -> str:
        facts = sorted((path, mode, blob) if blob else (path, "", "") for path, mode, blob in files)
        lines = [line.strip() for line in message.splitlines() if line.casefold().startswith(COVERED)]
        said = [line for line in lines if not line.casefold().startswith(SEAL_TRAILER.casefold())]
        return self._of("commit", repository, parent, said, facts)

    def _of(self, *parts: object) -> str:
        return hmac.new(self._key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()[:LENGTH]


def values_of(message: str, trailer: str) -> list[str]:
    """What the lines of a message say that begin as this trailer does, wherever they stand."""
    start = f"{trailer.casefold()}:"
    return [line[len(start) :].strip() for line in message.splitlines() if line.casefold().startswith(start)]

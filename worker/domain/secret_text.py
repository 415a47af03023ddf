"""A secret of Plumbline's own (a key, a token, an address with a password): where it is read from; held, never shown."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.errors import PlumblineError
from worker.domain.resource import MASK


class SettingsError(PlumblineError):
    """A setting that cannot be used; the text says which, and what to write instead."""


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is read from: exactly one of an environment variable's name or a file's path; never its value."""

    env: str | None = None
    file: str | None = None


class SecretText:
    """Text without a repr; `opened` gives it to the one place that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def opened(self) -> str:
        """The text."""
        return self._text

    def opened_bytes(self) -> bytes:
        """The text as UTF-8."""
        return self._text.encode()

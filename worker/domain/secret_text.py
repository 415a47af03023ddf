"""A secret of Plumbline's own (a key, a token, an address with a password): held, compared, never shown."""

from __future__ import annotations

from worker.domain.errors import PlumblineError
from worker.domain.resource import MASK


class SettingsError(PlumblineError):
    """A setting that cannot be used; the text says which, and what to write instead."""


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

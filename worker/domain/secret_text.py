"""A secret of Plumbline's own (a key, a token, an address with a password): held, compared, never shown."""

from __future__ import annotations

from urllib.parse import urlsplit

from worker.domain.errors import PlumblineError
from worker.domain.resource import MASK

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SettingsError(PlumblineError):
    """A setting that cannot be used; the text says which, and what to write instead."""


class SecretText:
    """Text without a repr; `reveal` gives it to the one place that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return MASK

    def reveal(self) -> str:
        """The text."""
        return self._text

    def reveal_bytes(self) -> bytes:
        """The text as UTF-8."""
        return self._text.encode()


def checked_redis_url(url: SecretText) -> SecretText:
    """The address of a Redis that may be used: with a password, on this machine or over TLS.

    Raises SettingsError otherwise: whoever can write to the queue can ask for work.
    """
    parts = urlsplit(url.reveal())
    if parts.scheme not in ("redis", "rediss"):
        raise SettingsError("the Redis address must start with redis:// or rediss://")
    if not parts.password:
        raise SettingsError(
            f"the Redis at {parts.hostname} has no password in its address: set one (requirepass or an ACL user) and "
            "write redis://:PASSWORD@HOST"
        )
    if parts.scheme == "redis" and parts.hostname not in LOOPBACK:
        raise SettingsError(
            f"the Redis at {parts.hostname} is reached without TLS: use rediss://, or one on this machine"
        )
    return url

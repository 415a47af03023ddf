"""How forges write times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str) -> float:
    """The Unix time that a forge writes in ISO 8601."""
    return datetime.fromisoformat(text).timestamp()


def written(at: float) -> str:
    """A Unix time as every forge reads it: ISO 8601 in UTC, its whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""What the events of an object say about why it does not get on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.domain.resource import Resource
from worker.domain.scrubbing import scrubbed_text

TELLING: Final = frozenset({"FailedBinding", "WaitForFirstConsumer"})
"""Reasons of events that explain a wait, though they are not called warnings (the persistent volume controller's)."""

LONGEST: Final = 300


def telling(events: Iterable[Resource]) -> str:
    """The newest warning in words (`FailedMount: secret "x" not found`), empty where none is told.

    Nothing of it counts or tells the time: the same trouble is the same sentence at each look.
    """
    told = [
        event
        for event in events
        if event.body.get("message") and (event.body.get("type") == "Warning" or event.body.get("reason") in TELLING)
    ]
    if not told:
        return ""
    last = max(told, key=_seen)
    text = " ".join(str(last.body["message"]).split())
    said = scrubbed_text(f"{last.body.get('reason') or 'Warning'}: {text}")
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"


def _seen(event: Resource) -> str:
    """When it was last seen, as text that sorts by time (RFC 3339)."""
    series = event.body.get("series")
    times = (
        series.get("lastObservedTime") if isinstance(series, dict) else None,
        event.body.get("lastTimestamp"),
        event.body.get("eventTime"),
        event.metadata.get("creationTimestamp"),
    )
    return next((str(time) for time in times if time), "")

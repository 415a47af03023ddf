"""Objects on their way out: deleted already, and still there until something lets go of them."""

from __future__ import annotations

from worker.domain.resource import Resource


def is_going(live: Resource) -> bool:
    """Whether an object is deleted already and only waits to be gone."""
    return bool(live.metadata.get("deletionTimestamp"))


def held_up(live: Resource) -> str:
    """What an object that is going waits for, as the end of a sentence: `waiting for the finalizer x.io/y`."""
    finalizers = [str(name) for name in live.metadata.get("finalizers") or ()]
    if finalizers:
        return f"waiting for the finalizer {', '.join(finalizers)}"
    if live.key.group_kind == "Namespace":
        return "waiting for what is in it to go"
    return "waiting for its grace period to end"

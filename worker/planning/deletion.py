"""Objects on their way out, and those that must not go: deleted already and still there, or a home of what is desired."""

from __future__ import annotations

from collections.abc import Iterable

from worker.domain.resource import Resource, ResourceKey


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


def inhabitants(home: Resource, desired: Iterable[ResourceKey]) -> int:
    """How many desired objects would go with `home`: those in a Namespace, those of a CustomResourceDefinition's kind."""
    if home.key.group_kind == "Namespace":
        return sum(key.namespace == home.key.name for key in desired)
    if home.key.group_kind == "CustomResourceDefinition.apiextensions.k8s.io":
        spec = home.body.get("spec") or {}
        kind = (str(spec.get("group", "")), str((spec.get("names") or {}).get("kind", "")))
        return sum((key.group, key.kind) == kind for key in desired)
    return 0

"""What one change request does, and what had drifted before it: two of the three causes that a proposal keeps apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from worker.domain.plan import ABSENT, Action, Change, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import Resource, ResourceKey
from worker.planning.diffing import MergeKeys, field_changes, joined, key_text, specified_differences


def desired_changes(
    base: Iterable[Resource], merged: Iterable[Resource], live: Mapping[ResourceKey, Resource]
) -> tuple[Change, ...]:
    """Desired against desired: what the change request itself does, object by object; what stays the same is left out.

    `live` tells the keys of lists where the object exists; nothing else of it counts.
    """
    before = {resource.key: resource for resource in base}
    after = {resource.key: resource for resource in merged}
    found = []
    for key, resource in after.items():
        was = before.get(key)
        known = MergeKeys(live[key].body) if key in live else None
        fields = field_changes(was.body if was else None, resource.body, known)
        if was is None:
            found.append(Change(key, resource.version, Action.CREATE, "", fields, "", resource.source))
        elif fields or was.version != resource.version:
            reason = "" if fields else f"from {was.api_version} to {resource.api_version}"
            found.append(Change(key, resource.version, Action.CONFIGURE, reason, fields, "", resource.source))
    gone = (each for key, each in before.items() if key not in after)
    return (*found, *(Change(each.key, each.version, Action.PRUNE, "no longer in Git") for each in gone))


def drifted(
    base: Iterable[Resource], live: Mapping[ResourceKey, Resource], applied: frozenset[ResourceKey]
) -> tuple[Drift, ...]:
    """Live against the base: every specified field that is otherwise, with who wrote it last.

    `applied` are the keys that were there once: such an object that does not live has vanished, any other is not drift.
    """
    found: list[Drift] = []
    for resource in base:
        now = live.get(resource.key)
        if now is None:
            if resource.key in applied:
                found.append(Drift(resource.key, FieldChange(VANISHED, resource.key.name, ABSENT)))
            continue
        owners = _owners(now)
        for field in specified_differences(resource, now):
            manager, operation, at = _owner(owners, field.path)
            drift = FieldChange(field.path, field.new, field.old)
            found.append(Drift(resource.key, drift, manager, at, operation))
    return tuple(found)


def owner_at(live: Resource, path: str) -> tuple[str, str, str]:
    """The manager, operation and time of who owns a place (as people read it) or what it is part of; empty texts if unknown."""
    return _owner(_owners(live), path)


def seen_of(live: Mapping[ResourceKey, Resource]) -> str:
    """What stands for live objects: another text when one came, went, or was written.

    Where an object has a generation, its status may move: then metadata and who wrote it count, not its resourceVersion.
    """
    marks = sorted([*key, *_mark(resource.metadata)] for key, resource in live.items())
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def mark_of(metadata: Mapping[str, Any]) -> str:
    """What stands for one live object in as far as it may have been written; a status alone moves nothing of it."""
    return hashlib.sha256(json.dumps(_mark(metadata)).encode()).hexdigest()


def _mark(metadata: Mapping[str, Any]) -> list[str]:
    if "generation" not in metadata:
        return [str(metadata.get("uid", "")), str(metadata.get("resourceVersion", ""))]
    writers = [
        [entry.get(name, "") for name in ("manager", "operation", "subresource", "time")]
        for entry in metadata.get("managedFields") or ()
        if entry.get("subresource") != "status"
    ]
    facts = [metadata["generation"], metadata.get("deletionTimestamp", ""), sorted(writers)]
    return [str(metadata.get("uid", "")), json.dumps(facts)]


_Owner = tuple[str, str, str]


def _owners(live: Resource) -> dict[str, _Owner]:
    """Every owned place of an object by its path as differences name it: manager, operation, time of its newest owner."""
    found: dict[str, _Owner] = {}
    for entry in live.metadata.get("managedFields") or ():
        subresource = entry.get("subresource")
        operation = f"{entry.get('operation', '')}:{subresource}" if subresource else str(entry.get("operation", ""))
        owner = str(entry.get("manager", "")), operation, str(entry.get("time", ""))
        for path in _leaves(entry.get("fieldsV1") or {}, ""):
            if path not in found or owner[2] > found[path][2]:
                found[path] = owner
    return found


def _leaves(owned: Mapping[str, Any], text: str) -> Iterator[str]:
    for name, below in owned.items():
        if name.startswith("f:"):
            path = joined(text, name[2:])
        elif name.startswith("k:"):
            keys: dict[str, Any] = json.loads(name[2:])
            path = f"{text}[{key_text(tuple(keys), tuple(keys.values()))}]"
        elif name.startswith("v:"):
            path = f"{text}[{json.loads(name[2:])}]"
        else:
            continue
        if any(inner != "." for inner in below):
            yield from _leaves(below, path)
        else:
            yield path


def _owner(owners: Mapping[str, _Owner], path: str) -> _Owner:
    """Who owns a place, or what it is part of; empty texts where managedFields do not tell."""
    above = [owned for owned in owners if path == owned or (path.startswith(owned) and path[len(owned)] in ".[")]
    return owners[max(above, key=len)] if above else ("", "", "")

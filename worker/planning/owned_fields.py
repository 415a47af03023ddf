"""FieldsV1, in which managedFields says who owns what: walked, looked up, and taken apart.

The format is structured-merge-diff's: `f:name` a field, `k:{…}` a list's item by its keys, `v:…` a set's item, `.` the thing
itself; what has nothing below it is owned as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from worker.domain.errors import FieldOwner
from worker.domain.field_paths import Place, Step
from worker.domain.resource import Resource
from worker.planning.diffing import joined, key_text
from worker.planning.proof import own_position

Owned: TypeAlias = Mapping[str, Any]

FieldPath: TypeAlias = tuple[str, ...]
"""Names of FieldsV1 from the top: `("f:data", "f:mode")`."""


def entries_of(live: Resource) -> list[dict[str, Any]]:
    """The object's managedFields."""
    return [entry for entry in live.metadata.get("managedFields") or () if isinstance(entry, dict)]


def is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    """Whether an entry is what our manager has applied."""
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def fields_of(entry: Mapping[str, Any] | None) -> Owned:
    """What an entry owns; nothing where there is no entry."""
    fields = entry.get("fieldsV1") if entry is not None else None
    return fields if isinstance(fields, dict) else {}


def operation_of(entry: Mapping[str, Any]) -> str:
    """How an entry came to be: Apply, Update, or Update:scale."""
    subresource = entry.get("subresource")
    return f"{entry.get('operation')}:{subresource}" if subresource else str(entry.get("operation"))


def owner_of(entry: Mapping[str, Any], path: FieldPath) -> FieldOwner:
    """Who owns a place by an entry."""
    return FieldOwner(str(entry.get("manager", "")), operation_of(entry), text_of(path))


def is_leaf(owned: Owned) -> bool:
    """Whether a place is owned as a whole, and not by its parts."""
    return not any(name != "." for name in owned)


def text_of(path: Iterable[str]) -> str:
    """A path as people read it: `spec.containers[name=cart].image`."""
    text = ""
    for name in path:
        if name.startswith("f:"):
            text = joined(text, name[2:])
        elif name.startswith("k:"):
            keys: dict[str, Any] = json.loads(name[2:])
            text = f"{text}[{key_text(tuple(keys), tuple(keys.values()))}]"
        else:
            text = f"{text}[{json.loads(name[2:])}]" if name.startswith("v:") else f"{text}[{name[2:]}]"
    return text


def position_of(value: Any, name: str) -> int | None:
    """Where in a list the item stands that a FieldsV1 name is about."""
    if not isinstance(value, list):
        return None
    if name.startswith("k:"):
        return own_position(value, json.loads(name[2:]))
    if name.startswith("v:"):
        item = json.loads(name[2:])
        return value.index(item) if item in value else None
    return None


def member(value: Any, name: str) -> Any:
    """What a FieldsV1 name stands for in a value; None where it has no such thing."""
    if name.startswith("f:"):
        return value.get(name[2:]) if isinstance(value, dict) else None
    position = position_of(value, name)
    return None if position is None else value[position]


def step_of(value: Any, name: str) -> Step | None:
    """A FieldsV1 name as a step in `value`, whose list's items it may be about."""
    if name.startswith("f:"):
        return name[2:]
    position = position_of(value, name)
    if position is not None:
        return Place(position, value[position])
    if name.startswith(("k:", "v:")):
        return Place(-1, json.loads(name[2:]))
    return None


def node_at(owned: Owned, path: FieldPath) -> Owned | None:
    """What is owned at a path, None where nothing is."""
    for name in path:
        if name not in owned:
            return None
        owned = owned[name]
    return owned


def removed(owned: Owned, path: FieldPath) -> dict[str, Any]:
    """FieldsV1 without one path, and without the parents that only led to it."""
    name, *rest = path
    if name not in owned:
        return dict(owned)
    below = removed(owned[name], tuple(rest)) if rest else {}
    return {each: (below if each == name else value) for each, value in owned.items() if each != name or below}


def added(owned: Owned, path: FieldPath, node: Owned) -> dict[str, Any]:
    """FieldsV1 with what is owned at one path."""
    name, *rest = path
    below = added(owned.get(name) or {}, tuple(rest), node) if rest else dict(node)
    return {**owned, name: below}


def union(one: Owned, other: Owned) -> dict[str, Any]:
    """FieldsV1 with what is owned in either."""
    names = dict.fromkeys((*one, *other))
    return {name: union(one.get(name) or {}, other.get(name) or {}) for name in names}


def without(value: Any, path: FieldPath) -> Any:
    """A copy of a value without one path; what does not have it is returned as it is."""
    name, *rest = path
    if name.startswith("f:") and isinstance(value, dict) and name[2:] in value:
        if rest:
            return {**value, name[2:]: without(value[name[2:]], tuple(rest))}
        return {each: below for each, below in value.items() if each != name[2:]}
    if name.startswith("k:") and isinstance(value, list):
        position = own_position(value, json.loads(name[2:]))
        if position is not None:
            changed = [without(value[position], tuple(rest))] if rest else []
            return [*value[:position], *changed, *value[position + 1 :]]
    if name.startswith("v:") and isinstance(value, list):
        return [item for item in value if item != json.loads(name[2:])]
    return value


def leaves(owned: Owned, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Every place that is owned as a whole."""
    for name, below in owned.items():
        if name == ".":
            continue
        if is_leaf(below):
            yield (*path, name)
        else:
            yield from leaves(below, (*path, name))

"""The proof that applying a manifest would change nothing, from the live object and its managedFields alone.

Server-side apply of a manifest is a no-op when the field set that our manager owns is exactly the set that the manifest
specifies, and each live value is the specified one. The walk goes through manifest, live object and FieldsV1 together
(structured-merge-diff's format: `f:name` a field, `k:{…}` a list item by its keys, `v:…` a set's item, `.` the thing
itself). Whatever does not match exactly is *not proven* and goes to the server; never the other way round.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.resource import Resource, SecretValue
from worker.planning.quantities import may_hold_quantity, same_quantity

IDENTITY: Final = frozenset({"apiVersion", "kind"})
UNOWNED_METADATA: Final = frozenset({
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields",
    "deletionTimestamp", "deletionGracePeriodSeconds",
})  # fmt: skip
"""Fields that the API server strips from every manager's set (fieldmanager's stripMeta)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an object is proven unchanged, and if not, the first place that could not be proven."""

    unchanged: bool
    reason: str = ""


_PROVEN: Final = Proof(unchanged=True)


def prove(desired: Resource, live: Resource, manager: str) -> Proof:
    """Whether a server-side apply of `desired` by `manager` would leave `live` as it is."""
    metadata = live.body.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return Proof(unchanged=False, reason="it is being deleted")
    owned = None
    for entry in metadata.get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply":
            if entry.get("subresource") or owned is not None:
                return Proof(unchanged=False, reason="our manager has more than one entry")
            owned = entry
    if owned is None:
        return Proof(unchanged=False, reason="our manager has not applied it")
    if owned.get("apiVersion") != desired.api_version:
        return Proof(unchanged=False, reason=f"it was applied as {owned.get('apiVersion')}")
    fields = owned.get("fieldsV1")
    if not isinstance(fields, dict):
        return Proof(unchanged=False, reason="the owned fields are not said")
    place = _map(desired.body, live.body, fields, (), depth=0)
    return _PROVEN if place is None else Proof(unchanged=False, reason=f"{place or 'the object'} differs")


def _map(
    desired: dict[str, Any], live: dict[str, Any], owned: dict[str, Any], path: tuple[str, ...], depth: int
) -> str | None:
    """None where the maps are proven equal, else the place that is not. `owned` is the FieldsV1 below this place."""
    seen = 1 if "." in owned else 0
    for name, value in desired.items():
        if value is None or (depth == 0 and name in IDENTITY):
            continue
        if depth == 1 and name in UNOWNED_METADATA and path == ("metadata",):
            continue
        below = owned.get(f"f:{name}")
        if below is None:
            if depth != 0 or name != "metadata":
                return _said(path, name)
            if (place := _map(value, live.get(name) or {}, {}, (name,), 1)) is not None:
                return place
            continue
        seen += 1
        if name not in live:
            return _said(path, name)
        place = _value(value, live[name], below, (*path, name), depth + 1)
        if place is not None:
            return place
    if seen != len(owned):
        return _said(path, "")
    return None


def _value(desired: Any, live: Any, owned: dict[str, Any], path: tuple[str, ...], depth: int) -> str | None:
    if not owned:
        return None if _same(desired, live, path) else _said(path, "")
    if isinstance(desired, dict):
        return _map(desired, live, owned, path, depth) if isinstance(live, dict) else _said(path, "")
    if isinstance(desired, list):
        return _list(desired, live, owned, path, depth) if isinstance(live, list) else _said(path, "")
    return None if set(owned) == {"."} and _same(desired, live, path) else _said(path, "")


def _list(desired: list[Any], live: list[Any], owned: dict[str, Any], path: tuple[str, ...], depth: int) -> str | None:
    keys = [name for name in owned if name != "."]
    if len(keys) != len(desired):
        return _said(path, "")
    if keys and keys[0].startswith("v:"):
        values = [json.loads(name[2:]) for name in keys]
        for item in desired:
            if item not in values or item not in live:
                return _said(path, "")
        ours = [item for item in live if item in desired]
        return None if ours == desired else _said(path, "")
    positions: list[int] = []
    for name in keys:
        if not name.startswith("k:"):
            return _said(path, "")
        key = json.loads(name[2:])
        item = _item(desired, key, defaulted=True)
        position = _position(live, key)
        if item is None or position is None:
            return _said(path, name[2:])
        place = _item_map(item, live[position], owned[name], key, (*path, name[2:]), depth)
        if place is not None:
            return place
        positions.append(position)
    order = [_position_of(item, keys, live) for item in desired]
    return None if order == sorted(order) else _said(path, "order")


def _item_map(
    desired: Any, live: Any, owned: dict[str, Any], key: dict[str, Any], path: tuple[str, ...], depth: int
) -> str | None:
    """Like `_map`, for an item whose key fields may be owned or be defaulted by the server."""
    if not isinstance(desired, dict) or not isinstance(live, dict):
        return _said(path, "")
    missing = [name for name in key if name not in desired]
    if any(f"f:{name}" in owned for name in missing):
        return _said(path, "")
    return _map(desired, live, owned, path, depth + 1)


def _item(items: list[Any], key: dict[str, Any], *, defaulted: bool) -> Any:
    """The one item that has the key's fields; one that leaves a field out may have it by default."""
    exact = [
        item
        for item in items
        if isinstance(item, dict) and all(name in item and _equal(item[name], value) for name, value in key.items())
    ]
    if exact or not defaulted:
        return exact[0] if len(exact) == 1 else None
    partial = [
        item
        for item in items
        if isinstance(item, dict)
        and any(name in item for name in key)
        and all(name not in item or _equal(item[name], value) for name, value in key.items())
    ]
    return partial[0] if len(partial) == 1 else None


def _position(items: list[Any], key: dict[str, Any]) -> int | None:
    for position, item in enumerate(items):
        if isinstance(item, dict) and all(name in item and _equal(item[name], value) for name, value in key.items()):
            return position
    return None


def _position_of(item: Any, keys: list[str], live: list[Any]) -> int:
    for name in keys:
        key = json.loads(name[2:])
        if isinstance(item, dict) and all(field not in item or _equal(item[field], key[field]) for field in key):
            position = _position(live, key)
            if position is not None:
                return position
    return -1


def _same(desired: Any, live: Any, path: tuple[str, ...]) -> bool:
    """Equality of a leaf, an atomic list or an atomic map."""
    if _equal(desired, live):
        return True
    return may_hold_quantity(path) and same_quantity(desired, live)


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0, true is not 1; a null member of a map is an absent one."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return {name for name, value in left.items() if value is not None} == set(right) and all(
            value is None or _equal(value, right[name]) for name, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, SecretValue) or isinstance(right, SecretValue):
        return bool(left == right)
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    return type(left) is type(right) and bool(left == right)


def _said(path: tuple[str, ...], name: str) -> str:
    return ".".join((*path, name) if name else path)

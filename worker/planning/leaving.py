"""Fields that leave Git while somebody else owns them too: server-side apply alone would leave them where they are.

Our own entry in managedFields still has such a field, the manifest has it no more. Where its other owners are tools of
people (`kubectl`, whatever wrote before the first apply), it is taken: their ownership is given up first, and then
applying the manifest removes it. Anybody else's stays, and that is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.errors import FieldOwner
from worker.domain.resource import Resource
from worker.planning.diffing import joined
from worker.planning.proof import own_position

PEOPLES_TOOLS: Final = ("kubectl", "before-first-apply")
"""How the managers begin whose fields may be taken; kubectl names itself kubectl-edit, kubectl-client-side-apply, …"""

FieldPath = tuple[str, ...]
"""Names of FieldsV1 from the top: `("f:data", "f:mode")`."""

_METADATA: Final = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class Leaving:
    """A field that is no longer specified, and who owns it besides us; `taken` where all of them may be overruled."""

    path: FieldPath
    owners: tuple[FieldOwner, ...]
    taken: bool


def leaving(desired: Resource, live: Resource, manager: str, *, force: bool) -> tuple[Leaving, ...]:
    """Every leaf that our `manager` owns, the manifest has no more, and others own as well."""
    entries = list(live.metadata.get("managedFields") or ())
    ours = next((entry for entry in entries if _is_ours(entry, manager)), None)
    if ours is None:
        return ()
    found = []
    for path in _unspecified(ours.get("fieldsV1") or {}, desired.body, ()):
        owners = tuple(
            FieldOwner(str(entry.get("manager", "")), _operation(entry), text_of(path))
            for entry in entries
            if entry is not ours and _node(entry.get("fieldsV1") or {}, path) is not None
        )
        if owners:
            found.append(Leaving(path, owners, taken=force and all(_is_taken(owner) for owner in owners)))
    return tuple(found)


def given_up(live: Resource, manager: str, fields: tuple[Leaving, ...]) -> list[dict[str, Any]]:
    """The managedFields of `live` in which nobody but our `manager` owns those of `fields` that are taken."""
    entries = []
    for entry in live.metadata.get("managedFields") or ():
        owned = entry.get("fieldsV1") or {}
        if not _is_ours(entry, manager):
            for field in fields:
                owned = _removed(owned, field.path) if field.taken else owned
        if owned:
            entries.append({**entry, "fieldsV1": owned})
    return entries


def removal(result: Resource, fields: tuple[Leaving, ...]) -> list[dict[str, Any]]:
    """JSON patch operations that make of the live object what a dry run resulted in, without the fields that are taken."""
    body: Any = result.body
    for field in fields:
        body = _without(body, field.path) if field.taken else body
    operations = [
        {"op": "add", "path": f"/{name}", "value": value}
        for name, value in body.items()
        if name not in ("apiVersion", "kind", "metadata", "status")
    ]
    operations += [{"op": "remove", "path": f"/{name}"} for name in result.body if name not in body]
    metadata, before = body.get("metadata") or {}, result.metadata
    for name in _METADATA:
        if name in metadata:
            operations.append({"op": "add", "path": f"/metadata/{name}", "value": metadata[name]})
        elif name in before:
            operations.append({"op": "remove", "path": f"/metadata/{name}"})
    return operations


def text_of(path: FieldPath) -> str:
    """A path as people read it: `spec.containers[name=cart].image`."""
    text = ""
    for name in path:
        if name.startswith("f:"):
            text = joined(text, name[2:])
        elif name.startswith("k:"):
            text += "[" + ",".join(f"{key}={value}" for key, value in json.loads(name[2:]).items()) + "]"
        else:
            text += f"[{json.loads(name[2:])}]"
    return text


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _operation(entry: Mapping[str, Any]) -> str:
    subresource = entry.get("subresource")
    return f"{entry.get('operation')}:{subresource}" if subresource else str(entry.get("operation"))


def _is_taken(owner: FieldOwner) -> bool:
    return owner.operation == "Update" and owner.manager.startswith(PEOPLES_TOOLS)


def _unspecified(owned: Mapping[str, Any], desired: Any, path: FieldPath) -> Iterator[FieldPath]:
    """The owned leaves that `desired` has no value for; a list's item goes as a whole."""
    for name, below in owned.items():
        if name == ".":
            continue
        here = (*path, name)
        value = _member(desired, name)
        leaves = any(inner != "." for inner in below)
        if value is None and (not leaves or name.startswith("k:")):
            yield here
        elif leaves:
            yield from _unspecified(below, value, here)


def _member(value: Any, name: str) -> Any:
    """What a FieldsV1 name stands for in a value; None where it has no such thing."""
    if name.startswith("f:"):
        return value.get(name[2:]) if isinstance(value, dict) else None
    if not isinstance(value, list):
        return None
    if name.startswith("k:"):
        position = own_position(value, json.loads(name[2:]))
        return None if position is None else value[position]
    item = json.loads(name[2:])
    return item if item in value else None


def _node(owned: Mapping[str, Any], path: FieldPath) -> Mapping[str, Any] | None:
    for name in path:
        if name not in owned:
            return None
        owned = owned[name]
    return owned


def _removed(owned: Mapping[str, Any], path: FieldPath) -> dict[str, Any]:
    """FieldsV1 without one path, and without the parents that only led to it."""
    name, *rest = path
    if name not in owned:
        return dict(owned)
    below = _removed(owned[name], tuple(rest)) if rest else {}
    return {each: (below if each == name else value) for each, value in owned.items() if each != name or below}


def _without(value: Any, path: FieldPath) -> Any:
    """A copy of a value without one path; what does not have it is returned as it is."""
    name, *rest = path
    if name.startswith("f:") and isinstance(value, dict) and name[2:] in value:
        if rest:
            return {**value, name[2:]: _without(value[name[2:]], tuple(rest))}
        return {each: member for each, member in value.items() if each != name[2:]}
    if name.startswith("k:") and isinstance(value, list):
        position = own_position(value, json.loads(name[2:]))
        if position is not None:
            changed = [_without(value[position], tuple(rest))] if rest else []
            return [*value[:position], *changed, *value[position + 1 :]]
    if name.startswith("v:") and isinstance(value, list):
        return [item for item in value if item != json.loads(name[2:])]
    return value

"""Fields that leave Git while somebody else owns them too: server-side apply alone would leave them where they are.

Our own entry in managedFields still has such a field, the manifest has it no more. Where its other owners are tools of
people (`kubectl`, whatever wrote before the first apply), it is taken: their ownership is given up first, and then
applying the manifest removes it. Anybody else's stays, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.errors import FieldOwner
from worker.domain.resource import Resource
from worker.planning.owned_fields import (
    FieldPath,
    Owned,
    added,
    entries_of,
    fields_of,
    is_ours,
    member,
    node_at,
    owner_of,
    removed,
    union,
    without,
)

_METADATA: Final = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class Leaving:
    """A field that is not specified (any more), and who owns it besides us; `taken` where all of them may be overruled.

    `added` is one that was never ours: somebody added it where only what Git says may be.
    """

    path: FieldPath
    owners: tuple[FieldOwner, ...]
    taken: bool
    added: bool = False


def leaving(
    desired: Resource, live: Resource, manager: str, is_taken: Callable[[FieldOwner], bool]
) -> tuple[Leaving, ...]:
    """Every leaf that our `manager` owns, the manifest has no more, and others own as well.

    `is_taken` says whether an owner may be overruled.
    """
    entries = entries_of(live)
    ours = next((entry for entry in entries if is_ours(entry, manager)), None)
    if ours is None:
        return ()
    found = []
    for path in _unspecified(fields_of(ours), desired.body, ()):
        owners = tuple(
            owner_of(entry, path)
            for entry in entries
            if entry is not ours and node_at(fields_of(entry), path) is not None
        )
        if owners:
            found.append(Leaving(path, owners, taken=all(is_taken(owner) for owner in owners)))
    return tuple(found)


def given_up(live: Resource, manager: str, fields: tuple[Leaving, ...]) -> list[dict[str, Any]]:
    """The managedFields of `live` in which nobody but our `manager` owns those of `fields` that are taken.

    Applying the manifest then removes them: server-side apply takes away what its manager alone owns and says no more.
    """
    entries = []
    taken = [field.path for field in fields if field.taken]
    for entry in entries_of(live):
        owned = fields_of(entry)
        if is_ours(entry, manager):
            for path in taken:
                if node_at(owned, path) is None:
                    nodes = (node_at(fields_of(each), path) for each in entries_of(live))
                    theirs: Owned = {}
                    for node in nodes:
                        theirs = union(theirs, node or {})
                    owned = added(owned, path, theirs)
        else:
            for path in taken:
                owned = removed(owned, path)
        if owned:
            entries.append({**entry, "fieldsV1": owned})
    return entries


def removal(result: Resource, fields: tuple[Leaving, ...]) -> list[dict[str, Any]]:
    """JSON patch operations that make of the live object what a dry run resulted in, without the fields that are taken."""
    body: Any = result.body
    for field in fields:
        body = without(body, field.path) if field.taken else body
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


def _unspecified(owned: Mapping[str, Any], desired: Any, path: FieldPath) -> Iterator[FieldPath]:
    """The owned leaves that `desired` has no value for; a list's item goes as a whole."""
    for name, below in owned.items():
        if name == ".":
            continue
        here = (*path, name)
        value = member(desired, name)
        leaves = any(inner != "." for inner in below)
        if value is None and (not leaves or name.startswith("k:")):
            yield here
        elif leaves:
            yield from _unspecified(below, value, here)

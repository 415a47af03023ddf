"""What an environment has applied: the keys that it may prune, with the uid of each object that is certainly its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.resource import Resource, ResourceKey


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """One applied object; `uid` is empty until the live object was seen to carry our field manager."""

    key: ResourceKey
    version: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All entries of one environment, sorted by key."""

    entries: tuple[InventoryEntry, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(sorted(self.entries, key=lambda entry: entry.key)))

    def to_json(self) -> list[list[str]]:
        """One list per entry: group, kind, namespace, name, version, uid."""
        return [
            [entry.key.group, entry.key.kind, entry.key.namespace, entry.key.name, entry.version, entry.uid]
            for entry in self.entries
        ]

    @staticmethod
    def from_json(value: Any) -> Inventory:
        """The inverse of `to_json`."""
        return Inventory(tuple(InventoryEntry(ResourceKey(*row[:4]), row[4], row[5]) for row in value))

    def by_key(self) -> Mapping[ResourceKey, InventoryEntry]:
        """The entries by their key."""
        return {entry.key: entry for entry in self.entries}

    def including(self, desired: Iterable[Resource]) -> Inventory:
        """The same with an entry for each desired object, in its version; the uid that is known stays."""
        entries = dict(self.by_key())
        for resource in desired:
            known = entries.get(resource.key)
            entries[resource.key] = InventoryEntry(resource.key, resource.version, known.uid if known else "")
        return Inventory(tuple(entries.values()))

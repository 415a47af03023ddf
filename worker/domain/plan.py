"""A plan: desired against observed at a moment, one Change per object, field by field."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from worker.domain.resource import MASK, ResourceKey, SecretValue, Source
from worker.domain.scrubbing import MASKED, name_at, scrubbed


class Action(enum.StrEnum):
    """What happens to one object."""

    CREATE = "create"
    CONFIGURE = "configure"
    RECREATE = "recreate"
    PRUNE = "prune"
    UNCHANGED = "unchanged"
    SKIP = "skip"
    UNPREDICTABLE = "unpredictable"


class _Absent(enum.Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent.ABSENT
"""The side of a FieldChange that has no such field (shown as `unset`, null in JSON)."""

FieldValue: TypeAlias = Any
"""A JSON value, a SecretValue, or ABSENT."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of one object: its path (`spec.template.spec.containers[name=cart].image`), and both values."""

    path: str
    old: FieldValue
    new: FieldValue

    def shown(self) -> tuple[Any, Any]:
        """Both values as they may be shown: secrets masked, what looks like one scrubbed, absent as None.

        A scrubbed text that is on both sides is the same mask on both; another one says which side it is, so that what
        changed is seen to change.
        """
        name = name_at(self.path)
        old, new = shown(self.old, "before"), shown(self.new, "after")
        before, after = _texts(old, name), _texts(new, name)
        if not before and not after:
            return old, new
        kept = before & after

        def scrub(value: Any, side: str) -> Any:
            return scrubbed(value, name, lambda text: MASKED if text in kept else f"{MASKED} ({side})")

        return scrub(old, "before"), scrub(new, "after")

    def to_json(self) -> dict[str, Any]:
        """Path and both values as JSON, as they may be shown; absent is null."""
        old, new = self.shown()
        return {"path": self.path, "old": old, "new": new}


def _texts(value: Any, name: str) -> set[str]:
    """What scrubbing takes out of a value."""
    found: set[str] = set()

    def take(text: str) -> str:
        found.add(text)
        return MASKED

    scrubbed(value, name, take)
    return found


def shown(value: FieldValue, side: str) -> Any:
    """A value as it is, but for Secrets' values, masked at any depth with their `side` (before, after); absent is None."""
    if value is ABSENT:
        return None
    if isinstance(value, SecretValue):
        return f"{MASK} ({side})"
    if isinstance(value, dict):
        return {name: shown(member, side) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [shown(member, side) for member in value]
    return value


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one object and why; `fields` is empty for prune, unchanged and skip.

    `reason` is a sentence without a full stop; `uid` is the live object's (empty for a create); `source` is where the
    desired object was written.
    """

    key: ResourceKey
    version: str
    action: Action
    reason: str = ""
    fields: tuple[FieldChange, ...] = ()
    uid: str = ""
    source: Source | None = None

    def to_json(self) -> dict[str, Any]:
        """The change in the shape that `plumbline plan -o json` prints."""
        return {
            "group": self.key.group,
            "version": self.version,
            "kind": self.key.kind,
            "namespace": self.key.namespace,
            "name": self.key.name,
            "action": str(self.action),
            "reason": self.reason,
            "fields": [change.to_json() for change in self.fields],
            "source": {"file": self.source.file, "line": self.source.line} if self.source else None,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Change:
        """A change as it was shown (masks stay masks, null is ABSENT)."""
        return Change(
            key=ResourceKey.from_json(value),
            version=value["version"],
            action=Action(value["action"]),
            reason=value["reason"],
            fields=tuple(
                FieldChange(
                    item["path"],
                    ABSENT if item["old"] is None else item["old"],
                    ABSENT if item["new"] is None else item["new"],
                )
                for item in value["fields"]
            ),
            source=Source(**value["source"]) if value.get("source") else None,
        )


QUOTED: Final = 8
"""Characters of a fingerprint that people type: 40 bits, matched to the one open operation only."""


def code(fingerprint: str) -> str:
    """The part of a plan's fingerprint that people quote to confirm it."""
    return fingerprint[:QUOTED]


WRITES: Final = frozenset({Action.CREATE, Action.CONFIGURE, Action.RECREATE, Action.PRUNE})


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes of one environment for one revision, in apply order (prunes last, in the order they would happen)."""

    environment: str
    revision: str
    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()
    fingerprint: str = ""
    summary: Mapping[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        counts = Counter(str(change.action) for change in self.changes)
        object.__setattr__(self, "summary", {str(action): counts.get(str(action), 0) for action in Action})

    @property
    def writes(self) -> tuple[Change, ...]:
        """The changes that would write to the cluster."""
        return tuple(change for change in self.changes if change.action in WRITES)

    @property
    def unpredictable(self) -> tuple[Change, ...]:
        """The changes whose outcome the API server would not say."""
        return tuple(change for change in self.changes if change.action is Action.UNPREDICTABLE)

    @property
    def is_empty(self) -> bool:
        """True where nothing would be written and nothing is unknown."""
        return not self.writes and not self.unpredictable

    def to_json(self) -> dict[str, Any]:
        """The shape that `plumbline plan -o json` prints, with the revision added."""
        return {
            "environment": self.environment,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "changes": [change.to_json() for change in self.changes],
            "summary": dict(self.summary),
            "warnings": list(self.warnings),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Plan:
        """A plan as it was shown: enough to print and to count, not enough to apply."""
        return Plan(
            environment=value["environment"],
            revision=value.get("revision", ""),
            changes=tuple(Change.from_json(change) for change in value["changes"]),
            warnings=tuple(value["warnings"]),
            fingerprint=value["fingerprint"],
        )

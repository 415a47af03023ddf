"""Whose word counts for a field: what of an object is left to others, and what becomes of a conflict, as policy says it."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from worker.domain.errors import FieldOwner
from worker.domain.field_paths import FieldPattern, located
from worker.domain.resource import Resource

MOST_RULES: Final = 50
MOST_FIELDS: Final = 50
LONGEST_SHAPE: Final = 253
"""Characters of a shell pattern: the longest name that Kubernetes has."""

SCALE: Final = "scale"
"""The subresource through which autoscalers, and `kubectl scale`, write."""

OWN: Final = "plumbline:"
"""How our own field managers begin."""

PEOPLES_TOOLS: Final = (
    "kubectl", "kubectl-*", "before-first-apply", "oc", "k9s", "k9s-*", "helm", "Mozilla", "Lens", "OpenLens", "freelens*",
    "node-fetch", "headlamp*", "dashboard", "octant",
)  # fmt: skip
"""Field managers behind which a person stands: a client names itself, or is named by what its User-Agent has before the `/`."""


@functools.lru_cache(maxsize=1024)
def is_peoples_tool(manager: str) -> bool:
    """Whether a person, and no controller, writes under this field manager."""
    return any(fnmatchcase(manager, shape) for shape in PEOPLES_TOOLS)


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects a rule is about, by shell patterns; `kind` is like `Deployment.apps`, or bare in the core group."""

    kind: str = "*"
    name: str = "*"
    namespace: str = "*"
    labels: tuple[tuple[str, str], ...] = ()

    def selects(self, resource: Resource) -> bool:
        """Whether the rule is about this object."""
        key = resource.key
        return (
            fnmatchcase(key.group_kind, self.kind)
            and fnmatchcase(key.name, self.name)
            and fnmatchcase(key.namespace, self.namespace)
            and all(
                name in resource.labels and fnmatchcase(str(resource.labels[name]), value)
                for name, value in self.labels
            )
        )

    def __str__(self) -> str:
        parts = [f"{name} {value}" for name in ("kind", "name", "namespace") if (value := getattr(self, name)) != "*"]
        parts += [f"label {name}={value}" for name, value in self.labels]
        return ", ".join(parts) or "every object"


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """Fields that are left to others: those of `fields`, those that `managers` own; with both, what both say."""

    selector: Selector
    fields: tuple[FieldPattern, ...] = ()
    managers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.selector}: {_what(self.fields, self.managers)}"


class Resolution(enum.StrEnum):
    """What becomes of a field that somebody else owns: theirs, ours, or nobody's before a person has decided."""

    KEEP = "keep"
    FORCE = "force"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class ConflictRule:
    """What becomes of conflicts over the `fields` (none: all) with the `managers` (none: all) of the selected objects."""

    selector: Selector
    action: Resolution
    fields: tuple[FieldPattern, ...] = ()
    managers: tuple[str, ...] = ()

    def is_about(self, owner: FieldOwner, desired: Resource) -> bool:
        """Whether it decides a conflict over a field that the API server names."""
        if not self.selector.selects(desired) or not has_shape(owner.manager, self.managers or ("*",)):
            return False
        if not self.fields:
            return True
        steps = located(owner.field, desired.body)
        return steps is not None and any(pattern.covers(steps) for pattern in self.fields)

    def __str__(self) -> str:
        return f"{self.selector}: {self.action} {_what(self.fields, self.managers)}"


def has_shape(text: str, shapes: tuple[str, ...]) -> bool:
    """Whether a text fits one of some shell patterns."""
    return any(fnmatchcase(text, shape) for shape in shapes)


def resolution(
    owner: FieldOwner, desired: Resource, rules: tuple[ConflictRule, ...], *, force: bool, may_force: bool
) -> Resolution:
    """What becomes of one conflict: the first rule about it decides, else what is usual.

    `force` says whether fields of `Update` managers are taken without a rule, `may_force` whether a rule may take any.
    """
    for rule in rules:
        if rule.is_about(owner, desired):
            forbidden = rule.action is Resolution.FORCE and (not may_force or owner.manager.startswith(OWN))
            return Resolution.REFUSE if forbidden else rule.action
    return usual(owner, force=force)


def usual(owner: FieldOwner, *, force: bool) -> Resolution:
    """What becomes of a conflict that no rule is about: a scaler's is left, another applier's refused, others are taken."""
    if owner.operation.endswith(f":{SCALE}"):
        return Resolution.KEEP
    return Resolution.FORCE if force and owner.operation == "Update" else Resolution.REFUSE


def _what(fields: tuple[FieldPattern, ...], managers: tuple[str, ...]) -> str:
    parts = [", ".join(str(each) for each in fields)] if fields else []
    parts += [f"what {', '.join(managers)} own"] if managers else []
    return " of ".join(parts) or "everything"

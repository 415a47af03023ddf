"""Health of one object and of many, best to worst."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from worker.domain.expression import Expression
from worker.domain.resource import ResourceKey

IGNORE: Final = "ignore"


class Health(enum.Enum):
    """Best to worst, in the order in which many are summed up (the worst wins)."""

    HEALTHY = "healthy"
    SUSPENDED = "suspended"
    PROGRESSING = "progressing"
    MISSING = "missing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 is best."""
        return list(Health).index(self)

    @property
    def is_good(self) -> bool:
        """Healthy or suspended: what verification asks for."""
        return self in (Health.HEALTHY, Health.SUSPENDED)


@dataclass(frozen=True, slots=True)
class ResourceHealth:
    """One object's health and the sentence that says why (empty where there is nothing to say)."""

    key: ResourceKey
    health: Health
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HealthRule:
    """How policy judges a kind: degraded where `degraded` holds, else suspended, else healthy, else progressing.

    `reason` gives the sentence that says why, where it gives a text.
    """

    healthy: Expression
    degraded: Expression | None = None
    suspended: Expression | None = None
    reason: Expression | None = None


HealthPolicy: TypeAlias = HealthRule | Literal["ignore"]
"""A rule of policy for one kind; `ignore` counts every object of it as healthy."""


def worst(healths: Iterable[Health]) -> Health:
    """The worst of many; healthy where there is none (nothing is unhealthy)."""
    return max(healths, key=lambda health: health.rank, default=Health.HEALTHY)

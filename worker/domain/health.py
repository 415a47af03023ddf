"""Health of one object and of many, best to worst."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.resource import ResourceKey


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


def worst(healths: Iterable[Health]) -> Health:
    """The worst of many; healthy where there is none (nothing is unhealthy)."""
    return max(healths, key=lambda health: health.rank, default=Health.HEALTHY)

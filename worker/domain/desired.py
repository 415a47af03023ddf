"""Desired state as it will be applied: in stages, without what is left out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from worker.domain.resource import Resource, ResourceKey


@dataclass(frozen=True, slots=True)
class Stage:
    """Objects between two gates: groups one after another, the objects of a group in parallel.

    `name` says which stage it is in words (`before`, `wave 2`), empty where there is only one.
    """

    name: str
    groups: tuple[tuple[Resource, ...], ...]

    @property
    def resources(self) -> tuple[Resource, ...]:
        """Every object of the stage, in apply order."""
        return tuple(resource for group in self.groups for resource in group)


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The objects of one revision.

    `resources` are applied, in `stages`; `unserved` policy leaves out, `never` are hooks that a convergence does not run:
    neither is applied, judged or, where an earlier version of it was applied, pruned. `removed` are the hooks that go
    once they have succeeded.
    """

    resources: tuple[Resource, ...]
    stages: tuple[Stage, ...] = ()
    unserved: tuple[Resource, ...] = ()
    never: tuple[Resource, ...] = ()
    removed: frozenset[ResourceKey] = field(default_factory=frozenset)

    @property
    def keys(self) -> frozenset[ResourceKey]:
        """The keys of all of it."""
        return frozenset(resource.key for resource in (*self.resources, *self.unserved, *self.never))


def manifest_hash(resource: Resource) -> str:
    """SHA-256 (hex) of a manifest, by which a Job that has finished is known again after it is gone.

    Raises TypeError for a Secret: its values have no form that could be hashed without a key.
    """
    return hashlib.sha256(json.dumps(resource.body, sort_keys=True).encode()).hexdigest()

"""What a reading of many objects comes to, while it is under way and when it is whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from worker.adapters.cluster.discovery import ApiResource
from worker.domain.resource import Resource, ResourceKey

_R = TypeVar("_R")

Missing: TypeAlias = Mapping[tuple[ApiResource, str], list[ResourceKey]]
"""Keys by kind and namespace."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Live objects by key; a wanted key that is not among them does not exist.

    `unserved` are wanted kinds that the server does not know.
    """

    live: Mapping[ResourceKey, Resource]
    unserved: frozenset[tuple[str, str]]


class Reading:
    """An observation that is under way: `arriving` gives each read as it comes, `observation` the whole of it.

    `served` says of each wanted kind and version how it is served, `readable` in which version it can be read: what was
    applied in one lives on when that is served no more. `asked` are the keys that are read one by one: what does not come
    of them does not exist.
    """

    def __init__(
        self,
        read_missing: Callable[[Missing], Iterator[Resource]],
        wanted: Mapping[ResourceKey, str],
        served: Mapping[tuple[str, str, str], ApiResource | None],
        readable: Mapping[tuple[str, str, str], ApiResource | None],
        asked: frozenset[ResourceKey],
        reads: Sequence[Future[tuple[Resource, ...]]],
    ) -> None:
        self._read_missing = read_missing
        self._wanted = wanted
        self._served = served
        self._readable = readable
        self._asked = asked
        self._reads = reads

    def arriving(self) -> Iterator[tuple[Resource, ...]]:
        """The objects of each read, in the order in which they arrive. Raises what reading raises."""
        for done in as_completed(self._reads):
            yield tuple(filter(self._is_as_asked, done.result()))

    def observation(self) -> Observation:
        """Everything, when all of it is there. Raises AccessDenied or Unavailable."""
        live = {
            resource.key: resource
            for found in all_ended(self._reads)
            for resource in found
            if self._is_as_asked(resource)
        }
        missing: defaultdict[tuple[ApiResource, str], list[ResourceKey]] = defaultdict(list)
        for key, version in self._wanted.items():
            if (
                key not in live
                and key not in self._asked
                and (served := self._readable[key.group, key.kind, version]) is not None
            ):
                missing[served, key.namespace].append(key)
        for resource in self._read_missing(missing):
            if resource.key in self._wanted:
                live[resource.key] = resource
        unserved = frozenset((group, kind) for (group, kind, _), found in self._served.items() if found is None)
        return Observation(live, unserved)

    def _is_as_asked(self, resource: Resource) -> bool:
        """Whether an object is in its own version: a LIST by our label shows those of other versions too."""
        version = self._wanted.get(resource.key)
        if version is None:
            return True
        served = self._readable[resource.key.group, resource.key.kind, version]
        return served is not None and served.version == resource.version


def all_ended(futures: Sequence[Future[_R]]) -> list[_R]:
    """The results in order; the first failure is raised after all have ended."""
    for future in futures:
        future.exception()
    return [future.result() for future in futures]

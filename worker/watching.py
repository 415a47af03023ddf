"""Notices that an applied object moved, and asks for a look at exactly that object; `watch` runs it.

One watch per kind and namespace, on metadata, selected by our label: of each object a mark is kept, and nothing else. What the
records of a cluster say is looked at every half second: which environments there are, what they applied, whether an operation
is open (its own looks see to those objects). Everything is looked at when a watch begins, and every `resync` after
that. It holds nothing that lasts: a second one may run, and jobs are asked for by ids that exist once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from worker.adapters.cluster import Following, Seen
from worker.adapters.cluster.discovery import AccessDenied, ApiResource
from worker.adapters.inventory import RECORD_LABEL, Recorded
from worker.domain.convergence import Phase
from worker.domain.environment import DEFAULT_INSTANCE, OWNER_LABEL, Environment, Policy
from worker.domain.errors import PlumblineError
from worker.domain.installation import Installation
from worker.domain.reports import Step
from worker.domain.resource import ResourceKey
from worker.looks import ask_for_leaving, ask_for_look, named
from worker.moves import Moves
from worker.observing import is_watched
from worker.planning.causes import mark_of
from worker.workbench import Workbench

RECORDS_SECONDS: Final = 0.5
"""Between two looks at what the records say."""

FEW_NAMESPACES: Final = 3
"""Up to so many namespaces of a kind have a watch each; more have one for all of them, where that is allowed."""

RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)

log = logging.getLogger("plumbline.watch")

Place = tuple[ApiResource, str]

IsLeft = Callable[[str, str, float], bool]
"""Whether nobody looks after an environment: its slug, its cluster, and when its last operation began (Unix time)."""


class OnMove(Protocol):
    """Told of an object that is not as it was: the label that says whose it is, its key, whether more than a status is new."""

    def __call__(self, label: str, key: ResourceKey, *, is_written: bool) -> None:
        """Takes note of it."""


@dataclass(slots=True)
class Known:
    """What a record says of an environment; `looks_at` is when everything is looked at again (monotonic), `begun` when its
    last operation began (Unix time).

    `left` is how it was left, as the bot notes it (empty: it was not); `leaves_at` is when that is looked at again.
    """

    slug: str
    label: str
    kinds: Mapping[tuple[str, str, str], frozenset[str]]
    keys: frozenset[ResourceKey]
    is_watched: bool
    looks_at: float
    begun: float
    left: str = ""
    leaves_at: float = 0.0


class Watcher:
    """Watches what was applied to one cluster; `policies` are those of the environments by their slug, as far as known.

    `is_left` says which environments (slug) of which clusters no branch declares any more: nobody looks after those.
    """

    def __init__(self, bench: Workbench, cluster: str, policies: Mapping[str, Policy], is_left: IsLeft) -> None:
        self._bench = bench
        self._cluster = cluster
        self._policies = policies
        self._is_left = is_left
        self._versions: dict[str, str] = {}
        self._known: dict[str, Known] = {}
        self._by_label: dict[str, Known] = {}
        self._streams: dict[Place, Stream] = {}
        self._moves = Moves()
        self._others: set[str] = set()

    def look(self) -> None:
        """One round: what the records say, which watches that needs, and what is to be looked at as a whole."""
        self._read_records()
        self._follow()
        now = time.monotonic()
        for known in self._known.values():
            if self._is_without_branch(known):
                self._see_off(known, now)
            elif known.is_watched and now >= known.looks_at:
                resync = self._policies.get(known.slug, Policy()).resync
                known.looks_at = now + resync * random.uniform(0.9, 1.1)  # noqa: S311 (spread, not secrecy)
                ask_for_look(self._bench, known.slug, self._cluster)

    def flush(self) -> None:
        """Waits until something has moved, and asks for looks at it."""
        self._moves.news.wait(RECORDS_SECONDS)
        ready = frozenset(known.slug for known in list(self._known.values()) if self._is_looked_after(known))
        wait = self._moves.wait(time.monotonic(), ready)
        if wait is None:
            self._moves.news.clear()
            return
        time.sleep(min(wait, RECORDS_SECONDS))
        for slug, keys in self._moves.due(time.monotonic(), ready).items():
            ask_for_look(self._bench, slug, self._cluster, keys)

    def _is_looked_after(self, known: Known) -> bool:
        return known.is_watched and not self._is_without_branch(known)

    def _is_without_branch(self, known: Known) -> bool:
        return self._is_left(known.slug, self._cluster, known.begun)

    def _see_off(self, known: Known, now: float) -> None:
        """Asks for an environment to be left that no branch declares, or for that to be told again where nobody heard it."""
        if now < known.leaves_at:
            return
        known.leaves_at = now + self._bench.installation.poll_seconds
        if not known.left or self._bench.store.told(*named(known.slug)) != known.left:
            ask_for_leaving(self._bench, known.slug, self._cluster)

    # -- what the records say ------------------------------------------------------------------------------------

    def _read_records(self) -> None:
        states = self._bench.bench(self._cluster).states
        versions = states.records.versions("ConfigMap", f"{RECORD_LABEL}=state")
        for name in [name for name in self._versions if name not in versions]:
            del self._versions[name]
            self._known.pop(name, None)
        for name, version in versions.items():
            if self._versions.get(name) == version:
                continue
            record = states.records.read("ConfigMap", name)
            if record is None:
                continue
            try:
                recorded = states.opened(record)
            except PlumblineError as error:
                log.warning("cluster %s: %s", self._cluster, error)
                self._versions[name] = version
                continue
            self._versions[name] = version
            if not recorded.trusted:
                log.warning("cluster %s: %s", self._cluster, recorded.alarm)
                self._known.pop(name, None)
                continue
            if is_of_others(self._bench.installation, recorded.state.environment):
                self._leave(recorded.state.environment)
                continue
            before = self._known.get(name)
            kinds: dict[tuple[str, str, str], set[str]] = {}
            for entry in recorded.inventory.entries:
                kinds.setdefault((entry.key.group, entry.key.kind, entry.version), set()).add(entry.key.namespace)
            slug = recorded.state.environment
            repository, environment = named(slug)
            owner = Environment(repository, environment, "", "", "", "", instance=self._bench.installation.instance)
            self._known[name] = Known(
                slug,
                owner.owner_label,
                {kind: frozenset(namespaces) for kind, namespaces in kinds.items()},
                frozenset(entry.key for entry in recorded.inventory.entries),
                is_watched(recorded),
                before.looks_at if before is not None else time.monotonic(),
                operation.started if (operation := recorded.state.operation) is not None else 0.0,
                _left(recorded),
            )
        self._by_label = {known.label: known for known in self._known.values()}

    def _leave(self, slug: str) -> None:
        """Says once that an environment is not this installation's to look after."""
        if slug not in self._others:
            self._others.add(slug)
            log.info(
                "cluster %s: %s is left alone: its repository or instance is not that of app.yaml", self._cluster, slug
            )

    # -- watches -------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Begins the watches that are needed and ends the others; where one has begun, everything it shows is looked at."""
        wanted = self._wanted()
        for place in [place for place in self._streams if place not in wanted]:
            self._streams.pop(place).close()
        for place in wanted:
            if place not in self._streams:
                following = Following(self._bench.bench(self._cluster).cluster.connection, *place, OWNER_LABEL)
                self._streams[place] = Stream(following, self._moved)
        begun = {place[0] for place, stream in self._streams.items() if stream.has_begun()}
        for known in self._known.values():
            if any((served.group, served.kind, served.version) in known.kinds for served in begun):
                known.looks_at = time.monotonic()

    def _wanted(self) -> set[Place]:
        namespaces: dict[tuple[str, str, str], set[str]] = {}
        for known in self._known.values():
            for kind, places in known.kinds.items():
                namespaces.setdefault(kind, set()).update(places)
        discovery = self._bench.bench(self._cluster).cluster.discovery
        wanted: set[Place] = set()
        for (group, name, version), spread in namespaces.items():
            try:
                served = discovery.find(group, name, version) or discovery.find(group, name)
            except PlumblineError:
                continue
            if served is None or "watch" not in served.verbs:
                continue
            everywhere = (served, "")
            refused = (stream := self._streams.get(everywhere)) is not None and stream.refused
            if not served.namespaced or (len(spread) > FEW_NAMESPACES and not refused):
                wanted.add(everywhere)
            else:
                wanted |= {(served, each) for each in spread}
                wanted |= {everywhere} if refused else set()
        return wanted

    def _moved(self, label: str, key: ResourceKey, *, is_written: bool) -> None:
        known = self._by_label.get(label)
        if known is not None and key in known.keys:
            self._moves.add(known.slug, key, time.monotonic(), is_written=is_written)


def _left(recorded: Recorded) -> str:
    """How an environment was left, as `Store.told` has it; empty where it was not."""
    operation = recorded.state.operation
    is_left = operation is not None and operation.phase is Phase.LEFT
    return f"{operation.revision} {Step.LEFT}" if operation is not None and is_left else ""


def is_of_others(installation: Installation, slug: str) -> bool:
    """Whether an environment of this cluster belongs to another installation: by its instance, or by its repository."""
    instance = slug.rpartition(":")[0] or DEFAULT_INSTANCE
    return instance != installation.instance or installation.repository(named(slug)[0]) is None


class Stream:
    """One watch in a thread of its own; calls `moved` for each object that is not as it was."""

    def __init__(self, following: Following, moved: OnMove) -> None:
        self._following = following
        self._moved = moved
        self._marks: dict[ResourceKey, tuple[str, str, str]] = {}
        self._stop = threading.Event()
        self._was_told = False
        self.refused = False
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def has_begun(self) -> bool:
        """Whether it has listed what there is since it was last asked: from then on nothing is missed. True once."""
        if self._was_told or not self._following.has_listed:
            return False
        self._was_told = True
        return True

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._following.close()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                for seen in self._following.round(self._marks):
                    failures = 0
                    self._take(seen)
            except AccessDenied as error:
                log.warning("%s: what moves there is noticed by the looks at everything", error)
                self.refused = True
                return
            except PlumblineError as error:
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                if failures in (1, 4):
                    log.warning("%s; going on in %g s", error, wait)
                self._stop.wait(wait * random.uniform(0.8, 1.2))  # noqa: S311 (spread, not secrecy)

    def _take(self, seen: Seen) -> None:
        before = self._marks.get(seen.key)
        if seen.is_gone:
            if before is not None:
                del self._marks[seen.key]
                self._moved(before[0], seen.key, is_written=True)
            return
        label = str((seen.metadata.get("labels") or {}).get(OWNER_LABEL, ""))
        now = label, mark_of(seen.metadata), str(seen.metadata.get("resourceVersion", ""))
        self._marks[seen.key] = now
        if before is None:
            if self._following.has_listed:
                self._moved(label, seen.key, is_written=True)
        elif now[:2] != before[:2]:
            self._moved(label, seen.key, is_written=True)
            if before[0] != label:
                self._moved(before[0], seen.key, is_written=True)
        elif now[2] != before[2]:
            self._moved(label, seen.key, is_written=False)

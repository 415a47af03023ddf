"""The writes of a prediction: group after group, in parallel within one, only what changes, prunes apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.adapters.cluster import Applied, Cluster
from worker.domain.errors import Conflict, Denied, FieldOwner, LeaseLost, Moved, PlumblineError, Superseded, Unavailable
from worker.domain.health import Health
from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey
from worker.domain.rules import Resolution
from worker.operations.predicting import Prediction
from worker.operations.preparing import Target
from worker.planning.assessment import assess
from worker.planning.changes import DryRun, is_passing, judge
from worker.planning.dangers import denied
from worker.planning.deletion import held_up, is_going
from worker.planning.diffing import field_changes
from worker.planning.leaving import given_up
from worker.planning.ordering import waits_for

ESTABLISHED_WITHIN: Final = 10.0
GONE_WITHIN: Final = 10.0
POLL: Final = 0.05
ATTEMPTS: Final = 5
"""Writes of one object before giving way: a controller that follows a rollout writes its status several times a second."""

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 2.0
"""Seconds before a failed write is tried again: doubled each time, or what the server asks for, if it is not longer."""

RETRIED_AFTER: Final = 5.0
SAID_EVERY: Final = 1.0

Checkpoint = Callable[[], None]
"""Called before each write, from several threads; raises LeaseLost or Superseded where nothing more may be written."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the changes that really happened, the live objects after, and what failed, in order.

    `released` was pruned before its time, because what it had was needed.
    """

    actual: tuple[Change, ...]
    live: Mapping[ResourceKey, Resource]
    failed: tuple[tuple[ResourceKey, PlumblineError], ...]
    intended: int
    released: tuple[Change, ...] = ()


def apply(target: Target, prediction: Prediction, number: int, checkpoint: Checkpoint, progress: Progress) -> Written:
    """Applies every object of one stage (its `number` from 0) that the plan changes, in order.

    A failure ends the run after its group: what the group could do is done, nothing later is begun. Raises what
    `checkpoint` raises, and Unavailable where the server went away before anything of a group was decided.
    """
    target = target.beside(prediction.desired.resources)
    todo = [
        [resource for resource in group if _writes(prediction.changes[resource.key])]
        for group in prediction.desired.stages[number].groups
    ]
    intended = sum(len(group) for group in todo)
    actual: list[Change] = []
    live = dict(prediction.live)
    failed: list[tuple[ResourceKey, PlumblineError]] = []
    released: list[Change] = []
    counted = _Counted(progress, intended)
    for group in todo:
        if not group:
            continue
        checkpoint()
        first = {change.key: change for resource in group if (change := prediction.releases.get(resource.key))}
        deleted = delete(target, list(first.values()), checkpoint)
        released += deleted.done
        if undone := [*deleted.failed, *((left.key, _still_there(left)) for left in deleted.lingering)]:
            failed += undone
            break

        def write(resource: Resource) -> tuple[Resource, Change | PlumblineError]:
            try:
                checkpoint()
                written = _write_one(target, prediction, resource, checkpoint)
            except (LeaseLost, Superseded, Denied, Conflict, Moved, Unavailable) as error:
                return resource, _passing(error)
            counted.one_more()
            return written

        for resource, outcome in target.cluster.each(write, group):
            if isinstance(outcome, PlumblineError):
                failed.append((resource.key, outcome))
            else:
                actual.append(outcome)
                live[resource.key] = resource
        progress(len(actual), intended)
        if failed:
            break
        if waits_for(group):
            _wait_established(target.cluster, group, live)
    return Written(tuple(actual), live, tuple(failed), intended, tuple(released))


class _Counted:
    """Counts writes of several threads, and says how many there are now and then."""

    def __init__(self, progress: Progress, intended: int) -> None:
        self._progress = progress
        self._intended = intended
        self._done = 0
        self._said = time.monotonic()
        self._guard = threading.Lock()

    def one_more(self) -> None:
        """One more is done."""
        with self._guard:
            self._done += 1
            if time.monotonic() - self._said < SAID_EVERY:
                return
            self._said = time.monotonic()
            self._progress(self._done, self._intended)


def _passing(error: PlumblineError) -> PlumblineError:
    """The same, as Unavailable where it is a webhook that does not answer: that is tried again."""
    return Unavailable(str(error)) if isinstance(error, Denied) and is_passing(error) else error


def _still_there(left: Resource) -> Unavailable:
    return Unavailable(f"{left.key} is being deleted, {held_up(left)}", retry_after=1)


def _writes(change: Change) -> bool:
    return change.action in (Action.CREATE, Action.CONFIGURE, Action.RECREATE, Action.UNPREDICTABLE)


def _write_one(
    target: Target, prediction: Prediction, resource: Resource, checkpoint: Checkpoint
) -> tuple[Resource, Change]:
    """Writes one object, again where that may help: it moved, or the server was busy, or nobody knows what became of it.

    A write whose answer was lost may have been accepted, so the object is read again before anything is decided; the
    change that is reported is against what was there before the first try.
    """
    checkpoint()
    planned = prediction.changes[resource.key]
    before = now = prediction.live.get(resource.key)
    doubtful = False
    if now is not None and planned.action is Action.RECREATE:
        _delete_and_wait(target.cluster, now)
        checkpoint()
        now = None
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if attempt > 1:
                now = target.cluster.get(resource.key, resource.version)
                before = before if doubtful or planned.action is Action.RECREATE else now
            if now is not None and is_going(now):
                raise _still_there(now)
            applied = _apply(target, resource, now)
            break
        except (Denied, Moved, Unavailable) as error:
            wait = _wait_before_another(error, attempt)
            if wait is None:
                raise
            doubtful = doubtful or not isinstance(error, Moved)
        time.sleep(wait)
        checkpoint()
    if planned.action is Action.RECREATE and before is not None:
        return applied.resource, replace(planned, fields=field_changes(before.body, applied.resource.body))
    seen = judge(
        resource, before, DryRun(applied.resource, None, forced=applied.forced), None, target.environment.policy
    )
    if not isinstance(seen, Change):
        raise Denied(str(resource.key), 422, "Invalid", str(seen))
    return applied.resource, seen


def _wait_before_another(error: PlumblineError, attempt: int) -> float | None:
    """Seconds to wait before the next try of a write; None where there is to be none, or not so soon."""
    if attempt == ATTEMPTS or not is_passing(error):
        return None
    if isinstance(error, Moved):
        return 0.0
    wait = getattr(error, "retry_after", None) or FIRST_WAIT * 2 ** (attempt - 1)
    return wait if wait <= LONGEST_WAIT else None


def _apply(target: Target, resource: Resource, live: Resource | None) -> Applied:
    """Applies, after its owners have given up what leaves Git and is to be taken from them."""
    ownership, manager = target.ownership, target.environment.field_manager
    resource = ownership.sent(resource, live).resource
    fields = ownership.leaving(resource, live) if live is not None else ()
    if live is not None and any(field.taken for field in fields):
        owners = given_up(live, manager, fields)
        live = target.cluster.patch(
            live, [{"op": "replace", "path": "/metadata/managedFields", "value": owners}], manager
        )

    def resolve(owner: FieldOwner) -> Resolution:
        return ownership.resolve(owner, resource)

    applied = target.cluster.apply(resource, manager, dry_run=False, force=False, live=live, resolve=resolve)
    if problems := denied(applied.resource, target.ceiling, live):
        raise Denied(
            str(resource.key), 403, "Forbidden", f"the API server made something else of it: {problems[0].message}"
        )
    return applied


def _delete_and_wait(cluster: Cluster, live: Resource) -> None:
    """Deletes an object (unless somebody has already) and waits until it is gone."""
    if not is_going(live):
        cluster.delete(live.key, live.version, uid=live.uid)
    until = time.monotonic() + GONE_WITHIN
    while True:
        now = cluster.get(live.key, live.version)
        if now is None or now.uid != live.uid:
            return
        if time.monotonic() > until:
            raise Unavailable(
                f"{live.key} is being deleted to be created again, {held_up(now)}", retry_after=RETRIED_AFTER
            )
        time.sleep(POLL)


def _wait_established(cluster: Cluster, group: Sequence[Resource], live: dict[ResourceKey, Resource]) -> None:
    waiting = [resource.key for resource in group]
    versions = {resource.key: resource.version for resource in group}
    until = time.monotonic() + ESTABLISHED_WITHIN
    while waiting and time.monotonic() < until:
        for key in list(waiting):
            now = cluster.get(key, versions[key])
            if now is not None and assess(now, key, {}).health is Health.HEALTHY:
                live[key] = now
                waiting.remove(key)
        if waiting:
            time.sleep(POLL)
    if waiting:
        raise Unavailable(f"{waiting[0]} is applied but not established yet", retry_after=1)
    if any(key.kind == "CustomResourceDefinition" for key in versions):
        _wait_served(cluster, group, until)


def _wait_served(cluster: Cluster, group: Sequence[Resource], until: float) -> None:
    """Established is not yet served: discovery lags by some ten milliseconds."""
    kinds = [
        (str(spec["group"]), str(spec["names"]["kind"]))
        for resource in group
        if resource.key.kind == "CustomResourceDefinition" and (spec := resource.body["spec"])
    ]
    while True:
        cluster.discovery.refresh()
        missing = [kind for kind in kinds if cluster.discovery.find(*kind) is None]
        if not missing:
            return
        if time.monotonic() > until:
            raise Unavailable(
                f"the kind {missing[0][1]}.{missing[0][0]} is established but not served yet", retry_after=1
            )
        time.sleep(POLL)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What deletions came to: `done` are accepted, those in `lingering` (as they are now) still there, `failed` refused."""

    done: tuple[Change, ...]
    lingering: tuple[Resource, ...]
    failed: tuple[tuple[ResourceKey, PlumblineError], ...]


def delete(target: Target, prunes: Sequence[Change], checkpoint: Checkpoint) -> Deleted:
    """Deletes exactly what the prunes name (uid checked), in their order; one that is refused stops none of the others."""
    done: list[Change] = []
    lingering: list[Resource] = []
    failed: list[tuple[ResourceKey, PlumblineError]] = []
    for change in prunes:
        if change.action is not Action.PRUNE:
            continue
        checkpoint()
        try:
            left = target.cluster.delete(change.key, change.version, uid=change.uid)
        except (Denied, Moved, Unavailable) as error:
            failed.append((change.key, _passing(error)))
        else:
            done.append(change)
            if left is not None:
                lingering.append(left)
    return Deleted(tuple(done), tuple(lingering), tuple(failed))

"""The writes of a prediction: group after group, in parallel within one, only what changes, prunes apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.adapters.cluster import Applied, Cluster
from worker.domain.errors import Conflict, Denied, LeaseLost, Moved, PlumblineError, Unavailable
from worker.domain.health import Health
from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey
from worker.operations.predicting import Prediction
from worker.operations.preparing import Target
from worker.planning.assessment import assess
from worker.planning.changes import DryRun, judge
from worker.planning.diffing import field_changes
from worker.planning.ordering import waits_for

ESTABLISHED_WITHIN: Final = 10.0
GONE_WITHIN: Final = 10.0
POLL: Final = 0.05
ATTEMPTS: Final = 5
"""Writes of one object before giving way: a controller that follows a rollout writes its status several times a second."""

Checkpoint = Callable[[], None]
"""Called before each group of writes; raises LeaseLost or Superseded where nothing more may be written."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was written: the changes that really happened, the live objects after, and what failed, in order.

    `released` was pruned before its time, because what it had was needed.
    """

    actual: tuple[Change, ...]
    live: Mapping[ResourceKey, Resource]
    failed: tuple[tuple[ResourceKey, PlumblineError], ...]
    intended: int
    released: tuple[Change, ...] = ()


def apply(target: Target, prediction: Prediction, number: int, checkpoint: Checkpoint, progress: Progress) -> Outcome:
    """Applies every object of one stage (its `number` from 0) that the plan changes, in order.

    A failure ends the run after its group: what the group could do is done, nothing later is begun. Raises what
    `checkpoint` raises, and Unavailable where the server went away before anything of a group was decided.
    """
    todo = [
        [resource for resource in group if _writes(prediction.changes[resource.key])]
        for group in prediction.desired.stages[number].groups
    ]
    intended = sum(len(group) for group in todo)
    actual: list[Change] = []
    live = dict(prediction.live)
    failed: list[tuple[ResourceKey, PlumblineError]] = []
    released: list[Change] = []
    for group in todo:
        if not group:
            continue
        checkpoint()
        first = {change.key: change for resource in group if (change := prediction.releases.get(resource.key))}
        done, undone = delete(target, list(first.values()), checkpoint)
        released += done
        if undone:
            failed += undone
            break

        def write(resource: Resource) -> tuple[Resource, Change | PlumblineError]:
            try:
                return _write_one(target, prediction, resource, checkpoint)
            except (LeaseLost, Denied, Conflict, Moved, Unavailable) as error:
                return resource, error

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
    return Outcome(tuple(actual), live, tuple(failed), intended, tuple(released))


def _writes(change: Change) -> bool:
    return change.action in (Action.CREATE, Action.CONFIGURE, Action.RECREATE, Action.UNPREDICTABLE)


def _write_one(
    target: Target, prediction: Prediction, resource: Resource, checkpoint: Checkpoint
) -> tuple[Resource, Change]:
    checkpoint()
    planned = prediction.changes[resource.key]
    before = prediction.live.get(resource.key)
    if planned.action is Action.RECREATE and before is not None:
        _delete_and_wait(target.cluster, before)
        applied = _apply(target, resource, None)
        fields = field_changes(before.body, applied.resource.body)
        return applied.resource, replace(planned, fields=fields)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            applied = _apply(target, resource, before)
            break
        except Moved:
            if attempt == ATTEMPTS:
                raise
            checkpoint()
            before = target.cluster.get(resource.key, resource.version)
    seen = judge(
        resource, before, DryRun(applied.resource, None, forced=applied.forced), None, target.environment.policy
    )
    if not isinstance(seen, Change):
        raise Denied(str(resource.key), 422, "Invalid", str(seen))
    return applied.resource, seen


def _apply(target: Target, resource: Resource, live: Resource | None) -> Applied:
    environment = target.environment
    force = environment.policy.force and target.ceiling.force
    return target.cluster.apply(resource, environment.field_manager, dry_run=False, force=force, live=live)


def _delete_and_wait(cluster: Cluster, live: Resource) -> None:
    cluster.delete(live.key, live.version, uid=live.uid)
    until = time.monotonic() + GONE_WITHIN
    while time.monotonic() < until:
        now = cluster.get(live.key, live.version)
        if now is None or now.uid != live.uid:
            return
        time.sleep(POLL)
    held_by = ", ".join((cluster.get(live.key, live.version) or live).metadata.get("finalizers") or ["its dependents"])
    raise Unavailable(f"{live.key} is being deleted to be created again, and waits for {held_by}", retry_after=5)


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


def delete(
    target: Target, prunes: Sequence[Change], checkpoint: Checkpoint
) -> tuple[list[Change], list[tuple[ResourceKey, PlumblineError]]]:
    """Deletes exactly what the prunes name (uid checked), in their order; those done, and those that failed."""
    done: list[Change] = []
    failed: list[tuple[ResourceKey, PlumblineError]] = []
    for change in prunes:
        if change.action is not Action.PRUNE:
            continue
        checkpoint()
        try:
            target.cluster.delete(change.key, change.version, uid=change.uid)
        except (Denied, Moved, Unavailable) as error:
            failed.append((change.key, error))
        else:
            done.append(change)
    return done, failed

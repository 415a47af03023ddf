"""Desired against observed: gather the live objects, prove what is unchanged, ask the server about the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.adapters.cluster import Observation, Reading
from worker.adapters.inventory import Recorded
from worker.domain.desired import DesiredState, manifest_hash
from worker.domain.errors import Conflict, Denied, DesiredStateError, Held, Problem, Refused
from worker.domain.inventory import Inventory
from worker.domain.plan import Action, Change, Plan, code
from worker.domain.resource import Resource, ResourceKey, resource_of
from worker.operations.preparing import Target, check, defined_kind, place
from worker.planning.assembling import assemble
from worker.planning.changes import DryRun, judge, may_recreate, needs_recreation
from worker.planning.claims import TAKEN, holder
from worker.planning.diffing import specified_differences
from worker.planning.proof import FINISHED, Proof, prove
from worker.planning.pruning import guard, prunable


@dataclass(frozen=True, slots=True)
class Prediction:
    """A plan with everything that applying it needs.

    `desired` has our label on every object; `live` is what was observed of it;
    `releases` names, for an object that cannot be written before it, the prune that has to come first;
    `hold` says why it may not be applied as it stands (None where it may).
    """

    plan: Plan
    desired: DesiredState
    live: Mapping[ResourceKey, Resource]
    changes: Mapping[ResourceKey, Change]
    prunes: tuple[Change, ...]
    hold: Held | Refused | None = None
    deletes: frozenset[ResourceKey] = field(default_factory=frozenset)
    releases: Mapping[ResourceKey, Change] = field(default_factory=dict)


def predict(
    target: Target,
    revision: str,
    rendered: Iterable[Resource],
    recorded: Recorded,
    key: bytes,
    *,
    prune: bool = True,
    warnings: Iterable[str] = (),
) -> Prediction:
    """The plan of one environment for one revision, and what applying it needs.

    Raises DesiredStateError where an object is not valid, allowed or accepted by the server (all of them named), and
    Unavailable where the cluster cannot be asked.
    """
    environment, cluster = target.environment, target.cluster
    placed = place(target, rendered)
    reading = cluster.begin_reading(_wanted(placed.resources, recorded.inventory), environment.owner_label)
    state = check(target, placed)
    desired = state.resources
    cluster.protect(desired)
    manager = environment.field_manager
    proofs = prove_arriving(reading, desired, manager)
    observed = reading.observation()
    prunes = tuple(prunable(recorded.inventory, state.keys, observed.live, manager))
    if not (prune and environment.policy.prune):
        prunes = tuple(_kept(change) for change in prunes)
    proofs |= {
        resource.key: FINISHED
        for resource in desired
        if resource.key not in observed.live and is_finished(resource, recorded.state.finished)
    }
    dry_runs = try_unproven(target, desired, observed, proofs)
    releases = {
        resource.key: found
        for resource in desired
        if (attempt := dry_runs.get(resource.key)) is not None
        and (attempt.virtual or (isinstance(attempt.error, Denied) and TAKEN.search(attempt.error.message)))
        and (found := holder(resource, prunes, observed.live)) is not None
    }
    for wanting, (holding, what) in releases.items():
        dry_runs[wanting] = DryRun(None, None, virtual=f"{what} is free once {holding.key} is pruned")
    judged: list[Change] = []
    problems: list[Problem] = []
    said = [*warnings, *([recorded.alarm] if recorded.alarm else [])]
    for resource in desired:
        live = observed.live.get(resource.key)
        dry_run = dry_runs.get(resource.key)
        outcome = judge(resource, live, dry_run, proofs.get(resource.key), environment.policy)
        if isinstance(outcome, Problem):
            problems.append(outcome)
            continue
        judged.append(outcome)
        if dry_run is not None and dry_run.forced and outcome.action is not Action.UNCHANGED:
            said.append(_taken(resource.key, dry_run))
        if dry_run is not None and dry_run.result is not None:
            said += not_kept(resource, dry_run)
    if problems:
        raise DesiredStateError(problems)

    judged += [unserved(target, resource) for resource in state.unserved]
    judged += [never_run(resource) for resource in state.never]
    plan = assemble(environment.slug, revision, judged, prunes, said, key)
    deleting = tuple(change for change in prunes if change.action is Action.PRUNE)
    was = recorded.state.place
    moved = f"from {was} to {environment.place}" if was and was != environment.place else ""
    hold = guard(deleting, recorded.inventory, len(state.keys), environment.policy, code(plan.fingerprint), moved)
    return Prediction(
        plan=plan,
        desired=state,
        live=observed.live,
        changes={change.key: change for change in judged},
        prunes=prunes,
        hold=hold,
        deletes=frozenset(change.key for change in deleting),
        releases={wanting: holding for wanting, (holding, _) in releases.items()},
    )


def is_finished(resource: Resource, finished: Mapping[str, str]) -> bool:
    """Whether exactly this manifest has run to its end before."""
    known = finished.get(str(resource.key))
    return known is not None and known == manifest_hash(resource)


def observe(target: Target, desired: Iterable[Resource], inventory: Inventory) -> Observation:
    """The live objects of what is desired and of what is inventoried."""
    return target.cluster.read(_wanted(desired, inventory), target.environment.owner_label)


def _wanted(desired: Iterable[Resource], inventory: Inventory) -> dict[ResourceKey, str]:
    wanted = {resource.key: resource.version for resource in desired}
    for entry in inventory.entries:
        wanted.setdefault(entry.key, entry.version)
    return wanted


def prove_arriving(reading: Reading, desired: Iterable[Resource], manager: str) -> dict[ResourceKey, Proof]:
    """The proof of each desired object in a read, made while the next one is awaited.

    An object that no LIST by our label shows lacks the label, so it is not as specified and needs no proof.
    """
    by_key = {resource.key: resource for resource in desired}
    return {
        live.key: prove(resource, live, manager)
        for found in reading.arriving()
        for live in found
        if (resource := by_key.get(live.key)) is not None
    }


def try_unproven(
    target: Target,
    desired: Iterable[Resource],
    observed: Observation,
    proofs: Mapping[ResourceKey, Proof],
) -> dict[ResourceKey, DryRun]:
    """A dry run of everything that is not proven unchanged, in parallel; what cannot be tried yet says why."""
    resources = tuple(desired)
    new_namespaces = {
        resource.key.name
        for resource in resources
        if resource.key.kind == "Namespace" and not resource.key.group and resource.key not in observed.live
    }
    new_kinds = {kind for resource in resources if (kind := defined_kind(resource)) and kind in observed.unserved}
    unproven = [
        resource for resource in resources if not ((proof := proofs.get(resource.key)) is not None and proof.unchanged)
    ]

    def attempt(resource: Resource) -> tuple[ResourceKey, DryRun]:
        key = resource.key
        if (key.group, key.kind) in new_kinds:
            return key, DryRun(None, None, virtual=f"the kind {key.group_kind} is new in this change")
        if key.namespace in new_namespaces:
            return key, DryRun(None, None, virtual=f"the namespace {key.namespace} is new in this change")
        said = dry_run(target, resource)
        if needs_recreation(observed.live.get(key), said.error) and may_recreate(resource, target.environment.policy):
            said = replace(said, afresh=dry_run_afresh(target, resource))
        return key, said

    return dict(target.cluster.each(attempt, unproven))


def dry_run(target: Target, resource: Resource) -> DryRun:
    """What the server says it would make of one object."""
    environment = target.environment
    force = environment.policy.force and target.ceiling.force
    try:
        applied = target.cluster.apply(resource, environment.field_manager, dry_run=True, force=force)
    except (Denied, Conflict) as error:
        return DryRun(None, error)
    return DryRun(applied.resource, None, forced=applied.forced, kept=applied.kept)


def never_run(resource: Resource) -> Change:
    """The change of a hook for a moment that a convergence does not have (a test, a deletion, a failure)."""
    reason = "left out: a hook for a moment that a convergence does not have"
    return Change(resource.key, resource.version, Action.SKIP, reason, source=resource.source)


def unserved(target: Target, resource: Resource) -> Change:
    """The change of an object that policy leaves out because the server does not serve its version."""
    others = target.cluster.discovery.versions(resource.key.group, resource.key.kind)
    group = f"{resource.key.group}/" if resource.key.group else ""
    known = f"; it serves {', '.join(group + version for version in others)}" if others else ""
    reason = f"left out: the server does not serve {resource.key.kind} as {resource.api_version}{known}"
    return Change(resource.key, resource.version, Action.SKIP, reason, source=resource.source)


def _taken(key: ResourceKey, dry_run: DryRun) -> str:
    owners = sorted({owner.manager for owner in dry_run.forced})
    fields = ", ".join(owner.field for owner in dry_run.forced[:3])
    more = f" and {len(dry_run.forced) - 3} more" if len(dry_run.forced) > 3 else ""
    return f"{key}: takes {fields}{more} from {', '.join(owners)}"


def dry_run_afresh(target: Target, resource: Resource) -> DryRun:
    """What the server says it would make of an object that has to be deleted first: asked under a name that is free.

    The free name is taken out of the answer again, wherever the server derived something of it.
    """
    free = f"{resource.key.name[:40]}-plumbline-dry-run"
    body = {**resource.body, "metadata": {**resource.metadata, "name": free}}
    said = dry_run(target, Resource(resource.key._replace(name=free), resource.version, body, resource.source))
    if said.result is None:
        return said
    return DryRun(resource_of(_renamed(said.result.body, free, resource.key.name)), None)


def _renamed(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(member, old, new) for name, member in value.items()}
    if isinstance(value, list):
        return [_renamed(member, old, new) for member in value]
    return value.replace(old, new) if isinstance(value, str) else value


def not_kept(desired: Resource, dry_run: DryRun) -> list[str]:
    """What the server would make otherwise than the manifest says (dropped, or changed by admission), as warnings."""
    assert dry_run.result is not None
    left = {owner.field for owner in dry_run.kept}
    return [
        f"{desired.key}: the API server does not keep {change.path} as it is written"
        for change in specified_differences(desired, dry_run.result)
        if change.path not in left
    ]


def _kept(change: Change) -> Change:
    if change.action is not Action.PRUNE:
        return change
    reason = "no longer in Git; pruning is off, so it stays"
    return Change(change.key, change.version, Action.SKIP, reason, uid=change.uid)


def no_step() -> Callable[[], None]:
    """A checkpoint that never stops anything, for who has nobody to yield to."""
    return lambda: None

"""Desired against observed: gather the live objects, prove what is unchanged, ask the server about the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.adapters.cluster import Observation, Reading
from worker.adapters.inventory import Recorded
from worker.domain.desired import DesiredState, manifest_hash
from worker.domain.environment import Converge
from worker.domain.errors import Conflict, Denied, DesiredStateError, FieldOwner, Held, Moved, Problem, Refused
from worker.domain.inventory import Inventory
from worker.domain.locks import closed_text
from worker.domain.plan import Action, Change, Plan, code
from worker.domain.resource import Resource, ResourceKey, resource_of
from worker.domain.rules import Resolution
from worker.operations.preparing import Target, check, defined_kind, place
from worker.planning import remarks
from worker.planning.assembling import assemble
from worker.planning.changes import DryRun, judge, may_recreate, needs_recreation
from worker.planning.claims import TAKEN, holder
from worker.planning.dangers import denied, opened
from worker.planning.deletion import is_going
from worker.planning.leaving import removal
from worker.planning.ownership import Ownership
from worker.planning.proof import FINISHED, Proof
from worker.planning.pruning import applied_by, guard, prunable

UNDECLARED: Final = "not declared in schema"
"""How the server says that a kind has no such field."""

TRIES: Final = 3
"""Dry runs of an object that is written all the time: a controller that follows a rollout does so several times a second."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A plan with everything that applying it needs.

    `desired` has our label on every object; `live` is what was observed of it;
    `releases` names, for an object that cannot be written before it, the prune that has to come first;
    `hold` says why it may not be applied as it stands (None where it may), `approval` that it waits for a person by the
    environment's own wish, and may be merged all the same; `unanswered` names the API groups that nothing
    is known of, because of which nothing is pruned.
    """

    plan: Plan
    desired: DesiredState
    live: Mapping[ResourceKey, Resource]
    changes: Mapping[ResourceKey, Change]
    prunes: tuple[Change, ...]
    hold: Held | Refused | None = None
    deletes: frozenset[ResourceKey] = field(default_factory=frozenset)
    releases: Mapping[ResourceKey, Change] = field(default_factory=dict)
    unanswered: str = ""
    approval: Held | None = None


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
    target, manager = target.beside(desired), environment.field_manager
    proofs = prove_arriving(reading, desired, target.ownership)
    observed = reading.observation()
    prunes = tuple(prunable(recorded.inventory, state.keys, observed.live, manager))
    unanswered = ", ".join(cluster.discovery.unanswered())
    if not (prune and environment.policy.prune):
        prunes = tuple(_kept(change, "pruning is off, so it stays") for change in prunes)
    elif unanswered:
        unknown = f"not pruned now, because the API group {unanswered} does not answer, and unknown is not absent"
        prunes = tuple(_kept(change, unknown) for change in prunes)
    proofs |= {
        resource.key: FINISHED
        for resource in desired
        if resource.key not in observed.live and is_finished(resource, recorded.state.finished)
    }
    going = _going_namespaces(desired, observed.live)
    proofs = {key: proof for key, proof in proofs.items() if key.namespace not in going}
    dry_runs = try_unproven(target, desired, observed, proofs)
    seen = {**observed.live, **{key: said.asked for key, said in dry_runs.items() if said.asked is not None}}
    releases = {
        resource.key: found
        for resource in desired
        if (attempt := dry_runs.get(resource.key)) is not None
        and (attempt.virtual or (isinstance(attempt.error, Denied) and TAKEN.search(attempt.error.message)))
        and (found := holder(resource, prunes, observed.live)) is not None
    }
    for wanting, (holding, what) in releases.items():
        dry_runs[wanting] = DryRun(None, None, virtual=f"{what} is free once {holding.key} is pruned")
    alarm = recorded.alarm or lost(recorded, observed.live, manager)
    judged, said = _judged(target, desired, seen, proofs, dry_runs)
    if recorded.state.locks.closed is not None:
        alarm = "; ".join(
            filter(None, (alarm, f"{environment.name} is {closed_text(recorded.state.locks, environment.name)}"))
        )
    said = [*warnings, *([alarm] if alarm else []), *said, *remarks.left_behind(desired, seen, recorded.state)]
    judged += [unserved(target, resource) for resource in state.unserved]
    judged += [never_run(resource) for resource in state.never]
    plan = assemble(environment.slug, revision, judged, prunes, said, key)
    deleting = tuple(change for change in prunes if change.action is Action.PRUNE)
    was = recorded.state.place
    moved = f"from {was} to {environment.place}" if was and was != environment.place else ""
    hold = guard(deleting, recorded.inventory, len(state.keys), environment.policy, code(plan.fingerprint), moved)
    approval = _approval(target, recorded, plan)
    if approval is not None:
        plan = replace(plan, warnings=(*plan.warnings, str(approval)))
    return Prediction(
        plan=plan,
        desired=state,
        live=seen,
        changes={change.key: change for change in judged},
        prunes=prunes,
        hold=hold,
        deletes=frozenset(change.key for change in deleting),
        releases={wanting: holding for wanting, (holding, _) in releases.items()},
        unanswered=unanswered,
        approval=approval,
    )


def _approval(target: Target, recorded: Recorded, plan: Plan) -> Held | None:
    """What has to be confirmed where commits are converged on approval; a commit that takes that away needs it once more."""
    asked = Converge.ON_APPROVAL in (target.environment.policy.converge, recorded.state.converge)
    return Held("It is converged on approval only", code(plan.fingerprint)) if asked and not plan.is_empty else None


def _judged(
    target: Target,
    desired: Iterable[Resource],
    observed: Mapping[ResourceKey, Resource],
    proofs: Mapping[ResourceKey, Proof],
    dry_runs: Mapping[ResourceKey, DryRun],
) -> tuple[list[Change], list[str]]:
    """The change of every desired object, and what is to be said of them. Raises DesiredStateError with every problem."""
    changes: list[Change] = []
    problems: list[Problem] = []
    said: list[str] = []
    ownership, ignored = target.ownership, []
    for each in desired:
        live = observed.get(each.key)
        dry_run = dry_runs.get(each.key)
        beside = ownership.sent(each, live)
        resource = beside.resource
        ignored += [(each.key, left) for left in beside.left if left.is_ruled]
        said += remarks.scaled(each.key, beside.left)
        outcome = judge(resource, live, dry_run, proofs.get(resource.key), target.environment.policy)
        if isinstance(outcome, Problem):
            problems.append(outcome)
            continue
        changes.append(outcome)
        if outcome.action is not Action.UNCHANGED:
            said += [f"{resource.key}: {why}" for why in opened(resource, target.ceiling)]
            said += remarks.taken(resource.key, dry_run) if dry_run is not None else []
        if dry_run is not None and dry_run.result is not None:
            problems += denied(replace(dry_run.result, source=resource.source), target.ceiling, live)
            said += remarks.not_kept(resource, dry_run)
            said += remarks.left_to_others(resource.key, dry_run)
            said += remarks.no_longer_in_git(resource.key, dry_run)
    if problems:
        raise DesiredStateError(problems)
    return changes, [*said, *remarks.ignored(ignored)]


def lost(recorded: Recorded, live: Mapping[ResourceKey, Resource], manager: str) -> str:
    """The alarm of an environment that has objects and no record; empty where all is well."""
    ours = [str(key) for key, found in live.items() if applied_by(found, manager)] if not recorded.record else []
    if not ours:
        return ""
    return (
        f"there is no record of this environment, though {ours[0]} is its own: what left Git before the record was lost "
        "is not known, and is not pruned"
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


def prove_arriving(reading: Reading, desired: Iterable[Resource], ownership: Ownership) -> dict[ResourceKey, Proof]:
    """The proof of each desired object in a read, made while the next one is awaited.

    An object that no LIST by our label shows lacks the label, so it is not as specified and needs no proof.
    """
    by_key = {resource.key: resource for resource in desired}
    return {
        live.key: ownership.proof(resource, live)
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
    remade_namespaces = _going_namespaces(resources, observed.live)
    new_kinds = {kind for resource in resources if (kind := defined_kind(resource)) and kind in observed.unserved}
    unproven = [
        resource for resource in resources if not ((proof := proofs.get(resource.key)) is not None and proof.unchanged)
    ]
    redefined = {kind for resource in unproven if (kind := defined_kind(resource))} - new_kinds

    def attempt(resource: Resource) -> tuple[ResourceKey, DryRun]:
        key = resource.key
        if (key.group, key.kind) in new_kinds:
            return key, DryRun(None, None, virtual=f"the kind {key.group_kind} is new in this change")
        if key.namespace in new_namespaces:
            return key, DryRun(None, None, virtual=f"the namespace {key.namespace} is new in this change")
        if key.namespace in remade_namespaces:
            return key, DryRun(None, None, virtual=f"the namespace {key.namespace} is being deleted and made again")
        now = observed.live.get(key)
        if now is not None and is_going(now):
            return key, DryRun(None, None, afresh=dry_run_afresh(target, resource))
        now, said = _asked(target, resource, now)
        if isinstance(said.error, Denied) and UNDECLARED in said.error.message and (key.group, key.kind) in redefined:
            # what it says may be right by the definition of this very change, which the server does not have yet
            return key, DryRun(None, None, virtual=f"the definition of {key.group_kind} changes in this change")
        if needs_recreation(now, said.error) and may_recreate(resource, target.environment.policy):
            said = replace(said, afresh=dry_run_afresh(target, resource))
        return key, said

    return dict(target.cluster.each(attempt, unproven))


def _asked(target: Target, resource: Resource, now: Resource | None) -> tuple[Resource | None, DryRun]:
    """The live object, and what the server says of it: both anew where somebody wrote it meanwhile, a few times."""
    for tries_left in reversed(range(TRIES)):
        sent = target.ownership.sent(resource, now).resource
        said = replace(dry_run(target, sent), asked=now)
        if said.result is None or now is None:
            break
        if now.resource_version == said.result.resource_version or not tries_left:
            said = replace(without_leaving(target, sent, now, said), asked=now)
            if not said.virtual:
                break
        if tries_left:
            now = target.cluster.get(resource.key, resource.version)
    return now, said


def _going_namespaces(resources: Iterable[Resource], live: Mapping[ResourceKey, Resource]) -> frozenset[str]:
    """The desired namespaces that are being deleted: whatever is in them goes too, also what does not look so yet."""
    return frozenset(
        resource.key.name
        for resource in resources
        if resource.key.group_kind == "Namespace" and (now := live.get(resource.key)) is not None and is_going(now)
    )


def dry_run(target: Target, resource: Resource) -> DryRun:
    """What the server says it would make of one object."""
    ownership = target.ownership

    def resolve(owner: FieldOwner) -> Resolution:
        return ownership.resolve(owner, resource)

    try:
        applied = target.cluster.apply(resource, ownership.manager, dry_run=True, force=False, resolve=resolve)
    except (Denied, Conflict) as error:
        return DryRun(None, error)
    return DryRun(applied.resource, None, forced=applied.forced, kept=applied.kept)


def without_leaving(target: Target, resource: Resource, live: Resource, said: DryRun) -> DryRun:
    """A dry run's answer to what is sent, without the fields that leave Git and are taken from others, as the server makes it."""
    assert said.result is not None
    fields = target.ownership.leaving(resource, live)
    if not any(field.taken for field in fields):
        return replace(said, leaving=fields)
    try:
        operations = removal(said.result, fields)
        result = target.cluster.patch(live, operations, target.environment.field_manager, dry_run=True)
    except Denied as error:
        return DryRun(None, error)
    except Moved:
        return DryRun(None, virtual="it changes in the cluster all the time")
    return replace(said, result=result, leaving=fields)


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


def _kept(change: Change, why: str) -> Change:
    if change.action is not Action.PRUNE:
        return change
    return Change(change.key, change.version, Action.SKIP, f"no longer in Git; {why}", uid=change.uid)

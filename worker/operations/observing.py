"""One look at what was applied: is it still what Git says, does it work, who wrote what differs; and its healing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.adapters.cluster import FEW
from worker.adapters.inventory import Recorded
from worker.domain.convergence import EnvironmentState, Mark, Phase
from worker.domain.desired import DesiredState, Stage
from worker.domain.environment import OWNER_LABEL
from worker.domain.episodes import Look, Trouble
from worker.domain.errors import Unavailable
from worker.domain.health import Health, ResourceHealth
from worker.domain.inventory import Inventory
from worker.domain.plan import Action, Change
from worker.domain.proposals import Drift
from worker.domain.reports import Step
from worker.domain.resource import Resource, ResourceKey
from worker.operations.advancing import Fact, proof_of
from worker.operations.applying import Checkpoint, Written, apply
from worker.operations.explaining import explained, troubles_of
from worker.operations.predicting import Prediction, is_finished, try_unproven
from worker.operations.preparing import Target
from worker.planning.assembling import assemble
from worker.planning.assessment import assess
from worker.planning.causes import drifted
from worker.planning.changes import judge

PLACES: Final = 50
"""Kinds and namespaces in which objects are looked for that nobody declared."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A look, and what it stands on: the live objects, their healths, and the changes that would undo the drift."""

    look: Look
    live: Mapping[ResourceKey, Resource]
    healths: tuple[ResourceHealth, ...] = ()
    changes: Mapping[ResourceKey, Change] = field(default_factory=dict)

    @property
    def health(self) -> Health:
        """The worst of what was looked at; unknown where nothing could be."""
        if self.look.reason:
            return Health.UNKNOWN
        return max((each.health for each in self.healths), key=lambda each: each.rank, default=Health.HEALTHY)


@dataclass(frozen=True, slots=True)
class Applied:
    """A desired state that is looked at again and again.

    `proven` has the uid and resourceVersion of each live object that was proven to be as specified, and its health: an object
    that was not written since is what it was, so it costs nothing but its reading.
    """

    desired: DesiredState
    proven: dict[ResourceKey, tuple[str, str, ResourceHealth]] = field(default_factory=dict)


def look_at(
    target: Target,
    applied: Applied,
    recorded: Recorded,
    revision: str,
    keys: frozenset[ResourceKey] | None = None,
) -> Observed:
    """Compares the specified fields of the applied revision with the cluster: of the objects in `keys`, or of all.

    A cluster that does not answer is a look that saw nothing, with the reason: never "no difference".
    """
    try:
        return _looked(target, applied, recorded, revision, keys)
    except Unavailable as error:
        return Observed(Look(revision, keys=keys, reason=str(error)), {})


def _looked(
    target: Target, applied: Applied, recorded: Recorded, revision: str, keys: frozenset[ResourceKey] | None
) -> Observed:
    desired = applied.desired
    asked = {
        resource.key: resource
        for resource in desired.resources
        if (keys is None or resource.key in keys) and resource.key not in desired.removed
    }
    ownership = (target := target.beside(desired.resources)).ownership
    others = begin_looking_around(target, desired) if keys is None else None
    wanted = {key: resource.version for key, resource in asked.items()}
    reading = target.cluster.begin_reading(wanted, target.environment.owner_label)
    known: dict[ResourceKey, ResourceHealth] = {}
    for arrived in reading.arriving():
        for each in arrived:
            if (resource := asked.get(each.key)) is not None and (health := _proven(target, applied, resource, each)):
                known[each.key] = health
    observed = reading.observation()
    live, finished = observed.live, recorded.state.finished
    resources = tuple(each for key, each in asked.items() if key in live or not is_finished(each, finished))
    policy = target.environment.policy
    healths = tuple(known.get(each.key) or assess(live.get(each.key), each.key, policy.health) for each in resources)
    doubted = tuple(each for each in resources if each.key not in known)
    differing = {each.key: _drift_of(target, recorded, each, live) for each in doubted}
    strict = ownership.policy.strict
    lost = [
        gone
        for each in doubted
        if (now := live.get(each.key)) is not None
        for gone in ownership.lost(ownership.sent(each, now).resource, now)
    ]
    in_git = {
        (each.key, each.field.path) for each in (*lost, *(each for found in differing.values() for each in found))
    }
    added = {
        each.key: tuple(found for found in ownership.additions(now) if (each.key, found.field.path) not in in_git)
        for each in resources
        if (now := live.get(each.key)) is not None
    }
    doubted = tuple(each for each in doubted if differing[each.key] or (strict and added.get(each.key)))
    tried = try_unproven(target, doubted, observed, {})
    changes: dict[ResourceKey, Change] = {}
    drift: list[Drift] = []
    for resource in doubted:
        now, said = live.get(resource.key), tried.get(resource.key)
        drift += [*added.get(resource.key, ())] if strict else []
        outcome = judge(ownership.sent(resource, now).resource, now, said, None, target.environment.policy)
        if isinstance(outcome, Change):
            if outcome.action is Action.UNCHANGED:
                continue  # the server itself makes of the manifest what is there: nobody's drift
            changes[resource.key] = outcome
        drift += differing[resource.key]
    missing = {each.key for each in drift}
    troubles = _troubles(target, [each for each in healths if each.key not in missing], live)
    additions = [] if strict else [each for several in added.values() for each in several]
    if others is not None:
        declared = desired.keys | {entry.key for entry in recorded.inventory.entries}
        additions += ownership.undeclared([*others(), *(each for each in live.values())], declared)
    look = Look(revision, tuple(drift), troubles, keys, additions=tuple(additions), lost=tuple(lost))
    return Observed(look, live, healths, changes)


def begin_looking_around(target: Target, desired: DesiredState) -> Callable[[], list[Resource]]:
    """Begins to read the metadata of objects of the environment's kinds in its namespaces; of many, without its own.

    The result gives them, when they are there; what these credentials may not list is left out.
    """
    namespaces: dict[tuple[str, str, str], list[str]] = {}
    for resource in desired.resources:
        if resource.key.namespace:
            kind = resource.key.group, resource.key.kind, resource.version
            namespaces.setdefault(kind, []).append(resource.key.namespace)
    home, many = target.environment.namespace, f"{OWNER_LABEL}!={target.environment.owner_label}"
    places = {
        (*kind, namespace): many if len(several) > FEW else ""
        for kind, several in namespaces.items()
        for namespace in sorted({home, *several})
    }
    return target.cluster.begin_reading_others(dict(list(places.items())[:PLACES]))


def _proven(target: Target, applied: Applied, resource: Resource, live: Resource) -> ResourceHealth | None:
    """The health of an object that is as specified, by its proof or because just this version of it was proven before."""
    metadata = live.metadata
    known = applied.proven.get(live.key)
    if known is not None and known[0] == metadata.get("uid") and known[1] == metadata.get("resourceVersion"):
        return known[2]
    applied.proven.pop(live.key, None)
    if not target.ownership.proof(resource, live).unchanged:
        return None
    health = assess(live, live.key, target.environment.policy.health)
    applied.proven[live.key] = (live.uid, live.resource_version, health)
    return health


def healths_of(target: Target, recorded: Recorded, live: Mapping[ResourceKey, Resource]) -> tuple[ResourceHealth, ...]:
    """The health of every object of the inventory by what lives; what has run to its end and is gone counts for nothing."""
    return tuple(
        assess(live.get(entry.key), entry.key, target.environment.policy.health)
        for entry in recorded.inventory.entries
        if entry.key in live or str(entry.key) not in recorded.state.finished
    )


def _drift_of(
    target: Target, recorded: Recorded, resource: Resource, live: Mapping[ResourceKey, Resource]
) -> list[Drift]:
    """What differs of one object in what is sent of it. While a newer commit is applied in part, what we wrote is that one's."""
    state, manager = recorded.state, target.environment.field_manager
    is_partly_newer = (
        state.operation is not None and state.applied is not None and state.operation.revision != state.applied.revision
    )
    sent = target.ownership.sent(resource, live.get(resource.key)).resource
    return [
        each
        for each in drifted([sent], live, frozenset({resource.key}))
        if not (is_partly_newer and each.manager == manager)
    ]


def _troubles(
    target: Target, healths: Iterable[ResourceHealth], live: Mapping[ResourceKey, Resource]
) -> tuple[Trouble, ...]:
    unhealthy = [each for each in healths if not each.health.is_good]
    told = {each.key: text for each, text in troubles_of(target, unhealthy, live)}
    found = []
    for each in unhealthy:
        health = Health.DEGRADED if each.key in told else each.health
        found.append(Trouble(each.key, health.value, told.get(each.key) or explained(target, each, live)))
    return tuple(found)


def heal(
    target: Target, desired: DesiredState, observed: Observed, revision: str, key: bytes, checkpoint: Checkpoint
) -> Written:
    """Applies again exactly the objects that drifted, as the applied revision has them; writes nothing else.

    Raises what `checkpoint` raises; an object that is refused is in `failed` of what was written.
    """
    groups = tuple(
        group
        for stage in desired.stages
        for whole in stage.groups
        if (group := tuple(resource for resource in whole if resource.key in observed.changes))
    )
    resources = tuple(resource for group in groups for resource in group)
    plan = assemble(target.environment.slug, revision, list(observed.changes.values()), (), [], key)
    prediction = Prediction(
        plan=plan,
        desired=DesiredState(resources, (Stage("", groups),)),
        live=observed.live,
        changes=observed.changes,
        prunes=(),
    )
    return apply(target, prediction, 0, checkpoint, lambda _done, _intended: None)


def recovered(
    target: Target, state: EnvironmentState, inventory: Inventory, observed: Observed, now: float
) -> tuple[EnvironmentState, dict[str, Any]]:
    """The state and the proof of an environment that is what its applied commit says again, and stayed so.

    An operation of that commit that had failed (its rollout took too long, a field was moved while it settled) has succeeded; so
    has one that was taken over while the environment differed.
    """
    assert state.applied is not None
    assert state.operation is not None
    operation, revision = state.operation, state.applied.revision
    done = replace(operation, revision=revision, phase=Phase.SUCCEEDED, verified=operation.verified or now)
    proof = proof_of(target, state, done, inventory, observed.live, list(observed.healths), now)
    if operation.revision != revision:
        return state, proof
    state = replace(state, verified=Mark(revision, now), converged=Mark(revision, now))
    if operation.phase is not Phase.FAILED and state.ending:
        return state, proof
    if operation.phase is Phase.FAILED:
        operation = operation.to(Phase.WAITING).to(Phase.SUCCEEDED)
    operation = replace(operation, said="", verified=done.verified, settles=now)
    text = f"{target.environment.name} is what Git says again"
    return replace(state, operation=operation, ending=Fact(Step.CONVERGED, text, proof, now).kept()), proof

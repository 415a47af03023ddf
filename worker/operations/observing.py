"""One look at what was applied: is it still what Git says, does it work, who wrote what differs; and its healing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from worker.adapters.inventory import Recorded
from worker.domain.convergence import EnvironmentState, Mark, Phase
from worker.domain.desired import DesiredState, Stage
from worker.domain.episodes import Look, Trouble
from worker.domain.errors import Unavailable
from worker.domain.health import Health, ResourceHealth
from worker.domain.inventory import Inventory
from worker.domain.plan import Action, Change
from worker.domain.proposals import Drift
from worker.domain.reports import Step
from worker.domain.resource import Resource, ResourceKey
from worker.operations.advancing import Fact, proof_of
from worker.operations.applying import Checkpoint, Outcome, apply
from worker.operations.explaining import explained, troubles_of
from worker.operations.predicting import Prediction, is_finished, observe, try_unproven
from worker.operations.preparing import Target
from worker.planning.assembling import assemble
from worker.planning.assessment import assess
from worker.planning.causes import drifted
from worker.planning.changes import judge
from worker.planning.proof import prove

SCALED: Final = ":scale"


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


def look_at(
    target: Target,
    desired: DesiredState,
    recorded: Recorded,
    revision: str,
    keys: frozenset[ResourceKey] | None = None,
) -> Observed:
    """Compares the specified fields of the applied revision with the cluster: of the objects in `keys`, or of all.

    A cluster that does not answer is a look that saw nothing, with the reason: never "no difference".
    """
    try:
        return _looked(target, desired, recorded, revision, keys)
    except Unavailable as error:
        return Observed(Look(revision, keys=keys, reason=str(error)), {})


def _looked(
    target: Target, desired: DesiredState, recorded: Recorded, revision: str, keys: frozenset[ResourceKey] | None
) -> Observed:
    asked = tuple(
        resource
        for resource in desired.resources
        if (keys is None or resource.key in keys) and resource.key not in desired.removed
    )
    observed = observe(target, asked, Inventory(()))
    live, finished = observed.live, recorded.state.finished
    resources = tuple(each for each in asked if each.key in live or not is_finished(each, finished))
    healths = tuple(assess(live.get(each.key), each.key, target.environment.policy.health) for each in resources)
    manager = target.environment.field_manager
    doubted = tuple(
        each for each in resources if (now := live.get(each.key)) is None or not prove(each, now, manager).unchanged
    )
    found = {each.key: _drift_of(target, recorded, each, live) for each in doubted}
    doubted = tuple(each for each in doubted if found[each.key])
    tried = try_unproven(target, doubted, observed, {})
    changes: dict[ResourceKey, Change] = {}
    drift: list[Drift] = []
    for resource in doubted:
        now, said = live.get(resource.key), tried.get(resource.key)
        outcome = judge(resource, now, said, None, target.environment.policy)
        if isinstance(outcome, Change):
            if outcome.action is Action.UNCHANGED:
                continue  # the server itself makes of the manifest what is there: nobody's drift
            changes[resource.key] = outcome
        drift += found[resource.key]
    missing = {each.key for each in drift}
    troubles = _troubles(target, [each for each in healths if each.key not in missing], live)
    return Observed(Look(revision, tuple(drift), troubles, keys), live, healths, changes)


def _drift_of(
    target: Target, recorded: Recorded, resource: Resource, live: Mapping[ResourceKey, Resource]
) -> list[Drift]:
    """What differs of one object, without what is not drift.

    Replicas that are set through the scale subresource are an autoscaler's. While a newer commit is applied in part, what we
    wrote ourselves is that commit's.
    """
    state, manager = recorded.state, target.environment.field_manager
    is_partly_newer = (
        state.operation is not None and state.applied is not None and state.operation.revision != state.applied.revision
    )
    return [
        each
        for each in drifted([resource], live, frozenset({resource.key}))
        if not (each.operation.endswith(SCALED) and each.field.path == "spec.replicas")
        and not (is_partly_newer and each.manager == manager)
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
) -> Outcome:
    """Applies again exactly the objects that drifted, as the applied revision has them; writes nothing else.

    Raises what `checkpoint` raises; an object that is refused is in the outcome's `failed`.
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

    An operation of that commit that had failed (its rollout took too long, a field was moved while it settled) has succeeded.
    """
    assert state.applied is not None
    assert state.operation is not None
    operation, revision = state.operation, state.applied.revision
    done = replace(operation, revision=revision, phase=Phase.SUCCEEDED, verified=operation.verified or now)
    proof = proof_of(target, state, done, inventory, observed.live, list(observed.healths), now)
    if operation.revision != revision:
        return state, proof
    state = replace(state, verified=Mark(revision, now), converged=Mark(revision, now))
    if operation.phase is not Phase.FAILED:
        return state, proof
    operation = operation.to(Phase.WAITING).to(Phase.SUCCEEDED, said="", verified=done.verified, settles=now)
    text = f"{target.environment.name} is what Git says again"
    return replace(state, operation=operation, ending=Fact(Step.CONVERGED, text, proof, now).kept()), proof

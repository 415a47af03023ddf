"""The prediction of one environment of a change request, with its three causes apart; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.adapters.inventory import Recorded
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Held, Problem
from worker.domain.plan import Plan
from worker.domain.proposals import EnvironmentProposal
from worker.domain.reports import Outcome
from worker.domain.resource import Resource, ResourceKey
from worker.operations.predicting import Prediction, is_finished, observe, predict
from worker.operations.preparing import Target, place
from worker.planning.causes import desired_changes, drifted, seen_of
from worker.planning.hazards import authority_changes, hazards

NEW = "declared by this change request only: what it may do is what the operator's ceiling allows"
GONE = "no longer declared: its objects stay as they are, and nobody looks after them"
NOT_APPLIED = "the base {base} is not applied yet (applied is {applied}), so what differs may be that"


@dataclass(frozen=True, slots=True)
class Sides:
    """One environment as the base and as the merge result declare it; None where one of them does not."""

    base: Environment | None
    merged: Environment | None

    @property
    def name(self) -> str:
        """The environment's name."""
        found = self.base or self.merged
        assert found is not None
        return found.name

    @property
    def judged(self) -> Environment:
        """What is predicted: where it goes and what it may do is the base's word, what is rendered the merge's.

        An environment that only the merge declares is its own, within the operator's ceiling.
        """
        if self.base is None or self.merged is None:
            found = self.base or self.merged
            assert found is not None
            return found
        now = self.merged
        return replace(self.base, path=now.path, renderer=now.renderer, release=now.release, values=now.values)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the prediction of one environment stands on: both renders, the record, and the ids to be named.

    `base` is None where the base does not render (or does not declare it).
    """

    target: Target
    base: tuple[Resource, ...] | None
    merged: tuple[Resource, ...]
    recorded: Recorded
    key: bytes
    base_revision: str
    head: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watched:
    """The live objects that a prediction rests on, so that it is known when they move: key -> version."""

    keys: Mapping[ResourceKey, str]
    seen: str


def propose_environment(sides: Sides, gathered: Gathered) -> tuple[EnvironmentProposal, Watched]:
    """The three causes, the dangers and what the prediction rests on. Raises Unavailable and Refused."""
    target, recorded = gathered.target, gathered.recorded
    base = place(target, gathered.base).resources if gathered.base is not None else ()
    merged = place(target, gathered.merged).resources
    prediction: Prediction | None = None
    problems: tuple[Problem, ...] = ()
    try:
        prediction = predict(target, gathered.head, gathered.merged, recorded, gathered.key, warnings=gathered.warnings)
        live = prediction.live
    except DesiredStateError as error:
        problems = error.problems
        live = observe(target, (*base, *merged), recorded.inventory).live
    keys = {resource.key: resource.version for resource in merged}
    for entry in recorded.inventory.entries:
        keys.setdefault(entry.key, entry.version)
    watched = Watched(keys, seen_of({key: live[key] for key in keys if key in live}))
    before = {resource.key: resource for resource in base}
    after = {resource.key: resource for resource in merged}
    change = desired_changes(base, merged, live) if gathered.base is not None or sides.base is None else ()
    ownership = target.beside(base).ownership
    standing = (
        ownership.sent(each, live.get(each.key)).resource
        for each in base
        if each.key in live or not _has_ended(each, recorded)
    )
    proposal = EnvironmentProposal(
        environment=sides.name,
        cluster=target.environment.cluster,
        outcome=Outcome.INVALID,
        change=change,
        drift=drifted(standing, live, frozenset(entry.key for entry in recorded.inventory.entries)),
        dangers=(*authority_changes(sides.base, sides.merged), *hazards(change, before, after)),
        problems=problems,
        text=_said(sides, gathered),
        objects=len(after),
        seen=watched.seen,
    )
    return (_judged(proposal, prediction, before, after, sides) if prediction else proposal), watched


def _has_ended(resource: Resource, recorded: Recorded) -> bool:
    """Whether an object that does not live has run to its end, and is not missed; a Secret never runs."""
    return resource.key.kind != "Secret" and is_finished(resource, recorded.state.finished)


def _judged(
    proposal: EnvironmentProposal,
    prediction: Prediction,
    before: Mapping[ResourceKey, Resource],
    after: Mapping[ResourceKey, Resource],
    sides: Sides,
) -> EnvironmentProposal:
    plan, hold = prediction.plan, prediction.hold
    held = [hold.reason] if hold is not None else []
    dangers = (*authority_changes(sides.base, sides.merged), *hazards(plan.changes, before, after), *held)
    outcome, text, next_step = Outcome.PLANNED, proposal.text, ""
    if hold is not None:
        outcome = Outcome.HELD if isinstance(hold, Held) else Outcome.REFUSED
        text, next_step = "; ".join(part for part in (hold.reason, text) if part), hold.next_step
    return replace(
        proposal,
        outcome=outcome,
        plan=plan,
        dangers=dangers,
        text=text,
        next_step=next_step,
        confirmation=hold.code if isinstance(hold, Held) else "",
        objects=len(prediction.desired.keys),
    )


def untouched(environment: Environment) -> EnvironmentProposal:
    """The answer for an environment whose inputs are the same on both sides."""
    return EnvironmentProposal(environment.name, environment.cluster, Outcome.PLANNED, touched=False)


def dropped(environment: Environment, head: str) -> EnvironmentProposal:
    """The answer for an environment that the merge result does not declare any more: nothing is deleted by that."""
    plan = Plan(environment.slug, head, ())
    dangers = authority_changes(environment, None)
    return EnvironmentProposal(
        environment.name, environment.cluster, Outcome.PLANNED, plan=plan, dangers=dangers, text=GONE
    )


def _said(sides: Sides, gathered: Gathered) -> str:
    if sides.base is None:
        return NEW
    if gathered.base is None:
        return "the base does not render, so what this change does and what had drifted are not known"
    applied = gathered.recorded.state.applied.revision if gathered.recorded.state.applied else ""
    if applied == gathered.base_revision:
        return ""
    return NOT_APPLIED.format(base=gathered.base_revision[:7], applied=applied[:7] or "nothing")

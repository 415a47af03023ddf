"""Job: what merging a change request would do, environment by environment, as base, head and cluster are now.

It reads as its phases: gather (the merge result, what it declares, the cluster), judge, report. Nothing is written but a
hint in Redis of what the prediction rests on, by which `watch` notices that it went stale.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities
from worker.adapters.store import OpenProposal, Standing
from worker.domain.declaration import Declaration
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, PlumblineError, Problem, Refused, Unavailable
from worker.domain.installation import Repository
from worker.domain.messages import ProposalRequest
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import Outcome
from worker.domain.resource import Resource
from worker.newest import Newest
from worker.operations.proposing import Gathered, Sides, dropped, propose_environment, untouched
from worker.planning.hazards import FORK, authority_changes
from worker.previews import outcome_of
from worker.workbench import Workbench, shortage

NOBODY = "no environment follows the branch {base}"
CONFLICT = "cannot be merged into {base} as it is now: {count} in conflict"


@dataclass
class _Merge:
    """Where both sides of one request are read: the base's commit, and the merge's tree in its own checkout."""

    request: ProposalRequest
    repository: Repository
    base: Checkout
    revision: str
    merged: Checkout
    tree: str
    standing: list[Standing] = field(default_factory=list)


def propose(bench: Workbench, message: dict[str, Any]) -> None:
    """Says what merging a change request would do to every environment of its base."""
    request = ProposalRequest.from_json(message)
    request = ProposalRequest.from_json(Newest(bench.queue).of(request.name) or message)
    began = bench.queue.now()
    standing: list[Standing] = []
    report = ProposalReport(request.repository, request.number, request.head, request.base, "")
    try:
        report = _proposed(bench, request, standing)
        failed = any(each.outcome is Outcome.UNAVAILABLE for each in report.environments)
    except DesiredStateError as error:
        report, failed = replace(report, problems=error.problems), False
    except PlumblineError as error:
        report, failed = replace(report, text=str(error)), isinstance(error, Unavailable)
    except (OSError, MemoryError) as error:
        report, failed = replace(report, text=str(shortage(error))), True
    now = bench.queue.now()
    if request.number:
        bench.store.remember_proposal(OpenProposal(request, tuple(standing), failed=failed), now)
    bench.outbox.report(replace(report, at=now, seconds=now - began))


def _proposed(bench: Workbench, request: ProposalRequest, standing: list[Standing]) -> ProposalReport:
    repository = bench.repository(request.repository)
    report = ProposalReport(request.repository, request.number, request.head, request.base, "")
    if not repository.follows(request.base):
        return replace(report, text=NOBODY.format(base=request.base))
    checkout = bench.checkout(repository)
    tip = checkout.tip(request.base)
    if tip is None:
        raise Refused(f"the branch {request.base} does not exist", "nothing would be changed by merging")
    checkout.fetch(tip, request.base)
    checkout.fetch_proposed(request.head, request.head_ref)
    report = replace(report, base_revision=tip)
    if not request.number:  # a merge queue's candidate is the merge result already
        merge = _Merge(request, repository, checkout, tip, checkout, checkout.tree(request.head), standing)
        return _judged(bench, merge, report)
    with checkout.merged(tip, request.head) as (beside, found):
        if not found.tree:
            count = f"{len(found.conflicts)} file{'' if len(found.conflicts) == 1 else 's'}"
            text = CONFLICT.format(base=request.base, count=count)
            return replace(report, conflicts=found.conflicts, text=text)
        return _judged(bench, _Merge(request, repository, checkout, tip, beside, found.tree, standing), report)


def _judged(bench: Workbench, merge: _Merge, report: ProposalReport) -> ProposalReport:
    report = replace(report, merged=merge.tree)
    base_name = merge.request.base
    try:
        before = bench.declaration(merge.base, merge.repository, merge.revision, base_name)
    except DesiredStateError:
        before = Declaration(())  # nothing of a file that cannot be read is authority; what the merge declares is new
    after = bench.declaration(merge.merged, merge.repository, merge.tree, base_name)
    old = {each.name: each for each in before.environments}
    new = {each.name: each for each in after.environments}
    broken = {each.name: each for each in after.broken}
    found = []
    for name in dict.fromkeys((*old, *new, *broken)):
        if name in broken:
            problems = broken[name].problems
            found.append(EnvironmentProposal(name, broken[name].cluster, Outcome.INVALID, problems=problems))
        elif name not in new:
            found.append(dropped(old[name], merge.request.head))
        else:
            found.append(_guarded(bench, merge, Sides(old.get(name), new[name])))
    text = "" if found else NOBODY.format(base=base_name)
    return replace(report, environments=tuple(_from_fork(each, merge.request) for each in found), text=text)


def _from_fork(proposal: EnvironmentProposal, request: ProposalRequest) -> EnvironmentProposal:
    if not request.is_from_fork or not proposal.touched:
        return proposal
    return replace(proposal, dangers=(*proposal.dangers, FORK))


def _guarded(bench: Workbench, merge: _Merge, sides: Sides) -> EnvironmentProposal:
    """One environment, whose failure is its own."""
    try:
        return _one(bench, merge, sides)
    except PlumblineError as error:
        outcome, problems, text, next_step = outcome_of(error)
    except (OSError, MemoryError) as error:
        outcome, problems, text, next_step = outcome_of(shortage(error))
    return EnvironmentProposal(
        sides.name,
        sides.judged.cluster,
        outcome,
        dangers=authority_changes(sides.base, sides.merged),
        problems=tuple(_in_words(each, merge.tree) for each in problems),
        text=text,
        next_step=next_step,
    )


def _one(bench: Workbench, merge: _Merge, sides: Sides) -> EnvironmentProposal:
    environment = sides.judged
    if sides.base == sides.merged and sides.base is not None and _same_inputs(bench, merge, environment):
        return untouched(environment)
    side = bench.bench(environment.cluster)
    capabilities = side.capabilities()
    rendered = bench.renderer.render_revision(merge.merged, merge.tree, environment, capabilities)
    gathered = Gathered(
        target=bench.target(environment, merge.repository),
        base=_base(bench, merge, sides.base, capabilities),
        merged=rendered.resources,
        recorded=side.states.read(environment),
        key=side.states.key(),
        base_revision=merge.revision,
        head=merge.request.head,
        warnings=rendered.warnings,
    )
    proposal, watched = propose_environment(sides, gathered)
    place = (environment.name, environment.cluster, environment.namespace)
    merge.standing.append(Standing(*place, dict(watched.keys), watched.seen))
    if proposal.plan is not None:
        told = {"fingerprint": proposal.plan.fingerprint, "summary": dict(proposal.plan.summary)}
        bench.store.remember_prediction(environment.slug, merge.tree, {**told, "at": bench.queue.now()})
    return proposal


def _same_inputs(bench: Workbench, merge: _Merge, environment: Environment) -> bool:
    """Whether base and merge render from the very same; the cluster is not asked for that."""
    nothing = Capabilities()
    try:
        before = bench.renderer.inputs(merge.base, merge.revision, environment, nothing)
    except DesiredStateError:
        return False
    return before == bench.renderer.inputs(merge.merged, merge.tree, environment, nothing)


def _base(
    bench: Workbench, merge: _Merge, environment: Environment | None, capabilities: Capabilities
) -> tuple[Resource, ...] | None:
    if environment is None:
        return None
    try:
        return bench.renderer.render_revision(merge.base, merge.revision, environment, capabilities).resources
    except DesiredStateError:
        return None


def _in_words(problem: Problem, tree: str) -> Problem:
    """A problem without the id of a tree that nobody knows."""
    return replace(problem, message=problem.message.replace(tree[:7], "the merge result"))

"""Job: which commit on top of a branch brings an environment back to an earlier revision. Nothing is written anywhere.

It reads as its phases: gather (branch, record, inputs of both revisions), judge (`worker.planning.returning`), prove (the tree
is made beside the repository and rendered: its desired state must equal that of the target), report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.adapters.ancestry import children
from worker.adapters.checkout import Checkout
from worker.adapters.grafting import grafted
from worker.adapters.reading_inputs import read_inputs, readers
from worker.branches import require_own_branch
from worker.domain.declaration import Declaration
from worker.domain.environment import Environment, Rollback
from worker.domain.errors import DesiredStateError, PlumblineError, Refused, Unavailable
from worker.domain.installation import Repository
from worker.domain.resource import Resource
from worker.domain.rollback import Inputs, RollbackReport, RollbackRequest
from worker.planning.returning import (
    Converged,
    chosen,
    converged_revisions,
    differing,
    earlier,
    images,
    made_already,
    require_plain,
    restored,
    sentences,
)
from worker.workbench import Workbench, shortage, tried

MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class _Place:
    """An environment where it is now: the branch that declares it, its tip, and what that declares."""

    repository: Repository
    checkout: Checkout
    branch: str
    tip: str
    declaration: Declaration
    environment: Environment


def rollback(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files make a rollback, or why there is none. Raises Unavailable (tried again)."""
    request = RollbackRequest.from_json(message)
    try:
        report = _judged(bench, request)
    except Unavailable as error:
        if not bench.is_too_late(request.at):
            raise
        report = RollbackReport(request, refusal=tried(error))
    except PlumblineError as error:
        report = RollbackReport(request, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(bench: Workbench, request: RollbackRequest) -> RollbackReport:
    place = _found(bench, request)
    if request.since:
        came = children(place.checkout, request.since, place.tip)
        made = made_already(came, request.target, request.environment)
        if made:
            return RollbackReport(request, place.branch, place.tip, request.target, made=made)
    target = _target(bench, place, request.target)
    present = _present(place)
    assert target.inputs is not None
    files = restored(target.inputs, present)
    report = RollbackReport(
        request,
        place.branch,
        place.tip,
        target.revision,
        files,
        may_push=place.environment.policy.rollback is Rollback.PUSH,
    )
    if not files:
        raise Refused(
            f"{place.environment.name} reads the same on {place.branch} now as in {target.revision[:7]}",
            "There is nothing to roll back",
        )
    require_plain(files)
    return _proven(bench, place, report)


def _found(bench: Workbench, request: RollbackRequest) -> _Place:
    """The environment on the branch by whose rules the asking was judged, and on no other. Raises Refused, DesiredStateError."""
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    branch, name = request.branch, request.environment
    tip = checkout.tip(branch) if repository.follows(branch) else None
    if tip is not None:
        checkout.fetch(tip, branch)
        declaration = bench.declaration(checkout, repository, tip, branch)
        environment = declaration.environment(name)
        if environment is not None:
            require_own_branch(bench, repository, checkout, name, environment.cluster, branch)
            return _Place(repository, checkout, branch, tip, declaration, environment)
    raise Refused(f"{branch} does not declare the environment {name}", "Look at `environments` in plumbline.yaml")


def _target(bench: Workbench, place: _Place, asked: str) -> Converged:
    """The revision to go back to. Raises Refused."""
    environment = place.environment
    recorded = bench.bench(environment.cluster).states.read(environment)
    if recorded.alarm:
        raise Refused(recorded.alarm, "Name the revision by a change request of your own")
    known = converged_revisions(recorded.state.history)
    named = chosen(asked, known)
    if named:
        if not place.checkout.is_ancestor(named, place.tip):
            raise Refused(f"{named[:7]} is not in the history of {place.branch}", "Go back to one that is")
        return Converged(named, _inputs(bench, place, named))
    return earlier(asked, _present(place), _candidates(bench, place, known))


def _present(place: _Place) -> Inputs:
    """What the environment reads now; nothing where its folder is gone, which is what a rollback may be wanted for."""
    try:
        return read_inputs(place.checkout, place.tip, place.environment)
    except DesiredStateError:
        return Inputs("" if place.environment.path == "." else place.environment.path, {})


def _candidates(bench: Workbench, place: _Place, known: tuple[str, ...]) -> Iterator[Converged]:
    """What converged and is in the branch's history, read one after the other, as far as somebody asks for it."""
    for revision in known:
        if place.checkout.is_ancestor(revision, place.tip):
            try:
                yield Converged(revision, _inputs(bench, place, revision))
            except DesiredStateError:
                yield Converged(revision, None)


def _inputs(bench: Workbench, place: _Place, revision: str) -> Inputs:
    return read_inputs(place.checkout, revision, _as_declared(bench, place, revision))


def _as_declared(bench: Workbench, place: _Place, revision: str) -> Environment:
    """The environment as a revision declares it. Raises DesiredStateError and Refused."""
    declaration = bench.declaration(place.checkout, place.repository, revision, place.branch)
    found = declaration.environment(place.environment.name)
    if found is None:
        raise Refused(f"{revision[:7]} does not declare {place.environment.name}", "Go back to one that does")
    return found


def _proven(bench: Workbench, place: _Place, report: RollbackReport) -> RollbackReport:
    """The report, once the tree that its files make renders to exactly the desired state of the target. Raises Refused."""
    side = bench.bench(place.environment.cluster)
    capabilities = side.capabilities()
    before = _as_declared(bench, place, report.target)
    wanted = bench.renderer.render_revision(place.checkout, report.target, before, capabilities).resources
    present: tuple[Resource, ...] = ()
    try:
        present = bench.renderer.render_revision(place.checkout, place.tip, place.environment, capabilities).resources
    except DesiredStateError as error:
        why = f"what {place.branch} holds now does not render: {error.problems[0]}"
        report = replace(report, warnings=(*report.warnings, why))
    with grafted(place.checkout, place.tip, report.files) as (beside, tree):
        made = bench.renderer.render_revision(beside, tree, place.environment, capabilities).resources
        others = differing(wanted, made)
        if before.namespace != place.environment.namespace:
            others = (*others, f"the namespace (it was {before.namespace}, and is {place.environment.namespace} now)")
        if others:
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            raise Refused(
                f"with the files of {report.target[:7]} the desired state would still be another one: "
                f"{', '.join(others[:MOST_NAMED])}{more}",
                "What else it is made of has changed since (plumbline.yaml, or a remote base): change that by hand",
            )
        shared = readers(
            [(place.checkout, place.tip), (beside, tree)],
            place.declaration,
            [place.environment.name],
            [each.path for each in report.files],
        )
    unserved = sorted(
        {each.key.group_kind for each in made if side.cluster.discovery.find(each.key.group, each.key.kind) is None}
        - {str(each.body.get("spec", {}).get("names", {}).get("kind", "")) for each in made}
    )
    warnings = [f"the cluster does not serve {kind}" for kind in unserved]
    back = sorted(images(made) - images(present))
    if back:
        warnings.append(f"not known is whether these images can still be pulled: {', '.join(back)}")
    return replace(
        report,
        shared=shared,
        explanation=sentences(report.target, report.files, shared),
        warnings=(*report.warnings, *warnings),
    )

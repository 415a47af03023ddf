"""Job: what a push that is not accepted yet would change, environment by environment; nothing is written.

It reads as its phases: gather (the pushed objects, what they declare, the cluster), judge, report.
"""

from __future__ import annotations

from typing import Any

from worker.adapters.checkout import Checkout
from worker.domain.declaration import FILE
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Held, PlumblineError, Problem, Refused, Unavailable, Unfit
from worker.domain.installation import Repository
from worker.domain.locks import people_for
from worker.domain.messages import PreviewRequest, RefUpdate
from worker.domain.orders import Verb
from worker.domain.plan import code
from worker.domain.reports import EnvironmentPreview, Outcome, PreviewReport
from worker.operations.predicting import Prediction, predict
from worker.workbench import Workbench, shortage

MISNAMED = ("plumbline.yml", "Plumbline.yaml", ".plumbline.yaml")
"""What people call the file that nobody then finds."""

FORCED = "{branch} would be rewritten: {old} is not in the history of {new}"


OPERATORS = "This is the operator's to mend: nothing in the repository is wrong, and nothing could be converged now"


def preview(bench: Workbench, message: dict[str, Any]) -> None:
    """Says what a push that is not accepted yet would change, environment by environment."""
    request = PreviewRequest.from_json(message)
    began = bench.queue.now()
    if began > request.deadline:
        return
    bench.outbox.report(_previewed(bench, request, began))


def _previewed(bench: Workbench, request: PreviewRequest, began: float) -> PreviewReport:
    environments: list[EnvironmentPreview] = []
    problems: list[Problem] = []
    notices: list[str] = []
    try:
        repository = bench.repository(request.repository)
        pack = bench.queue.take_parcel(request.ticket) if request.has_objects else None
        if request.has_objects and pack is None:
            raise Unavailable("the pushed objects did not arrive in time")
        with bench.checkout(repository).quarantined(pack) as checkout:
            for update in request.updates:
                if update.branch is None or update.deletes:
                    continue
                found = _preview_branch(bench, repository, checkout, update, request.approvals)
                environments += found
                notices += _no_longer_declared(bench, repository, checkout, update, found)
                if not found:
                    notices.append(_nobody_follows(checkout, repository, update))
    except DesiredStateError as error:
        problems += error.problems
    except PlumblineError as error:
        environments.append(_no_preview("", error))
    except (OSError, MemoryError) as error:
        environments.append(_no_preview("", shortage(error)))
    return PreviewReport(
        request.ticket,
        request.repository,
        tuple(environments),
        tuple(problems),
        tuple(notices),
        bench.queue.now() - began,
    )


def _preview_branch(
    bench: Workbench, repository: Repository, checkout: Checkout, update: RefUpdate, approvals: tuple[str, ...]
) -> list[EnvironmentPreview]:
    assert update.branch is not None
    if not repository.follows(update.branch):
        return []
    declaration = bench.declaration(checkout, repository, update.new, update.branch)
    bench.renderer.read_ahead(checkout, update.new, declaration.environments)
    return [
        *(
            _preview_one(bench, repository, checkout, environment, update, approvals)
            for environment in declaration.environments
        ),
        *(EnvironmentPreview(broken.name, Outcome.INVALID, None, broken.problems) for broken in declaration.broken),
    ]


def _nobody_follows(checkout: Checkout, repository: Repository, update: RefUpdate) -> str:
    """Why nothing is converged to a branch, in words for who expected it."""
    said = f"no environment follows the branch {update.branch}"
    if update.branch is None or not repository.follows(update.branch):
        return said
    if checkout.read_file(update.new, FILE) is not None:
        return said
    other = next((name for name in MISNAMED if checkout.read_file(update.new, name) is not None), None)
    return f"{said}: rename {other} to {FILE}" if other else f"{said}: it has no {FILE} at its root"


def _no_longer_declared(
    bench: Workbench,
    repository: Repository,
    checkout: Checkout,
    update: RefUpdate,
    found: list[EnvironmentPreview],
) -> list[str]:
    """One sentence for each environment that the branch declared until now."""
    if update.creates or update.branch is None or not repository.follows(update.branch):
        return []
    try:
        before = bench.declaration(checkout, repository, update.old, update.branch)
    except DesiredStateError:
        return []
    kept = {each.environment for each in found}
    return [
        f"{each.name} is no longer declared: its objects stay as they are, and nobody looks after them"
        for each in before.environments
        if each.name not in kept
    ]


def _preview_one(
    bench: Workbench,
    repository: Repository,
    checkout: Checkout,
    environment: Environment,
    update: RefUpdate,
    approvals: tuple[str, ...],
) -> EnvironmentPreview:
    try:
        prediction = predict_revision(bench, repository, checkout, environment, update.new)
    except PlumblineError as error:
        return _no_preview(environment.name, error)
    except (OSError, MemoryError) as error:
        return _no_preview(environment.name, shortage(error))
    plan = prediction.plan
    confirmed = code(plan.fingerprint) in {approval.lower() for approval in approvals}
    hold: Held | Refused | None = prediction.hold
    if hold is None and not update.creates and not checkout.is_ancestor(update.old, update.new):
        hold = forced(update.branch or "", update.old, update.new, code(plan.fingerprint))
    if isinstance(hold, Held) and not confirmed and not _was_confirmed(bench, environment, prediction):
        return EnvironmentPreview(environment.name, Outcome.HELD, plan, (), hold.reason, hold.next_step)
    if hold is not None and not isinstance(hold, Held):
        return EnvironmentPreview(environment.name, Outcome.REFUSED, plan, (), hold.reason, hold.next_step)
    told = {"fingerprint": plan.fingerprint, "summary": dict(plan.summary), "at": bench.queue.now()}
    bench.store.remember_prediction(environment.slug, update.new, told)
    return EnvironmentPreview(environment.name, Outcome.PLANNED, plan)


def _was_confirmed(bench: Workbench, environment: Environment, prediction: Prediction) -> bool:
    """Whether somebody confirmed exactly this plan before the push."""
    locks = bench.bench(environment.cluster).states.read(environment).state.locks
    verb = Verb.APPROVE if prediction.hold is None else Verb.CONFIRM_PRUNE
    return bool(people_for(locks.approvals, prediction.plan.fingerprint, verb, locks.people, bench.queue.now()))


def _no_preview(environment: str, error: PlumblineError) -> EnvironmentPreview:
    outcome, problems, text, next_step = outcome_of(error)
    return EnvironmentPreview(environment, outcome, None, problems, text, next_step)


def outcome_of(error: PlumblineError) -> tuple[Outcome, tuple[Problem, ...], str, str]:
    """How a prediction ends that met an error: outcome, problems, text and next step."""
    if isinstance(error, DesiredStateError):
        return Outcome.INVALID, error.problems, "", ""
    if isinstance(error, Refused):
        return Outcome.REFUSED, (), error.reason, error.next_step
    if isinstance(error, Unfit):
        return Outcome.REFUSED, (), str(error), OPERATORS
    return Outcome.UNAVAILABLE, (), str(error), ""


def predict_revision(
    bench: Workbench, repository: Repository, checkout: Checkout, environment: Environment, revision: str
) -> Prediction:
    """The prediction of an environment for a commit that the checkout has."""
    target = bench.target(environment, repository)
    side = bench.bench(environment.cluster)
    rendered = bench.renderer.render_revision(checkout, revision, environment, side.capabilities())
    recorded = side.states.read(environment)
    return predict(target, revision, rendered.resources, recorded, side.states.key(), warnings=rendered.warnings)


def forced(branch: str, old: str, new: str, confirmation: str) -> Held:
    """The hold of a branch that was rewritten: what was applied is not in the history of what is to be."""
    return Held(FORCED.format(branch=branch, old=old[:7], new=new[:7]), confirmation)

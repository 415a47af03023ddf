"""What the queue calls: preview a push, converge an environment, look at an open operation.

Each job reads as its phases: gather, judge, act, report. None of them waits for anything in the cluster; `watch` asks for
the next look.
"""

from __future__ import annotations

import time
from typing import Any

from worker.adapters.checkout import Checkout
from worker.adapters.lease import held
from worker.domain.convergence import Operation, Phase
from worker.domain.environment import Environment
from worker.domain.errors import (
    DesiredStateError,
    Held,
    LeaseLost,
    Moved,
    PlumblineError,
    Problem,
    Refused,
    Superseded,
    Unavailable,
)
from worker.domain.installation import Repository
from worker.domain.messages import CheckRequest, ConvergeRequest, PreviewRequest, RefUpdate
from worker.domain.plan import code
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step
from worker.operations.advancing import Fact
from worker.operations.converging import Run, look
from worker.operations.converging import converge as converge_run
from worker.operations.predicting import Prediction, predict
from worker.workbench import Workbench, missing_environment

FORCED = "{branch} would be rewritten: {old} is not in the history of {new}"


LOOKED_AT = (Phase.WAITING, Phase.SETTLING)


def preview(bench: Workbench, message: dict[str, Any]) -> None:
    """Says what a push that is not accepted yet would change, environment by environment."""
    request = PreviewRequest.from_json(message)
    began = time.time()
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
                if not found:
                    notices.append(f"no environment follows the branch {update.branch}")
    except DesiredStateError as error:
        problems += error.problems
    except PlumblineError as error:
        environments.append(_no_preview("", error))
    return PreviewReport(
        request.ticket, request.repository, tuple(environments), tuple(problems), tuple(notices), time.time() - began
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


def _preview_one(
    bench: Workbench,
    repository: Repository,
    checkout: Checkout,
    environment: Environment,
    update: RefUpdate,
    approvals: tuple[str, ...],
) -> EnvironmentPreview:
    try:
        prediction = _predict(bench, repository, checkout, environment, update.new)
    except PlumblineError as error:
        return _no_preview(environment.name, error)
    plan = prediction.plan
    confirmed = code(plan.fingerprint) in {approval.lower() for approval in approvals}
    hold: Held | Refused | None = prediction.hold
    if hold is None and not update.creates and not checkout.is_ancestor(update.old, update.new):
        hold = _forced(update.branch or "", update.old, update.new, code(plan.fingerprint))
    if isinstance(hold, Held) and not confirmed:
        return EnvironmentPreview(environment.name, Outcome.HELD, plan, (), hold.reason, hold.next_step)
    if hold is not None and not isinstance(hold, Held):
        return EnvironmentPreview(environment.name, Outcome.REFUSED, plan, (), hold.reason, hold.next_step)
    told = {"fingerprint": plan.fingerprint, "summary": dict(plan.summary), "at": time.time()}
    bench.store.remember_prediction(environment.slug, update.new, told)
    return EnvironmentPreview(environment.name, Outcome.PLANNED, plan)


def _no_preview(environment: str, error: PlumblineError) -> EnvironmentPreview:
    if isinstance(error, DesiredStateError):
        return EnvironmentPreview(environment, Outcome.INVALID, None, error.problems)
    if isinstance(error, Refused):
        return EnvironmentPreview(environment, Outcome.REFUSED, None, (), error.reason, error.next_step)
    return EnvironmentPreview(environment, Outcome.UNAVAILABLE, None, (), str(error))


def _predict(
    bench: Workbench, repository: Repository, checkout: Checkout, environment: Environment, revision: str
) -> Prediction:
    target = bench.target(environment, repository)
    side = bench.bench(environment.cluster)
    rendered = bench.renderer.render_revision(checkout, revision, environment, side.capabilities())
    recorded = side.states.read(environment)
    return predict(target, revision, rendered.resources, recorded, side.states.key(), warnings=rendered.warnings)


def _forced(branch: str, old: str, new: str, confirmation: str) -> Held:
    return Held(FORCED.format(branch=branch, old=old[:7], new=new[:7]), confirmation)


def converge(bench: Workbench, message: dict[str, Any]) -> None:
    """Makes an environment what a commit says: under its lease, unless a newer commit is there already."""
    request = ConvergeRequest.from_json(message)
    speaker = Speaker(bench, request.repository, request.environment, request.branch, request.at)
    operation = Operation(request.revision, request.branch, Phase.QUEUED, request.at, time.time())
    try:
        repository = bench.repository(request.repository)
        checkout = bench.checkout(repository)
        _newest(checkout, request)
        environment = _environment(bench, repository, checkout, request)
        side = bench.bench(environment.cluster)
        states = side.states
        with held(states.records, environment.state_name, environment.name, bench.holder) as lease:
            recorded = states.read(environment)
            applied = recorded.state.applied.revision if recorded.state.applied else ""
            if applied and applied != request.revision and checkout.is_ancestor(request.revision, applied):
                raise Superseded(applied)
            hold = None
            if applied and not applied.startswith("worktree:") and not checkout.is_ancestor(applied, request.revision):
                hold = _forced(request.branch, applied, request.revision, "")

            def checkpoint() -> None:
                lease.check()
                _not_superseded(
                    bench, checkout, request.repository, request.environment, request.revision, request.branch
                )

            running = Run(
                target=bench.target(environment, repository),
                states=states,
                revision=request.revision,
                branch=request.branch,
                arrived=request.at,
                clock=time.time,
                say=speaker.say,
                checkpoint=checkpoint,
                posted=bench.store.prediction(environment.slug, request.revision),
            )
            capabilities = side.capabilities()
            converge_run(
                running,
                recorded,
                lambda: bench.renderer.render_revision(checkout, request.revision, environment, capabilities).resources,
                request.approvals,
                hold,
            )
    except Superseded as error:
        speaker.say(operation, Fact(Step.SUPERSEDED, f"{error.by[:7]} took over"))
    except (DesiredStateError, Refused) as error:
        speaker.say(operation, Fact(Step.FAILED, str(error)))
    except (LeaseLost, Moved) as error:
        raise Unavailable(str(error), retry_after=1) from None


def check(bench: Workbench, message: dict[str, Any]) -> None:
    """Looks once at an open operation: health, what is to be pruned, verification, settling."""
    request = CheckRequest.from_json(message)
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    side = bench.bench(request.cluster)
    found = side.states.find(request.repository, request.environment, bench.installation.instance)
    operation = found.state.operation
    if operation is None or not operation.phase.is_open:
        return
    checkout.fetch(operation.revision, operation.branch)
    declaration = bench.declaration(checkout, repository, operation.revision, operation.branch)
    environment = declaration.environment(request.environment)
    if environment is None or environment.cluster != request.cluster:
        return
    target = bench.target(environment, repository)
    speaker = Speaker(bench, request.repository, request.environment, operation.branch, operation.arrived)
    try:
        with held(side.states.records, environment.state_name, environment.name, bench.holder) as lease:
            recorded = side.states.read(environment)
            operation = recorded.state.operation
            if operation is None or operation.phase not in LOOKED_AT:
                return
            capabilities, revision, branch = side.capabilities(), operation.revision, operation.branch

            def checkpoint() -> None:
                lease.check()
                _not_superseded(bench, checkout, request.repository, request.environment, revision, branch)

            running = Run(target, side.states, revision, branch, operation.arrived, time.time, speaker.say, checkpoint)
            look(
                running,
                recorded,
                lambda: bench.renderer.render_revision(checkout, revision, environment, capabilities).resources,
            )
    except (LeaseLost, Moved, Superseded, Unavailable):
        return


class Speaker:
    """Sends the facts of one environment's operation to the bot."""

    def __init__(self, bench: Workbench, repository: str, environment: str, branch: str, arrived: float) -> None:
        self._bench = bench
        self._repository = repository
        self._environment = environment
        self._branch = branch
        self._arrived = arrived

    def say(self, operation: Operation, fact: Fact) -> None:
        """Reports one fact."""
        now = time.time()
        self._bench.outbox.report(
            ConvergenceReport(
                self._repository,
                self._environment,
                operation.branch or self._branch,
                operation.revision,
                fact.step,
                fact.text,
                operation.arrived or self._arrived,
                now - (operation.arrived or self._arrived),
                int(now * 1000),
                fact.proof,
            )
        )


def _environment(bench: Workbench, repository: Repository, checkout: Checkout, request: ConvergeRequest) -> Environment:
    if not repository.follows(request.branch):
        raise Refused(f"app.yaml does not let environments follow {request.branch}", "add it under `branches`")
    declaration = bench.declaration(checkout, repository, request.revision, request.branch)
    environment = declaration.environment(request.environment)
    if environment is None:
        raise missing_environment(request.environment, request.revision)
    return environment


def _newest(checkout: Checkout, request: ConvergeRequest) -> None:
    """Makes sure that the commit is on its branch and that none came after it. Raises Superseded otherwise."""
    tip = checkout.tip(request.branch)
    if tip is None:
        raise Refused(f"the branch {request.branch} does not exist", "nothing is changed by that")
    checkout.fetch(tip, request.branch)
    if tip != request.revision:
        raise Superseded(tip)


def _not_superseded(
    bench: Workbench, checkout: Checkout, repository: str, environment: str, revision: str, branch: str
) -> None:
    """Asks the hint first, because it costs nothing, and believes only Git."""
    wanted = bench.store.wanted(repository, environment)
    if wanted and wanted != revision and checkout.tip(branch) == wanted:
        raise Superseded(wanted)

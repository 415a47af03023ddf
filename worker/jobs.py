"""What the queue calls: preview a push, converge an environment, look at an open operation.

Each job reads as its phases: gather, judge, act, report. None of them waits for anything in the cluster; `watch` asks for
the next look.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from worker.adapters.checkout import Checkout
from worker.adapters.lease import Lease, held
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
    Stopping,
    Superseded,
    Unavailable,
)
from worker.domain.installation import Repository
from worker.domain.messages import CHECK, CONVERGE, CheckRequest, ConvergeRequest, GiveUp, PreviewRequest, RefUpdate
from worker.domain.plan import code
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step
from worker.operations.advancing import Fact, failed
from worker.operations.converging import Run, look
from worker.operations.converging import converge as converge_run
from worker.operations.predicting import Prediction, predict
from worker.workbench import Workbench, missing_environment

log = logging.getLogger("plumbline.jobs")

FORCED = "{branch} would be rewritten: {old} is not in the history of {new}"


LOOKED_AT = (Phase.WAITING, Phase.SETTLING)


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
                    notices.append(f"no environment follows the branch {update.branch}")
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
    return [
        _preview_one(bench, repository, checkout, environment, update, approvals)
        for environment in declaration.environments
    ]


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
        prediction = _predict(bench, repository, checkout, environment, update.new)
    except PlumblineError as error:
        return _no_preview(environment.name, error)
    except (OSError, MemoryError) as error:
        return _no_preview(environment.name, shortage(error))
    plan = prediction.plan
    confirmed = code(plan.fingerprint) in {approval.lower() for approval in approvals}
    hold: Held | Refused | None = prediction.hold
    if hold is None and not update.creates and not checkout.is_ancestor(update.old, update.new):
        hold = _forced(update.branch or "", update.old, update.new, code(plan.fingerprint))
    if isinstance(hold, Held) and not confirmed:
        return EnvironmentPreview(environment.name, Outcome.HELD, plan, (), hold.reason, hold.next_step)
    if hold is not None and not isinstance(hold, Held):
        return EnvironmentPreview(environment.name, Outcome.REFUSED, plan, (), hold.reason, hold.next_step)
    told = {"fingerprint": plan.fingerprint, "summary": dict(plan.summary), "at": bench.queue.now()}
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
    operation = Operation(request.revision, request.branch, Phase.QUEUED, request.at, bench.queue.now())
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
                _may_write(bench, lease)
                _not_superseded(
                    bench, checkout, request.repository, request.environment, request.revision, request.branch
                )

            running = Run(
                target=bench.target(environment, repository),
                states=states,
                revision=request.revision,
                branch=request.branch,
                arrived=request.at,
                clock=bench.queue.now,
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
    except (OSError, MemoryError) as error:
        raise shortage(error) from None


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
                _may_write(bench, lease)
                _not_superseded(bench, checkout, request.repository, request.environment, revision, branch)

            running = Run(
                target, side.states, revision, branch, operation.arrived, bench.queue.now, speaker.say, checkpoint
            )
            look(
                running,
                recorded,
                lambda: bench.renderer.render_revision(checkout, revision, environment, capabilities).resources,
            )
    except (LeaseLost, Moved, Superseded, Unavailable):
        return
    except (OSError, MemoryError) as error:
        raise shortage(error) from None


def give_up(bench: Workbench, message: dict[str, Any]) -> None:
    """Records and says that a job killed every worker that took it, so that nobody takes it again by itself."""
    given_up = GiveUp.from_json(message)
    if given_up.job == CONVERGE:
        _give_up(bench, given_up, ConvergeRequest.from_json(given_up.message))
    elif given_up.job == CHECK:
        _give_up(bench, given_up, CheckRequest.from_json(given_up.message))
    bench.queue.forget(given_up.reference)


def _give_up(bench: Workbench, given_up: GiveUp, request: ConvergeRequest | CheckRequest) -> None:
    text = (
        f"given up: {given_up.tries} workers died while they worked on it; what was written stays as it is. "
        f"The workers' logs say more (reference {given_up.reference}); push another commit to try again"
    )
    states = bench.bench(request.cluster).states
    found = states.find(request.repository, request.environment, bench.installation.instance)
    name = Environment(request.repository, request.environment, "", "", "", "", instance=bench.installation.instance)
    with held(states.records, name.state_name, request.environment, bench.holder):
        found = states.read(name)
        now = bench.queue.now()
        if isinstance(request, ConvergeRequest):
            operation = Operation(request.revision, request.branch, Phase.PLANNING, request.at, now)
        elif found.state.operation is not None:
            operation = found.state.operation
        else:
            return
        ended = failed(replace(found, state=replace(found.state, operation=operation)), text, now)
        states.write(name, found, ended.state, ended.inventory)
    speaker = Speaker(bench, request.repository, request.environment, operation.branch, operation.arrived)
    for fact in ended.facts:
        speaker.say(operation, fact)


class Speaker:
    """Sends the facts of one environment's operation to the bot."""

    def __init__(self, bench: Workbench, repository: str, environment: str, branch: str, arrived: float) -> None:
        self._bench = bench
        self._repository = repository
        self._environment = environment
        self._branch = branch
        self._arrived = arrived

    def say(self, operation: Operation, fact: Fact) -> None:
        """Reports one fact; durations are never negative, whatever the clocks say."""
        now = fact.at or self._bench.queue.now()
        self._bench.outbox.report(
            ConvergenceReport(
                self._repository,
                self._environment,
                operation.branch or self._branch,
                operation.revision,
                fact.step,
                fact.text,
                operation.arrived or self._arrived,
                max(0.0, now - (operation.arrived or self._arrived)),
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


def _may_write(bench: Workbench, lease: Lease) -> None:
    """Raises Stopping where this process was told to end, and LeaseLost where another may be writing."""
    if bench.stop.asked.is_set():
        raise Stopping
    lease.check()


def shortage(error: OSError | MemoryError) -> Unavailable:
    """What to say of a machine that has run out of something; anything else that the system refused is named too."""
    if isinstance(error, MemoryError):
        return Unavailable("the worker's machine has no memory left")
    what = ": ".join(str(part) for part in (error.strerror or type(error).__name__, error.filename) if part)
    log.warning("the worker's machine cannot go on: %s", what)
    return Unavailable(f"the worker's machine cannot go on: {what}")


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

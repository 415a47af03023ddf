"""What the queue calls: converge an environment, look at an open operation, give one up.

Each job reads as its phases: gather, judge, act, report. None of them waits for anything in the cluster; `watch` asks for
the next look.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from worker import orders
from worker.adapters.checkout import Checkout
from worker.adapters.inventory import Recorded
from worker.adapters.lease import Lease, held
from worker.adapters.renderer import Capabilities
from worker.domain.convergence import Operation, Phase
from worker.domain.environment import COMMIT_ID, Environment
from worker.domain.errors import (
    DesiredStateError,
    LeaseLost,
    Moved,
    PlumblineError,
    Refused,
    Stopping,
    Superseded,
    Unavailable,
    Unfit,
)
from worker.domain.giving_up import GiveUp
from worker.domain.installation import Repository
from worker.domain.messages import CHECK, CONVERGE, ORDER, CheckRequest, ConvergeRequest
from worker.domain.reports import Step
from worker.looks import ask_for_look
from worker.operations.advancing import Fact, failed
from worker.operations.converging import Run, look
from worker.operations.converging import converge as converge_run
from worker.previews import forced
from worker.speaking import Speaker, tell
from worker.workbench import Workbench, missing_environment, shortage

LOOKED_AT = (Phase.WAITING, Phase.SETTLING)


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
                hold = forced(request.branch, applied, request.revision, "")

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
                posted=_posted(bench, checkout, environment, request.revision),
                tell=partial(tell, bench, environment, request.branch, request.revision),
                same_as=partial(_same_as, bench, checkout, repository, environment, recorded, request.revision),
                observe=partial(ask_for_look, bench, environment.slug, environment.cluster),
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
    except (DesiredStateError, Refused, Unfit) as error:
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
                target,
                side.states,
                revision,
                branch,
                operation.arrived,
                bench.queue.now,
                speaker.say,
                checkpoint,
                tell=partial(tell, bench, environment, branch, revision),
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
    elif given_up.job == ORDER:
        orders.give_up(bench, given_up)
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


def _environment(bench: Workbench, repository: Repository, checkout: Checkout, request: ConvergeRequest) -> Environment:
    if not repository.follows(request.branch):
        raise Refused(f"app.yaml does not let environments follow {request.branch}", "add it under `branches`")
    declaration = bench.declaration(checkout, repository, request.revision, request.branch)
    environment = declaration.environment(request.environment)
    if environment is None:
        raise missing_environment(request.environment, request.revision)
    return environment


def _posted(bench: Workbench, checkout: Checkout, environment: Environment, revision: str) -> dict[str, Any] | None:
    """What was predicted for a commit, or for the change request whose merge has exactly its tree."""
    slug = environment.slug
    return bench.store.prediction(slug, revision) or bench.store.prediction(slug, checkout.tree(revision))


def _same_as(
    bench: Workbench,
    checkout: Checkout,
    repository: Repository,
    environment: Environment,
    recorded: Recorded,
    revision: str,
) -> str:
    """The revision that is recorded, where a commit changes nothing for the environment against it; else empty."""
    operation = recorded.state.operation
    if operation is None or operation.phase is not Phase.SUCCEEDED or not COMMIT_ID.fullmatch(operation.revision):
        return ""
    before, nothing = operation.revision, Capabilities()
    try:
        checkout.fetch(before, operation.branch)
        declared = bench.declaration(checkout, repository, before, operation.branch).environment(environment.name)
        inputs = [bench.renderer.inputs(checkout, each, environment, nothing) for each in (before, revision)]
    except PlumblineError:
        return ""
    return before if declared == environment and inputs[0] == inputs[1] else ""


def _may_write(bench: Workbench, lease: Lease) -> None:
    """Raises Stopping where this process was told to end, and LeaseLost where another may be writing."""
    if bench.stop.asked.is_set():
        raise Stopping
    lease.check()


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

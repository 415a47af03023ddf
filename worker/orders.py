"""Job: what a person ordered about environments: hold, release, approve, confirm, try again.

It reads as its phases: gather (the record, the branch), judge (`worker.domain.locks.ruled`), act (the record, under the lease;
the newest commit is asked for), report.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final

from worker.adapters.inventory import Recorded
from worker.adapters.lease import held
from worker.authorship import why_own_change
from worker.branches import require_own_branch
from worker.domain.convergence import EnvironmentState, Operation, Phase
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, LeaseLost, Moved, PlumblineError, Refused, Unavailable
from worker.domain.giving_up import GiveUp
from worker.domain.locks import Done, Ruling, closed_text, ruled
from worker.domain.messages import ConvergeRequest, job_name
from worker.domain.orders import Answered, Order, OrderReport, Subject, Verb
from worker.domain.reports import Step
from worker.looks import ask_for_convergence
from worker.operations.advancing import Fact
from worker.speaking import Speaker
from worker.workbench import TRIED, Workbench, missing_environment, shortage, tried

STOPPED: Final = frozenset({Phase.QUEUED, Phase.PLANNING, Phase.APPLYING, Phase.WAITING})
"""Phases in which something is still to be written; what settles is only looked at."""

RELEASES: Final = frozenset({Verb.UNHOLD, Verb.THAW})
LOCKS: Final = RELEASES | {Verb.HOLD, Verb.FREEZE}
"""What is heeded also where the record was meddled with: a hold only stops, and what it stops has to be released."""

PATIENCE: Final = 2.0
"""Seconds after which whoever ordered something hears that it waits; what comes back by then is no news."""

log = logging.getLogger("plumbline.orders")


def order(bench: Workbench, message: dict[str, Any]) -> None:
    """Carries out an order for each of its environments and tells the bot what it came to. Raises Unavailable."""
    request = Order.from_json(message)
    answers, away = [], None
    for subject in request.subjects:
        try:
            answers.append(_guarded(bench, request, subject))
        except Unavailable as error:
            away = error
            answers.append(_unheeded(bench, request, subject, error))
    for each in answers:
        log.info(
            "order=%s repository=%s environment=%s by=%s: %s, %s",
            request.verb, request.repository, each.environment, request.by, each.done, each.text,
        )  # fmt: skip
    waits = [each for each in answers if each.done is Done.WAITS]
    if len(waits) < len(answers) or bench.queue.now() - request.at > PATIENCE:
        _report(bench, request, tuple(answers))
    if away is not None and waits:
        raise away


def _unheeded(bench: Workbench, request: Order, subject: Subject, error: Unavailable) -> Answered:
    """What is said of an environment whose cluster (or what else is needed) is away: it waits, or is not tried any more."""
    name = subject.environment
    if bench.is_too_late(request.at):
        return Answered(name, Done.REFUSED, f"{name} did not heed it: {tried(error)}")
    return Answered(name, Done.WAITS, f"{name} has not heeded it yet: {error}. It is tried again for {TRIED}")


def give_up(bench: Workbench, given_up: GiveUp) -> None:
    """Tells who ordered something that every worker died of it. Raises Unavailable."""
    request = Order.from_json(given_up.message)
    text = (
        f"given up: {given_up.tries} workers died while they worked on it, so whether {{}} heeds it is not known. The workers' "
        f"logs say more (reference {given_up.reference}); look at the status, and order it again"
    )
    answers = tuple(
        Answered(each.environment, Done.REFUSED, text.format(each.environment)) for each in request.subjects
    )
    _report(bench, request, answers)


def _report(bench: Workbench, request: Order, answers: tuple[Answered, ...]) -> None:
    now = bench.queue.now()
    bench.outbox.report(OrderReport(request.repository, request.verb, request.by, now, answers, request.origin))


def _guarded(bench: Workbench, request: Order, subject: Subject) -> Answered:
    """One environment; what is wrong with it is no other one's business. Raises Unavailable."""
    try:
        ruling = _one(bench, request, subject)
    except (LeaseLost, Moved) as error:
        raise Unavailable(str(error), retry_after=1) from None
    except Unavailable:
        raise
    except PlumblineError as error:
        return Answered(subject.environment, Done.REFUSED, str(error).removesuffix("."))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    return Answered(subject.environment, ruling.done, ruling.text)


def _one(bench: Workbench, request: Order, subject: Subject) -> Ruling:
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    tip = _declared_at(bench, request, subject)
    require_own_branch(bench, repository, checkout, subject.environment, request.cluster, subject.branch)
    if because := why_own_change(checkout, request, tip, bench.seals):
        request = replace(request, own=True, because=because)
    states = bench.bench(request.cluster).states
    instance = bench.installation.instance
    name = Environment(request.repository, subject.environment, "", "", "", "", instance=instance)
    with held(states.records, name.state_name, name.name, bench.holder) as lease:
        recorded = states.read(name)
        if not recorded.trusted and request.verb not in LOCKS:
            raise Refused(recorded.alarm, "Nothing can be ordered until then")
        now = bench.queue.now()
        before = replace(recorded.state.locks, awaited=recorded.state.awaited)
        ruling = ruled(before, request, name.name, now)
        if ruling.locks != before:
            lease.check()
            state, stopped = _kept(recorded, ruling, name.name)
            states.write(name, recorded, state, recorded.inventory)
            bench.store.show(request.repository, state, name.name, now)
            if stopped is not None:
                speaker = Speaker(bench, request.repository, name.name, stopped.branch, stopped.arrived)
                speaker.say(stopped, Fact(Step.HELD, stopped.said))
    if ruling.converges and tip:
        _ask(bench, request, subject, tip)
    return ruling


def _declared_at(bench: Workbench, request: Order, subject: Subject) -> str:
    """The tip of the branch, where it declares the environment; what is not declared any more can only be released.

    Raises DesiredStateError and Refused.
    """
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    tip = checkout.tip(subject.branch) if repository.follows(subject.branch) else None
    declared = None
    if tip is not None:
        checkout.fetch(tip, subject.branch)
        try:
            declaration = bench.declaration(checkout, repository, tip, subject.branch)
            declared = declaration.environment(subject.environment)
        except DesiredStateError:
            if request.verb not in LOCKS:
                raise
            return ""  # a declaration that cannot be read is no reason to let go of an environment, or not to hold it
    if declared is not None and declared.cluster == request.cluster:
        return tip or ""
    if request.verb in RELEASES:
        return ""
    raise missing_environment(subject.environment, tip or subject.branch)


def _kept(recorded: Recorded, ruling: Ruling, environment: str) -> tuple[EnvironmentState, Operation | None]:
    """The state with what was ordered, and the operation that a hold stops before its next write (None: it stops none)."""
    state, operation = replace(recorded.state, locks=ruling.locks), recorded.state.operation
    if ruling.locks.closed is None or operation is None or operation.phase not in STOPPED:
        return state, None
    text = closed_text(ruling.locks, environment)
    stopped = operation.to(Phase.HELD, said=text)
    return replace(state, operation=stopped, ending=Fact(Step.HELD, text).kept()), stopped


def _ask(bench: Workbench, request: Order, subject: Subject, tip: str) -> None:
    """Asks for the newest commit, under an id of the order's own: a job that runs already may have seen the environment held."""
    now = bench.queue.now()
    wanted = ConvergeRequest(request.repository, subject.environment, subject.branch, tip, request.cluster, now)
    ask_for_convergence(bench, wanted, f"{wanted.job_id}-{job_name(request.job_id)}")

"""From a rendered revision to its writes and the first look at them, as one operation under the lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from worker.adapters.inventory import Recorded, StateStore
from worker.domain.asked_again import is_only_looked_at
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase, short
from worker.domain.episode_text import headline
from worker.domain.episodes import Episode, Event, News
from worker.domain.errors import DesiredStateError, Held, LeaseLost, Moved, Refused, Superseded, Unavailable, Unfit
from worker.domain.inventory import Inventory
from worker.domain.locks import closed_text
from worker.domain.plan import Action, Change
from worker.domain.reports import Step
from worker.domain.resource import Resource
from worker.operations.advancing import (
    Advanced,
    Fact,
    advance,
    confirmed,
    ending_of,
    failed,
    problems_text,
    proof_of,
)
from worker.operations.applying import Checkpoint, Written, apply
from worker.operations.confirming import Waits, awaiting, confirm, was_approved
from worker.operations.predicting import Prediction, is_finished, predict
from worker.operations.preparing import Target, prepare
from worker.planning.assessment import assess
from worker.planning.verdict import compare


@dataclass(frozen=True, slots=True)
class Run:
    """One convergence: its target, where its state is kept, which commit, and how it speaks.

    `say` gets each fact once, with the operation that it is about, and `tell` what is new of a divergence; `checkpoint` raises
    where writing must stop; `clock` gives Unix times. `branch` is empty for the command line, which no server follows.
    `same_as` gives the recorded revision where the environment is declared and rendered from the very same there, else an empty
    text; it reads two trees, so it is asked only where that decides something. `observe` has everything looked at soon.
    """

    target: Target
    states: StateStore
    revision: str
    branch: str
    arrived: float
    clock: Callable[[], float]
    say: Callable[[Operation, Fact], None]
    checkpoint: Checkpoint
    posted: dict[str, Any] | None = None
    tell: Callable[[News], None] = lambda _news: None
    same_as: Callable[[], str] = lambda: ""
    observe: Callable[[], None] = lambda: None


def converge(
    run: Run,
    recorded: Recorded,
    render: Callable[[], Iterable[Resource]],
    approvals: tuple[str, ...] = (),
    hold: Held | None = None,
) -> Recorded:
    """Makes the cluster what the rendered revision says, as far as one job goes; returns what is recorded then.

    `hold` is a reason of the caller's (a force-pushed branch) that needs an approval. Where a person holds the environment, the
    commit is recorded as held, and not even rendered.
    Whatever ends it is said and recorded. Raises Superseded, LeaseLost and Unavailable, which are not the end.
    """
    began = run.clock()
    operation = Operation(run.revision, run.branch, Phase.PLANNING, run.arrived, began)
    before = recorded.state.operation
    waited = before is not None and (before.phase.is_open or before.phase is Phase.HELD)
    if before is not None and waited and before.revision != run.revision:
        run.say(before.to(Phase.SUPERSEDED), Fact(Step.SUPERSEDED, f"{short(run.revision)} took over"))
    if recorded.state.locks.closed is not None:
        return held_back(run, recorded, operation)
    begins = Fact(Step.CONVERGING, short(run.revision))
    is_known = _is_known(recorded, run.revision)
    if not is_known:
        run.say(operation, begins)
    try:
        rendered = tuple(render())
        prediction = predict(run.target, run.revision, rendered, recorded, run.states.key())
        if is_known and not approvals and _is_drift_alone(run, recorded, prediction):
            return _only_looked_at(run, recorded)
        approval = prediction.approval
        if approval is not None and (was_approved(before, run.revision) or _is_same(recorded, run)):
            approval = None
        policy = run.target.environment.policy
        confirm(prediction, recorded, policy, began, codes=approvals, hold=hold, approval=approval)
    except Waits as error:
        recorded = awaiting(recorded, error.awaited)
        return _ended(run, recorded, operation.to(Phase.HELD, said=str(error)), Step.HELD, str(error))
    except (DesiredStateError, Refused, Unfit) as error:
        text = problems_text(error.problems) if isinstance(error, DesiredStateError) else str(error)
        return _ended(run, recorded, operation.to(Phase.FAILED, said=text), Step.FAILED, text)
    if is_known and prediction.plan.is_empty and _stays_healthy(run.target, recorded, prediction):
        _say_again(run, recorded)
        return recorded
    if is_known:
        run.say(operation, begins)
    if hold is None and (carried := _carried_over(run, recorded, prediction)) is not None:
        return carried

    operation = operation.to(
        Phase.APPLYING,
        fingerprint=prediction.plan.fingerprint,
        summary=dict(prediction.plan.summary),
        stages=len(prediction.desired.stages),
        unanswered=prediction.unanswered,
        prunes=tuple(change.uid for change in prediction.prunes if change.action is Action.PRUNE),
    )
    recorded = awaiting(recorded, None)
    used = recorded.state.locks.used(prediction.plan.fingerprint)
    is_confirmed = approval is not None or used != recorded.state.locks
    recorded = replace(recorded, state=replace(recorded.state, locks=used))
    union = recorded.inventory.including(prediction.desired.resources)
    grows = {entry.key for entry in union.entries} != {entry.key for entry in recorded.inventory.entries}
    if grows or is_confirmed:  # what was approved goes on after a failure, though its plan is another then
        run.checkpoint()
        recorded = _write(run, recorded, replace(recorded.state, operation=operation), union)
    return _from_stage(run, replace(recorded, inventory=union), operation, prediction)


def look(run: Run, recorded: Recorded, render: Callable[[], Iterable[Resource]]) -> Recorded:
    """Looks once at the open operation, and applies the next stage where everything so far is healthy.

    Raises what converging raises.
    """
    try:
        rendered = tuple(render())
        desired = prepare(run.target, rendered)
        looked = advance(run.target, desired, recorded, run.clock(), run.checkpoint)
        recorded = finish(run, recorded, looked)
        if not looked.goes_on:
            return recorded
        prediction = predict(run.target, run.revision, rendered, recorded, run.states.key())
    except DesiredStateError as error:
        return finish(run, recorded, failed(recorded, problems_text(error.problems), run.clock()))
    assert recorded.state.operation is not None
    return _from_stage(run, recorded, _next_stage(recorded.state.operation), prediction)


def _from_stage(run: Run, recorded: Recorded, operation: Operation, prediction: Prediction) -> Recorded:
    """Applies the operation's stage, and those after it as long as nothing has to be waited for."""
    while True:
        written = apply(run.target, prediction, operation.stage, run.checkpoint, _progress(run, operation))
        inventory = confirmed(
            recorded.inventory, prediction.desired.keys, written.live, run.target.environment.field_manager
        )
        if written.failed:
            return _partly(run, recorded, operation, written, inventory)
        now = run.clock()
        run.say(
            operation,
            Fact(Step.APPLIED, f"{len(written.actual)} of {written.intended}{_of_stage(operation, prediction)}"),
        )
        operation = operation.to(
            Phase.WAITING,
            applied=now,
            deadline=now + run.target.environment.policy.health_timeout,
            verdict=_verdict(run, prediction, operation, written.actual),
        )
        state = replace(recorded.state, operation=operation)
        if operation.stage + 1 >= operation.stages:
            state = replace(state, applied=Mark(run.revision, now), place=run.target.environment.place)
            policy = run.target.environment.policy
            locks = replace(state.locks, needed=policy.approvals, people=policy.approvers)
            state = replace(state, converge=policy.converge, locks=locks)
        looked = advance(
            run.target, prediction.desired, replace(recorded, state=state, inventory=inventory), now, run.checkpoint
        )
        recorded = finish(run, recorded, looked)
        if not looked.goes_on:
            return recorded
        assert recorded.state.operation is not None
        operation = _next_stage(recorded.state.operation)


def _next_stage(operation: Operation) -> Operation:
    return operation.to(Phase.APPLYING, stage=operation.stage + 1, said="", troubled=0.0)


def _of_stage(operation: Operation, prediction: Prediction) -> str:
    if operation.stages < 2:
        return ""
    name = prediction.desired.stages[operation.stage].name
    return f", {name} (stage {operation.stage + 1} of {operation.stages})"


def finish(run: Run, recorded: Recorded, looked: Advanced) -> Recorded:
    """Records what a look found, then says it: nothing is said that is not kept."""
    assert looked.state.operation is not None
    changed = looked.state != recorded.state or looked.inventory != recorded.inventory
    stored = _write(run, recorded, looked.state, looked.inventory) if changed else recorded
    for fact in looked.facts:
        run.say(looked.state.operation, fact)
    for news in looked.state.news:
        if news not in recorded.state.news:
            run.tell(news)
    return stored


def held_back(run: Run, recorded: Recorded, operation: Operation) -> Recorded:
    """Records and says that a person holds the environment: the commit waits, and nothing is written."""
    text = closed_text(recorded.state.locks, run.target.environment.name)
    return _ended(run, recorded, operation.to(Phase.HELD, said=text), Step.HELD, text)


def _is_known(recorded: Recorded, revision: str) -> bool:
    """Whether this revision is applied already; that it converges is then said only where something differs after all.

    Said before that, it would be the newest word on the commit, and how it ended an older one that nobody hears.
    """
    state = recorded.state
    return (
        recorded.trusted
        and state.applied is not None
        and state.applied.revision == revision
        and state.operation is not None
        and state.operation.revision == revision
        and state.operation.phase in (Phase.SUCCEEDED, Phase.SETTLING, Phase.WAITING)
    )


def _stays_healthy(target: Target, recorded: Recorded, prediction: Prediction) -> bool:
    """Whether what was healthy once still is; an open operation finds that out by itself."""
    assert recorded.state.operation is not None
    return recorded.state.operation.phase.is_open or all(
        assess(prediction.live.get(resource.key), resource.key, target.environment.policy.health).health.is_good
        for resource in prediction.desired.resources
        if resource.key in prediction.live or not is_finished(resource, recorded.state.finished)
    )


def _is_drift_alone(run: Run, recorded: Recorded, prediction: Prediction) -> bool:
    """Whether a branch's commit that was asked for again differs by drift that is not to be healed; what is gone is drift."""
    environment, living = run.target.environment, prediction.desired.keys & prediction.live.keys()
    healths = (assess(prediction.live[key], key, environment.policy.health).health for key in living)
    return bool(run.branch) and is_only_looked_at(recorded.state, environment, run.revision, prediction.plan, healths)


def _only_looked_at(run: Run, recorded: Recorded) -> Recorded:
    """Says how the commit ended and what is open since, in case that was never heard, and has the difference looked at."""
    operation, ending, news = recorded.state.operation, ending_of(recorded.state), recorded.state.news
    assert operation is not None
    if ending is not None:
        run.say(operation, ending)
    if recorded.state.episode is not None and news:
        run.tell(news[-1])
    run.observe()
    return recorded


def _is_same(recorded: Recorded, run: Run) -> bool:
    """Whether the recorded revision had converged and is the same for this environment."""
    operation, applied = recorded.state.operation, recorded.state.applied
    return (
        recorded.trusted
        and operation is not None
        and operation.phase is Phase.SUCCEEDED
        and applied is not None
        and applied.revision == operation.revision == run.same_as()
    )


def _carried_over(run: Run, recorded: Recorded, prediction: Prediction) -> Recorded | None:
    """What is recorded once a commit that changes nothing here has taken over; None where there is something to be done."""
    episode = recorded.state.episode
    is_diverged = episode is not None and bool(episode.alerted)
    if not (is_diverged or prediction.plan.is_empty) or not _is_same(recorded, run):
        return None
    if episode is not None and is_diverged:
        return _carried_diverged(run, recorded, episode)
    return _carried(run, recorded, prediction) if _stays_healthy(run.target, recorded, prediction) else None


def _carried(run: Run, recorded: Recorded, prediction: Prediction) -> Recorded:
    """Advances the revision and copies its state: what has settled need not settle again where nothing is written."""
    before, now = recorded.state.operation, run.clock()
    assert before is not None
    operation = replace(
        before, revision=run.revision, branch=run.branch, arrived=run.arrived, started=now, applied=now, verified=now,
        verdict="as predicted", fingerprint=prediction.plan.fingerprint, summary=dict(prediction.plan.summary),
    )  # fmt: skip
    mark = Mark(run.revision, now)
    state = replace(recorded.state, operation=operation, applied=mark, verified=mark, converged=mark)
    state = state.remembering({"revision": run.revision, "outcome": "converged", "at": now})
    healths = [
        assess(prediction.live.get(each.key), each.key, run.target.environment.policy.health)
        for each in prediction.desired.resources
        if each.key in prediction.live
    ]
    proof = proof_of(run.target, state, operation, recorded.inventory, prediction.live, healths, now)
    text = f"{run.target.environment.name} is at {short(run.revision)}: no change for this environment"
    ending = Fact(Step.CONVERGED, text, {**proof, "same_as": before.revision}, now)
    stored = _write(run, recorded, replace(state, ending=ending.kept()), recorded.inventory)
    run.say(operation, ending)
    return stored


def _carried_diverged(run: Run, recorded: Recorded, episode: Episode) -> Recorded:
    """Advances the revision of an environment that is known not to be what Git says, and tells the new commit so.

    The commit does not touch what differs: what is open stays open, and closes as it would have.
    """
    before, now = recorded.state.operation, run.clock()
    assert before is not None
    operation = replace(
        before, revision=run.revision, branch=run.branch, arrived=run.arrived, started=now, applied=now, verified=0.0,
        settles=0.0, verdict="",
    )  # fmt: skip
    news = News(Event.CHANGED, replace(episode, revision=run.revision), now)
    state = replace(
        recorded.state, operation=operation, applied=Mark(run.revision, now), episode=news.episode, ending={}
    )
    entry = {"revision": run.revision, "outcome": "diverged", "at": now, "text": headline(news.episode)}
    stored = _write(run, recorded, state.telling(news).remembering(entry), recorded.inventory)
    run.tell(news)
    return stored


def _say_again(run: Run, recorded: Recorded) -> None:
    """Where nothing is to be done: what is known, as of just before how it ended, which stays the newest word."""
    operation, ending = recorded.state.operation, ending_of(recorded.state)
    assert operation is not None
    text = f"{run.target.environment.name} is at {short(run.revision)} already, nothing was written"
    step = Step.WAITING if operation.phase is Phase.WAITING else Step.VERIFIED
    run.say(operation, Fact(step, text, at=ending.at - 0.001 if ending is not None else 0.0))
    if ending is not None:
        run.say(operation, ending)


def _progress(run: Run, operation: Operation) -> Callable[[int, int], None]:
    def progress(done: int, intended: int) -> None:
        if intended > 100 and done < intended:
            run.say(operation, Fact(Step.APPLYING, f"{done} of {intended}"))

    return progress


def _verdict(run: Run, prediction: Prediction, operation: Operation, actual: Iterable[Change]) -> str:
    """How what happened compares with this plan, and with what the push was told; the first miss of any stage stays."""
    if operation.verdict.startswith("not as"):
        return operation.verdict
    applied = {resource.key for resource in prediction.desired.stages[operation.stage].resources}
    verdict = compare([change for change in prediction.plan.changes if change.key in applied], list(actual))
    if not verdict.as_predicted:
        more = f" and {len(verdict.differences) - 1} more" if len(verdict.differences) > 1 else ""
        return f"not as predicted: {verdict.differences[0]}{more}"
    if operation.stage:
        return operation.verdict
    if run.posted is not None and run.posted.get("fingerprint") != prediction.plan.fingerprint:
        return "as planned; the cluster had moved since the prediction that the push was shown"
    return "as predicted"


def _partly(run: Run, recorded: Recorded, operation: Operation, written: Written, inventory: Inventory) -> Recorded:
    lost = next((error for _, error in written.failed if isinstance(error, LeaseLost | Superseded)), None)
    if lost is not None:
        raise lost
    passing = [error for _, error in written.failed if isinstance(error, Unavailable | Moved)]
    done = f"applied {len(written.actual)} of {written.intended}"
    reasons = "; ".join(f"{error}" for _, error in written.failed[:3])
    pruned = ", ".join(str(change.key) for change in written.released) or "nothing"
    text = f"partly applied, {done.removeprefix('applied ')}: {reasons}; {pruned} was pruned"
    if len(passing) == len(written.failed):
        run.say(operation, Fact(Step.RETRYING, f"{done}: {reasons}"))
        _write(run, recorded, replace(recorded.state, operation=replace(operation, said=text)), inventory)
        raise passing[0]
    return _ended(run, replace(recorded, inventory=inventory), operation.to(Phase.FAILED, said=text), Step.FAILED, text)


def _ended(run: Run, recorded: Recorded, operation: Operation, step: Step, text: str) -> Recorded:
    entry: dict[str, Any] = {
        "revision": run.revision, "outcome": str(operation.phase), "at": run.clock(), "text": text,
    }  # fmt: skip
    proof = {"revision": run.revision, "state": str(operation.phase), "reason": text, "verdict": ""}
    ending = Fact(step, text, proof, entry["at"])
    state: EnvironmentState = replace(recorded.state, operation=operation, ending=ending.kept()).remembering(entry)
    stored = _write(run, recorded, state, recorded.inventory)
    run.say(operation, ending)
    return stored


def _write(run: Run, recorded: Recorded, state: EnvironmentState, inventory: Inventory) -> Recorded:
    return run.states.write(run.target.environment, recorded, state, inventory)

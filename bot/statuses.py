"""What stands beside a commit: statuses, checks and deployments; state, then the fact, then how long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bot.forges.port import Annotation, Check, Deployment, State, Status
from bot.markdown import fence, flat
from worker.domain.environment import DEFAULT_INSTANCE
from worker.domain.field_text import in_line
from worker.domain.plan import Action, Change, Plan
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import ConvergenceReport, Outcome, Step

LONGEST: Final = 140
"""GitHub refuses a longer description; the other forges take more."""

NAME: Final = 63
"""The longest name of an environment; what a repository calls one that is not valid may be anything."""

NOTED: Final = 50
"""Annotations of one check: what GitHub takes in one request."""

FIELDS: Final = 8
"""Fields that one annotation tells of."""

LISTED: Final = 200
"""Objects that a check lists."""

_STATES: Final = {
    Step.CONVERGED: State.SUCCESS,
    Step.FAILED: State.FAILURE,
    Step.SUPERSEDED: State.CANCELLED,
    Step.LEFT: State.CANCELLED,
}
"""Every other step is pending: only what stayed as it is for the settle window is green."""

_WRITTEN: Final = frozenset({
    Step.CONVERGING, Step.WAITING, Step.DEGRADED, Step.RETRYING, Step.VERIFIED, Step.CONVERGED, Step.FAILED, Step.HELD,
    Step.SUPERSEDED, Step.LEFT,
})  # fmt: skip
"""Steps that are written on a commit; the others pass within a second and are shown on the pages."""


def is_written(report: ConvergenceReport) -> bool:
    """Whether a fact is written on its commit: a commit that had converged did so, also where its environment is left later."""
    if report.step is Step.VERIFIED:
        return report.proof is not None
    return report.step in _WRITTEN and not (report.step is Step.LEFT and (report.proof or {}).get("was") == "converged")


# -- names and addresses ---------------------------------------------------------------------------------------------


def predict_context(instance: str, environment: str = "") -> str:
    """`plumbline/predict`, or with the environment's name; the instance's name in it when it is not the default."""
    return "/".join(part for part in (_named(instance), "predict", flat(environment, NAME)) if part)


def converge_context(instance: str, environment: str = "") -> str:
    """`plumbline/converge/production`; without an environment for what concerns all of them."""
    return "/".join(part for part in (_named(instance), "converge", flat(environment, NAME)) if part)


def images_context(instance: str, policy: str) -> str:
    """`plumbline/images/cart`: what a policy of images asks a person to see to."""
    return "/".join((_named(instance), "images", flat(policy, NAME)))


def check_name(instance: str, subject: str) -> str:
    """A check's name, which is never a status' context: GitHub would wait for both where one of them is required."""
    return f"Plumbline{'' if instance == DEFAULT_INSTANCE else f' {instance}'}: {flat(subject, NAME)}"


def _named(instance: str) -> str:
    return "plumbline" if instance == DEFAULT_INSTANCE else f"plumbline-{instance}"


def proposal_page(address: str, repository: str, number: int) -> str:
    """Where the whole prediction of a change request is shown."""
    return f"{address.rstrip('/')}/proposals/{_in_address(repository)}/{number}"


def environment_page(address: str, repository: str, environment: str) -> str:
    """Where an environment is shown."""
    return f"{address.rstrip('/')}/environments/{_in_address(repository)}/{_in_address(environment)}"


def _in_address(text: str) -> str:
    """A name as one part of an address: everything but letters, digits and `-._` percent-encoded."""
    return "".join(
        char
        if char.isascii() and (char.isalnum() or char in "-._")
        else "".join(f"%{byte:02X}" for byte in char.encode())
        for char in text
    )


# -- predictions -----------------------------------------------------------------------------------------------------


def predicting(instance: str, link: str, why: str = "") -> Status:
    """Said at once, before anything is known."""
    return Status(predict_context(instance), State.PENDING, _line(why or "Being predicted"), link)


def waiting_for_a_maintainer(instance: str) -> Status:
    """On a fork's change request: nothing is rendered before somebody who may write asks for it."""
    return Status(
        predict_context(instance), State.PENDING, "From a fork: a maintainer can ask with /plan and the commit id"
    )


def predicted(report: ProposalReport, instance: str, link: str) -> list[Status]:
    """The statuses of a prediction: the whole, then each environment, also those that it does not touch.

    A branch protection that requires one would wait for ever where it is not said.
    """
    state, text = _whole(report)
    found = [Status(predict_context(instance), state, _line(text), link)]
    for each in report.environments:
        state, text = _environment(each)
        found.append(Status(predict_context(instance, each.environment), state, _line(text), link))
    return found


def predicted_check(report: ProposalReport, instance: str, link: str) -> Check:
    """The same as a check: a line per environment, and what is to be mended, or changes, at its line in its file."""
    state, text = _whole(report)
    lines = [f"{each.environment}: {_environment(each)[1]}" for each in report.environments]
    lines += [f"{each.environment}: {danger}" for each in report.environments for danger in each.dangers]
    problems = [*report.problems, *(problem for each in report.environments for problem in each.problems)]
    notes = [
        Annotation(
            problem.file, problem.line or 1, "failure", _line(problem.where or "cannot be predicted"), str(problem)
        )
        for problem in problems
        if problem.file
    ]
    notes += [
        _noted(each.environment, change) for each in report.environments for change in each.changes if _at(change)
    ]
    return Check(check_name(instance, "prediction"), state, _line(text), _listed(lines), link, tuple(notes[:NOTED]))


def _at(change: Change) -> int:
    """The line of the manifest, 0 where it has none: it goes, or a renderer made it of other files."""
    return (change.source.line or 0) if change.source and change.action is not Action.PRUNE else 0


def _noted(environment: str, change: Change) -> Annotation:
    """What happens to an object, at its manifest; secrets are masked as everywhere."""
    assert change.source is not None
    fields = [flat(f"{field.path}: {in_line(field, LONGEST)}", 2 * LONGEST) for field in change.fields[:FIELDS]]
    more = [f"and {len(change.fields) - FIELDS} more"] if len(change.fields) > FIELDS else []
    text = "\n".join([*fields, *more]) or flat(change.reason, LONGEST) or str(change.action)
    return Annotation(
        change.source.file, _at(change), "notice", _line(f"{environment}: {change.action} {change.key}"), text
    )


def _whole(report: ProposalReport) -> tuple[State, str]:
    if report.conflicts:
        return State.FAILURE, f"Conflicts with {report.base}: nothing to predict until they are resolved"
    if report.problems:
        return State.FAILURE, str(report.problems[0])
    if not report.environments or not report.merged:
        return State.FAILURE, report.text or f"Nothing was predicted: no environment follows {report.base}"
    if report.text:
        return State.ERROR, report.text
    told = [(each, *_environment(each)) for each in report.environments]
    for worst in (State.FAILURE, State.ERROR):
        for each, state, text in told:
            if state is worst:
                return state, f"{each.environment}: {text}"
    held = [each.environment for each in report.environments if each.outcome is Outcome.HELD]
    waits = f"; merging {held[0]} waits for a confirmation" if held else ""
    if not report.changes:
        return State.SUCCESS, f"No change{waits}"
    changed = sum(bool(each.changes) for each in report.environments)
    where = "1 environment" if changed == 1 else f"{changed} environments"
    gone = [change for each in report.environments for change in each.changes if change.action is Action.PRUNE]
    deletes = f"{len(gone)} {'is' if len(gone) == 1 else 'are'} deleted" if gone else "nothing is deleted"
    return State.SUCCESS, f"{_changes(report.changes)} in {where}; {deletes}{waits}"


def _environment(each: EnvironmentProposal) -> tuple[State, str]:
    match each.outcome:
        case Outcome.INVALID:
            more = f" and {len(each.problems) - 1} more" if len(each.problems) > 1 else ""
            return State.FAILURE, (f"{each.problems[0]}{more}" if each.problems else each.text or "is not valid")
        case Outcome.REFUSED:
            return State.FAILURE, f"Refused: {each.text}"
        case Outcome.UNAVAILABLE:
            return State.ERROR, f"Cannot predict: {each.text}"
    if not each.touched:
        return State.SUCCESS, "No change for this environment"
    if not each.is_predicted:
        unknown = each.plan.unpredictable if each.plan else ()
        first = f"{unknown[0].key} {unknown[0].reason}" if unknown else each.text or "there is no plan"
        return State.ERROR, f"Cannot predict: {first}"
    held = "; merging waits for a confirmation" if each.outcome is Outcome.HELD else ""
    if not each.changes:
        writes = len(each.plan.writes) if each.plan else 0
        back = f"; merging sets back {writes} drifted {'object' if writes == 1 else 'objects'}" if writes else ""
        return State.SUCCESS, f"No change for this environment{back}{held}"
    gone = sum(change.action is Action.PRUNE for change in each.changes)
    deletes = f"{gone} {'is' if gone == 1 else 'are'} deleted" if gone else "nothing is deleted"
    return State.SUCCESS, f"{_changes(len(each.changes))}; {deletes}{held}"


# -- convergences ----------------------------------------------------------------------------------------------------


def converging(report: ConvergenceReport, instance: str, link: str) -> Status:
    """The status of a fact of a convergence; a commit that was overtaken is never green."""
    return Status(converge_context(instance, report.environment), state_of(report), status_line(report), link)


def state_of(report: ConvergenceReport) -> State:
    """The step as a state."""
    return _STATES.get(report.step, State.PENDING)


def converging_check(report: ConvergenceReport, plan: Plan | None, instance: str, link: str) -> Check:
    """The same as a check: what was predicted, where that is known, and the proof."""
    lines = [f"{change.action} {change.key}" for change in plan.writes] if plan else []
    plan_text = f"Predicted:\n\n{_listed(lines)}\n\n" if lines else ""
    name = check_name(instance, report.environment)
    return Check(name, state_of(report), status_line(report), f"{plan_text}{_proof(report)}", link)


def _proof(report: ConvergenceReport) -> str:
    proof = report.proof or {}
    facts = [f"revision: {report.revision}", f"branch: {report.branch}", f"step: {report.step}"]
    facts += [f"{name}: {proof[name]}" for name in ("objects", "digest", "verdict", "fingerprint") if proof.get(name)]
    if health := proof.get("health"):
        facts.append("health: " + ", ".join(f"{count} {word}" for word, count in health.items()))
    return f"{'Proof' if 'digest' in proof else 'So far'}:\n\n{_listed([*facts, report.text])}"


def deployment(report: ConvergenceReport, link: str) -> Deployment:
    """The revision in its environment, where the forge shows deployments."""
    return Deployment(report.environment, report.revision, report.branch, state_of(report), status_line(report), link)


def status_line(report: ConvergenceReport) -> str:
    """At most 140 characters."""
    proof = report.proof or {}
    verdict = f", {proof['verdict']}" if proof.get("verdict") else ""
    match report.step:
        case Step.CONVERGING:
            text = f"Converging to {report.text}"
        case Step.VERIFIED:
            text = f"Verified in {report.seconds:.1f} s{verdict}; settling for {proof.get('settle', 0):g} s"
        case Step.CONVERGED if proof.get("same_as"):
            text = f"No change for this environment; it stays converged as at {str(proof['same_as'])[:7]}"
        case Step.CONVERGED:
            times = proof.get("times") or {}
            took = float(times.get("verified") or 0) - float(times.get("arrived") or 0)
            text = f"Converged in {took:.1f} s{verdict}; stayed so for {proof.get('settle', 0):g} s"
        case Step.SUPERSEDED:
            text = f"Superseded before it converged: {report.text}"
        case Step.HELD:
            text = f"Held: {report.text}"
        case Step.FAILED:
            text = report.text
        case Step.LEFT:
            text = f"{report.text[:1].upper()}{report.text[1:]}"
        case _:
            text = f"{report.step.capitalize()}: {report.text}"
    return _line(text)


# -- words -----------------------------------------------------------------------------------------------------------


def _changes(number: int) -> str:
    return f"{number} change" if number == 1 else f"{number} changes"


def _line(text: str) -> str:
    """On one line, at most 140 characters."""
    return flat(text, LONGEST)


def _listed(lines: Sequence[str]) -> str:
    """Lines as a block of code: nothing in them is Markdown, nobody is mentioned."""
    more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return fence([*lines[:LISTED], *more], "text")

"""What people read on a change request: one comment that answers first, then proves it, then says what to do. Pure.

The same report makes the same text, without times of its own, so that a comment is edited only where something changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from bot.markdown import Block, Page, Section, code, fence, prose
from bot.object_text import FIELDS, change_block, counted, drifted, more, named
from worker.domain.errors import Problem
from worker.domain.plan import Action, Change, FieldChange
from worker.domain.plan import code as quoted
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import ConvergenceReport, Outcome, Step

NAMED: Final = 3
"""Environments that a title names; the others are counted."""

OPEN: Final = 4
"""So many changed objects are shown unfolded: fewer lines than a page, and nothing to click before one has seen them."""

AS_PREDICTED: Final = "as predicted"
"""The worker's verdict on a plan that came true, field by field."""

ROWS: Final = 0.4
DANGERS: Final = 0.2
"""Shares of the limit for the table and for the dangers, when there are that many."""

MERGED: Final = "### Merged: "
BEFORE: Final = "**Before the merge:** "
STAYS: Final = " · stays current by itself"

_ACTIONS: Final = (Action.CREATE, Action.CONFIGURE, Action.RECREATE, Action.PRUNE)
_WORST: Final = {Outcome.INVALID: 0, Outcome.REFUSED: 1, Outcome.UNAVAILABLE: 2, Outcome.HELD: 3, Outcome.PLANNED: 4}


def marker(instance: str) -> str:
    """The hidden first line by which an installation finds its own comment (with its author's id, never alone)."""
    return f"<!-- plumbline:{instance}:prediction -->"


def prediction(
    report: ProposalReport,
    *,
    instance: str,
    limit: int,
    link: str,
    stale: str = "",
    verdicts: Sequence[ConvergenceReport] = (),
    stays: bool = True,
) -> str:
    """The comment of a prediction, in at most `limit` characters; `link` is the address of the whole of it.

    `stale` says why it is being made again (the old one stays below, struck); `verdicts` are how merging went, one per
    environment, once it is merged; `stays`: whether it is made again by itself where something moves.
    """
    title = title_of(report)
    head = [marker(instance)]
    if verdicts:
        head += [*_merged(verdicts), f"{BEFORE}{title}"]
    elif stale:
        head += [f"### Being predicted again: {prose(stale)}", f"<del>{title}</del> What follows is no longer current."]
    else:
        head.append(f"### {title}")
    if report.text:
        head.append(prose(report.text))
    if report.conflicts:
        head.append("\n".join(f"- {code(path)}" for path in report.conflicts[:20]) + more(len(report.conflicts) - 20))
        head.append(
            f"Merge {code(report.base)} into the branch, resolve them and push: the prediction is made by itself."
        )
    ranked = sorted(report.environments, key=_rank)
    if ranked:
        head.append(_table(ranked, int(limit * ROWS)))
    dangers = [f"> ⚠ **{prose(each.environment, 80)}:** {prose(text)}" for each in ranked for text in _dangers(each)]
    if dangers:
        head.append(_fitting(dangers, int(limit * DANGERS), lambda more: f"> ⚠ **and {more} more**", ">\n"))
    page = Page(
        "\n\n".join(head) + "\n\n", _foot(report, link, stays=STAYS if stays and not (verdicts or stale) else "")
    )
    if report.problems:
        problems = _problems(report.problems)
        page.sections.append(Section("<b>plumbline.yaml</b> · what has to be mended", problems, is_open=True))
    lonely = sum(each.touched for each in ranked) == 1
    few = sum(len(each.changes) for each in ranked) <= OPEN
    for each in ranked:
        page.sections += _sections(each, is_open=lonely or few)
    return page.fitted(limit, link)


def merged(there: str, verdicts: Sequence[ConvergenceReport], own: str, limit: int) -> str:
    """How a merge went, over a prediction of which only our comment is left: `there` is its text, `own` the marker.

    It is the text that `prediction` makes of the same; where that would be too long, the first and last line stay.
    """
    head = [own, *_merged(verdicts)]
    earlier = there.replace("\r\n", "\n").rstrip().removeprefix(own).lstrip()
    if earlier.startswith(MERGED):
        earlier = earlier.partition(f"\n\n{BEFORE}")[2]
    body, _, foot = earlier.removeprefix("### ").rpartition("\n")
    foot = foot.replace(STAYS, "")
    text = "\n\n".join([*head, f"{BEFORE}{body}\n{foot}\n"])
    return text if len(text) <= limit else "\n\n".join([*head, f"{BEFORE}{body.partition(chr(10))[0]}", f"{foot}\n"])


def _merged(verdicts: Sequence[ConvergenceReport]) -> list[str]:
    return [f"### {merged_title(verdicts)}", *(_verdict(each) for each in verdicts)]


def waiting_for_a_maintainer(head: str, *, instance: str) -> str:
    """The comment on a change request from a fork: nothing of it is rendered before somebody who may write says so."""
    return (
        f"{marker(instance)}\n\n"
        f"### From a fork: a maintainer can ask for a prediction with {code(f'/plan {head}')}\n\n"
        "Nothing of it was rendered or sent to a cluster. The commit is named in full, so that what is predicted is what "
        "was looked at; a later commit needs a word of its own.\n"
    )


def nothing_to_predict(why: str, *, instance: str) -> str:
    """The comment in place of a prediction that is not true any more, where there is nothing (yet) to predict instead."""
    return (
        f"{marker(instance)}\n\n"
        f"### {prose(why)}\n\n"
        "What was predicted here is no longer what merging would do. A prediction is made by itself once there is one to make.\n"
    )


# -- the first lines -------------------------------------------------------------------------------------------------


def title_of(report: ProposalReport) -> str:
    """The answer in one line."""
    if report.conflicts:
        return f"Conflicts with {prose(report.base, 80)}: nothing to predict until they are resolved"
    failed = [each for each in sorted(report.environments, key=_rank) if not each.is_predicted]
    if report.problems or (report.text and not report.environments):
        return "Plumbline cannot predict this change"
    if not report.environments:
        return f"Plumbline cannot predict this change: no environment follows {prose(report.base, 80)}"
    known = [each for each in report.environments if each.is_predicted]
    changed = [each for each in known if each.changes]
    known_changes = counted(sum(len(each.changes) for each in changed), "change")
    where = counted(len(changed), "environment")
    if failed:
        rest = f"; {known_changes} in {where} {'is' if known_changes[:2] == '1 ' else 'are'} known" if changed else ""
        return f"Plumbline cannot predict {_names(failed)}{rest}"
    if not changed:
        back = sum(len(each.plan.writes) for each in known if each.plan)
        also = f" by this; merging sets back {counted(back, 'object')} that drifted" if back else ""
        return f"Plumbline predicts no change{also}"
    return f"Plumbline predicts {known_changes} in {where if len(changed) > 1 else _names(changed)}"


def merged_title(verdicts: Sequence[ConvergenceReport]) -> str:
    """How a merge went, in one line: the worst first."""
    worst: list[tuple[str, list[ConvergenceReport]]] = [
        ("failed", [each for each in verdicts if each.step is Step.FAILED]),
        ("held", [each for each in verdicts if each.step is Step.HELD]),
        ("not as predicted", [each for each in verdicts if _differs(each)]),
        ("verified, not settled yet,", [each for each in verdicts if each.step is Step.VERIFIED]),
    ]
    said, those = next(((said, those) for said, those in worst if those), ("", list(verdicts)))
    if not said:
        told = all((each.proof or {}).get("verdict") == AS_PREDICTED for each in verdicts)
        said = f"converged {AS_PREDICTED}" if told else "converged"
    return f"Merged: {said} in {_listed([prose(each.environment, 80) for each in those])}"


def _verdict(report: ConvergenceReport) -> str:
    name, revision = f"**{prose(report.environment, 80)}**", code(report.revision[:7])
    proof = report.proof or {}
    verdict = str(proof.get("verdict") or "")
    if report.step is Step.FAILED:
        return f"✖ {name} did not converge at {revision}: {prose(report.text)}"
    if report.step is Step.HELD:
        return f"⏸ {name} is held at {revision}: {prose(report.text)}"
    if proof.get("same_as"):
        return f"✔ {name} is at {revision}, which changes nothing for it."
    mark = "⚠" if _differs(report) else "✔"
    times = proof.get("times") or {}
    took = max(0.0, float(times.get("verified") or 0) - float(times.get("arrived") or 0))
    ends = f", {prose(verdict)}" if verdict else ""
    if report.step is Step.CONVERGED:
        return f"{mark} {name} converged at {revision} in {took:.1f} s{ends}; it stayed so for {proof.get('settle', 0):g} s."
    return (
        f"{mark} {name} is verified at {revision} in {took:.1f} s{ends}; it settles for {proof.get('settle', 0):g} s."
    )


def _differs(report: ConvergenceReport) -> bool:
    return str((report.proof or {}).get("verdict") or "").startswith(f"not {AS_PREDICTED}")


def _table(environments: Sequence[EnvironmentProposal], room: int) -> str:
    head = "| environment | this change | already drifted | after merge |\n|---|---|---|---|\n"
    rows = [_row(each) for each in environments]
    return head + _fitting(rows, room - len(head), lambda more: f"| and {more} more | | | |")


def _row(each: EnvironmentProposal) -> str:
    name = prose(each.environment, 80)
    drifted = str(len(each.drift)) if each.drift else "none"
    match each.outcome:
        case Outcome.INVALID:
            cells = ("**is not valid**", "unknown", "cannot be merged as it is")
        case Outcome.REFUSED:
            cells = ("**is refused**", "unknown", "would be refused")
        case Outcome.UNAVAILABLE:
            cells = ("**is not known**", "unknown", "the cluster could not be asked")
        case _ if not each.touched:
            return f"| {name} | no change | not looked at | not touched |"
        case _:
            alarm = " ⚠" if each.dangers else ""
            cells = ((_actions(each.changes) or "no change") + alarm, drifted, _after(each))
    return f"| **{name}** | {' | '.join(cells)} |"


def _after(each: EnvironmentProposal) -> str:
    unknown = len(each.plan.unpredictable) if each.plan else 0
    touched = len(each.plan.writes) if each.plan else 0
    if unknown:
        return f"**{counted(unknown, 'object')} cannot be predicted**"
    if each.plan and each.plan.is_empty:
        return f"nothing to do, {counted(each.objects, 'object')}"
    held = "is held until it is confirmed" if each.outcome is Outcome.HELD else "converges to the merge"
    return f"{held}, {counted(each.objects, 'object')}, {touched} touched"


def _dangers(each: EnvironmentProposal) -> list[str]:
    """What cannot be taken back, and what to do where it waits for a person."""
    texts = list(each.dangers)
    if each.outcome is Outcome.HELD:
        asked = f" (code {quoted(each.confirmation)})" if each.confirmation else ""
        texts.append(". ".join(part.rstrip(".") for part in (each.text, each.next_step) if part) + asked)
    return texts


def _foot(report: ProposalReport, link: str, stays: str) -> str:
    of = code(report.head[:7])
    into = code(f"{report.base}@{report.base_revision[:7]}")
    tried = f"Merge result of {of} into {into}" if report.merged else f"{of} into {into}"
    whole = f" · [the whole of it]({link})" if link else ""
    return f"<sub>{tried}{stays}{whole}</sub>\n"


# -- an environment --------------------------------------------------------------------------------------------------


def _sections(each: EnvironmentProposal, *, is_open: bool) -> list[Section]:
    """Why there is no prediction, or the three causes apart: the change, earlier drift, and what is to come besides."""
    name = f"<b>{prose(each.environment, 80)}</b>"
    found: list[Section] = []
    if each.outcome not in (Outcome.PLANNED, Outcome.HELD):
        said = [prose(text) for text in (each.text, each.next_step) if text]
        blocks = _problems(each.problems)
        blocks += [Block("\n\n".join(said), 0, "reason")] if said else []
        return [Section(f"{name} · why it cannot be predicted", blocks, is_open=True)] if blocks else []
    if each.changes:
        alarmed = is_open or bool(each.dangers)
        blocks = [change_block(change, 1) for change in each.changes]
        summary = f"{name} · what this change does: {_actions(each.changes, ', ')}"
        found.append(Section(summary, blocks, is_open=alarmed))
    if each.drift:
        found.append(_drift(name, each))
    rest = _besides(each)
    if rest:
        found.append(
            Section(f"{name} · what merging does besides", rest, is_open=bool(each.plan and each.plan.unpredictable))
        )
    return found


def _drift(name: str, each: EnvironmentProposal) -> Section:
    by = _listed([prose(manager, 60) for manager in dict.fromkeys(one.manager for one in each.drift if one.manager)])
    summary = (
        f"{name} · already drifted before this change: {counted(len(each.drift), 'field')}{f', by {by}' if by else ''}"
    )
    coming = {
        (change.key, one.path): one for change in (each.plan.changes if each.plan else ()) for one in change.fields
    }
    blocks = []
    for key, drifts in groupby(sorted(each.drift, key=lambda one: one.key), key=lambda one: one.key):
        listed = list(drifts)
        lines = [line for one in listed[:FIELDS] for line in drifted(one)]
        after = _set_back([coming.get((key, one.field.path)) for one in listed])
        blocks.append(Block(f"{named(key)}\n{fence(lines)}{more(len(listed) - FIELDS)}\n{after}", 2, "drifted object"))
    return Section(summary, blocks)


def _set_back(coming: Sequence[FieldChange | None]) -> str:
    if all(coming):
        return "Merging sets it to what Git then says. To keep what is in the cluster, write it into Git."
    if any(coming):
        return "Merging sets a part of it to what Git then says; the rest stays as it is in the cluster."
    return "Merging leaves it as it is in the cluster."


def _besides(each: EnvironmentProposal) -> list[Block]:
    """What the plan holds that is neither this change nor the drift shown above, its unknowns first."""
    if each.plan is None:
        return []
    blocks = [
        Block(f"**cannot be predicted:** {named(change.key)} {prose(change.reason)}".rstrip(), 0, "unknown")
        for change in each.plan.unpredictable
    ]
    shown = {change.key for change in each.changes} | {one.key for one in each.drift}
    blocks += [change_block(change, 3) for change in each.plan.writes if change.key not in shown]
    warnings = [f"- {prose(text)}" for text in each.plan.warnings]
    return blocks + (
        [Block("\n".join(warnings[:20]) + more(len(warnings) - 20), 4, "list of notes")] if warnings else []
    )


def _problems(problems: Iterable[Problem]) -> list[Block]:
    blocks = []
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
        spots = " ".join(code(part) for part in (place, problem.where or "") if part)
        hint = f"\n  {prose(problem.suggestion)}" if problem.suggestion else ""
        blocks.append(Block(f"- {spots}{': ' if spots else ''}{prose(problem.message)}{hint}", 0, "problem"))
    return blocks


# -- words -----------------------------------------------------------------------------------------------------------


def _rank(each: EnvironmentProposal) -> tuple[int, bool, bool]:
    """The worst first, and what is not touched last."""
    unknown = each.outcome is Outcome.PLANNED and not each.is_predicted
    return 2 if unknown else _WORST[each.outcome], not each.dangers, not each.touched


def _actions(changes: Sequence[Change], between: str = " · ") -> str:
    counts = Counter(change.action for change in changes)
    return between.join(f"{counts[action]} {action}" for action in _ACTIONS if counts[action])


def _names(environments: Sequence[EnvironmentProposal]) -> str:
    return _listed([prose(each.environment, 80) for each in environments])


def _listed(names: Sequence[str]) -> str:
    shown, more = list(names[:NAMED]), len(names) - NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _fitting(lines: Sequence[str], room: int, rest: Callable[[int], str], between: str = "") -> str:
    """As many of the lines as fit, and how many more there are."""
    taken: list[str] = []
    for number, line in enumerate(lines):
        room -= len(line) + len(between) + 1
        if room < len(rest(len(lines))):
            taken.append(rest(len(lines) - number))
            break
        taken.append(line)
    return f"\n{between}".join(taken)

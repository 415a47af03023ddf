"""What the pusher reads: a prediction or a fact as lines of at most 100 columns. Pure.

Nothing of a repository, a cluster or a message reaches a terminal unshown: control characters, invisible ones and those
that turn the direction of text are written out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from worker.domain.errors import Problem
from worker.domain.messages import RefUpdate
from worker.domain.plan import ABSENT, Action, Change, FieldChange, Plan, code, shown
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step

WIDTH: Final = 92
"""`git push` puts `remote: ` before each line and a person's terminal has often 100 columns."""

CHANGES: Final = 40
MOST: Final = 200
NAME: Final = "plumbline"
NOT_VALIDATED: Final = "not validated"
_HIDDEN: Final = frozenset((*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
_COLOURS: Final = {
    Action.CREATE: "32",
    Action.CONFIGURE: "33",
    Action.RECREATE: "35",
    Action.PRUNE: "31",
    Action.UNPREDICTABLE: "35",
}
_STEPS: Final = {
    Step.FAILED: "31;1",
    Step.DEGRADED: "31",
    Step.HELD: "33;1",
    Step.VERIFIED: "32;1",
    Step.CONVERGED: "32;1",
    Step.HEALTHY: "32",
}
_UNNAMED: Final = re.compile(r"^(?:spec\.(?:template\.)?(?:spec\.)?)?(?:containers\[name=([^\]]*)\]\.)?")


def visible(text: str) -> str:
    """The text with every character that could steer a terminal written out (`^[`, `\\x9b`)."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    number = ord(char)
    if number < 32 or number == 127:
        return "^" + chr(number ^ 64)
    if 128 <= number < 160 or number in _HIDDEN or 0xD800 <= number < 0xE000:
        return f"\\x{number:02x}"
    return char


def preview_lines(report: PreviewReport, updates: Sequence[RefUpdate], *, colour: bool) -> list[str]:
    """The prediction of a push, and why it is refused if it is."""
    ink = _Ink(colour=colour)
    lines: list[str] = []
    if report.problems:
        lines += _problems("", report.problems, ink)
    moves = {update.branch: update for update in updates}
    for preview in report.environments:
        lines += _environment(preview, moves, ink)
    lines += [f"{NAME}  {visible(notice)}" for notice in report.notices]
    return _fitted(lines)


def _environment(preview: EnvironmentPreview, moves: dict[str | None, RefUpdate], ink: _Ink) -> list[str]:
    name = visible(preview.environment)
    match preview.outcome:
        case Outcome.INVALID:
            return _problems(name, preview.problems, ink)
        case Outcome.UNAVAILABLE:
            title = ink.paint(f"{NAME}  cannot predict {name or 'this push'}".rstrip(), "33;1")
            return [
                title,
                *_wrapped(preview.text),
                "  Nothing is known of what it changes; it is not refused for that.",
            ]
        case Outcome.REFUSED:
            return [
                ink.paint(f"{NAME}  refused  {name}".rstrip(), "31;1"),
                *_wrapped(preview.text),
                *_wrapped(preview.next_step),
            ]
    assert preview.plan is not None
    move = next(iter(moves.values())) if len(moves) == 1 else None
    span = f"  {'new' if move.creates else move.old[:7]}..{move.new[:7]}" if move else ""
    lines = [f"{ink.paint(f'{NAME}  {name}', '1')}{span}", *plan_lines(preview.plan, ink)]
    if preview.outcome is Outcome.HELD:
        lines.append(ink.paint(f"{NAME}  refused until it is confirmed", "33;1"))
        option = f"-o plumbline.approve={code(preview.plan.fingerprint)}"
        lines += [*_wrapped(preview.text), f"  confirm exactly this with  git push {option}"]
    return lines


def plan_lines(plan: Plan, ink: _Ink) -> list[str]:
    """Each change that would happen on a line, then what it comes to."""
    told = [change for change in plan.changes if change.action is not Action.UNCHANGED]
    width = max((len(change.key.kind) for change in told[:CHANGES]), default=0)
    lines = [_change(change, width, ink) for change in told[:CHANGES]]
    if len(told) > CHANGES:
        lines.append(f"  and {len(told) - CHANGES} more")
    unchecked = Counter(change.reason for change in told if change.reason.startswith(NOT_VALIDATED))
    for reason, count in unchecked.items():
        objects = "1 object is" if count == 1 else f"{count} objects are"
        lines.append(f"  note       {objects} {visible(reason)}")
    lines += [f"  note       {visible(warning)}" for warning in plan.warnings]
    if plan.is_empty:
        left = f", {plan.summary[Action.SKIP]} are left as they are" if plan.summary[Action.SKIP] else ""
        return [
            *lines,
            f"  No change for the cluster; all {plan.summary[Action.UNCHANGED]} objects are as specified{left}.",
        ]
    touched = len(plan.writes)
    verb = "changes" if touched == 1 else "change"
    pruned = f", {plan.summary[Action.PRUNE]} of them deleted" if plan.summary[Action.PRUNE] else ""
    unknown = f" {len(plan.unpredictable)} cannot be predicted." if plan.unpredictable else ""
    return [*lines, f"  {touched} of {len(plan.changes)} objects {verb}{pruned}.{unknown}"]


def _change(change: Change, width: int, ink: _Ink) -> str:
    name = change.key.name if not change.key.namespace else f"{change.key.namespace}/{change.key.name}"
    action = ink.paint(f"{change.action:<10}", _COLOURS.get(change.action, "2"))
    head = f"  {action} {change.key.kind:<{width}} {visible(name)}"
    words = visible(change.reason) if change.action in (Action.SKIP, Action.UNPREDICTABLE) else _fields(change)
    return f"{head}  {words}".rstrip()


def _fields(change: Change) -> str:
    if change.action is Action.CREATE:
        images = [visible(str(field.new)) for field in change.fields if field.path.endswith("].image")]
        return f"image {', '.join(images[:2])}" if images else ""
    words = [short_field(field) for field in change.fields[:3]]
    more = f", and {len(change.fields) - 3} more" if len(change.fields) > 3 else ""
    return ", ".join(words) + more


def short_field(field: FieldChange) -> str:
    """One field in short: `image 1.4.1 -> 1.5.0`, `replicas 2 -> 3`, `data.password ••••• (before) -> ••••• (after)`."""
    container = _UNNAMED.match(field.path)
    path = field.path[container.end() :] if container else field.path
    name = path.removeprefix("resources.") or field.path
    old, new = shown(field.old, "before"), shown(field.new, "after")
    if name == "image" and isinstance(old, str) and isinstance(new, str):
        before, after = old.rpartition(":"), new.rpartition(":")
        if before[0] == after[0] and before[0]:
            old, new = before[2], after[2]
    return f"{visible(name)} {_value(old, field.old)} -> {_value(new, field.new)}"


def _value(value: Any, raw: Any) -> str:
    if raw is ABSENT or value is None:
        return "unset"
    text = visible(value if isinstance(value, str) else str(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _problems(environment: str, problems: Iterable[Problem], ink: _Ink) -> list[str]:
    lines: list[str] = []
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
        where = " ".join(part for part in (visible(place), visible(problem.where or "")) if part)
        title = " ".join(part for part in (f"{NAME}  refused", environment, where) if part)
        lines.append(ink.paint(title, "31;1"))
        lines += _wrapped(problem.message)
        lines += _wrapped(problem.suggestion or "")
    return lines


def convergence_line(report: ConvergenceReport, *, several: bool, colour: bool) -> str:
    """One fact: the step, the sentence, and how long after the commit."""
    ink = _Ink(colour=colour)
    if report.step is Step.CONVERGING:
        return f"{ink.paint(NAME, '1')}  converging {visible(report.environment)} to {visible(report.text)}"
    subject = f"{visible(report.environment)}: " if several else ""
    step = ink.paint(f"{report.step:<10}", _STEPS.get(report.step, "0"))
    text = visible(report.text)
    room = WIDTH - 24 - 2
    body = f"{subject}{text}"
    first, *rest = _pieces(body, room) or [""]
    lines = [
        f"  {step} {first:<{room}} {report.seconds:>6.1f} s",
        *(f"             {piece}" for piece in rest),
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return [f"  {piece}" for line in text.splitlines() for piece in _pieces(visible(line), WIDTH - 2)]


def _pieces(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, break_on_hyphens=False) if text else []


def _fitted(lines: list[str]) -> list[str]:
    cut = [line if len(line) <= WIDTH * 2 else line[: WIDTH * 2] for line in lines]
    short = [line if len(_bare(line)) <= WIDTH + 8 else _shortened(line) for line in cut]
    return short if len(short) <= MOST else [*short[: MOST - 1], f"  and {len(short) - MOST + 1} more lines"]


def _bare(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def _shortened(line: str) -> str:
    return f"{_bare(line)[: WIDTH + 7]}…"


class _Ink:
    """Colours, when they are wanted."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code != "0" else text

"""What the pusher reads: a prediction or a fact as lines of at most 92 columns, 100 with git's `remote: `. Pure.

Nothing of a repository, a cluster or a message reaches a terminal unshown: control characters, invisible ones and those
that turn the direction of text are written out.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from worker.domain.errors import Problem
from worker.domain.field_text import DiffLine, block, counted, in_line, is_block, sides, visible
from worker.domain.messages import RefUpdate
from worker.domain.plan import Action, Change, FieldChange, Plan, code
from worker.domain.reports import ConvergenceReport, EnvironmentPreview, Outcome, PreviewReport, Step

WIDTH: Final = 92
"""`git push` puts `remote: ` before each line and a person's terminal has often 100 columns."""

CHANGES: Final = 40
FIELDS: Final = 8
BLOCK: Final = 12
"""Most lines of one text diff."""

IN_LINE: Final = 64
"""Characters of both values side by side; longer ones stand below each other."""

MOST: Final = 200
NAME: Final = "plumbline"
NOT_VALIDATED: Final = "not validated"
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
_DIFF: Final = {"-": "31", "+": "32", "@": "2"}
_UNNAMED: Final = re.compile(
    r"^(?:spec\.(?:jobTemplate\.spec\.)?(?:template\.)?(?:spec\.)?)?(?:(?:c|initC)ontainers\[name=([^\]]*)\]\.)?"
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def preview_lines(report: PreviewReport, updates: Sequence[RefUpdate], *, colour: bool) -> list[str]:
    """The prediction of a push, and why it is refused if it is."""
    ink = _Ink(colour=colour)
    lines: list[str] = []
    if report.problems:
        lines += _problems("", report.problems, ink)
    moves = {update.branch: update for update in updates}
    for preview in report.environments:
        lines += _environment(preview, moves, ink)
    lines += [line for notice in report.notices for line in notice_lines(notice)]
    return _fitted(lines)


def notice_lines(text: str) -> list[str]:
    """A sentence for whoever pushed."""
    return list(_pieces(f"{NAME}  {visible(text)}", WIDTH))


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
    widths = (
        max((len(change.action) for change in told[:CHANGES]), default=0),
        max((len(change.key.kind) for change in told[:CHANGES]), default=0),
    )
    lines = [line for change in told[:CHANGES] for line in _change(change, widths, ink)]
    if len(told) > CHANGES:
        lines.append(f"  and {len(told) - CHANGES} more")
    unchecked = Counter(change.reason for change in told if change.reason.startswith(NOT_VALIDATED))
    for reason, count in unchecked.items():
        objects = "1 object is" if count == 1 else f"{count} objects are"
        lines.append(f"  note       {objects} {visible(reason)}")
    for warning in plan.warnings:
        first, *rest = _pieces(visible(warning), WIDTH - 13)
        lines += [f"  note       {first}", *(f"             {piece}" for piece in rest)]
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


def _change(change: Change, widths: tuple[int, int], ink: _Ink) -> list[str]:
    name = change.key.name if not change.key.namespace else f"{change.key.namespace}/{change.key.name}"
    action = ink.paint(f"{change.action:<{max(widths[0], 10)}}", _COLOURS.get(change.action, "2"))
    head = f"  {action} {change.key.kind:<{widths[1]}} {visible(name)}"
    room = WIDTH - _columns(head) - 2
    words = _words(change)
    if words and len(words) <= 3 and _columns(", ".join(words)) <= room:
        lines, words = [f"{head}  {', '.join(words)}"], []
    else:
        lines = [head.rstrip()]
    more = len(words) - FIELDS
    lines += [f"    {piece}" for word in words[:FIELDS] for piece in _pieces(word, WIDTH - 4)]
    if more > 0:
        lines.append(f"    and {more} more {'field' if more == 1 else 'fields'}")
    if change.action in (Action.CONFIGURE, Action.RECREATE):
        blocks = [field for field in change.fields if _is_tall(field)]
        for field in blocks[:FIELDS]:
            lines += _block(field, ink)
        if len(blocks) > FIELDS:
            lines.append(f"    and {len(blocks) - FIELDS} more")
    return lines


def _words(change: Change) -> list[str]:
    """What is said of a change in words: fields in short, or its reason."""
    reason = [visible(change.reason)] if change.reason and not change.reason.startswith(NOT_VALIDATED) else []
    if change.action is Action.CREATE:
        images = [visible(str(field.new)) for field in change.fields if field.path.endswith("].image")]
        return [f"image {', '.join(images[:2])}"] if images else []
    if change.action not in (Action.CONFIGURE, Action.RECREATE):
        return reason
    several = len({found[1] for field in change.fields if (found := _UNNAMED.match(field.path)) and found[1]}) > 1
    return [short_field(field, several=several) for field in change.fields if not _is_tall(field)] + reason


def short_field(field: FieldChange, *, several: bool = False) -> str:
    """One field in short: `image 1.4.1 -> 1.5.0`, `replicas 2 -> 3`, `data.password ••••• (before) -> ••••• (after)`.

    Where fields of `several` containers change, the container is named.
    """
    found = _UNNAMED.match(field.path)
    path = field.path[found.end() :] if found else field.path
    name = path.removeprefix("resources.") or field.path
    owner = f"{found[1]} " if several and found and found[1] else ""
    return f"{visible(owner + name)} {visible(in_line(_tags_alone(field), IN_LINE))}"


def _tags_alone(field: FieldChange) -> FieldChange:
    """An image whose tag changes and nothing else, as its tags; every other field as it is."""
    old, new = field.shown()
    if field.path.rpartition(".")[2] == "image" and isinstance(old, str) and isinstance(new, str):
        before, after = old.rpartition(":"), new.rpartition(":")
        if before[0] == after[0] and before[0]:
            return FieldChange(field.path, before[2], after[2])
    return field


def _is_tall(field: FieldChange) -> bool:
    """Whether a field is shown below its object: a text of lines, a list, or what is too long to stand side by side."""
    return is_block(field) or len("".join(sides(_tags_alone(field), WIDTH))) > IN_LINE


def _block(field: FieldChange, ink: _Ink) -> list[str]:
    """A text diff below its field's name."""
    if is_block(field):
        found = block(field)
        lines = [f"    {visible(field.path)}  {counted(found)}"]
    else:
        found = [DiffLine(sign, text) for sign, text in zip("-+", sides(field, 2 * (WIDTH - 10)), strict=True)]
        lines = [f"    {visible(field.path)}"]
    for line in found[:BLOCK]:
        text = f"{line.sign} {visible(line.text)}".rstrip()
        lines.append("      " + ink.paint(_cut(text, WIDTH - 6), _DIFF.get(line.sign, "0")))
    if len(found) > BLOCK:
        lines.append(f"      and {len(found) - BLOCK} more lines")
    return lines


def _problems(environment: str, problems: Iterable[Problem], ink: _Ink) -> list[str]:
    lines: list[str] = []
    for problem in problems:
        place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
        where = " ".join(part for part in (visible(place), visible(problem.where or "")) if part)
        title = " ".join(part for part in (f"{NAME}  refused", environment, where) if part)
        lines += [ink.paint(piece, "31;1") for piece in _pieces(title, WIDTH)]
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
    """The text in lines of so many columns, at spaces where it has some."""
    pieces = textwrap.wrap(text, width, break_on_hyphens=False) if text else []
    return [part for piece in pieces for part in _sliced(piece, width)]


def _sliced(text: str, width: int) -> list[str]:
    """A piece without spaces to break at, by columns (wide characters take two)."""
    parts = []
    while _columns(text) > width:
        parts.append(_cut(text, width, ""))
        text = text[len(parts[-1]) :]
    return [*parts, text]


def _fitted(lines: list[str]) -> list[str]:
    short = [line if _columns(line) <= WIDTH else _cut(_COLOUR.sub("", line), WIDTH) for line in lines]
    return short if len(short) <= MOST else [*short[: MOST - 1], f"  and {len(short) - MOST + 1} more lines"]


def _columns(text: str) -> int:
    """How many columns a terminal gives to a text: colours none, wide characters two."""
    bare = _COLOUR.sub("", text)
    return len(bare) if bare.isascii() else sum(_width(char) for char in bare)


def _width(char: str) -> int:
    return 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, width: int, mark: str = "…") -> str:
    """The text without colours, cut to so many columns, with a mark where something is left out."""
    if _columns(text) <= width:
        return text
    taken = 0
    for position, char in enumerate(text):
        taken += _width(char)
        if taken > width - len(mark):
            return text[:position] + mark
    return text


class _Ink:
    """Colours, when they are wanted."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code != "0" else text

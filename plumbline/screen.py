"""What the command line prints: colours on a terminal only, errors with their place, a plan as lines."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Final, TextIO

from worker.domain.desired import Stage
from worker.domain.errors import DesiredStateError, PlumblineError, Refused
from worker.domain.plan import Action, Change, FieldChange, Plan

SIGNS: Final = {
    Action.CREATE: ("+", "32"),
    Action.CONFIGURE: ("~", "33"),
    Action.RECREATE: ("±", "35"),
    Action.PRUNE: ("-", "31"),
    Action.SKIP: ("·", "2"),
    Action.UNPREDICTABLE: ("?", "35"),
}
DIFF: Final = {"-": "31", "+": "32", "@": "2"}
LONGEST: Final = 160
BLOCK: Final = 200
"""Most lines of one text diff."""


def coloured(text: str, code: str, stream: TextIO | None = None) -> str:
    """The text in a colour where the stream is a terminal and NO_COLOR is not set."""
    target = stream or sys.stdout
    if code == "0" or "NO_COLOR" in os.environ or not target.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def safe(text: str) -> str:
    """Text without control characters, so that nothing in a repository can write to the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def failure(error: PlumblineError) -> None:
    """Prints an error to stderr: each problem with its place, and what to do next."""
    label = coloured("error", "31;1", sys.stderr)
    if isinstance(error, DesiredStateError):
        for problem in error.problems:
            place = ":".join(str(part) for part in (problem.file, problem.line) if part is not None)
            spot = ": ".join(part for part in (place, problem.where) if part)
            print(f"{label} {safe(spot + ': ' if spot else '')}{safe(problem.message)}", file=sys.stderr)
            if problem.suggestion:
                print(f"      {safe(problem.suggestion)}", file=sys.stderr)
        return
    reason = error.reason if isinstance(error, Refused) else str(error)
    print(f"{label} {safe(reason)}", file=sys.stderr)
    if isinstance(error, Refused) and error.next_step:
        print(f"      {safe(error.next_step)}", file=sys.stderr)


def print_order(stages: Sequence[Stage]) -> None:
    """The stages, and in each the objects line by line: those of a line are applied together."""
    for number, stage in enumerate(stages, start=1):
        if len(stages) > 1:
            print(coloured(f"stage {number} of {len(stages)}: {stage.name}", "1"))
        for group in stage.groups:
            print("  " + safe(", ".join(str(resource.key) for resource in group)))
        if number < len(stages):
            print("  " + coloured("then until all of it is healthy", "2"))


def print_plan(plan: Plan, environment: str) -> None:
    """A plan for a person: each change with its fields, then what it comes to."""
    for change in plan.changes:
        if change.action is not Action.UNCHANGED:
            _print_change(change)
    for warning in plan.warnings:
        print_marked("note", "33", warning)
    unchanged = plan.summary[Action.UNCHANGED]
    if plan.is_empty:
        print(f"{environment}: no changes; {unchanged} objects are proven to be as specified")
        return
    counts = ", ".join(
        f"{plan.summary[action]} to {action}" if action in (Action.CREATE, Action.CONFIGURE, Action.RECREATE, Action.PRUNE)
        else f"{plan.summary[action]} {action}"
        for action in SIGNS
        if plan.summary[action]
    )  # fmt: skip
    print(f"{environment}: {counts}; {unchanged} unchanged · fingerprint {plan.fingerprint[:8]}")


def _print_change(change: Change) -> None:
    sign, colour = SIGNS[change.action]
    head = f"{sign} {change.action:<9} {safe(str(change.key))}"
    reason = f"({safe(change.reason)})" if change.reason else ""
    if change.action is Action.CREATE:
        images = [str(field.shown()[1]) for field in change.fields if field.path.endswith("].image")]
        reason = "  ".join(part for part in (safe(f"image {', '.join(images)}") if images else "", reason) if part)
    if len(head) + 2 + len(reason) <= _columns():
        print(coloured(head, colour) + (f"  {reason}" if reason else ""))
    else:
        print(coloured(head, colour))
        for piece in textwrap.wrap(reason, max(_columns() - 4, 20), break_on_hyphens=False):
            print(f"    {piece}")
    if change.action is Action.CREATE:
        return
    for field in change.fields:
        _print_field(field)


def _print_field(field: FieldChange) -> None:
    """A field on a line; what does not fit as a diff below its name."""
    from worker.domain.field_text import DiffLine, block, counted, in_line, is_block, sides

    path, room = safe(field.path), _columns() - 4
    if is_block(field):
        found = block(field)
        print(f"    {path}: {counted(found)}")
    elif len(line := f"{path}: {safe(in_line(field, LONGEST))}") <= room:
        print(f"    {line}")
        return
    else:
        found = [DiffLine(sign, text) for sign, text in zip("-+", sides(field, 2 * (room - 4)), strict=True)]
        print(f"    {path}:")
    for each in found[:BLOCK]:
        print("      " + coloured(f"{each.sign} {safe(each.text)}".rstrip(), DIFF.get(each.sign, "0")))
    if len(found) > BLOCK:
        print(f"      and {len(found) - BLOCK} more lines (-o json has them all)")


def print_marked(word: str, code: str, text: str) -> None:
    """A word in a colour, and the text in as many lines as it needs beside it."""
    for number, piece in enumerate(textwrap.wrap(safe(text), max(_columns() - 6, 20), break_on_hyphens=False)):
        print((coloured(f"{word:<6}", code) if number == 0 else "      ") + piece)


def print_fact(step: str, code: str, text: str, seconds: float, stream: TextIO) -> None:
    """A fact of an operation: its step, the sentence in as many lines as it needs, and when it was so."""
    room = max(min(_columns(), 100) - 11 - 11, 20)
    first, *rest = textwrap.wrap(safe(text), room, break_on_hyphens=False) or [""]
    print(f"{coloured(f'{step:<11}', code, stream)}{first:<{room}} {seconds:>7.1f} s", file=stream)
    for piece in rest:
        print(f"{'':<11}{piece}", file=stream)
    stream.flush()


def print_under(word: str, text: str) -> None:
    """A word and what is said of it, in as many lines as it needs."""
    first, *rest = textwrap.wrap(safe(text), max(_columns() - 14, 20), break_on_hyphens=False) or [""]
    print(f"  {word:<11} {first}")
    for piece in rest:
        print(f"{'':<14}{piece}")


def _columns() -> int:
    """The terminal's width, 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns

"""One object of a plan in Markdown: its name, and its fields as a `diff`, folded where it is long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from bot.markdown import Block, Section, code, fence, prose
from worker.domain.field_text import block, is_block, sides
from worker.domain.plan import Change, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey

TALL: Final = 16
"""Lines of an object's diff that stand open; a longer one is folded."""

FIELDS: Final = 200
"""Fields of one object that are shown."""


def change_block(change: Change, importance: int) -> Block:
    """What happens to an object: its name and why, and its fields."""
    title = f"**{change.action}** {named(change.key)}"
    reason = f" · {prose(change.reason)}" if change.reason else ""
    lines = _diff(change.fields[:FIELDS])
    rest = more(len(change.fields) - FIELDS)
    if not lines:
        return Block(f"{title}{reason}", importance, "changed object")
    if len(lines) <= TALL:
        return Block(f"{title}{reason}\n{fence(lines)}{rest}", importance, "changed object")
    name = f"{change.key.namespace}/{change.key.name}" if change.key.namespace else change.key.name
    summary = f"<b>{change.action}</b> {prose(change.key.kind)} <code>{prose(name)}</code>{reason}"
    opens, closes = Section(f"{summary} · {counted(len(change.fields), 'field')}", ()).around()
    return Block(f"{opens}{fence(lines)}{rest}{closes}".rstrip(), importance, "changed object")


def _diff(fields: Sequence[FieldChange]) -> list[str]:
    """Fields under the object or list item that they are in, each as it was and as it will be."""
    lines: list[str] = []
    for parent, members in groupby(fields, key=lambda one: _split(one.path)[0]):
        lines += [f"  {parent}"] if parent else []
        for one in members:
            lines += _field(one, _split(one.path)[1], "  " if parent else "")
    return lines


def _field(one: FieldChange, name: str, indent: str) -> list[str]:
    if is_block(one):
        body = [
            f"@@ {line.text} @@" if line.sign == "@" else f"{line.sign} {indent}  {line.text}" for line in block(one)
        ]
        return [f"  {indent}{name}:", *body]
    old, new = one.shown()
    texts = sides(one, 240)
    return [
        f"{sign} {indent}{name}: {text}"
        for sign, text, value in (("-", texts[0], old), ("+", texts[1], new))
        if value is not None
    ]


def _split(path: str) -> tuple[str, str]:
    """A field's path as the list item or mapping that it is in, and the rest: up to the last `]`, else the last dot."""
    end = path.rfind("].")
    if end >= 0:
        return path[: end + 1], path[end + 2 :]
    parent, _, name = path.rpartition(".") if "[" not in path else ("", "", path)
    return parent, name


def named(key: ResourceKey) -> str:
    """An object as people name it: `Deployment shop/cart`, its name as code."""
    return f"{prose(key.kind)} {code(f'{key.namespace}/{key.name}' if key.namespace else key.name)}"


def drifted(one: Drift) -> list[str]:
    """A drifted field as lines of a diff: what Git says, what is in the cluster and who wrote that."""
    git, live = sides(one.field, 240)
    who = f", last written by {one.manager}" if one.manager else ""
    when = f" at {one.at}" if one.at else ""
    return [f"  {one.field.path}", f"-   {git}   in Git", f"+   {live}   in the cluster{who}{when}"]


def counted(number: int, word: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def more(number: int) -> str:
    """What says that so many are not shown; nothing where all are."""
    return f"\n\nand {number} more" if number > 0 else ""

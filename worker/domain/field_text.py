"""One field's change in words for a person: on a line where it fits, else as a text diff of what it was and will be.

The values are those of `FieldChange.shown`: nothing here unmasks. Pure, for every face.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.plan import FieldChange

UNSET: Final = "unset"
CONTEXT: Final = 2
"""Unchanged lines around a change."""

_AROUND: Final = 12
"""Characters kept on each side of the place where two long lines differ."""

_HIDDEN: Final = frozenset((*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF))
_MOST_LINES: Final = 4000
"""Lines of a text that is compared line by line; a longer one is only said to differ (difflib is quadratic)."""


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a text diff; `sign` is `-`, `+`, a space for what stays, or `@` for where it goes on."""

    sign: str
    text: str


def visible(text: str) -> str:
    """The text with every character that steers a terminal or hides from a reader written out (`^[`, `\\x9b`)."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    number = ord(char)
    if number < 32 or number == 127:
        return "^" + chr(number ^ 64)
    if 128 <= number < 160 or number in _HIDDEN or 0xD800 <= number < 0xE000:
        return f"\\x{number:02x}"
    return char


def is_block(field: FieldChange) -> bool:
    """Whether a field's change needs several lines: a text of several, or a list or mapping."""
    return any(
        (isinstance(value, str) and "\n" in value.rstrip("\n")) or (isinstance(value, dict | list) and len(value) > 0)
        for value in field.shown()
    )


def in_line(field: FieldChange, room: int) -> str:
    """`1.4.1 -> 1.5.0`, in at most `room` characters; of long texts the part that differs."""
    return " -> ".join(sides(field, room))


def sides(field: FieldChange, room: int) -> tuple[str, str]:
    """Both values in a line each, together in at most `room` characters (the arrow's four left out)."""
    old, new = (words(value) for value in field.shown())
    room -= 4
    if len(old) + len(new) <= room:
        return old, new
    if UNSET in (old, new):
        return shortened(old, room - len(UNSET)), shortened(new, room - len(UNSET))
    return _around(old, new, room // 2), _around(new, old, room // 2)


def words(value: Any) -> str:
    """A value in one line: text as it is, everything else as JSON, nothing as `unset`."""
    if value is None:
        return UNSET
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def shortened(text: str, room: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"


def _around(text: str, other: str, room: int) -> str:
    """The part of a long text where it begins to differ from the other."""
    if len(text) <= room:
        return text
    same = next(
        (at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), min(len(text), len(other))
    )
    begin = 0 if same + 1 < room else max(same - _AROUND, 0)
    piece = f"…{text[begin:]}" if begin else text
    return shortened(piece, room)


def block(field: FieldChange, context: int = CONTEXT) -> list[DiffLine]:
    """The text diff of a field: of a text's lines, of a list's or mapping's outline."""
    old, new = (lines_of(value) for value in field.shown())
    if max(len(old), len(new)) > _MOST_LINES:
        return [DiffLine("@", f"{len(old)} lines before, {len(new)} after: too long to compare here")]
    found: list[DiffLine] = []
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(context):
        if group[0][3] or found:
            found.append(DiffLine("@", f"line {group[0][3] + 1}"))
        for word, begin, end, new_begin, new_end in group:
            if word == "equal":
                found += [DiffLine(" ", line) for line in old[begin:end]]
            else:
                found += [DiffLine("-", line) for line in old[begin:end]]
                found += [DiffLine("+", line) for line in new[new_begin:new_end]]
    return found


def counted(lines: list[DiffLine]) -> str:
    """`2 lines added, 1 removed`."""
    added, removed = (sum(line.sign == sign for line in lines) for sign in "+-")
    parts = [f"{added} added"] if added else []
    parts += [f"{removed} removed"] if removed else []
    first, *rest = parts or ["compared as a whole"]
    number, _, word = first.partition(" ")
    return ", ".join([f"{number} {'line' if number == '1' else 'lines'} {word}" if parts else first, *rest])


def lines_of(value: Any) -> list[str]:
    """A value as lines: a text's own, nothing as none, everything else as an outline like YAML's.

    A text that does not end with a line's end says so in a last line, as every diff does.
    """
    if value is None:
        return []
    if isinstance(value, str):
        lines = value.split("\n")
        return lines[:-1] if lines[-1] == "" else [*lines, "\\ no line end at the end"] if "\n" in value else lines
    return list(_outline(value, ""))


def _outline(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            if isinstance(member, dict | list) and member:
                yield f"{indent}{name}:"
                yield from _outline(member, indent + "  ")
            elif isinstance(member, str) and "\n" in member:
                yield f"{indent}{name}: |"
                yield from (f"{indent}  {line}" for line in lines_of(member))
            else:
                yield f"{indent}{name}: {json.dumps(member, ensure_ascii=False) if not isinstance(member, str) else member}"
    elif isinstance(value, list) and value:
        for member in value:
            first, *rest = list(_outline(member, "")) or [""]
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" for line in rest)
    else:
        yield f"{indent}{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"

"""Two changes of one text, made from the same beginning, put together line by line. Pure.

Bot and worker make the same bytes by it: the worker proves them, the bot writes them.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Final

LARGEST: Final = 1 << 20
MOST_LINES: Final = 5_000
"""What is longer is not compared: the comparison may take the square of it."""

_Change = tuple[int, int, tuple[bytes, ...]]


def put_together(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """The base with both changes in it; None where they touch, where it is no text, or where it is too long to compare.

    Changes touch where they are about the same or neighbouring lines, unless they are the same change.
    """
    if any(len(each) > LARGEST or b"\0" in each for each in (base, ours, theirs)):
        return None
    lines = base.splitlines(keepends=True)
    changed = [each.splitlines(keepends=True) for each in (ours, theirs)]
    if any(len(each) > MOST_LINES for each in (lines, *changed)):
        return None
    first, second = (_changes(lines, each) for each in changed)
    own = [each for each in first if each not in second]
    others = [each for each in second if each not in first]
    if any(low <= end and start <= high for low, high, _ in own for start, end, _ in others):
        return None
    for low, high, new in sorted({*first, *second}, reverse=True):
        lines[low:high] = new
    return b"".join(lines)


def _changes(before: list[bytes], after: list[bytes]) -> tuple[_Change, ...]:
    """(first line, line after the last, the lines in their place), in order."""
    rows = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return tuple((low, high, tuple(after[start:end])) for tag, low, high, start, end in rows if tag != "equal")

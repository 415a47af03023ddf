"""A comment of Plumbline's as lines for a terminal: what a forge's page shows, with nothing folded."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from plumbline.screen import DIFF, coloured, safe

FENCE: Final = re.compile(r"^(`{3,}|~{3,})\w*$")
SUMMARY: Final = re.compile(r"<details(?: open)?><summary>(.*)</summary>")
RULE: Final = re.compile(r"^\|(?:-+\|)+$")
_CODE: Final = re.compile(r"(?<!`)(`+)( ?)(.+?)\2\1(?!`)")
_INLINE: Final = (
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"</?(?:sub|del|b|code)>"), ""),
    (re.compile(r"\*\*(.+?)\*\*"), r"\1"),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


def comment_lines(body: str) -> list[str]:
    """The lines of a comment, coloured where the output is a terminal; markers, tags and markup are not among them."""
    lines: list[str] = []
    for line in _lines(body):
        if line or (lines and lines[-1]):  # one empty line at most, and none at the head
            lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _lines(body: str) -> Iterator[str]:
    fence, rows = "", list[list[str]]()
    for raw in body.splitlines():
        if rows and not raw.startswith("|"):
            yield from _table(rows)
            rows = []
        opening = FENCE.match(raw)
        if fence:
            if raw == fence:
                fence = ""
                continue
            yield "    " + coloured(safe(raw), DIFF.get(raw[:1], "2"))
        elif opening:
            fence = opening[1]
        elif raw.startswith("|"):
            if not RULE.match(raw):
                rows.append([_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", raw)[1:-1]])
        else:
            yield from _text(raw)
    yield from _table(rows)


def _text(raw: str) -> Iterator[str]:
    if raw.startswith("<!--") or raw == "</details>":
        return
    if found := SUMMARY.match(raw):
        yield coloured(f"▾ {_plain(found[1])}", "1")
    elif raw.startswith("### "):
        yield coloured(_plain(raw[4:]), "36;1")
    elif raw.startswith("> "):
        yield coloured(_plain(raw[2:]), "33")
    elif raw.startswith("<sub>"):
        yield coloured(_plain(raw), "2")
    elif raw.startswith("- "):
        yield f"  - {_plain(raw[2:])}"
    elif raw.startswith("**"):
        yield f"  {_plain(raw)}"
    else:
        yield "" if raw == ">" else _plain(raw)


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(min(map(len, rows)))] if rows else []
    for number, row in enumerate(rows):
        line = "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip()
        yield "  " + coloured(line, "0" if number else "2")


def _plain(text: str) -> str:
    """Text without markup, as a page shows it; what stands between marks of code is as it is."""
    shown, end = "", 0
    for span in _CODE.finditer(text):
        shown += _prose(text[end : span.start()]) + span[3]
        end = span.end()
    return safe(shown + _prose(text[end:]))


def _prose(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return html.unescape(text)

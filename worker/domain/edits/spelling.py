"""How a value is written in YAML: in the style that stood there where that is safe, else in quotes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from worker.domain.errors import DesiredStateError
from worker.domain.yaml_text import read_documents

_WORDS: Final = re.compile(r"[A-Za-z0-9./_](?:[-A-Za-z0-9./_@+:() ]*[-A-Za-z0-9./_@+)])?")
"""What can stand without quotes, in a flow collection too, as far as single characters say it."""

_ELSEWHERE: Final = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|[-+]?[0-9]+(?::[0-9.]+)+|---.*|\.\.\.*")
"""What other readers take for a date, a number of base 60 or the end of a document."""

_ESCAPED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def scalar_text(value: Any, style: str, *, plain: bool = True) -> str:
    """One scalar on one line, in `style` (`'`, `"` or empty) where that can hold it; `plain` false: text always quoted."""
    if not isinstance(value, str):
        return json.dumps(value)
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if not style and plain and _stands_plain(value):
        return value
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _stands_plain(text: str) -> bool:
    """Whether every reader takes it for the text that it is, without quotes."""
    if not _WORDS.fullmatch(text) or ": " in text or _ELSEWHERE.fullmatch(text):
        return False
    try:
        documents = read_documents(text, "")
    except DesiredStateError:
        return False
    return [document.value for document in documents] == [text]


def flow_text(value: Any, *, plain: bool) -> str:
    """A value on one line; `plain` false writes JSON."""
    if isinstance(value, dict):
        pairs = (
            f"{scalar_text(str(name), '', plain=plain)}: {flow_text(each, plain=plain)}" for name, each in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(each, plain=plain) for each in value) + "]"
    return scalar_text(value, "", plain=plain)


def block_lines(value: Any) -> list[str]:
    """The lines of a mapping or list that is not empty, not yet indented; lists stand under their key as kubectl has them."""
    lines: list[str] = []
    if isinstance(value, list):
        for item in value:
            first, *rest = block_lines(item) if _is_nested(item) else _text_lines(item)
            lines += [f"- {first}", *indented(rest, "  ")]
        return lines
    for name, member in value.items():
        key = scalar_text(str(name), "")
        if not _is_nested(member):
            first, *rest = _text_lines(member)
            lines += [f"{key}: {first}", *indented(rest, "  ")]
            continue
        lines += [f"{key}:", *indented(block_lines(member), "" if isinstance(member, list) else "  ")]
    return lines


def indented(lines: Iterable[str], by: str) -> list[str]:
    """The lines further in; an empty one stays empty."""
    return [by + line if line else "" for line in lines]


def _text_lines(value: Any) -> list[str]:
    """A value that is no block of its own: a text of several lines behind `|` where it can be, else on one line."""
    literal = literal_lines(value) if isinstance(value, str) and "\n" in value else []
    return literal or [flow_text(value, plain=True)]


def literal_lines(value: Any) -> list[str]:
    """A text as it stands behind `|`: the header, then the lines; nothing where it has to be quoted."""
    if not isinstance(value, str) or value.endswith("\n\n"):
        return []
    lines = value.removesuffix("\n").split("\n")
    if not lines[0] or lines[0][0].isspace() or not all(map(_stands_literally, lines)):
        return []
    return ["|" if value.endswith("\n") else "|-", *lines]


def _stands_literally(line: str) -> bool:
    return line.replace("\t", "").isprintable() and (not line or line[-1] not in " \t")


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)

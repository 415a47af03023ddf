"""What one change writes into a text, and where: pieces of text that are replaced. Pure; `changes` proves the outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.edits.places import NotEditable
from worker.domain.edits.spelling import block_lines, flow_text, indented, literal_lines, scalar_text
from worker.domain.yaml_places import Node

_ANCHOR: Final = re.compile(r"&[^\s,\[\]{}]+[ \t]*")
_HEADER: Final = re.compile(r"[|>][-+0-9]*")
_INDENT: Final = 2

Way = list[tuple[Node, int]]
"""The collections on the way to a place, outermost first, each with the position of its member on it."""


@dataclass(frozen=True, slots=True)
class Splice:
    """The characters from `start` to `end` become `text`."""

    start: int
    end: int
    text: str


def put(text: str, way: Way, node: Node, value: Any) -> Splice:
    """The value of a place that is there becomes another one."""
    _require_own(node)
    nested = isinstance(value, dict | list)
    in_flow = any(parent.is_flow for parent, _ in way)
    if node.is_block_text and not nested:
        return _over_block(text, node, value)
    if node.kind == "scalar" and not nested:
        return _scalar(text, node, value, in_flow=in_flow)
    if in_flow or (node.is_flow and not way):
        return Splice(node.start, node.end, flow_text(value, plain=_is_plain(way, node)))
    if node.anchor:
        raise NotEditable(f"the value is named &{node.anchor}", node.line)
    if not nested or not value or not way:
        slot = _slot(text, way) if way else node.start
        gap = " " if way else ""
        return Splice(slot, node.end, gap + flow_text(value, plain=True))
    parent, position = way[-1]
    slot = _slot(text, way)
    if parent.kind == "sequence":
        column = _column(text, _dash(text, node)) + _INDENT
        lines = block_lines(value)
        return Splice(slot, node.end, " " + _indented(text, lines, column, first=False))
    column = _column(text, parent.keys[position].start)
    if isinstance(value, dict):
        column += _INDENT
    elif node.kind == "sequence" and not node.is_flow and node.members:
        column = _column(text, _dash(text, node.members[0]))
    return Splice(slot, node.end, _newline(text) + _indented(text, block_lines(value), column))


def appended(text: str, way: Way, node: Node, value: Any) -> Splice:
    """A list gets an item more, a mapping the members of `value`, at its end."""
    _require_own(node)
    if node.is_flow:
        return _appended_in_flow(text, way, node, value)
    last = node.members[-1]
    if node.kind == "sequence":
        column = _column(text, _dash(text, node.members[0]))
        lines = block_lines([value])
    else:
        _require_plain_key(text, node, 0)
        column, lines = _column(text, node.keys[0].start), block_lines(value)
    end = _line_end(text, last.end)
    return Splice(end, end, _newline(text) + _indented(text, lines, column))


def _appended_in_flow(text: str, way: Way, node: Node, value: Any) -> Splice:
    plain = _is_plain(way, node)
    piece = flow_text(value, plain=plain)
    if node.kind == "mapping":
        piece = piece[1:-1]
    if not node.members:
        if not way or any(parent.is_flow for parent, _ in way):
            opening, closing = ("{", "}") if node.kind == "mapping" else ("[", "]")
            return Splice(node.start, node.end, f"{opening}{piece}{closing}")
        return put(text, way, node, value if node.kind == "mapping" else [value])
    starts = [key.start for key in node.keys] or [member.start for member in node.members]
    if len(starts) > 1:
        between = text[node.members[-2].end : starts[-1]]
    else:
        between = "," + (text[node.start + 1 : starts[0]] if "\n" in text[node.start + 1 : starts[0]] else " ")
    if between.strip() != ",":
        raise NotEditable("a comment stands between the members", node.line)
    end = node.members[-1].end
    return Splice(end, end, between + piece)


def removed(text: str, way: Way) -> Splice:
    """The member at the end of the way goes, and its line with it where it has lines of its own."""
    parent, position = way[-1]
    node = parent.members[position]
    if parent.kind == "mapping":
        _require_plain_key(text, parent, position)
    if len(parent.members) == 1:
        _require_own(parent)
        return put(text, way[:-1], parent, {} if parent.kind == "mapping" else [])
    starts = _starts(text, parent)
    if parent.is_flow:
        begin, end = starts[position], node.end
        if position + 1 < len(starts):
            return _without_comment(text, begin, starts[position + 1], end)
        return _without_comment(text, parent.members[position - 1].end, end, starts[position], glue_first=True)
    begin = starts[position]
    line_start = text.rfind("\n", 0, begin) + 1
    if text[line_start:begin].strip(" "):  # it stands behind the dash of the item that it is the first member of
        if position + 1 == len(starts):
            raise NotEditable("it does not stand on a line of its own", node.line)
        return _without_comment(text, begin, starts[position + 1], node.end)
    end = _line_end(text, node.end)
    return Splice(line_start, len(text) if end == len(text) else text.index("\n", end) + 1, "")


def _without_comment(text: str, begin: int, end: int, middle: int, *, glue_first: bool = False) -> Splice:
    """Takes away what is between, unless a comment stands in what is not the member itself."""
    glue = text[begin:middle] if glue_first else text[middle:end]
    if "#" in glue:
        raise NotEditable("a comment stands beside it, which is not its own", text.count("\n", 0, begin) + 1)
    return Splice(begin, end, "")


def _scalar(text: str, node: Node, value: Any, *, in_flow: bool) -> Splice:
    start = node.start
    if node.anchor:
        found = _ANCHOR.match(text, start)
        if found is None or found.end() > node.end:
            raise NotEditable(f"the value is named &{node.anchor}", node.line)
        start = found.end()
    if start == node.end:  # nothing stood there
        gap = "" if text[start - 1 : start].isspace() else " "
        return Splice(start, start, gap + scalar_text(value, "", plain=not in_flow))
    was_text = bool(node.style) or _is_text(node.text)
    return Splice(start, node.end, scalar_text(value, node.style, plain=not in_flow or was_text))


def _over_block(text: str, node: Node, value: Any) -> Splice:
    """Another text, or a scalar on one line, in the place of a text behind `|` or `>`; lines stand where they stood."""
    if node.anchor:
        raise NotEditable(f"the text is named &{node.anchor}", node.line)
    end = _line_end(text, node.end)
    header, *old = text[node.start : end].split("\n")
    beside = _HEADER.sub("", header).rstrip("\r")
    first, *lines = literal_lines(value) or [flow_text(value, plain=True)]
    column = next((len(line) - len(line.lstrip(" ")) for line in old if line.strip()), 0)
    if not lines or not column:
        return Splice(node.start, end, flow_text(value, plain=True) + beside)
    last = _newline(text) if end == len(text) and first == "|" else ""
    return Splice(node.start, end, first + beside + _newline(text) + _indented(text, lines, column) + last)


def _is_text(text: str) -> bool:
    return scalar_text(text, "") == text


def _require_own(node: Node) -> None:
    if node.kind == "alias":
        raise NotEditable(f"the value is written elsewhere: *{node.anchor} is an alias", node.line)
    if node.tag:
        raise NotEditable(f"the value has the tag {node.tag}", node.line)
    if node.merges:
        raise NotEditable("the mapping merges another into itself (<<)", node.line)


def _require_plain_key(text: str, parent: Node, position: int) -> None:
    key = parent.keys[position]
    if text[key.end :].lstrip(" \t")[:1] != ":":
        raise NotEditable("the key is written in a form of its own (`? key`)", key.line)


def _is_plain(way: Way, node: Node) -> bool:
    """Whether a flow collection is YAML's own form and not JSON: a name or a text in it stands without quotes."""
    around = [parent for parent, _ in way if parent.is_flow] + ([node] if node.is_flow else [])
    names = [key for each in around for key in each.keys]
    return bool(names) and not all(key.style == '"' for key in names)


def _slot(text: str, way: Way) -> int:
    """Where the value of a place begins: behind the colon or the dash. Raises NotEditable where a comment stands there."""
    parent, position = way[-1]
    node = parent.members[position]
    if parent.kind == "mapping":
        _require_plain_key(text, parent, position)
        slot = text.index(":", parent.keys[position].end) + 1
    else:
        slot = _dash(text, node) + 1
    if text[slot : node.start].strip():
        raise NotEditable("a comment or a name stands before the value", node.line)
    return slot


def _starts(text: str, parent: Node) -> list[int]:
    if parent.kind == "mapping":
        return [key.start for key in parent.keys]
    return [member.start if parent.is_flow else _dash(text, member) for member in parent.members]


def _dash(text: str, item: Node) -> int:
    """Where the dash of a list's item stands."""
    at = item.start - 1
    while at > 0 and text[at].isspace():
        at -= 1
    if at < 0 or text[at] != "-":
        raise NotEditable("a comment or a name stands before the item", item.line)
    return at


def _column(text: str, at: int) -> int:
    return at - (text.rfind("\n", 0, at) + 1)


def _line_end(text: str, at: int) -> int:
    """The end of the line, before its line ending."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" and end > at else end


def _newline(text: str) -> str:
    """The line ending of the file."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def _indented(text: str, lines: list[str], column: int, *, first: bool = True) -> str:
    pad = " " * column
    return (pad if first else "") + _newline(text).join([lines[0], *indented(lines[1:], pad)])

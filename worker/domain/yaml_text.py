"""YAML and JSON text made into values with line numbers: the one reader of such text in the program. Pure.

Scalars resolve as `kubectl` resolves them (go-yaml v2 with YAML 1.1 booleans, measured against kubectl 1.37 on each form):
`yes`, `on` and `y` are true, `0644` and `0o644` are 420, `1_000` is 1000, `1e3` is 1000, timestamps stay text, keys that
are numbers or booleans become text. Whatever would be guessed at is refused with its line: duplicate keys, unknown tags,
more aliases than a person writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from worker.domain.errors import DesiredStateError, Problem

Path = tuple[str | int, ...]

_BOOLEANS: Final = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER: Final = re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TAGS: Final = "tag:yaml.org,2002:"
_LOADER: Final = getattr(yaml, "CLoader", yaml.Loader)
"""libyaml's parser; the pure one is ten times slower and gives the same events."""


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How much one text may hold: nodes in all, nodes and characters that come from aliases, depth, documents."""

    nodes: int = 2_000_000
    aliased: int = 50_000
    aliased_characters: int = 16 << 20
    depth: int = 200
    documents: int = 20_000


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value in JSON types, the line it starts on (from 1), and the line of each mapping key and item."""

    value: Any
    line: int
    lines: dict[Path, int] = field(repr=False)

    def line_of(self, path: Path) -> int:
        """The line of a place, or of the nearest place above it that is known."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.line


class _Refused(Exception):
    def __init__(self, message: str, line: int, suggestion: str = "") -> None:
        super().__init__(message)
        self.problem = (message, line, suggestion)


def read_documents(
    text: str | bytes, file: str, limits: TextLimits | None = None, *, lines: bool = False
) -> list[Document]:
    """Every document that is not empty. `lines` also keeps the line of every place in it (else of the document only).

    Raises DesiredStateError with file and line where the text cannot be read as it stands.
    """
    decoded = _decoded(text, file)
    try:
        return list(_Composer(decoded, limits or TextLimits(), keep_lines=lines).documents())
    except _Refused as refused:
        message, line, suggestion = refused.problem
        raise DesiredStateError([Problem(message, file, line, suggestion=suggestion or None)]) from None
    except yaml.reader.ReaderError as error:
        line = decoded.encode()[: error.position].count(b"\n") + 1
        message = "is not text: a control character stands in it"
        raise DesiredStateError([Problem(message, file, line, suggestion="remove it")]) from None
    except yaml.YAMLError as error:
        raise DesiredStateError([_syntax(error, decoded, file)]) from None


def _decoded(text: str | bytes, file: str) -> str:
    """The text without a byte order mark. Raises DesiredStateError where it is not Unicode."""
    try:
        if isinstance(text, bytes):
            return text.decode("utf-8-sig")
        text.encode()
        return text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
    except UnicodeEncodeError as error:
        line = error.object[: error.start].count("\n") + 1
    raise DesiredStateError([Problem("is not UTF-8 text", file, line, suggestion="save it as UTF-8")])


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or "it cannot be read")
    context = str(getattr(error, "context", "") or "")
    if mark and text[mark.index : mark.index + 1] == "\t":
        message = "is not valid YAML: a tab stands where it indents"
        return Problem(message, file, mark.line + 1, suggestion="YAML indents with spaces: replace the tab")
    message = f"is not valid YAML: {said}" + (f" {context}" if context else "")
    return Problem(message, file, mark.line + 1 if mark else None)


class _Composer:
    """Builds values from the parser's events, counting as it goes."""

    def __init__(self, text: str, limits: TextLimits, *, keep_lines: bool) -> None:
        self._parser = _LOADER(text)
        self._limits = limits
        self._keep = keep_lines
        self._nodes = 0
        self._aliased = 0
        self._characters = 0
        self._aliased_characters = 0
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._lines: dict[Path, int] = {}

    def documents(self) -> Iterator[Document]:
        next_event = self._parser.get_event
        count = 0
        try:
            while (event := next_event()) is not None and not isinstance(event, yaml.StreamEndEvent):
                if not isinstance(event, yaml.DocumentStartEvent):
                    continue
                count += 1
                if count > self._limits.documents:
                    raise _Refused(f"has more than {self._limits.documents} documents", event.start_mark.line + 1)  # type: ignore[union-attr]
                self._anchors, self._lines = {}, {}
                first = next_event()
                line = first.start_mark.line + 1
                value = self._node(first, (), 0)
                if value is not None:
                    yield Document(value, line, self._lines)
        finally:
            self._parser.dispose()

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        self._nodes += 1
        line = event.start_mark.line + 1
        if self._nodes > self._limits.nodes:
            raise _Refused(f"has more than {self._limits.nodes} values", line, "split it into several files")
        if depth > self._limits.depth:
            raise _Refused(f"is nested more than {self._limits.depth} levels deep", line)
        if isinstance(event, yaml.ScalarEvent):
            scalar = _scalar(event, line)
            self._characters += len(event.value)
            if event.anchor:
                self._anchors[event.anchor] = (scalar, 1, len(event.value))
            return scalar
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, line)
        nodes, characters = self._nodes, self._characters
        value: Any
        if isinstance(event, yaml.MappingStartEvent):
            _check_tag(event, "map", line)
            value = self._mapping(path, depth)
        else:
            _check_tag(event, "seq", line)
            value = self._sequence(path, depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - nodes + 1, self._characters - characters)
        return value

    def _alias(self, event: Any, line: int) -> Any:
        if event.anchor not in self._anchors:
            raise _Refused(f"the alias *{event.anchor} has no anchor before it", line)
        value, size, characters = self._anchors[event.anchor]
        self._aliased += size
        self._nodes += size
        self._aliased_characters += characters
        self._characters += characters
        if self._aliased > self._limits.aliased:
            what = f"{self._limits.aliased} values"
        elif self._aliased_characters > self._limits.aliased_characters:
            what = f"{self._limits.aliased_characters >> 20} million characters"
        else:
            return value
        raise _Refused(f"its aliases expand to more than {what}", line, "write the repeated parts out")

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._parser.get_event(), yaml.SequenceEndEvent):
            place = (*path, len(items)) if self._keep else path
            if self._keep:
                self._lines[place] = event.start_mark.line + 1
            items.append(self._node(event, place, depth + 1))
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        where: dict[str, int] = {}
        merged: list[tuple[Any, int]] = []
        while not isinstance(event := self._parser.get_event(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused("a key is not a single value", line, "put the key in quotes")
            is_merge = event.value == "<<" and event.implicit[0]
            name = event.value if event.style else _key(_scalar(event, line), event.value)
            place = (*path, name) if self._keep else path
            if self._keep:
                self._lines[place] = line
            value = self._node(self._parser.get_event(), place, depth + 1)
            if is_merge:
                merged.append((value, line))
                continue
            if name in values:
                raise _Refused(
                    f"the key {name} stands twice in one mapping (first on line {where[name]})", line, "keep one"
                )
            values[name], where[name] = value, line
        for value, line in merged:
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise _Refused("<< merges something that is not a mapping", line)
                values = {**source, **values}
        return values


def _check_tag(start: Any, usual: str, line: int) -> None:
    if start.tag and start.tag not in (f"{_TAGS}{usual}", "!"):
        raise _Refused(f"the tag {start.tag} is not known", line, "remove the tag")


def _key(value: Any, text: str) -> str:
    """A key as JSON has it: numbers and booleans become their text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return text if isinstance(value, str) or value is None else str(value)


def _scalar(event: Any, line: int) -> Any:
    text: str = event.value
    tag = event.tag
    if tag and tag != "!":
        return _tagged(tag, text, line)
    if event.style or tag == "!":
        return text
    return _plain(text)


def _tagged(tag: str, text: str, line: int) -> Any:
    if tag in (f"{_TAGS}str", f"{_TAGS}binary"):
        return text
    if tag in (f"{_TAGS}int", f"{_TAGS}float", f"{_TAGS}bool", f"{_TAGS}null"):
        return _plain(text)
    raise _Refused(f"the tag {tag} is not known", line, "remove the tag")


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _number(text.replace("_", ""))
    if _SPECIAL.fullmatch(text):
        return text
    return text


def _integer(text: str) -> int | float | str:
    digits = text.replace("_", "")
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    try:
        if digits[:2] in ("0b", "0o", "0x"):
            return sign * int(digits, 0)
        if len(digits) > 1 and digits[0] == "0" and set(digits) <= set("01234567"):
            return sign * int(digits, 8)
        whole = sign * int(digits)
    except ValueError:
        return text
    return whole if -(2**63) <= whole < 2**64 else _number(digits if sign > 0 else f"-{digits}")


def _number(text: str) -> int | float | str:
    """A number as the decoder of JSON keeps it; what no double holds stays text, as it does in Go."""
    value = float(text)
    if math.isinf(value):
        return text
    return int(value) if value.is_integer() and abs(value) < 2**53 else value

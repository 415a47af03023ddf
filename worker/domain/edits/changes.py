"""Changes of a YAML or JSON file: one scalar, a subtree, a key or an item more or less; every other byte stays. Pure.

Whatever cannot be changed alone is refused with its line: values behind an alias, a tag or a merge key, templates that are
no YAML before they are rendered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from worker.domain.edits.places import NotEditable, Selector, document_of, steps_of
from worker.domain.edits.splices import Splice, appended, put, removed
from worker.domain.errors import DesiredStateError
from worker.domain.yaml_places import Node, roots
from worker.domain.yaml_text import Document, Path, read_documents

FieldPath: TypeAlias = str | Path
"""As Plumbline prints it, or names and positions."""


@dataclass(frozen=True, slots=True)
class Put:
    """A field gets this value, of JSON types; mappings on the way that are not there are made."""

    document: Selector
    path: FieldPath
    value: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """A key of a mapping or an item of a list goes, with the comments inside of it."""

    document: Selector
    path: FieldPath


@dataclass(frozen=True, slots=True)
class Append:
    """A list gets one more item, at its end."""

    document: Selector
    path: FieldPath
    value: Any


Change: TypeAlias = Put | Remove | Append


def edited(text: bytes, changes: Sequence[Change], *, only_scalars: bool = False) -> bytes:
    """The file with all these changes, made at once; places are those of the file as it was. Raises NotEditable.

    What comes back was read again: it says what it said, and at these places what was asked for. `only_scalars`: whatever
    would change more than scalars that are there is refused.
    """
    before = _read(text)
    characters = text.decode().removeprefix("\ufeff")
    nodes = {root.line: root for root in roots(characters)}
    values: list[Any] = [document.value for document in before]
    splices: list[Splice] = []
    located: list[tuple[int, Path, Change]] = []
    for given in changes:
        change = given if isinstance(given, Remove) else replace(given, value=_plain(given.value))
        number, base = document_of(values, change.document)
        document, root = before[number], nodes[before[number].line]
        path = _path(document, base, change.path)
        if only_scalars:
            _require_scalar(root, document, path)
        splices += _splices(characters, root, document, path, change)
        located.append((number, path, change))
    result = _spliced(characters, splices)
    for number, path, change in _in_order(located):
        values[number] = _applied(values[number], path, change)
    after = (b"\xef\xbb\xbf" if text.startswith(b"\xef\xbb\xbf") else b"") + result.encode()
    _prove(values, after, splices, characters)
    return after


def _read(text: bytes) -> list[Document]:
    try:
        return read_documents(text, "")
    except DesiredStateError as error:
        problem = error.problems[0]
        raise NotEditable(problem.message, problem.line or 1, problem.suggestion or "mend it first") from None


def _path(document: Document, base: Path, path: FieldPath) -> Path:
    value = document.value
    for step in base:
        value = value[step]
    found = (*base, *(steps_of(path, value, document.line) if isinstance(path, str) else path))
    if not found:
        raise NotEditable("no field is named", document.line)
    return found


def _plain(value: Any) -> Any:
    """The value as it is read again: whole numbers without a point. Raises NotEditable for what no JSON holds."""
    if isinstance(value, dict):
        return {str(name): _plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotEditable(f"{value} is no number that a manifest can hold", 1, "give a finite number")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, str) and any(0xD800 <= ord(char) < 0xE000 for char in value):
        raise NotEditable("the new value is not Unicode text", 1, "give another value")
    if value is None or isinstance(value, str | int):
        return value
    raise NotEditable("the new value is none that a manifest can hold", 1, "give another value")


def _walked(root: Node, document: Document, path: Path) -> tuple[Node, Any, Path]:
    """The deepest node on the way that is there, its value, and the steps that are not."""
    node, value, rest = root, document.value, path
    while rest:
        if node.kind == "alias":
            raise NotEditable(f"the value is written elsewhere: *{node.anchor} is an alias", node.line)
        step = rest[0]
        if isinstance(step, str) and isinstance(value, dict) and node.kind == "mapping":
            if node.merges:
                raise NotEditable("the mapping merges another into itself (<<)", node.line)
            names = list(value)
            if step not in value:
                break
            position = names.index(step)
        elif isinstance(step, int) and isinstance(value, list) and 0 <= step < len(value):
            position = step
        else:
            break
        node, value, rest = node.members[position], value[step], rest[1:]
    return node, value, rest


def _require_scalar(root: Node, document: Document, path: Path) -> None:
    node, _, rest = _walked(root, document, path)
    if rest or node.kind not in ("scalar", "alias"):
        raise NotEditable("there is no single value at this place", node.line)
    if node.is_block_text:
        raise NotEditable(f"the text stands in a block behind {node.style}", node.line)


def _splices(text: str, root: Node, document: Document, path: Path, change: Change) -> list[Splice]:
    """What is written where for one change."""
    node, value, rest = _walked(root, document, path)
    if isinstance(change, Append):
        if rest or node.kind != "sequence":
            raise NotEditable("there is no list at this place", node.line)
        return [appended(text, _parents(root, document, path), node, change.value)]
    if isinstance(change, Remove):
        if rest:
            raise NotEditable("there is nothing at this place", node.line)
        return [removed(text, _parents(root, document, path))]
    if not rest:
        return [put(text, _parents(root, document, path), node, change.value)]
    if any(isinstance(step, int) for step in rest):
        raise NotEditable("the list has no such item", node.line)
    there = path[: len(path) - len(rest)]
    if node.kind == "scalar" and value is None:
        return [put(text, _parents(root, document, there), node, _nested(rest, change.value))]
    if node.kind != "mapping":
        raise NotEditable("there is no mapping to add a field to", node.line)
    return [appended(text, _parents(root, document, there), node, {rest[0]: _nested(rest[1:], change.value)})]


def _nested(path: Path, value: Any) -> Any:
    for step in reversed(path):
        value = {step: value}
    return value


def _parents(root: Node, document: Document, path: Path) -> list[tuple[Node, int]]:
    """The collections on the way to a place, outermost first, each with the position of its member on it."""
    found: list[tuple[Node, int]] = []
    node, value = root, document.value
    for step in path:
        position = step if isinstance(step, int) else list(value).index(step)
        found.append((node, position))
        node, value = node.members[position], value[step]
    return found


def _spliced(text: str, splices: list[Splice]) -> str:
    pieces: list[str] = []
    at = 0
    for splice in sorted(splices, key=lambda each: (each.start, each.end)):
        if splice.start < at:
            raise NotEditable(
                "two changes meet at one place", text.count("\n", 0, splice.start) + 1, "make one of them"
            )
        pieces += [text[at : splice.start], splice.text]
        at = splice.end
    return "".join([*pieces, text[at:]])


def _in_order(located: list[tuple[int, Path, Change]]) -> list[tuple[int, Path, Change]]:
    """What is taken away comes last and from the end, so that positions stay those of the file as it was."""
    goes = [each for each in located if isinstance(each[2], Remove)]
    stays = [each for each in located if not isinstance(each[2], Remove)]
    return [*stays, *sorted(goes, key=lambda each: [str(step).rjust(9, "0") for step in each[1]], reverse=True)]


def _applied(value: Any, path: Path, change: Change) -> Any:
    """A copy of the value with the change; what it shares with others stays theirs."""
    if not path:
        return (
            [*value, change.value] if isinstance(change, Append) else change.value if isinstance(change, Put) else None
        )
    step, rest = path[0], path[1:]
    if isinstance(value, list):
        assert isinstance(step, int)
        middle = [] if isinstance(change, Remove) and not rest else [_applied(value[step], rest, change)]
        return [*value[:step], *middle, *value[step + 1 :]]
    value = value or {}
    if isinstance(change, Remove) and not rest:
        return {name: member for name, member in value.items() if name != step}
    return {**value, step: _applied(value.get(step), rest, change)}


def _prove(wanted: list[Any], after: bytes, splices: list[Splice], text: str) -> None:
    """Raises NotEditable unless the new text reads as what is wanted, types and order too."""
    line = text.count("\n", 0, min((each.start for each in splices), default=0)) + 1
    try:
        found = [document.value for document in read_documents(after, "")]
    except DesiredStateError:
        found = []
    if repr(found) != repr([value for value in wanted if value is not None]):
        raise NotEditable("this cannot be changed alone: other values would change with it", line)

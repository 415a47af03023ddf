"""Which document and which value of it is meant: by position or object, and by a field path as Plumbline prints it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from worker.domain.errors import Refused
from worker.domain.resource import ResourceKey
from worker.domain.yaml_text import Path

Selector: TypeAlias = int | ResourceKey
"""A document by its position (from 0, empty ones left out), or by the object in it (in a List too)."""


class NotEditable(Refused):
    """A change that cannot be made in this text without touching more than it; `line` (from 1) is where that shows."""

    def __init__(self, reason: str, line: int, next_step: str = "change it by hand") -> None:
        self.line = line
        super().__init__(f"line {line}: {reason}", next_step)


def document_of(values: Sequence[Any], selector: Selector) -> tuple[int, Path]:
    """The position of the document among `values`, and where in it the object stands. Raises NotEditable."""
    if isinstance(selector, int):
        if not 0 <= selector < len(values):
            raise NotEditable(f"there is no document {selector + 1}", 1)
        return selector, ()
    found = [place for place in _objects(values) if _is(selector, _at(values, place))]
    if len(found) != 1:
        said = f"{selector} stands in it {len(found)} times" if found else f"{selector} is not in it"
        raise NotEditable(said, 1)
    return found[0]


def _objects(values: Sequence[Any]) -> list[tuple[int, Path]]:
    places: list[tuple[int, Path]] = []
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            continue
        items = value.get("items")
        if str(value.get("kind", "")).endswith("List") and isinstance(items, list):
            places += [(number, ("items", position)) for position in range(len(items))]
        places.append((number, ()))
    return places


def _at(values: Sequence[Any], place: tuple[int, Path]) -> Any:
    value = values[place[0]]
    for step in place[1]:
        value = value[step]
    return value


def _is(key: ResourceKey, value: Any) -> bool:
    """Whether a manifest is of this object; its namespace may come from elsewhere."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        return False
    group, slash, _ = str(value.get("apiVersion", "")).partition("/")
    named = (group if slash else "", value.get("kind"), metadata.get("name"))
    return named == (key.group, key.kind, key.name) and metadata.get("namespace") in (None, "", key.namespace)


def steps_of(text: str, value: Any, line: int) -> Path:
    """A field path as the value has it: `spec.containers[name=cart].image`, `labels["a.b/c"]`, `args[0]`.

    Names that are not there (yet) are steps too, items that are not there are refused. Raises NotEditable.
    """
    steps: list[str | int] = []
    rest = text
    while rest:
        step, rest = _step(rest, value, text, line)
        steps.append(step)
        value = _below(value, step)
    if not steps:
        raise NotEditable("no field is named", line)
    return tuple(steps)


def _below(value: Any, step: str | int) -> Any:
    if isinstance(value, dict) and isinstance(step, str):
        return value.get(step)
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def _step(rest: str, value: Any, text: str, line: int) -> tuple[str | int, str]:
    """The next step of a path and what is left after it."""
    if rest[0] == "[":
        quote = rest[1:2]
        closing = f"{quote}]" if quote and quote in "\"'" else "]"
        end = rest.find(closing, 2)
        if end < 0:
            raise NotEditable(f"{text}: a bracket has no end", line)
        after = rest[end + len(closing) :].removeprefix(".")
        if closing != "]":
            return rest[2:end], after
        return _position(rest[1:end], value, text, line), after
    if isinstance(value, dict):  # names may have dots in them: what is there decides
        there = [
            name
            for name in value
            if name and rest.startswith(name) and rest[len(name) : len(name) + 1] in ("", ".", "[")
        ]
        if there:
            name = max(there, key=len)
            return name, rest[len(name) :].removeprefix(".")
    end = min((at for mark in ".[" if (at := rest.find(mark)) >= 0), default=len(rest))
    if not end:
        raise NotEditable(f"{text}: a name is empty", line)
    return rest[:end], rest[end:].removeprefix(".")


def _position(inside: str, value: Any, text: str, line: int) -> int:
    """Which item of a list is meant: by position, by its keys (the protocol TCP is the default), or by its value."""
    items = value if isinstance(value, list) else []
    if inside.isdecimal() and int(inside) < len(items):
        return int(inside)
    pairs = [pair.partition("=") for pair in inside.split(",")]
    wanted = {name: given.strip("\"'") for name, equals, given in pairs if equals}
    found = [
        position
        for position, item in enumerate(items)
        if (isinstance(item, dict) and wanted and all(_key(item, name) == given for name, given in wanted.items()))
        or (not isinstance(item, dict) and str(item) == inside.removeprefix("=").strip("\"'"))
    ]
    if "protocol" not in wanted and len(found) > 1:
        found = [position for position in found if _key(items[position], "protocol") == "TCP"] or found
    if len(found) != 1:
        raise NotEditable(f"{text}: [{inside}] names {'several items' if found else 'no item'}", line)
    return found[0]


def _key(item: Any, name: str) -> str | None:
    given = item.get(name) if isinstance(item, dict) else None
    return ("TCP" if name == "protocol" else None) if given is None else str(given)

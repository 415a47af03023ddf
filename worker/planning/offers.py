"""Ways to say in Git what the cluster has of a field, and the changes of files that several of them come to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.edits.changes import Append, Change, Put, Remove, edited
from worker.domain.edits.spelling import block_lines
from worker.domain.yaml_text import Document, Path


@dataclass(frozen=True, slots=True)
class Inside:
    """A change of the YAML that stands as a text at a place of a file's first document."""

    place: Path
    change: Change


@dataclass(frozen=True, slots=True)
class Fragment:
    """A field of the object that `head` names, for a patch of a kustomization that is merged into it.

    A list's item is a step by the keys and values of the items up to it, and is never the last one: kustomize puts the items of
    a patch first, so all those before it are in the patch too.
    """

    head: Mapping[str, Any]
    steps: tuple[Any, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation (RFC 6902) for a patch of a kustomization on the objects that `target` selects."""

    target: Mapping[str, Any]
    operation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to say in Git what the cluster has of a field: the change of one file."""

    file: str
    change: Change | Inside | Fragment | Operation


def changes_of(
    offers: Iterable[Offer], documents: Callable[[str], Sequence[Document]]
) -> dict[str, tuple[Change, ...]]:
    """The changes of each file that these offers come to together. Raises NotEditable."""
    found: dict[str, tuple[Change, ...]] = {}
    several: dict[str, list[Offer]] = {}
    for each in offers:
        several.setdefault(each.file, []).append(each)
    for file, members in several.items():
        parts = [each.change for each in members]
        plain = [each for each in parts if isinstance(each, Put | Append | Remove)]
        inside = [each for each in parts if isinstance(each, Inside)]
        entries = [
            *_merged([each for each in parts if isinstance(each, Fragment)]),
            *_operating([each for each in parts if isinstance(each, Operation)]),
        ]
        value = documents(file)[0].value if inside or entries else None
        changes = [each for position, each in enumerate(plain) if each not in plain[:position]]
        found[file] = (*changes, *_within(inside, value), *_patching(entries, value))
    return found


def _within(parts: Sequence[Inside], value: Any) -> Iterator[Change]:
    for place in dict.fromkeys(each.place for each in parts):
        text = value
        for step in place:
            text = text[step]
        yield Put(0, place, edited(text.encode(), [each.change for each in parts if each.place == place]).decode())


def _merged(fragments: Sequence[Fragment]) -> Iterator[dict[str, Any]]:
    """One patch for each object."""
    heads = [each.head for each in fragments]
    for head in [each for position, each in enumerate(heads) if each not in heads[:position]]:
        body = dict(head)
        for each in fragments:
            if each.head == head:
                _put(body, each.steps, each.value)
        yield {"patch": _text(body)}


def _operating(operations: Sequence[Operation]) -> Iterator[dict[str, Any]]:
    targets = [each.target for each in operations]
    for target in [each for position, each in enumerate(targets) if each not in targets[:position]]:
        ordered = [dict(each.operation) for each in operations if each.target == target]
        yield {"target": dict(target), "patch": _text(ordered)}


def _text(value: Any) -> str:
    return "\n".join(block_lines(value)) + "\n"


def _patching(entries: Sequence[Mapping[str, Any]], value: Any) -> Iterator[Change]:
    """The patches behind those that are there: a later one has the last word."""
    if entries and isinstance(value, dict) and isinstance(value.get("patches"), list):
        yield from (Append(0, ("patches",), entry) for entry in entries)
    elif entries:
        yield Put(0, ("patches",), list(entries))


def _put(node: dict[str, Any], steps: tuple[Any, ...], value: Any) -> None:
    step, rest = steps[0], steps[1:]
    if not rest:
        node[step] = value
    elif isinstance(rest[0], tuple):
        items = node.setdefault(step, [])
        items += [dict(keys) for keys in rest[0][len(items) :]]
        _put(items[len(rest[0]) - 1], rest[1:], value)
    else:
        if not isinstance(node.get(step), dict):
            node[step] = {}
        _put(node[step], rest, value)

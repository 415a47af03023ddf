"""Which value of a chart may make a field as it lives: those that are what the field is now, or a part of its text. Pure.

Only a render tells which one does, so that a value that is the same by chance is not taken for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.edits.changes import Put
from worker.domain.plan import ABSENT
from worker.domain.proposals import Drift
from worker.domain.yaml_text import Path
from worker.planning.offers import Offer

MOST: Final = 10
"""Values that are tried for one field."""

_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


@dataclass(frozen=True, slots=True)
class ValuesFile:
    """A file of values: what it says, the place of that among the chart's values, and whether others read the file.

    `own` is true of what can be changed: the chart's own file and the environment's, not those of a chart inside.
    """

    file: str
    value: Any
    below: Path = ()
    is_shared: bool = False
    is_own: bool = True


def ways(drift: Drift, files: Sequence[ValuesFile]) -> tuple[Offer, ...]:
    """The changes of values that may make the field as it lives; `files` has the one that wins first."""
    names = _tokens(drift.field.path)
    found: list[tuple[tuple[bool, int, bool, int], Offer]] = []
    own = [each for each in files if each.is_own]
    for number, each in enumerate(files):
        for path, value in _values(each.value, each.below):
            new = _instead(value, drift.field.old, drift.field.new)
            if new is ABSENT or (new is None and any(isinstance(step, int) for step in path)):
                continue
            alike = len(names & _tokens(".".join(map(str, path))))
            exact = value == drift.field.old or str(value) == str(drift.field.old)
            for target in own[: number + 1] if each.is_own else own:
                place, said = (path, new) if target is each else _whole(each, path, new)
                if _can_hold(target.value, place):
                    rank = (not exact, -alike, target.is_shared, own.index(target))
                    found.append((rank, Offer(target.file, Put(0, place, said))))
    offers = [offer for _, offer in sorted(found, key=lambda each: each[0])]
    return tuple(each for position, each in enumerate(offers) if each not in offers[:position])[:MOST]


def _values(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every value by its path, of mappings and lists too."""
    if path:
        yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        yield from _values(member, (*path, step))


def _whole(file: ValuesFile, path: Path, new: Any) -> tuple[Path, Any]:
    """What another file has to say for a value of this one: helm merges mappings, but takes a list as a whole."""
    length = next((at for at, step in enumerate(path) if isinstance(step, int)), len(path))
    value = file.value
    for step in path[len(file.below) : length]:
        value = value[step]
    return path[:length], _replaced(value, path[length:], new)


def _replaced(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, list):
        return [_replaced(item, path[1:], new) if at == path[0] else item for at, item in enumerate(value)]
    return {**value, path[0]: _replaced(value[path[0]], path[1:], new)}


def _can_hold(value: Any, path: Path) -> bool:
    """Whether a file of values can say something at a place without a change of what it says elsewhere."""
    for step in path[:-1]:
        if isinstance(step, int):
            return True  # in the very list
        if not isinstance(value, dict):
            return value is None
        value = value.get(step)
    return value is None or isinstance(value, list if isinstance(path[-1], int) else dict)


def _instead(value: Any, old: Any, new: Any) -> Any:
    """What a value would have to be for a field to be the new one; ABSENT where it has no part in the old one."""
    if value is None or isinstance(value, bool) != isinstance(old, bool):
        return ABSENT
    if new is ABSENT:
        return None if value == old else ABSENT  # null takes a value away, also a chart's own
    if value == old:
        return new
    if isinstance(value, dict | list) or not isinstance(old, str | int | float):
        return ABSENT
    if str(value) == str(old):  # a template made a text of a number, or the other way round
        return str(new) if isinstance(value, str) else new
    if not isinstance(old, str) or not isinstance(new, str):
        return ABSENT
    part = _part(str(value), old, new)
    return int(part) if isinstance(value, int) and part is not ABSENT and part.isdecimal() else part


def _part(value: str, old: str, new: str) -> Any:
    """What stands in the new text where the value stands in the old one; all around it has to stay."""
    at = old.find(value) if value else -1
    while at >= 0:
        before, after = old[:at], old[at + len(value) :]
        if len(new) > len(before) + len(after) and new.startswith(before) and new.endswith(after):
            return new[at : len(new) - len(after)]
        at = old.find(value, at + 1)
    return ABSENT


def _tokens(path: str) -> set[str]:
    return {word.lower().rstrip("s") for word in _WORDS.findall(path)}

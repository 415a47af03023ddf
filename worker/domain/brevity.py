"""Differences as a record keeps them: few enough and short enough, whatever somebody has written into the cluster."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from worker.domain.field_text import shortened, sides
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import SecretValue

LISTED: Final = 100
"""Fields that are named at most; the others are counted."""

WHOLE: Final = 2_000
"""Characters of both values of one field that are kept whole, as long as all of them together are not more than ALL_WHOLE."""

ALL_WHOLE: Final = 30_000
BRIEF: Final = 200
"""Characters that are kept of the values of any other field: the part that differs."""

PATH: Final = 300
NAME: Final = 128
"""Characters of a field's path and of its manager's name that are kept; the API server takes no longer name."""

ROOM: Final = 50_000
BESIDE_ROOM: Final = 15_000
TROUBLE_ROOM: Final = 10_000
"""Characters, as JSON, of all that is kept of what differs, of what is beside Git, and of what does not work.

A record keeps five of each (the open episode, and the last news), beside an inventory of half a MiB; it may have 1 MiB in all.
"""

LARGEST: Final = 2_500
"""Characters, as JSON, of one field that is kept short."""

MANAGERS: Final = 3
"""Whoever wrote what differs, that many by name."""


def brief(found: Iterable[Drift], room: int = ROOM) -> tuple[Drift, ...]:
    """The first of some differences, in their order, short enough to be kept: so many as fit into `room`."""
    kept, whole = [], ALL_WHOLE
    for drift in list(found)[:LISTED]:
        size = sum(_size(value) for value in (drift.field.old, drift.field.new))
        whole -= size
        field = drift.field if size <= WHOLE and whole >= 0 else _shortened(drift.field)
        if len(field.path) > PATH:
            field = FieldChange(shortened(field.path, PATH), field.old, field.new)
        short = replace(drift, field=field, manager=shortened(drift.manager, NAME))
        room -= len(json.dumps(short.to_json()))
        if room < 0:
            break
        kept.append(short)
    return tuple(kept)


def is_full(found: Collection[Drift]) -> bool:
    """Whether there may be more beside Git than was kept: no room is left for another one."""
    sizes = [len(json.dumps(each.to_json())) for each in found]
    return len(sizes) >= LISTED or sum(sizes) + max(LARGEST, *sizes, 0) > BESIDE_ROOM


def brief_text(text: str) -> str:
    """A sentence of somebody else's, short enough to be kept."""
    return shortened(text, 2 * BRIEF)


def written_by(found: Iterable[Drift]) -> str:
    """Who wrote what differs: the first by name, and how many more; empty where nobody is known."""
    names = list(dict.fromkeys(shortened(each.manager, NAME) for each in found if each.manager))
    more = f" and {len(names) - MANAGERS} more" if len(names) > MANAGERS else ""
    return f"{', '.join(names[:MANAGERS])}{more}"


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict | list):
        return len(json.dumps(FieldChange("", ABSENT, value).shown()[1]))
    return 0


def _shortened(field: FieldChange) -> FieldChange:
    old, new = sides(field, BRIEF)
    return FieldChange(field.path, *(_side(was, text) for was, text in ((field.old, old), (field.new, new))))


def _side(was: Any, text: str) -> Any:
    return was if was is ABSENT or isinstance(was, SecretValue | bool | int | float | None) else text

"""Differences as a record keeps them: few enough and short enough, whatever somebody has written into the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from worker.domain.field_text import sides
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import SecretValue

LISTED: Final = 100
"""Fields that are named; the others are counted."""

WHOLE: Final = 2_000
"""Characters of both values of one field that are kept whole, as long as all of them together are not more than ALL_WHOLE."""

ALL_WHOLE: Final = 40_000
BRIEF: Final = 200
"""Characters that are kept of the values of any other field: the part that differs. A record may have 1 MiB in all."""


def brief(found: Iterable[Drift]) -> tuple[Drift, ...]:
    """The first of some differences, in their order, with values that are short enough to be kept."""
    kept, room = [], ALL_WHOLE
    for drift in list(found)[:LISTED]:
        size = sum(_size(value) for value in (drift.field.old, drift.field.new))
        room -= size
        kept.append(drift if size <= WHOLE and room >= 0 else replace(drift, field=_shortened(drift.field)))
    return tuple(kept)


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

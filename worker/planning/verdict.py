"""How what happened compares with what was predicted, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from worker.domain.plan import Action, Change, FieldChange

RANDOM: Final = (
    (r"spec\.clusterIPs?(\[.*\])?", "drawn by the server from the Service range"),
    (r"spec\.ports\[.*\]\.nodePort", "drawn by the server from the node port range"),
    (r"spec\.healthCheckNodePort", "drawn by the server from the node port range"),
    (r"spec\.volumeName", "chosen by the volume controller"),
    (r"metadata\.(uid|resourceVersion|generation|creationTimestamp|managedFields).*", "given at the write itself"),
    (r"(spec\.template\.|spec\.selector\.)?.*controller-uid.*", "a uid, drawn at creation"),
    (r"spec\.(selector\.matchLabels|template\.metadata\.labels).*controller-uid.*", "a uid, drawn at creation"),
)
"""Fields that no prediction can know, each with the reason; they are left out of the comparison."""

_RANDOM: Final = tuple(re.compile(pattern) for pattern, _ in RANDOM)
_NOT_DONE: Final = frozenset({Action.UNCHANGED, Action.SKIP, Action.PRUNE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether everything went as predicted; if not, each difference as a sentence.

    `unpredicted` counts the changes that were called unpredictable or not validated beforehand; they are not judged.
    """

    as_predicted: bool
    differences: tuple[str, ...] = ()
    unpredicted: int = 0


def compare(predicted: Iterable[Change], actual: Iterable[Change]) -> Verdict:
    """Predicted against actual writes (prunes are proved by the inventory, not here)."""
    expected = {change.key: change for change in predicted if change.action not in _NOT_DONE}
    happened = {change.key: change for change in actual}
    differences: list[str] = []
    unpredicted = 0
    for key, change in expected.items():
        if change.action is Action.UNPREDICTABLE or change.reason.startswith("not validated"):
            unpredicted += 1
            continue
        seen = happened.get(key)
        if seen is None:
            differences.append(f"{key} was predicted to {change.action}, and nothing was written")
            continue
        differences += _fields(key, change.fields, seen.fields)
    differences += [
        f"{key} was changed without a prediction ({change.action})"
        for key, change in happened.items()
        if key not in expected and change.action is not Action.UNCHANGED
    ]
    return Verdict(not differences, tuple(differences), unpredicted)


def _fields(key: object, predicted: Iterable[FieldChange], actual: Iterable[FieldChange]) -> list[str]:
    expected = {field.path: field for field in predicted if not is_random(field.path)}
    happened = {field.path: field for field in actual if not is_random(field.path)}
    found = []
    for path, field in happened.items():
        if path not in expected:
            found.append(f"{key} {path} became {field.shown()[1]}, which was not predicted")
        elif expected[path].new != field.new:
            found.append(f"{key} {path} became {field.shown()[1]} instead of {expected[path].shown()[1]}")
    found += [f"{key} {path} was predicted to change and did not" for path in expected if path not in happened]
    return found


def is_random(path: str) -> bool:
    """Whether a field is one that no prediction can know."""
    return any(pattern.fullmatch(path) for pattern in _RANDOM)

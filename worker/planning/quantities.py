"""Kubernetes quantities compared by value (apimachinery's resource.Quantity: `1000m` is `1`, `1Gi` is `1024Mi`)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)([eE][+-]?\d+|[a-zA-Zµ]*)")
_SUFFIXES: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_HOLDERS: Final = frozenset({
    "limits", "requests", "capacity", "allocatable", "hard", "used", "overhead", "podFixed", "min", "max", "default",
    "defaultRequest", "maxLimitRequestRatio",
})  # fmt: skip
"""Maps of built-in kinds whose every member is a quantity (core/v1 ResourceList)."""

_FIELDS: Final = frozenset({
    ("emptyDir", "sizeLimit"), ("target", "averageValue"), ("target", "value"), ("resourceFieldRef", "divisor"),
})  # fmt: skip
"""Single fields that are quantities, each below the one that makes it so: an environment variable has a `value` too."""


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix in _SUFFIXES:
        return Decimal(number) * _SUFFIXES[suffix]
    if suffix[:1] in "eE":
        return Decimal(f"{number}{suffix}")
    return None


def may_hold_quantity(path: tuple[str, ...]) -> bool:
    """Whether a field at this path of names is one that Kubernetes types as a quantity."""
    return path[-2:-1] != () and (path[-2] in _HOLDERS or path[-2:] in _FIELDS)


def same_quantity(left: Any, right: Any) -> bool:
    """Whether two values are quantities of the same value."""
    one = quantity(left)
    return one is not None and one == quantity(right)

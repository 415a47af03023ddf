"""Quantities and durations compared by value: `1000m` is `1`, `1Gi` is `1024Mi`, `60m` is `1h0m0s`.

Only where Kubernetes types a field so: an environment variable that holds `1000m` is text, and differs from `1`.
Sources: apimachinery's resource.Quantity, Go's time.ParseDuration, and the API reference for the places.
"""

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
_LARGEST: Final = 64
"""Characters of a number; longer ones are text (the server takes none beyond 2^63)."""

_LISTS: Final = frozenset({"limits", "requests", "capacity", "allocatable", "hard", "used", "overhead", "podFixed"})
"""Maps of resource names to quantities."""

_LIMIT_RANGE: Final = frozenset({"min", "max", "default", "defaultRequest", "maxLimitRequestRatio"})
"""The same in a LimitRange, below its `limits`."""

_SINGLE: Final = frozenset({
    ("emptyDir", "sizeLimit"), ("resourceFieldRef", "divisor"), ("target", "value"), ("target", "averageValue"),
})  # fmt: skip
"""Quantities by themselves, each with its holder: a label or a key of a ConfigMap may have the same name."""

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")
_PART: Final = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
}
_DURATION_NAMES: Final = re.compile(
    r"(?:duration|interval|timeout|period|delay|ttl|renewBefore|backoff)$", re.IGNORECASE
)


def quantity(value: Any) -> Decimal | None:
    """The number that a quantity stands for, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    match = _QUANTITY.fullmatch(text) if len(text) <= _LARGEST else None
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix in _SUFFIXES:
        return Decimal(number) * _SUFFIXES[suffix]
    if suffix[:1] in "eE" and abs(int(suffix[1:] or 0)) < _LARGEST:
        return Decimal(f"{number}{suffix}")
    return None


def may_hold_quantity(path: tuple[str, ...]) -> bool:
    """Whether a field at this path of names (lists do not add to it) is one that Kubernetes types as a quantity."""
    name, holder, above = path[-1], path[-2] if len(path) > 1 else "", path[-3] if len(path) > 2 else ""
    return holder in _LISTS or (holder in _LIMIT_RANGE and above == "limits") or (holder, name) in _SINGLE


def same_quantity(left: Any, right: Any) -> bool:
    """Whether two values are quantities of the same value."""
    one = quantity(left)
    return one is not None and one == quantity(right)


def duration(value: Any) -> Decimal | None:
    """The seconds of a duration as Go writes it (`1h30m`, `500ms`), None where it is none."""
    if not isinstance(value, str) or len(value) > _LARGEST or not _DURATION.fullmatch(value):
        return None
    return sum((Decimal(number) * _SECONDS[unit] for number, unit in _PART.findall(value)), Decimal(0))


def may_hold_duration(path: tuple[str, ...]) -> bool:
    """Whether a field of a spec is one that is named as a duration (`interval`, `requestTimeout`, `timeouts.request`)."""
    return path[:1] == ("spec",) and (
        _DURATION_NAMES.search(path[-1]) is not None or (len(path) > 1 and path[-2] == "timeouts")
    )


def same_duration(left: Any, right: Any) -> bool:
    """Whether two values are durations of the same length."""
    one = duration(left)
    return one is not None and one == duration(right)

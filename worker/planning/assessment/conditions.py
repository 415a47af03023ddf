"""Reading an object's spec, status and conditions without trusting their shape."""

from __future__ import annotations

from typing import Any

from worker.domain.health import Health
from worker.domain.resource import Resource

Judgement = tuple[Health, str]
"""A health and the sentence that says why (empty where there is nothing to say)."""


def spec_of(live: Resource) -> dict[str, Any]:
    """The spec, empty where there is none."""
    value = live.body.get("spec")
    return value if isinstance(value, dict) else {}


def status_of(live: Resource) -> dict[str, Any]:
    """The status, empty where there is none."""
    value = live.body.get("status")
    return value if isinstance(value, dict) else {}


def condition(live: Resource, name: str) -> dict[str, Any] | None:
    """The condition of that type, None where there is none."""
    listed = status_of(live).get("conditions")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("type") == name:
            return each
    return None


def is_true(live: Resource, name: str) -> bool:
    """Whether the condition is there with status True."""
    found = condition(live, name)
    return found is not None and str(found.get("status")) == "True"


def message(found: dict[str, Any] | None, otherwise: str) -> str:
    """What a condition says, in words."""
    return str((found or {}).get("message") or (found or {}).get("reason") or otherwise)


def generation_observed(live: Resource) -> bool:
    """Whether the controller has seen the newest generation (true where it does not say, or not in numbers)."""
    observed = status_of(live).get("observedGeneration")
    if isinstance(observed, str) and observed.isdecimal() and len(observed) < 20:
        observed = int(observed)
    generation = live.metadata.get("generation")
    if not isinstance(observed, int) or not isinstance(generation, int):
        return True
    return observed >= generation


def number(values: dict[str, Any], name: str, default: int = 0) -> int:
    """A whole number of a mapping; the default where there is none (or something else: a status is anybody's)."""
    value = values.get(name)
    return value if isinstance(value, int) else default

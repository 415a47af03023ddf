"""Health of custom resources by what they have in common: conditions, and the words that controllers write as their state.

No kind is named here. A rule that would have to know a kind belongs into the environment's policy.
"""

from __future__ import annotations

import re
from typing import Any, Final

from worker.domain.health import Health
from worker.domain.resource import Resource
from worker.planning.assessment.conditions import Judgement, condition, message, spec_of, status_of

STATES: Final = ("phase", "state", "status", "currentState", "health", "healthStatus", "status_state", "jobStatus")
"""Members of a status that hold one word for the whole of it."""

BAD: Final = re.compile(
    r"^red$|fail|error|degraded|unhealthy|invalid|crash|lost|denied|reject|abort|misconfig|notfound|not found|deadline|exceeded",
    re.IGNORECASE,
)
BUSY: Final = re.compile(
    r"^yellow$|pending|creating|provision|progress|init|install|updating|upgrading|deploying|scaling|reconcil|starting|deleting"
    r"|terminating|waiting|restor|bootstrap|migrat|prepar|schedul|queue|new$|processing|unknown",
    re.IGNORECASE,
)
IDLE: Final = re.compile(r"paused?$|suspend|stopped|hibernat|halted", re.IGNORECASE)

FAILED: Final = re.compile(r"(?:\w+ )?(?:failed|error|unable|cannot|could not|no key)\b", re.IGNORECASE)
"""How messages of failures begin."""

BAD_NAME: Final = re.compile(r"(?:Failed|Failure|Error|Errored)$")
BAD_WHEN_TRUE: Final = frozenset({
    "failed", "degraded", "error", "errored", "configerror", "invalid", "reconcilefailed", "reconcileerror", "failure",
    "replicafailure", "stalled", "unhealthy", "installfailed", "upgradefailed", "releasefailed",
})  # fmt: skip
BUSY_WHEN_TRUE: Final = frozenset(
    {"progressing", "reconciling", "updating", "upgrading", "creating", "deploying", "pending"}
)
IDLE_WHEN_TRUE: Final = frozenset({"paused", "suspended", "stopped", "hibernating"})
GOOD_WHEN_TRUE: Final = ("Ready", "Available", "Healthy", "Succeeded", "Synced", "Complete", "Completed", "Running")


def custom(live: Resource) -> Judgement:
    """What the object itself says of its health; healthy where it says nothing."""
    if spec_of(live).get("suspend") is True or spec_of(live).get("paused") is True:
        return Health.SUSPENDED, "is suspended"
    conditions = _conditions(live)
    if any(_is_old(each, live) for each in conditions):
        return Health.PROGRESSING, "its controller has not seen the change yet"
    for judge in (_broken, _resting):
        for each in conditions:
            if (found := judge(each)) is not None:
                return found
    ready = condition(live, "Ready")
    if ready is not None:
        return _ready(ready)
    word = _state(live)
    if word and (found := _by_word(live, word)) is not None:
        return found
    for each in conditions:
        if str(each.get("status")) == "True" and str(each.get("type", "")).lower() in BUSY_WHEN_TRUE:
            return Health.PROGRESSING, message(each, "is in progress")
    for name in GOOD_WHEN_TRUE:
        if (known := condition(live, name)) is not None and str(known.get("status")) == "False":
            return _ready(known)
    return Health.HEALTHY, ""


def _conditions(live: Resource) -> list[dict[str, Any]]:
    """The conditions of the status, and of each parent in it (Gateway API's routes have theirs there)."""
    status = status_of(live)
    parents = [each for name in ("parents", "ancestors") for each in _mappings(status.get(name))]
    return [each for holder in (status, *parents) for each in _mappings(holder.get("conditions"))]


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _broken(each: dict[str, Any]) -> Judgement | None:
    name, status = str(each.get("type", "")), str(each.get("status"))
    if status == "True" and (name.lower() in BAD_WHEN_TRUE or BAD_NAME.search(name)):
        return Health.DEGRADED, message(each, f"its condition {name} is true")
    negative = name.lower() in BAD_WHEN_TRUE | BUSY_WHEN_TRUE | IDLE_WHEN_TRUE or BAD_NAME.search(name)
    if status == "False" and not negative and (each.get("severity") == "Error" or _is_bad(each)):
        return Health.DEGRADED, message(each, f"its condition {name} is false")
    return None


def _is_bad(found: dict[str, Any]) -> bool:
    reason, said = str(found.get("reason") or ""), str(found.get("message") or "")
    return BAD.search(reason) is not None or FAILED.match(said) is not None


def _is_old(found: dict[str, Any], live: Resource) -> bool:
    seen, generation = found.get("observedGeneration"), live.metadata.get("generation")
    return isinstance(seen, int) and isinstance(generation, int) and seen < generation


def _resting(each: dict[str, Any]) -> Judgement | None:
    if str(each.get("status")) == "True" and str(each.get("type", "")).lower() in IDLE_WHEN_TRUE:
        return Health.SUSPENDED, message(each, "is suspended")
    return None


def _ready(found: dict[str, Any]) -> Judgement:
    if str(found.get("status")) == "True":
        return Health.HEALTHY, ""
    if str(found.get("status")) == "False" and _is_bad(found):
        return Health.DEGRADED, message(found, "is not ready")
    if str(found.get("status")) == "False":
        return Health.PROGRESSING, message(found, "is not ready")
    return Health.PROGRESSING, message(found, "does not know yet whether it is ready")


def _state(live: Resource) -> str:
    status = status_of(live)
    return next((value for name in STATES if isinstance(value := status.get(name), str) and value), "")


def _by_word(live: Resource, word: str) -> Judgement | None:
    said = status_of(live).get("message") or status_of(live).get("reason") or f"its state is {word}"
    for pattern, health in ((BAD, Health.DEGRADED), (IDLE, Health.SUSPENDED), (BUSY, Health.PROGRESSING)):
        if pattern.search(word):
            return health, str(said)
    return None

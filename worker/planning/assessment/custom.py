"""Health of custom resources by what they have in common: conditions, and the words that controllers write as their state.

No kind is named here. A rule that would have to know a kind belongs into the environment's policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from worker.domain.health import Health
from worker.domain.resource import Resource
from worker.planning.assessment.conditions import Judgement, condition, message, spec_of, status_of

_T = TypeVar("_T")

PAUSES: Final = ("suspend", "suspended", "paused", "pause")
PAUSED: Final = re.compile(r"/(?:.*-)?(?:paused?|suspend(?:ed)?)$")
"""Annotations by which a controller is told to leave an object alone."""

STATES: Final = ("phase", "state", "status", "currentState", "health", "healthStatus", "status_state", "jobStatus")
"""Members of a status that hold one word for the whole of it."""

STATE_NAME: Final = re.compile(r"(?:status|state|phase)$", re.IGNORECASE)
"""How such a member is called where none of those is there (`overallStatus`, `certificateStatus`)."""

PARTS: Final = ("phase", "state", "status", "health")
"""Members that hold the word for one part of the object, in a list or mapping of parts."""

BAD: Final = re.compile(
    r"^red$|fail|error|degraded|unhealthy|invalid|crash|lost|denied|reject|abort|misconfig|notfound|not found|deadline|exceeded"
    r"|timed ?out",
    re.IGNORECASE,
)
BUSY: Final = re.compile(
    r"^yellow$|pending|creating|provision|progress|init|install|updating|upgrading|deploying|scaling|reconcil|starting|deleting"
    r"|terminating|waiting|restor|bootstrap|migrat|prepar|schedul|queue|new$|processing|stopping|not_?(?:ready|reconciled)$",
    re.IGNORECASE,
)
UNSURE: Final = re.compile(r"^unknown$", re.IGNORECASE)
GOOD: Final = re.compile(r"(?:completed?|succeeded|success|ready|healthy|active|bound)", re.IGNORECASE)
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
DONE: Final = re.compile(r"available$|complete|succe", re.IGNORECASE)
"""Reasons of a Progressing that stays true after the progress has ended, as Deployment's does."""

TAKEN: Final = frozenset({"accepted", "admitted", "valid"})
"""Conditions by which a controller refuses an object."""

HALF: Final = re.compile(r"(?:not|partially)ready$", re.IGNORECASE)
"""Names that say by being true that not all is ready; where a Ready is true as well, that one counts."""

GOOD_NAME: Final = re.compile(
    r"(?:ready|available|(?<!un)healthy|succeeded|success|synced|completed?|running|reconciled|programmed|admitted|applied)$",
    re.IGNORECASE,
)
"""Names of conditions that are true when all is well."""


def custom(live: Resource) -> Judgement:
    """What the object itself says of its health; healthy where it says nothing."""
    if any(spec_of(live).get(name) is True for name in PAUSES) or _is_paused_by_annotation(live):
        return Health.SUSPENDED, "is suspended"
    conditions = _conditions(live)
    if any(_is_old(each, live) for each in conditions):
        return Health.PROGRESSING, "its controller has not seen the change yet"
    if (found := _first(_broken, conditions) or _first(_resting, conditions)) is not None:
        return found
    if (ready := condition(live, "Ready")) is not None:
        return _ready(ready)
    if (found := _first(lambda judge: judge(live), (_by_words, _by_part, _by_flag, _by_count))) is not None:
        return found
    if (found := _first(_unfinished, conditions)) is not None:
        return found
    if status_of(live).get("conditions") == []:
        return Health.PROGRESSING, "its controller has begun, and says nothing yet"
    return Health.HEALTHY, ""


def _first(judge: Callable[[_T], Judgement | None], things: Iterable[_T]) -> Judgement | None:
    return next((found for each in things if (found := judge(each)) is not None), None)


def _is_paused_by_annotation(live: Resource) -> bool:
    return any(PAUSED.search(name) and value == "true" for name, value in live.annotations.items())


def _conditions(live: Resource) -> list[dict[str, Any]]:
    """The conditions of the status, and of each part listed in it (Gateway API's routes have theirs by parent)."""
    status = status_of(live)
    parts = [each for value in status.values() for each in _mappings(value)]
    return [each for holder in (status, *parts) for each in _mappings(holder.get("conditions"))]


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _broken(each: dict[str, Any]) -> Judgement | None:
    name, status = str(each.get("type", "")), str(each.get("status"))
    if status == "True" and (name.lower() in BAD_WHEN_TRUE or BAD_NAME.search(name)):
        return Health.DEGRADED, message(each, f"its condition {name} is true")
    negative = name.lower() in BAD_WHEN_TRUE | BUSY_WHEN_TRUE | IDLE_WHEN_TRUE or BAD_NAME.search(name)
    if name == "Progressing" and status == "False" and is_failure(each):
        return Health.DEGRADED, message(each, "makes no progress")
    if status == "False" and not negative and (each.get("severity") == "Error" or is_failure(each)):
        return Health.DEGRADED, message(each, f"its condition {name} is false")
    return None


def is_failure(found: dict[str, Any]) -> bool:
    """Whether a condition that is not true names a failure, and not only that it is too early."""
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
    if str(found.get("status")) == "False" and is_failure(found):
        return Health.DEGRADED, message(found, "is not ready")
    if str(found.get("status")) == "False":
        return Health.PROGRESSING, message(found, "is not ready")
    return Health.PROGRESSING, message(found, "does not know yet whether it is ready")


def _unfinished(each: dict[str, Any]) -> Judgement | None:
    """What has begun and not ended, by one condition."""
    name, status = str(each.get("type", "")), str(each.get("status"))
    if name.lower() in BUSY_WHEN_TRUE and status == "True" and not DONE.search(str(each.get("reason") or "")):
        return Health.PROGRESSING, message(each, "is in progress")
    if HALF.search(name):
        return (Health.DEGRADED, message(each, f"its condition {name} is true")) if status == "True" else None
    if name.lower() in TAKEN and status == "False":
        return Health.DEGRADED, message(each, f"its condition {name} is false")
    if GOOD_NAME.search(name) and status != "True":
        return _ready(each)
    return None


def _by_part(live: Resource) -> Judgement | None:
    """The first part in trouble, where the status lists parts that have a word each."""
    for name, value in status_of(live).items():
        holders = [value, *value.values()] if isinstance(value, dict) else value
        for part in _mappings(holders):
            for word in (part.get(member) for member in PARTS):
                if isinstance(word, str) and (BAD.search(word) or word.lower() == "warning"):
                    return Health.DEGRADED, str(part.get("message") or part.get("reason") or f"{name}: {word}")
    return None


def _by_flag(live: Resource) -> Judgement | None:
    status = status_of(live)
    if status.get("healthy") is False:
        return Health.DEGRADED, str(status.get("message") or "says that it is not healthy")
    if status.get("ready") is False:
        return Health.PROGRESSING, str(status.get("message") or "says that it is not ready")
    return None


def _by_count(live: Resource) -> Judgement | None:
    """Replicas, where the object counts them as a Deployment does."""
    wanted, status = spec_of(live).get("replicas"), status_of(live)
    for name, words in (("updatedReplicas", "updated"), ("readyReplicas", "ready"), ("availableReplicas", "available")):
        have = status.get(name)
        if type(wanted) is int and type(have) is int and have < wanted:
            return Health.PROGRESSING, f"{have} of {wanted} replicas {words}"
    return None


def _states(live: Resource) -> list[str]:
    """The words for the whole of it: those of the members known for it, else of those that are named like them."""
    status = status_of(live)
    named = [name for name in status if STATE_NAME.search(name)]
    words = [
        [value for name in names if isinstance(value := status.get(name), str) and value] for names in (STATES, named)
    ]
    return words[0] or words[1]


def _by_words(live: Resource) -> Judgement | None:
    status, words = status_of(live), _states(live)
    for pattern, health in (
        (BAD, Health.DEGRADED),
        (UNSURE, Health.UNKNOWN),
        (IDLE, Health.SUSPENDED),
        (BUSY, Health.PROGRESSING),
    ):
        for word in words:
            if pattern.search(word):
                return health, str(status.get("message") or status.get("reason") or f"its state is {word}")
    return (Health.HEALTHY, "") if words and GOOD.fullmatch(words[0]) else None

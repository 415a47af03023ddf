"""One object judged: what is desired, what is live and what the server said of a dry run, made into a Change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.environment import Policy
from worker.domain.errors import Conflict, Denied, FieldOwner, Moved, Problem, Unavailable
from worker.domain.plan import ABSENT, Action, Change, FieldChange
from worker.domain.resource import Resource
from worker.domain.scrubbing import scrubbed_text
from worker.planning.claims import TAKEN
from worker.planning.deletion import held_up, is_going
from worker.planning.diffing import NOISE, field_changes, specified_differences, status_changes
from worker.planning.hooks import placing
from worker.planning.leaving import Leaving
from worker.planning.proof import Proof
from worker.planning.verdict import is_random

IMMUTABLE: Final = re.compile(
    r"field is immutable|is immutable|may not be changed|may not change once set|cannot be changed"
    r"|updates to .* (?:are|is) forbidden"
    r"|forbidden: .*may not change fields|immutable after creation",
    re.IGNORECASE,
)
"""How the API server's validation says that a field cannot change (apimachinery's FieldImmutableErrorMsg and older texts)."""

MADE_NULL: Final = re.compile(r'Invalid value: "null"')
"""Measured on 1.37, with kubectl too: `a: {b: c}` applied, then `a: {}`, is refused as `a: null`."""

EXPECTED_TEXT: Final = re.compile(r"(?P<path>\S+): expected string, got ")
"""What structured-merge-diff says of a value of another type; measured on 1.37."""

MOST_READINGS: Final = 3

OWN_MANAGERS: Final = "plumbline:"

NO_DRY_RUN: Final = re.compile(r'admission webhook "(?P<name>[^"]+)" does not support dry run')
WEBHOOK_DOWN: Final = re.compile(r'failed calling webhook "(?P<name>[^"]+)"')
WEBHOOK_DENIED: Final = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request')
POLICY_DENIED: Final = re.compile(r"ValidatingAdmissionPolicy .* denied request")
TERMINATING: Final = re.compile(r"being terminated")
"""How the namespace lifecycle's admission refuses what would be made in a namespace that is being deleted."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What the server said: the resulting object, or why it refused, or (`virtual`) why it could not be asked yet.

    `forced` names the owners whose fields are taken, `kept` those whose fields are left to them. `afresh` is what it said
    of the object made anew, where it can only be made again. `leaving` are the fields that are no longer specified and that
    others own too; `result` is without those that are taken. `asked` is the live object that it is about, which may be newer
    than the one that was read first.
    """

    result: Resource | None
    error: Denied | Conflict | None = None
    forced: tuple[FieldOwner, ...] = ()
    kept: tuple[FieldOwner, ...] = ()
    virtual: str = ""
    afresh: DryRun | None = None
    leaving: tuple[Leaving, ...] = ()
    asked: Resource | None = None


def judge(
    desired: Resource, live: Resource | None, dry_run: DryRun | None, proof: Proof | None, policy: Policy
) -> Change | Problem:
    """The change of one object, or the problem that its author has to mend."""
    if live is not None and is_going(live):
        return _made_again(desired, live, dry_run)
    if proof is not None and proof.unchanged:
        return _change(desired, live, Action.UNCHANGED, proof.reason)
    if dry_run is None:
        return _change(desired, live, Action.UNPREDICTABLE, "the server was not asked")
    if dry_run.virtual and live is not None:
        return _change(desired, live, Action.UNPREDICTABLE, dry_run.virtual)
    if dry_run.virtual:
        fields = field_changes(None, desired.body)
        return Change(
            desired.key, desired.version, Action.CREATE, f"not validated: {dry_run.virtual}", fields, "", desired.source
        )
    if isinstance(dry_run.error, Conflict):
        return _conflict(desired, dry_run.error)
    if dry_run.error is not None:
        return _denied(desired, live, dry_run, policy)
    assert dry_run.result is not None
    predicted = dry_run.result
    if live is None or live.uid != predicted.uid:
        return _change(desired, None, Action.CREATE, "", predicted)
    if _fields(desired, live, predicted):
        return _change(desired, live, Action.CONFIGURE, _taken(dry_run), predicted)
    if _content(live) != _content(predicted):
        return _change(desired, live, Action.CONFIGURE, "a value is written otherwise, and means the same", predicted)
    if _ownership(live) == _ownership(predicted):
        return _change(desired, live, Action.UNCHANGED)
    return _change(
        desired, live, Action.CONFIGURE, _taken(dry_run) or "only the ownership of fields changes", predicted
    )


def _change(
    desired: Resource, live: Resource | None, action: Action, reason: str = "", predicted: Resource | None = None
) -> Change:
    fields = _fields(desired, live, predicted) if predicted is not None else ()
    uid = live.uid if live else ""
    return Change(desired.key, desired.version, action, reason, fields, uid, desired.source)


def _fields(desired: Resource, live: Resource | None, predicted: Resource) -> tuple[FieldChange, ...]:
    before = live.body if live else None
    status = status_changes(before, predicted.body) if "status" in desired.body else ()
    return (*field_changes(before, predicted.body), *status)


def _taken(dry_run: DryRun) -> str:
    taken = [*dry_run.forced, *(owner for field in dry_run.leaving if field.taken for owner in field.owners)]
    owners = ", ".join(sorted({owner.manager for owner in taken}))
    return f"takes fields from {owners}" if owners else ""


def _content(resource: Resource) -> object:
    """Everything but what the server writes by itself."""
    metadata = {name: value for name, value in resource.metadata.items() if ("metadata", name) not in NOISE}
    metadata["annotations"] = {
        name: value for name, value in resource.annotations.items() if ("metadata", "annotations", name) not in NOISE
    }
    return {**resource.body, "metadata": metadata, "status": None}


def _ownership(resource: Resource) -> object:
    """managedFields without their times: which manager owns which fields how. What is in a status is nobody's plan."""
    return sorted(
        (
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("subresource", ""),
            entry.get("apiVersion", ""),
            repr(entry.get("fieldsV1")),
        )
        for entry in resource.metadata.get("managedFields") or ()
        if entry.get("subresource") != "status"
    )


def _conflict(desired: Resource, conflict: Conflict) -> Problem:
    ours = sorted({owner.manager for owner in conflict.owners if owner.manager.startswith(OWN_MANAGERS)})
    if ours:
        other = ours[0].removeprefix(OWN_MANAGERS)
        return _problem(
            desired,
            f"belongs to the environment {other} already; an object can be in one environment only",
            "remove it from one of the two",
        )
    owners = ", ".join(sorted({f"{owner.manager} ({owner.operation})" for owner in conflict.owners}))
    fields = ", ".join(owner.field for owner in conflict.owners[:4])
    more = f" and {len(conflict.owners) - 4} more" if len(conflict.owners) > 4 else ""
    return _problem(
        desired,
        f"{fields}{more}: owned by the field manager {owners}, which is not overruled",
        "remove the field here, or let that manager give it up",
    )


def is_passing(error: Exception) -> bool:
    """Whether a failed write may succeed later without a change of the manifest."""
    return isinstance(error, Unavailable | Moved) or (
        isinstance(error, Denied)
        and WEBHOOK_DOWN.search(error.message) is not None
        and not WEBHOOK_DENIED.search(error.message)
    )


def needs_recreation(live: Resource | None, error: Denied | Conflict | None) -> bool:
    """Whether the server refuses a change only because a field of the live object is immutable."""
    return (
        live is not None
        and isinstance(error, Denied)
        and error.code in (409, 422)
        and not WEBHOOK_DENIED.search(error.message)
        and not POLICY_DENIED.search(error.message)
        and IMMUTABLE.search(error.message) is not None
    )


def may_recreate(desired: Resource, policy: Policy) -> bool:
    """Whether an object may be deleted and made again: policy names its kind, or it is a hook, which is made to run."""
    return desired.key.group_kind in policy.recreate or placing(desired).is_hook


def _made_again(desired: Resource, live: Resource, dry_run: DryRun | None) -> Change | Problem:
    """What is deleted already and still desired: it is made again once it is gone."""
    fresh = dry_run.afresh if dry_run is not None else None
    if fresh is not None and isinstance(fresh.error, Denied) and not TAKEN.search(fresh.error.message):
        outcome = _denied(desired, None, fresh, Policy())
        if isinstance(outcome, Problem):
            return outcome
    reason = f"not validated: it is being deleted, {held_up(live)}, and is made again once it is gone"
    fields = field_changes(live.body, fresh.result.body) if fresh is not None and fresh.result is not None else ()
    return Change(desired.key, desired.version, Action.RECREATE, reason, fields, live.uid, desired.source)


def _recreate(desired: Resource, live: Resource, dry_run: DryRun) -> Change | Problem:
    assert isinstance(dry_run.error, Denied)
    reason = f"a field of it is immutable: {_sentence(dry_run.error.message)}"
    fresh = dry_run.afresh
    if fresh is None or fresh.result is None:
        if fresh is not None and isinstance(fresh.error, Denied) and not TAKEN.search(fresh.error.message):
            return _problem(
                desired, _sentence(fresh.error.message), "mend it: the object could not be made again as it is written"
            )
        unknown = Action.UNPREDICTABLE if fresh is None else Action.RECREATE
        return Change(
            desired.key,
            desired.version,
            unknown,
            reason,
            specified_differences(desired, live),
            live.uid,
            desired.source,
        )
    wanted = {field.path for field in specified_differences(desired, live)}
    fields = tuple(
        field
        for field in field_changes(live.body, fresh.result.body)
        if field.path in wanted or not is_random(field.path)
    )
    return Change(desired.key, desired.version, Action.RECREATE, reason, fields, live.uid, desired.source)


def _denied(desired: Resource, live: Resource | None, dry_run: DryRun, policy: Policy) -> Change | Problem:
    assert isinstance(dry_run.error, Denied)
    denied, message = dry_run.error, dry_run.error.message
    if match := NO_DRY_RUN.search(message):
        reason = f"the admission webhook {match['name']} does not support dry runs"
        return _change(desired, live, Action.UNPREDICTABLE, reason)
    if (match := WEBHOOK_DOWN.search(message)) and not WEBHOOK_DENIED.search(message):
        reason = f"the admission webhook {match['name']} does not answer"
        return _change(desired, live, Action.UNPREDICTABLE, reason)
    if live is not None and needs_recreation(live, denied):
        if may_recreate(desired, policy):
            return _recreate(desired, live, dry_run)
        return _problem(
            desired,
            _sentence(message),
            f"restore the field, or allow {desired.key.group_kind} in the environment's policy.recreate",
        )
    if live is not None and MADE_NULL.search(message):
        return _problem(
            desired,
            f"{_sentence(message)}: the API server makes null of an empty map in place of fields that were applied before",
            "leave the field out in one commit, and write it as {} in the next",
        )
    if denied.reason == "NotServed":
        return _problem(desired, message, "change its apiVersion to one that the server serves")
    if denied.code == 404 and desired.key.namespace:
        return _problem(
            desired,
            f"the namespace {desired.key.namespace} does not exist",
            f"create it, or add a Namespace {desired.key.namespace} to the environment",
        )
    if denied.code == 413:
        return _problem(desired, _sentence(message), "make it smaller, or make several objects of it")
    if TERMINATING.search(message):
        return _problem(
            desired,
            f"the namespace {desired.key.namespace} is being deleted",
            "wait until it is gone; then it has to be made again before anything can be in it",
        )
    if denied.code == 403 and not WEBHOOK_DENIED.search(message) and "denied" not in message:
        return _problem(desired, _sentence(message), "give Plumbline's identity this right, or remove the object")
    return _problem(desired, _sentence(message), quoting(desired, message) or "mend it and push again")


def quoting(desired: Resource, message: str) -> str:
    """The way out where the server expected text and YAML has read a word as something else; empty for anything else."""
    said = []
    for match in EXPECTED_TEXT.finditer(message):
        path = match["path"].lstrip(".")
        value = _value_at(desired.body, path)
        if isinstance(value, bool):
            said.append(f"{path} is read as {'true, like y, yes and on' if value else 'false, like n, no and off'}")
        elif isinstance(value, int | float):
            said.append(f"{path} is read as the number {value}")
    return f"{'; '.join(said[:MOST_READINGS])}: put it in quotes" if said else ""


def _value_at(value: Any, path: str) -> Any:
    """The value at a path as the server writes it: `spec.containers[name="a"].env[0].value`; ABSENT where there is none."""
    while path:
        if path[0] == "[":
            inside, _, path = path[1:].partition("]")
            value = _item(value, inside)
        elif isinstance(value, dict):
            name = max((name for name in value if _begins(path, name)), key=len, default=None)
            if name is None:
                return ABSENT
            value, path = value[name], path[len(name) :]
        else:
            return ABSENT
        path = path.removeprefix(".")
    return value


def _begins(path: str, name: str) -> bool:
    """Whether a path goes on with this key, which may hold dots itself."""
    return path.startswith(name) and path[len(name) : len(name) + 1] in ("", ".", "[")


def _item(items: Any, selector: str) -> Any:
    if not isinstance(items, list):
        return ABSENT
    if selector.isdigit():
        return items[int(selector)] if int(selector) < len(items) else ABSENT
    pairs = dict(pair.split("=", 1) for pair in selector.split(",") if "=" in pair)
    wanted = {name: text.strip('"') for name, text in pairs.items()}
    for item in items:
        if wanted and isinstance(item, dict) and all(str(item.get(name)) == text for name, text in wanted.items()):
            return item
    return ABSENT


def _sentence(message: str) -> str:
    """The server's words without its preamble: `Deployment.apps "cart" is invalid: spec.x: …` starts at the field."""
    text = re.sub(r'^\S+ "[^"]*" is invalid: ', "", message)
    text = scrubbed_text(re.sub(r"^(?:\.|error: )", "", text).strip())
    return text if len(text) <= 400 else text[:397] + "…"


def _problem(desired: Resource, message: str, suggestion: str) -> Problem:
    source = desired.source
    return Problem(
        message,
        file=source.file if source else None,
        line=source.line if source else None,
        where=str(desired.key),
        suggestion=suggestion,
    )

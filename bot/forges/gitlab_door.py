"""GitLab's deliveries: told from forged ones, and read. Pure; headers and body as they came, the clock as given.

GitLab proves itself by a secret token that it repeats in a header, and, where a signing key is configured, by a
signature in the manner of Standard Webhooks. https://docs.gitlab.com/user/project/integrations/webhooks/
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from bot.forges.payloads import below, document, header, name_of, number_of, project_of
from bot.forges.port import Hint, Rejected

TOLERANCE: Final = 300
"""How many seconds a signature's time may be away from ours (Standard Webhooks)."""

KEY_PREFIX: Final = "whsec_"
SIGNATURE_VERSION: Final = b"v1,"

PUSH, MERGE_REQUEST, NOTE = "Push Hook", "Merge Request Hook", "Note Hook"
KINDS: Final = {PUSH: "push", MERGE_REQUEST: "merge_request", NOTE: "note"}
"""The events that are read, and what their bodies call themselves."""

BRANCHES: Final = "refs/heads/"

WITHOUT_EFFECT: Final = frozenset({
    "assignees", "description", "discussion_locked", "labels", "last_edited_at", "last_edited_by_id", "milestone_id",
    "reviewers", "time_estimate", "total_time_spent", "updated_at", "updated_by_id",
})  # fmt: skip
"""Changes of a merge request that change no prediction."""


def signing_key(secret: str) -> bytes:
    """The key in a signing token (`whsec_` and base64). Raises ValueError where it is something else."""
    if not secret.startswith(KEY_PREFIX):
        raise ValueError(f"a signing token begins with {KEY_PREFIX}")
    try:
        key = base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"a signing token is {KEY_PREFIX} and base64") from None
    if len(key) < 16:
        raise ValueError("a signing token holds at least 16 bytes")
    return key


def verify(headers: Mapping[str, str], body: bytes, secret: bytes, now: float) -> None:
    """Raises Rejected(401) unless GitLab sent this: by the token, or by the signature where `secret` is a signing token.

    A signing token begins with `whsec_`, and settings hold that no other secret does. With one, the plain token is not
    enough, and the signed time may be at most TOLERANCE seconds away from `now` (Unix time).
    """
    if secret.startswith(KEY_PREFIX.encode()):
        _verify_signature(headers, body, signing_key(secret.decode()), now)
    elif not secret or not hmac.compare_digest(_raw(headers, "X-Gitlab-Token"), secret):
        raise Rejected(401, "X-Gitlab-Token is missing or not the secret: check the webhook's secret on both sides")


def _verify_signature(headers: Mapping[str, str], body: bytes, key: bytes, now: float) -> None:
    identity, moment = _raw(headers, "webhook-id"), _raw(headers, "webhook-timestamp")
    digest = hmac.digest(key, b".".join((identity, moment, body)), hashlib.sha256)
    expected = SIGNATURE_VERSION + base64.b64encode(digest)
    given = _raw(headers, "webhook-signature").split(b" ")
    matches = [hmac.compare_digest(each, expected) for each in given]
    if not identity or not any(matches):
        raise Rejected(401, "webhook-signature is missing or not made with the signing key")
    if not moment.isdigit() or len(moment) > 12 or abs(int(moment) - now) > TOLERANCE:
        raise Rejected(401, f"webhook-timestamp is more than {TOLERANCE} seconds away from this server's clock")


def read(headers: Mapping[str, str], body: bytes) -> Hint | None:
    """Where there is something to look at; None for what is of no concern. Raises Rejected (400, 415)."""
    event = header(headers, "X-Gitlab-Event")
    if event not in KINDS:
        return None
    payload = document(headers, body)
    if payload.get("object_kind") != KINDS[event]:
        raise Rejected(400, "X-Gitlab-Event and the body name different events")
    delivery = delivery_id(headers, body)
    if event == PUSH:
        return _push(payload, delivery)
    return _note(payload, delivery) if event == NOTE else _merge_request(payload, delivery)


def delivery_id(headers: Mapping[str, str], body: bytes) -> str:
    """What tells a delivery from others and is the same when it is sent again.

    Not X-Gitlab-Event-UUID, which hooks that set off each other share. Before GitLab 17.4 there is only the body.
    """
    given = header(headers, "webhook-id") or header(headers, "Idempotency-Key")
    return given if 0 < len(given) <= 128 and given.isascii() else hashlib.sha256(body).hexdigest()


def _push(payload: Mapping[str, Any], delivery: str) -> Hint | None:
    ref = name_of(payload.get("ref"), "ref")
    if not ref.startswith(BRANCHES):
        return None
    return Hint(_project(payload), delivery, branch=name_of(ref.removeprefix(BRANCHES), "ref"))


def _merge_request(payload: Mapping[str, Any], delivery: str) -> Hint | None:
    changes = below(payload, "changes")
    names = set(changes) if isinstance(changes, Mapping) else set()
    has_moved = bool(below(payload, "object_attributes", "oldrev"))
    is_update = below(payload, "object_attributes", "action") == "update"
    if is_update and names and names <= WITHOUT_EFFECT and not has_moved:
        return None
    number = number_of(below(payload, "object_attributes", "iid"), "object_attributes.iid")
    return Hint(_project(payload), delivery, number=number)


def _note(payload: Mapping[str, Any], delivery: str) -> Hint | None:
    """A new comment of a person on a merge request; an edited one, GitLab's own notes and confidential ones are none."""
    note = below(payload, "object_attributes")
    if below(note, "noteable_type") != "MergeRequest" or below(note, "system") or below(note, "internal"):
        return None
    if payload.get("event_type") == "confidential_note" or not _is_new(note):
        return None
    number = number_of(below(payload, "merge_request", "iid"), "merge_request.iid")
    comment = number_of(note.get("id"), "object_attributes.id")
    return Hint(_project(payload), delivery, number=number, comment=str(comment))


def _is_new(note: Mapping[str, Any]) -> bool:
    """Whether the note was just made; before GitLab 16.11 its times alone say so."""
    if "action" in note:
        return bool(note["action"] == "create")
    return note.get("created_at") is not None and note.get("created_at") == note.get("updated_at")


def _project(payload: Mapping[str, Any]) -> str:
    return project_of(below(payload, "project", "path_with_namespace"), "project.path_with_namespace")


def _raw(headers: Mapping[str, str], name: str) -> bytes:
    """A header's bytes: WSGI hands them over as latin-1, and comparing texts would raise on what is not ASCII."""
    return header(headers, name).encode("latin-1", "replace")

"""The fingerprint of a plan: what a confirmation is bound to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any, Final

from worker.domain.plan import ABSENT, Action, Change, FieldChange
from worker.domain.resource import SecretValue
from worker.planning.verdict import is_random

_RFC4648: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def fingerprint(key: bytes, environment: str, changes: Iterable[Change]) -> str:
    """32 characters of Crockford's base32 over what a plan does.

    Covers the environment, and of every change that would happen: key, action, new values (secrets by a keyed digest)
    and the uid of what is deleted. Old values are not in it: a plan that leads to the same state is the same plan; nor
    are fields of new objects that the server draws anew in each dry run, or no code would ever fit.
    """
    facts = [
        [
            *change.key.to_json().values(),
            str(change.action),
            change.uid if change.action in (Action.PRUNE, Action.RECREATE) else "",
            [[field.path, _canonical(field.new, key)] for field in change.fields if not _is_drawn(change, field)],
        ]
        for change in changes
        if change.action not in (Action.UNCHANGED, Action.SKIP)
    ]
    text = json.dumps([environment, sorted(facts, key=json.dumps)], sort_keys=True)
    digest = hmac.new(key, b"plan\0" + text.encode(), hashlib.sha256).digest()[:20]
    return base64.b32encode(digest).decode().translate(str.maketrans(_RFC4648, _CROCKFORD))


def _is_drawn(change: Change, field: FieldChange) -> bool:
    return change.action in (Action.CREATE, Action.RECREATE) and is_random(field.path)


def _canonical(value: Any, key: bytes) -> Any:
    if value is ABSENT:
        return {"absent": True}
    if isinstance(value, SecretValue):
        return {"secret": value.digest(key)}
    if isinstance(value, dict):
        return {name: _canonical(member, key) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(member, key) for member in value]
    return value

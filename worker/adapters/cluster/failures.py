"""The API server's Status made into our words, without ever quoting a Secret.

A patch error may echo the object that was sent (CVE-2025-23216 shows four ways). So: for a Secret the server's message
is not used at all, only its reason and the names of fields; for everything else the text is scrubbed of every secret
value that the program knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from worker.adapters.cluster.connection import Answer
from worker.domain.errors import Conflict, Denied, FieldOwner, Unavailable
from worker.domain.resource import MASK, ResourceKey

_MANAGER: Final = re.compile(r'conflict with "(?P<manager>[^"]*)"(?: with subresource "(?P<sub>[^"]*)")?(?P<rest>.*)')
_TYPED_PATCH: Final = re.compile(r"failed to create typed patch object \([^)]*\): ?(?P<cause>.*)", re.DOTALL)
_VALUE_ECHO: Final = re.compile(r"&value\.\w+\{.*?\}(?=[,\s]|$)|got &?\w*\{.*", re.DOTALL)
_LONG_ECHO: Final = re.compile(r"(?<=Invalid value: )[\[{\"].{160,}?[\]}\"](?=: )", re.DOTALL)
"""A rejected value that is quoted whole, before the reason; a Pod template has thousands of characters."""

_SAFE_WORDS: Final = re.compile(
    r'admission webhook "[^"]+" (?:does not support dry run|denied the request)|failed calling webhook "[^"]+"'
    r"|field is immutable|being terminated"
)
"""What of a message about a Secret may be said: words of the API server's own, which hold no value."""

_FIELD: Final = re.compile(r"(?:^|[\s:])(\.[A-Za-z][\w.\-\[\]=\"]*)")


def status_of(answer: Answer) -> dict[str, Any]:
    """The Status object of an answer, or one made of its HTTP status where the body is not one."""
    try:
        document = answer.json()
    except Unavailable:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status":
        return document
    return {"kind": "Status", "code": answer.status, "reason": "", "message": f"HTTP {answer.status}"}


def is_author_mistake(status: Mapping[str, Any]) -> bool:
    """Whether a 500 is about the manifest: an unknown or wrongly typed field fails before validation runs."""
    message = str(status.get("message", ""))
    return "typed patch object" in message or "field not declared in schema" in message


def conflict_owners(status: Mapping[str, Any]) -> tuple[FieldOwner, ...]:
    """Who owns what, of a 409 with FieldManagerConflict causes; empty for a 409 of another sort."""
    owners = []
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") != "FieldManagerConflict":
            continue
        match = _MANAGER.match(str(cause.get("message", "")))
        manager = match["manager"] if match else "unknown"
        operation = "Update" if match and " using " in match["rest"] else "Apply"
        if match and match["sub"]:
            operation = f"Update:{match['sub']}"
        owners.append(FieldOwner(manager, operation, str(cause.get("field", "")).lstrip(".")))
    return tuple(owners)


def failure(key: ResourceKey, answer: Answer, scrubbed: Mapping[str, str]) -> Denied | Conflict | Unavailable:
    """The exception for an answer that refused an object.

    `scrubbed` maps texts that must not be shown to what stands for them. A 5xx that is not the author's mistake is
    Unavailable; a webhook that cannot be called is Denied, because trying again says nothing about the manifest.
    """
    status = status_of(answer)
    code = int(status.get("code") or answer.status)
    reason = str(status.get("reason") or "")
    owners = conflict_owners(status) if code == 409 else ()
    if owners:
        return Conflict(str(key), owners)
    message = str(status.get("message") or f"HTTP {code}")
    if code >= 500 and is_author_mistake(status):
        return Denied(str(key), 422, "Invalid", _shown(key, status, message, scrubbed))
    if code >= 500 and "webhook" not in message:
        return Unavailable(f"the API server failed on {key} (HTTP {code}, {reason or 'no reason given'})")
    return Denied(str(key), code, reason, _shown(key, status, message, scrubbed))


def _shown(key: ResourceKey, status: Mapping[str, Any], message: str, scrubbed: Mapping[str, str]) -> str:
    if key.kind == "Secret" and not key.group:
        causes = (status.get("details") or {}).get("causes") or ()
        fields = [str(cause.get("field", "")) for cause in causes] or _FIELD.findall(message)
        named = ", ".join(sorted({field.strip(". ") for field in fields if field}))
        safe = _SAFE_WORDS.search(message)
        words = safe[0] if safe else str(status.get("reason") or "Invalid")
        return f"{words} ({named})" if named else words
    typed = _TYPED_PATCH.search(message)
    text = typed["cause"] if typed else message
    text = _LONG_ECHO.sub("(long)", _VALUE_ECHO.sub("a value of another type", text))
    for hidden, shown in scrubbed.items():
        text = text.replace(hidden, shown or MASK)
    return " ".join(text.split())[:2000]

"""Gitea's and Forgejo's deliveries: an HMAC-SHA256 of the raw body, in hex; JSON whose place is read and nothing else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

from bot.forges.payloads import document, image_of, name_of, project_of
from bot.forges.port import Hint, Rejected

SIGNATURES: Final = ("x-gitea-signature", "x-forgejo-signature", "x-hub-signature-256")
EVENTS: Final = ("x-gitea-event", "x-forgejo-event", "x-github-event")
DELIVERIES: Final = ("x-gitea-delivery", "x-forgejo-delivery", "x-github-delivery")
"""Each server sends its own names and GitHub's beside them; the first that is there counts."""

PACKAGE: Final = "package"
BRANCH: Final = "refs/heads/"
LARGEST: Final = 2**53
LONGEST: Final = 200


def verify(headers: Mapping[str, str], body: bytes, secret: bytes, now: float) -> None:  # noqa: ARG001
    """Raises Rejected(401) unless the raw body is signed with this secret; compared as bytes, in constant time."""
    given = _first(headers, SIGNATURES).removeprefix("sha256=")
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not secret or not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
        raise Rejected(401, "the signature does not fit")


def read(headers: Mapping[str, str], body: bytes) -> Hint | None:
    """What a verified delivery is about; None for events without concern. Raises Rejected(400 or 415)."""
    event = _first(headers, EVENTS)
    if event not in _READERS and event != PACKAGE:
        return None
    payload = document(headers, body)
    if event == PACKAGE:
        return _package(payload, _delivery(headers, body))
    project = project_of(_below(payload, "repository").get("full_name"), "repository.full_name")
    return _READERS[event](payload, project, _delivery(headers, body))


def _delivery(headers: Mapping[str, str], body: bytes) -> str:
    delivery = _first(headers, DELIVERIES)
    return delivery if delivery and len(delivery) <= LONGEST else hashlib.sha256(body).hexdigest()


def _package(payload: Mapping[str, Any], delivery: str) -> Hint | None:
    """A tag that was pushed to Gitea's own registry. What has no tag is told of by its digest, and is of no concern."""
    package = _below(payload, "package")
    if payload.get("action") != "created" or package.get("type") != "container":
        return None
    image = image_of(_below(package, "owner").get("login"), package.get("name"), package.get("version"))
    return Hint("", delivery, image=image) if image else None


def _push(payload: Mapping[str, Any], project: str, delivery: str) -> Hint | None:
    ref = name_of(payload.get("ref"), "ref")
    branch = ref.removeprefix(BRANCH)
    return Hint(project, delivery, branch=branch) if ref.startswith(BRANCH) and branch else None


def _pull_request(payload: Mapping[str, Any], project: str, delivery: str) -> Hint | None:
    return Hint(project, delivery, number=_number(_below(payload, "pull_request").get("number")))


def _comment(payload: Mapping[str, Any], project: str, delivery: str) -> Hint | None:
    """A comment that was just made on a pull request; an edited one commands nothing."""
    if payload.get("is_pull") is not True or payload.get("action") != "created":
        return None
    number = _number(_below(payload, "issue").get("number"))
    return Hint(project, delivery, number=number, comment=str(_number(_below(payload, "comment").get("id"))))


_READERS: Final = {"push": _push, "pull_request": _pull_request, "issue_comment": _comment}


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < LARGEST:
        raise Rejected(400, "the body holds no usable number")
    return value


def _below(value: object, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _first(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    lowered = {name.lower(): value for name, value in headers.items() if name.lower() in names}
    return next((lowered[name] for name in names if name in lowered), "")

"""GitHub's JSON as the port's values and back. Pure: shapes and names of GitHub's REST description stand here alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final

from bot.forges.moments import moment
from bot.forges.port import (
    Annotation,
    ChangeRequest,
    Check,
    Comment,
    Deployment,
    FileChange,
    Made,
    Permission,
    Person,
    RequestState,
    State,
    Status,
)

ON_PULL_REQUEST: Final = re.compile(r"/pull/([0-9]{1,18})#")
ANNOTATIONS: Final = 50
"""As many as one request may bring."""

ANNOTATION_TEXT: Final = 16_000
"""A text of this many characters is never over GitHub's 64 KiB, whatever the characters."""

ANNOTATION_TITLE: Final = 255

MOST_FILES: Final = 300
"""Files of a commit that one answer names; more are on further pages."""

STATUS_STATES: Final[Mapping[State, str]] = {
    State.PENDING: "pending",
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.CANCELLED: "error",
}
CONCLUSIONS: Final[Mapping[State, str]] = {
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "failure",
    State.CANCELLED: "cancelled",
}
DEPLOYMENT_STATES: Final[Mapping[State, str]] = {
    State.PENDING: "in_progress",
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.CANCELLED: "inactive",
}
PERMISSIONS: Final[Mapping[str, Permission]] = {
    "admin": Permission.ADMIN,
    "write": Permission.WRITE,
    "read": Permission.READ,
    "none": Permission.NONE,
}
"""The four words of the collaborators endpoint: maintain is told as write there, triage as read."""


def person(value: Mapping[str, Any] | None) -> Person:
    """An account; the one of somebody who is gone has no id."""
    return Person(str(value["id"]), value["login"]) if value else Person("", "ghost")


def change_request(value: Mapping[str, Any]) -> ChangeRequest:
    """A pull request, from a list or by itself. A fork that was deleted has no repository any more."""
    head, base = value["head"], value["base"]
    is_merged = bool(value.get("merged_at"))
    state = RequestState.MERGED if is_merged else RequestState(value["state"])
    return ChangeRequest(
        number=value["number"],
        state=state,
        title=value["title"],
        author=person(value["user"]),
        head=head["sha"],
        head_ref=f"refs/pull/{value['number']}/head",
        base=base["ref"],
        is_draft=bool(value.get("draft")),
        is_from_fork=not head["repo"] or head["repo"]["id"] != base["repo"]["id"],
        url=value["html_url"],
        merged_as=(value["merge_commit_sha"] or "") if is_merged else "",
    )


def comment(value: Mapping[str, Any]) -> Comment:
    """A comment on an issue or pull request; a robot's where an App or its user wrote it."""
    is_by_robot = (value["user"] or {}).get("type") == "Bot" or bool(value.get("performed_via_github_app"))
    is_edited = value["updated_at"] != value["created_at"]
    author, body = person(value["user"]), value.get("body") or ""
    return Comment(str(value["id"]), author, body, moment(value["created_at"]), is_edited, is_by_robot)


def on_change_request(value: Mapping[str, Any]) -> int | None:
    """The number of the pull request that a comment is on, None for an issue's: the API's addresses say issue of both."""
    found = ON_PULL_REQUEST.search(value["html_url"])
    return int(found[1]) if found else None


def is_same_text(there: str, ours: str) -> bool:
    """Whether a comment says this already; forges keep texts with other line ends and without the last ones."""
    return there.replace("\r\n", "\n").rstrip() == ours.replace("\r\n", "\n").rstrip()


def status_body(status: Status) -> dict[str, Any]:
    """A commit status as it is written."""
    body = {"state": STATUS_STATES[status.state], "context": status.context, "description": status.text}
    return {**body, "target_url": status.link} if status.link else body


def status_words(status: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a commit's status says, as it is read and as it is written: state, text, address."""
    return status["state"], status.get("description") or "", status.get("target_url") or ""


def made(value: Mapping[str, Any]) -> Made | None:
    """What a commit did; None where the answer may leave files out."""
    files = value.get("files") or []
    if len(files) >= MOST_FILES:
        return None
    paths = {str(each[name]) for each in files for name in ("filename", "previous_filename") if each.get(name)}
    return Made(tuple(str(each["sha"]) for each in value["parents"]), frozenset(paths))


def check_digest(check: Check) -> str:
    """What stands for everything that a check says; GitHub keeps it as the run's external id."""
    return hashlib.sha256(repr(astuple(check)).encode(errors="backslashreplace")).hexdigest()[:40]


def check_bodies(check: Check) -> list[dict[str, Any]]:
    """The requests that say a check: annotations go fifty at a time, and the last one ends it and gives it its id."""
    output = {"title": check.title, "summary": check.summary}
    parts = [
        check.annotations[start : start + ANNOTATIONS] for start in range(0, len(check.annotations), ANNOTATIONS)
    ] or [()]
    bodies: list[dict[str, Any]] = [
        {"status": "in_progress", "output": {**output, "annotations": [_annotation(each) for each in part]}}
        for part in parts
    ]
    if check.link:
        bodies[0]["details_url"] = check.link
    bodies[-1]["external_id"] = check_digest(check)
    if check.state is not State.PENDING:
        bodies[-1] |= {"status": "completed", "conclusion": CONCLUSIONS[check.state]}
    return bodies


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "title": annotation.title[:ANNOTATION_TITLE],
        "message": annotation.text[:ANNOTATION_TEXT],
    }


def deployment_body(deployment: Deployment) -> dict[str, Any]:
    """A deployment as it is made: nothing is merged for it, and no other check is waited for."""
    return {
        "ref": deployment.revision,
        "environment": deployment.environment,
        "description": "by Plumbline",
        "auto_merge": False,
        "required_contexts": [],
    }


def deployment_status_body(deployment: Deployment) -> dict[str, Any]:
    """How far a deployment is, as it is written."""
    body = {"state": DEPLOYMENT_STATES[deployment.state], "description": deployment.text}
    return {**body, "log_url": deployment.link} if deployment.link else body


def is_same_deployment_status(there: Mapping[str, Any], deployment: Deployment) -> bool:
    """Whether a deployment's newest status says this already."""
    ours = (DEPLOYMENT_STATES[deployment.state], deployment.text, deployment.link)
    return (there["state"], there["description"] or "", there.get("log_url") or "") == ours


def tree_entry(file: FileChange) -> dict[str, Any] | None:
    """A file of a tree that is to be made; one without content is taken out, one that is no text has no entry yet (None)."""
    entry: dict[str, Any] = {"path": file.path, "mode": file.mode, "type": "blob"}
    if file.content is None:
        return {**entry, "sha": None}
    try:
        return {**entry, "content": file.data.decode()}
    except UnicodeDecodeError:
        return None

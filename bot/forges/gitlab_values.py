"""What GitLab's API says, in the port's words, and the port's words in GitLab's. Pure: JSON objects in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bot.forges.moments import moment
from bot.forges.port import ChangeRequest, Comment, Grant, Made, Permission, Person, RequestState, State, Status

Json = Mapping[str, Any]

COMMENT_LIMIT: Final = 1_000_000
DESCRIPTION_LIMIT: Final = 255
STATES: Final = {
    State.PENDING: "pending",
    State.SUCCESS: "success",
    State.FAILURE: "failed",
    State.ERROR: "failed",
    State.CANCELLED: "canceled",
}
"""Commit statuses; GitLab has no word for an error."""

DEPLOYMENT_STATES: Final = {**STATES, State.PENDING: "running"}

REQUEST_STATES: Final = {
    "opened": RequestState.OPEN,
    "locked": RequestState.OPEN,
    "closed": RequestState.CLOSED,
    "merged": RequestState.MERGED,
}
"""`locked` lasts while GitLab merges."""

GUEST, REPORTER, DEVELOPER, MAINTAINER, OWNER = 10, 20, 30, 40, 50
"""Access levels: https://docs.gitlab.com/api/members/#roles; what lies between two of them may do what the lower may."""

MOVED_SIGNS: Final = (
    "A branch called",
    "has changed since you started editing it",
    "A file with this name already exists",
    "A file with this name doesn't exist",
)
"""How GitLab says that a commit does not fit what is there by now."""

HOOK: Final = {
    "push_events": True,
    "merge_requests_events": True,
    "note_events": True,
    "confidential_note_events": False,
    "issues_events": False,
    "confidential_issues_events": False,
    "tag_push_events": False,
    "job_events": False,
    "pipeline_events": False,
    "wiki_page_events": False,
    "deployment_events": False,
    "releases_events": False,
    "enable_ssl_verification": True,
}
"""The webhook that the door reads: three kinds of events, and nothing that would only be thrown away."""

GRANTS: Final = (
    ("read", {"api", "read_api"}, REPORTER, "nothing works: merge requests, branches and files cannot be read"),
    ("comment", {"api"}, REPORTER, "no predictions on merge requests"),
    ("status", {"api"}, DEVELOPER, "no statuses on commits"),
    ("deployment", {"api"}, DEVELOPER, "no environments and deployments in GitLab"),
    ("commit", {"api"}, DEVELOPER, "no commits and merge requests of Plumbline's own, such as rollbacks"),
    (
        "webhook",
        {"api"},
        MAINTAINER,
        "`plumbline setup gitlab` cannot register the webhook; Plumbline itself can do without",
    ),
)
"""What is done, the scopes that allow it, the role that it needs, and what is missed without it."""

NEEDED_SCOPES: Final = frozenset({"api", "read_api", "read_user", "read_repository"})
"""Scopes that are no more than is needed: there is no narrower one than `api` for statuses and comments."""


def person(user: Json) -> Person:
    """An account."""
    return Person(str(user["id"]), str(user["username"]))


def described(commit: Json) -> tuple[str, str]:
    """The first line of a commit's message and its author's name."""
    return str(commit.get("title") or ""), str(commit.get("author_name") or "")


def made(commit: Json, changes: Iterable[Json]) -> Made:
    """What a commit did, by the rows of its diff."""
    paths = {str(each[name]) for each in changes for name in ("old_path", "new_path")}
    return Made(tuple(str(each) for each in commit["parent_ids"]), frozenset(paths))


def change_request(merge_request: Json) -> ChangeRequest:
    """A merge request; `head` is empty while GitLab still prepares it."""
    number = int(merge_request["iid"])
    source, target = merge_request.get("source_project_id"), merge_request.get("target_project_id")
    return ChangeRequest(
        number=number,
        state=REQUEST_STATES.get(merge_request["state"], RequestState.CLOSED),
        title=str(merge_request["title"]),
        author=person(merge_request["author"]),
        head=head_of(merge_request),
        head_ref=f"refs/merge-requests/{number}/head",
        base=str(merge_request["target_branch"]),
        is_draft=bool(merge_request.get("draft") or merge_request.get("work_in_progress")),
        is_from_fork=source is None or source != target,
        url=str(merge_request.get("web_url") or ""),
        merged_as=merged_as(merge_request),
        began=str((merge_request.get("diff_refs") or {}).get("base_sha") or ""),
    )


def head_of(merge_request: Json) -> str:
    """The newest commit of a merge request, empty where GitLab does not say one (yet)."""
    references = merge_request.get("diff_refs") or {}
    return str(merge_request.get("sha") or references.get("head_sha") or "")


def merged_as(merge_request: Json) -> str:
    """The commit on the target branch that a merge made; a fast-forward makes none, and the head itself is there."""
    if merge_request["state"] != "merged":
        return ""
    made = merge_request.get("merge_commit_sha") or merge_request.get("squash_commit_sha")
    return str(made or head_of(merge_request))


def comment(note: Json) -> Comment:
    """A comment; GitLab tells an edited one by its times."""
    is_edited = note.get("updated_at") != note.get("created_at")
    return Comment(
        str(note["id"]), person(note["author"]), str(note["body"]), moment(str(note["created_at"])), is_edited
    )


def said_in_event(event: Json) -> tuple[int, Comment] | None:
    """The number of the merge request and the comment that an event of a project tells of; None where it tells of another.

    A comment that is gone leaves its event; internal ones are not everybody's to see.
    """
    note = event.get("note")
    if not note or note.get("noteable_type") != "MergeRequest" or not note.get("noteable_iid"):
        return None
    if note.get("system") or note.get("internal") or note.get("confidential"):
        return None
    return int(note["noteable_iid"]), comment(note)


def permission(member: Json, today: str) -> Permission:
    """What a member may do; `today` is a date (YYYY-MM-DD): a membership that ended is none, whatever else it says.

    Whoever is blocked, or only invited, may do nothing.
    """
    expires = str(member.get("expires_at") or "")[:10]
    is_active = member.get("state") == "active" and member.get("membership_state", "active") == "active"
    if not is_active or (expires and expires <= today):
        return Permission.NONE
    level = member.get("access_level")
    return of_level(level) if isinstance(level, int) else Permission.NONE


def of_level(level: int) -> Permission:
    """What an access level permits."""
    if level < GUEST:
        return Permission.NONE
    if level < DEVELOPER:
        return Permission.READ
    return Permission.WRITE if level < MAINTAINER else Permission.ADMIN


def grants(scopes: set[str] | None, level: int) -> list[Grant]:
    """What a token may do by its scopes (None: not known) and its user's access level in the project."""
    return [
        Grant(name, False if level < role else None if scopes is None else bool(scopes & wanted), purpose)
        for name, wanted, role, purpose in GRANTS
    ]


def excesses(scopes: set[str] | None, level: int, *, is_administrator: bool) -> list[str]:
    """What a token allows that is never done: scopes, its user's role in the project, rights over all of GitLab."""
    found = [f"the scope {name}" for name in sorted((scopes or set()) - NEEDED_SCOPES)]
    found += ["the role Owner"] if level >= OWNER else []
    return found + (["its user is an administrator of this GitLab"] if is_administrator else [])


def is_lock(message: str, path: str) -> bool:
    """Whether a 409 says that another request holds a lock; statuses answer so without the words."""
    return "resource lock" in message.lower() or path.startswith("/statuses/")


def status_content(status: Status) -> dict[str, str]:
    """A status as it is posted: a text that is too long is cut, for GitLab would refuse the whole."""
    text = status.text if len(status.text) <= DESCRIPTION_LIMIT else status.text[: DESCRIPTION_LIMIT - 1] + "…"
    content = {"state": STATES[status.state], "name": status.context, "description": text}
    return {**content, "target_url": status.link} if status.link else content


def pipeline_of(rows: Iterable[Json]) -> Mapping[str, Any]:
    """Where a commit's statuses belong: the newest of its pipelines, empty where it has none (or GitLab names none).

    Without it GitLab may put a status into another pipeline than the one that the merge request shows.
    """
    newest = max((row for row in rows if row.get("pipeline_id")), key=lambda row: int(row["pipeline_id"]), default=None)
    return {"pipeline_id": newest["pipeline_id"], "ref": newest["ref"]} if newest else {}


def head_pipeline(merge_request: Json) -> Mapping[str, Any]:
    """The newest pipeline of a merge request's head, empty where it has none; one of a merge result is another commit's."""
    found = merge_request.get("head_pipeline") or {}
    return {"pipeline_id": found["id"], "ref": found["ref"]} if found.get("sha") == head_of(merge_request) else {}


def said_in(rows: Iterable[Json], pipeline: Mapping[str, Any]) -> dict[str, tuple[object, None]]:
    """What the newest status of each name says in a pipeline (empty: in whichever)."""
    own = (row for row in rows if pipeline.get("pipeline_id") in {None, row.get("pipeline_id")})
    return {row["name"]: (status_words(row), None) for row in sorted(own, key=lambda row: int(row["id"]))}


def status_words(status: Json) -> tuple[str, str, str]:
    """What a status says, as it is read and as it is written: state, text, address."""
    state = status["status"] if "status" in status else status["state"]
    return state, status.get("description") or "", status.get("target_url") or ""


def own_note(notes: Iterable[Json], me: str, marker: str) -> tuple[str, str] | None:
    """The id and the text of an account's first comment with a marker."""
    own = (note for note in notes if str(note["author"]["id"]) == me and not note.get("system"))
    return next(((str(note["id"]), str(note["body"])) for note in own if marker in note["body"]), None)


def deployment_step(rows: Sequence[Json], revision: str, state: str) -> tuple[str, int]:
    """What makes an environment show a revision in a state: ("nothing" | "update" | "create", the deployment's id or 0).

    `rows` are its deployments, newest first. One that has ended does not run again: that, and a success that others were
    deployed after, is a new deployment.
    """
    own = next((row for row in rows if row["sha"] == revision), None)
    if own is None:
        return "create", 0
    is_newest = own is rows[0]
    if own["status"] == state and (is_newest or state != "success"):
        return "nothing", int(own["id"])
    is_open = own["status"] in {"created", "running", "blocked"}
    if is_open or (is_newest and state != "running"):
        return "update", int(own["id"])
    return "create", 0

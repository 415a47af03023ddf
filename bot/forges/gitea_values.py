"""What Gitea's API says, in the port's words, and the port's words in Gitea's. Pure: JSON objects in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.forges.moments import moment
from bot.forges.port import ChangeRequest, Comment, Made, Permission, Person, RequestState, State

STATES: Final = {
    State.PENDING: "pending",
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.CANCELLED: "warning",
}
PERMISSIONS: Final = {
    "read": Permission.READ,
    "write": Permission.WRITE,
    "admin": Permission.ADMIN,
    "owner": Permission.ADMIN,
}


def person(value: Mapping[str, Any] | None) -> Person:
    """An account; one that was deleted is nobody, whom nothing is permitted."""
    return Person(str(value["id"]), str(value["login"])) if value else Person("", "ghost")


def comment(value: Mapping[str, Any]) -> Comment:
    """A comment, edited where its times differ."""
    is_edited = value["updated_at"] != value["created_at"]
    return Comment(str(value["id"]), person(value["user"]), value["body"], moment(value["created_at"]), is_edited)


def on_change_request(value: Mapping[str, Any]) -> int | None:
    """The number of the pull request that a comment is on, None for an issue's."""
    number = str(value.get("pull_request_url") or "").rpartition("/")[2]
    return int(number) if number.isdecimal() else None


def change_request(value: Mapping[str, Any]) -> ChangeRequest:
    """A pull request as Gitea describes it."""
    head, base = value["head"], value["base"]
    state = RequestState.MERGED if value["merged"] else RequestState(value["state"])
    return ChangeRequest(
        number=value["number"],
        state=state,
        title=value["title"],
        author=person(value["user"]),
        head=head["sha"],
        head_ref=f"refs/pull/{value['number']}/head",
        base=base["ref"],
        is_draft=bool(value.get("draft")),
        is_from_fork=head["repo_id"] != base["repo_id"],
        url=value["html_url"],
        merged_as=(value.get("merge_commit_sha") or "") if value["merged"] else "",
        began=value.get("merge_base") or "",
    )


def described(commit: Mapping[str, Any]) -> tuple[str, str]:
    """The first line of a commit's message and its author's name."""
    return str(commit["message"]).partition("\n")[0], str((commit.get("author") or {}).get("name") or "")


def made(commit: Mapping[str, Any]) -> Made:
    """What a commit did, as Gitea describes it."""
    paths = frozenset(str(each["filename"]) for each in commit["files"] or ())
    return Made(tuple(str(each["sha"]) for each in commit["parents"]), paths)

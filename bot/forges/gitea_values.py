"""Gitea's JSON as the port's values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.forges.port import ChangeRequest, Comment, Person, RequestState


def person(value: Mapping[str, Any] | None) -> Person:
    """An account; one that was deleted is nobody, whom nothing is permitted."""
    return Person(str(value["id"]), str(value["login"])) if value else Person("", "ghost")


def comment(value: Mapping[str, Any]) -> Comment:
    """A comment; Gitea tells an edited one by its times."""
    is_edited = value["updated_at"] != value["created_at"]
    return Comment(str(value["id"]), person(value["user"]), value["body"], is_edited)


def change_request(value: Mapping[str, Any]) -> ChangeRequest:
    """A pull request, from a list or by itself."""
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
    )


def described(commit: Mapping[str, Any]) -> tuple[str, str]:
    """The first line of a commit's message and its author's name."""
    return str(commit["message"]).partition("\n")[0], str((commit.get("author") or {}).get("name") or "")

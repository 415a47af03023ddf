"""GitLab, gitlab.com or self-managed: the only speaker of its API, by python-gitlab.

The library neither waits nor tries again for us: what is to be tried later is raised as Unavailable, and the queue waits.
Facts of the API that the code rests on: https://docs.gitlab.com/api/rest/ and the pages below it.
"""

from __future__ import annotations

import base64
import datetime
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from bot.forges import gitlab_values as values
from bot.forges.gitlab_wire import SECONDS, Missing, Wire
from bot.forges.memory import KnownComments, KnownWords
from bot.forges.moments import moment, written
from bot.forges.port import (
    MOST_COMMENTS,
    ChangeRequest,
    Check,
    Comment,
    Credentials,
    Deployment,
    FileChange,
    Grant,
    Limits,
    Made,
    Permission,
    Person,
    RecentComments,
    RequestState,
    Status,
)
from worker.domain.errors import Moved, Refused, Unavailable
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository

PIPELINE_SECONDS: Final = 10.0
"""How long it counts which pipeline a merge request named as its head's newest: until what was read is written."""

DAY: Final = 24 * 3600.0

LIMITS: Final = Limits(values.COMMENT_LIMIT, values.DESCRIPTION_LIMIT, deployments=True)
Json = Mapping[str, Any]


class GitLab(Wire):
    """One project at one GitLab, as the bot user whose token it is."""

    def __init__(self, address: str, project: str, token: str, name: str = "gitlab") -> None:
        super().__init__(address, project, token, name)
        self._me: Person | None = None
        self._described: dict[str, tuple[str, str]] = {}
        self._comments, self._words = KnownComments(), KnownWords()
        self._pipelines: dict[str, tuple[float, Mapping[str, Any]]] = {}

    @staticmethod
    def of(declared: DeclaredForge, repository: Repository, credentials: Credentials) -> GitLab:
        """The adapter of a declared forge and repository; nothing is contacted. Raises Refused without a token."""
        if credentials.token is None:
            raise Refused(f"the forge {declared.name} has no token", "name one under `token` in app.yaml")
        return GitLab(declared.address, repository.project, credentials.token.opened(), declared.name)

    @property
    def limits(self) -> Limits:
        """How long texts may be: https://docs.gitlab.com/administration/instance_limits/."""
        return LIMITS

    def me(self) -> Person:
        """The token's user; asked once, for a token has one user."""
        if self._me is None:
            self._me = values.person(self._get("/user"))
        return self._me

    def grants(self) -> Sequence[Grant]:
        """What the token's scopes and its user's role in the project allow; None where this GitLab does not say."""
        return values.grants(*self._rights())

    def excesses(self) -> Sequence[str]:
        """Scopes, a role and an administrator's rights that are never needed."""
        scopes, level = self._rights()
        return values.excesses(scopes, level, is_administrator=bool(self._get("/user").get("is_admin")))

    def _rights(self) -> tuple[set[str] | None, int]:
        """The token's scopes (None: not said) and its user's access level in the project (0: no member)."""
        scopes = self._found(lambda: self._get("/personal_access_tokens/self"))
        member = self._found(lambda: self._get(f"{self._path}/members/all/{self.me().id}"))
        return set(scopes["scopes"]) if scopes else None, int(member["access_level"]) if member else 0

    def tips(self) -> Mapping[str, str]:
        """Every branch and its newest commit."""
        commits = {branch["name"]: branch["commit"] for branch in self._list("/repository/branches")}
        self._described = {each["id"]: values.described(each) for each in commits.values()}
        return {name: each["id"] for name, each in commits.items()}

    def described(self, revision: str) -> tuple[str, str]:
        """What the last look at the branches said of a tip."""
        return self._described.get(revision, ("", ""))

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit, None where there is none."""
        place = f"{self._path}/repository/files/{quote(path, safe='')}/raw"
        with self._spoken(f"reading {path}"):
            answer = self._unless_missing(
                lambda: self._client.http_request("get", place, query_data={"ref": revision}, timeout=SECONDS)
            )
            return answer.content if answer is not None else None

    def change_request(self, number: int, *, within: float = 0.0) -> ChangeRequest | None:  # noqa: ARG002
        """One merge request; Unavailable while GitLab has not found its head yet."""
        found = self._found(lambda: self._get(f"{self._path}/merge_requests/{number}"))
        if found is None:
            return None
        if not values.head_of(found):
            raise Unavailable(f"GitLab is still preparing merge request !{number}", retry_after=2)
        if "head_pipeline" in found:
            self._pipelines = {values.head_of(found): (time.monotonic(), values.head_pipeline(found))}
        return values.change_request(found)

    def open_change_requests(self) -> Sequence[ChangeRequest]:
        """All that are open; one that GitLab still prepares is left for the next time."""
        found = self._list("/merge_requests", state="opened")
        return [values.change_request(each) for each in found if values.head_of(each)]

    def merged_as(self, revision: str) -> ChangeRequest | None:
        """The merge request whose merge made this commit: merge commit, squashed commit, or the head itself."""
        found = self._found(lambda: self._list(f"/repository/commits/{revision}/merge_requests")) or []
        merged = (each for each in found if values.merged_as(each) == revision)
        return next((values.change_request(each) for each in merged), None)

    def permission(self, person: Person) -> Permission:
        """What a member may do now, also by a group; NONE for who is not one."""
        if not person.id.isdigit():
            return Permission.NONE
        member = self._found(lambda: self._get(f"{self._path}/members/all/{person.id}"))
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return values.permission(member, today) if member else Permission.NONE

    def is_in_team(self, person: Person, team: str) -> bool:
        """Whether somebody is an active member of a group, also by a group above it."""
        if not person.id.isdigit():
            return False
        member = self._found(lambda: self._get(f"/groups/{quote(team, safe='')}/members/all/{person.id}"))
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return member is not None and values.permission(member, today) > Permission.NONE

    def comment(self, number: int, comment_id: str) -> Comment | None:
        """One comment, None where there is none or GitLab itself wrote it."""
        if not comment_id.isdigit():
            return None
        note = self._found(lambda: self._get(f"{self._path}/merge_requests/{number}/notes/{comment_id}"))
        return values.comment(note) if note and not note.get("system") else None

    def recent_comments(self, since: float) -> RecentComments:
        """By the project's events, newest first: https://docs.gitlab.com/api/events/. No list of GitLab's has all notes.

        They are asked for by a date in GitLab's own time zone, and read no further back than `since`. A kind of target is not
        asked for: comments in a discussion are of another than plain ones.
        """
        after = written(since - 2 * DAY).partition("T")[0]
        events = self._walk("/events", action="commented", after=after, sort="desc")
        rows = list(itertools.islice(events, 1))
        until = moment(rows[0]["created_at"]) if rows else 0.0
        recent = itertools.takewhile(lambda each: moment(each["created_at"]) >= since, itertools.chain(rows, events))
        found = list(itertools.islice(recent, MOST_COMMENTS + 1))
        said = tuple(each for each in map(values.said_in_event, found[:MOST_COMMENTS]) if each is not None)
        return RecentComments(said, until, is_cut=len(found) > MOST_COMMENTS)

    def is_received(self, number: int, comment_id: str) -> bool:
        """By the note's award emojis."""
        mine = self.me().id
        return any(
            each["name"] == "eyes" and str(each["user"]["id"]) == mine for each in self._awards(number, comment_id)
        )

    def _awards(self, number: int, comment_id: str) -> Iterator[Json]:
        return self._walk(f"/merge_requests/{number}/notes/{int(comment_id)}/award_emoji")

    def react(self, number: int, comment_id: str) -> bool:
        """GitLab refuses an award emoji that is there already, so it is looked up first."""
        if self.is_received(number, comment_id):
            return False
        self._write("post", f"/merge_requests/{number}/notes/{int(comment_id)}/award_emoji", {"name": "eyes"})
        return True

    def our_comment(self, number: int, marker: str) -> str:
        """The text of our note with the marker."""
        own = self._ours(f"/merge_requests/{number}/notes", marker)
        return own[1] if own else ""

    def _ours(self, notes: str, marker: str) -> tuple[str, str] | None:
        """The id and the text of our note with the marker."""
        walk = self._walk(notes, sort="asc", order_by="created_at")
        return values.own_note(walk, self.me().id, marker)

    def put_comment(self, number: int, marker: str, body: str) -> bool:
        """Writes or edits our note with the marker; what is there is looked up first, so a lost answer doubles nothing."""
        notes = f"/merge_requests/{number}/notes"

        return self._comments.put(
            (number, marker),
            body,
            read=lambda each: self.comment(number, each),
            find=lambda: self._ours(notes, marker),
            edit=lambda each: self._found(lambda: self._write("put", f"{notes}/{each}", {"body": body})) is not None,
            make=lambda: str(self._write("post", notes, {"body": body})["id"]),
            is_same=lambda there, ours: there.strip() == ours.strip(),
        )

    def put_status(self, revision: str, status: Status, *, unless_told: bool = False) -> bool:
        """Writes a commit status into the commit's newest pipeline, unless it says this there already.

        Which pipeline that is, a merge request that was just read has said; else the statuses do. A fork's commit is on no
        branch of the project: there the merge request's own branch is named for it.
        """
        content = values.status_content(status)
        at, pipeline = self._pipelines.get(revision, (-PIPELINE_SECONDS, {}))
        if time.monotonic() - at > PIPELINE_SECONDS:
            self._words.drop(revision)

        def read() -> Mapping[str, tuple[object, None]]:
            nonlocal pipeline
            rows = list(self._walk(f"/repository/commits/{revision}/statuses"))
            pipeline = values.pipeline_of(rows)
            return values.said_in(rows, pipeline)

        def write(_: object) -> None:
            try:
                try:
                    self._write("post", f"/statuses/{revision}", {**content, **pipeline})
                except Missing:
                    if not (found := self._list(f"/repository/commits/{revision}/merge_requests")):
                        raise
                    self._write("post", f"/statuses/{revision}", {**content, "ref": found[-1]["source_branch"]})
            except Refused as error:
                # The state stays as it is and the text was taken: GitLab counts only the transition as an error.
                if "Cannot transition status" not in error.reason:
                    raise

        words = values.status_words(content)
        return self._words.put(revision, status.context, words, read, write, unless_told=unless_told)

    def forget(self) -> None:
        """Looks again before each write."""
        self._comments.forget()
        self._words.forget()

    def presume_nothing(self, revision: str) -> None:
        """Nothing was said of this commit yet."""
        self._words.presume_nothing(revision)

    def put_check(self, revision: str, check: Check) -> bool:  # noqa: ARG002
        """GitLab has statuses only."""
        return False

    def put_deployment(self, deployment: Deployment) -> bool:
        """Shows a deployment of an environment, which is made, with the link as its address, where it is new."""
        name, state = deployment.environment, values.DEPLOYMENT_STATES[deployment.state]
        rows = self._page("/deployments", environment=name, order_by="id", sort="desc")
        step, number = values.deployment_step(rows, deployment.revision, state)
        if step == "nothing":
            return False
        if step == "update":
            self._write("put", f"/deployments/{number}", {"status": state})
            return True
        if not rows and deployment.link and not self._page("/environments", name=name):
            self._write("post", "/environments", {"name": name, "external_url": deployment.link})
        self._write("post", "/deployments", {
            "environment": name, "sha": deployment.revision, "ref": deployment.branch, "tag": False, "status": state,
        })  # fmt: skip
        return True

    def made(self, revision: str) -> Made | None:
        """What a commit did; None where there is none."""
        at = f"{self._path}/repository/commits/{quote(revision, safe='')}"
        found = self._found(lambda: self._get(at))
        if found is None:
            return None
        return values.made(found, self._list(f"/repository/commits/{quote(revision, safe='')}/diff"))

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileChange]) -> str:
        """A commit as the token's user on a branch whose tip is `onto`; its id. Raises Moved.

        GitLab compares files and not tips: what others commit between our look and our write stays, and is under ours
        unless it touched the same files.
        """
        tip = self._found(lambda: self._get(f"{self._path}/repository/branches/{quote(branch, safe='')}"))
        if tip is not None and tip["commit"]["id"] != onto:
            raise Moved(f"branch {branch}", "at the forge")
        content: dict[str, Any] = {
            "branch": branch,
            "commit_message": message,
            "actions": [self._action(onto, change) for change in files],
        }
        if tip is None:
            content["start_sha"] = onto
        try:
            return str(self._write("post", "/repository/commits", content)["id"])
        except Refused as error:
            if any(sign in error.reason for sign in values.MOVED_SIGNS):
                raise Moved(f"branch {branch}", "at the forge") from None
            raise

    def open_change_request(self, head: str, base: str, title: str, body: str) -> ChangeRequest:
        """Opens a merge request, whose branch goes away with the merge; the open one where there is one."""
        found = self._page("/merge_requests", state="opened", source_branch=head, target_branch=base)
        if not found:
            content = {"source_branch": head, "target_branch": base, "title": title, "description": body}
            found = [self._write("post", "/merge_requests", {**content, "remove_source_branch": True})]
        request = self.change_request(int(found[0]["iid"])) if not values.head_of(found[0]) else None
        return request or values.change_request(found[0])

    def close_change_request(self, number: int) -> None:
        """Closes a merge request without merging it; one that is not open stays as it is."""
        found = self.change_request(number)
        if found is not None and found.state is RequestState.OPEN:
            self._write("put", f"/merge_requests/{number}", {"state_event": "close"})

    def register(self, address: str, secret: str, signing: str | None, *, dry_run: bool) -> tuple[str, list[str]]:
        """Makes the project's webhook to `address` send what is read; what was done (or would be), and what differed.

        A secret that GitLab keeps cannot be read back, so it is sent each time. Raises Unavailable, NotPermitted.
        """
        content = {**values.HOOK, "url": address}
        hooks = [hook for hook in self._walk("/hooks") if hook["url"] == address]
        differing = sorted(name for name in content if hooks and hooks[0].get(name) != content[name])
        secrets = {"token": secret, **({"signing_token": signing} if signing else {})}
        if not dry_run and hooks:
            self._write("put", f"/hooks/{hooks[0]['id']}", {**content, **secrets})
        elif not dry_run:
            self._write("post", "/hooks", {**content, **secrets})
        return ("update" if hooks else "create"), differing

    def _action(self, onto: str, change: FileChange) -> dict[str, Any]:
        """One file's part of a commit; the file's own last commit guards against who was faster."""
        place = f"{self._path}/repository/files/{quote(change.path, safe='')}"
        with self._spoken(f"reading {change.path}"):
            there = self._unless_missing(lambda: self._client.http_head(place, query_data={"ref": onto}))
        if there is None and change.content is None:
            raise Refused(f"{change.path} cannot be deleted: it is not there at {onto[:7]}", "look at the branch again")
        action = {"action": "create" if there is None else "update", "file_path": change.path}
        if there is not None:
            action["last_commit_id"] = there["X-Gitlab-Last-Commit-Id"]
        if change.content is None:
            return {**action, "action": "delete"}
        how = {"encoding": "base64", "execute_filemode": change.is_executable}
        return {**action, **how, "content": base64.b64encode(change.data).decode()}

"""GitHub behind the port: pull requests, comments, statuses, checks, deployments, commits, of one repository.

https://docs.github.com/en/rest says what each path does; every request that is made here is held against GitHub's own description
by a test.
"""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from bot.forges import github_values as values
from bot.forges.github_api import TEAM_PERMISSIONS, TOKEN_PERMISSIONS, Answer, Api, checked, message_of
from bot.forges.github_door import BRANCH
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
from worker.domain.errors import Moved, Refused
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository

COMMENT: Final = 65_535
"""One less than a comment may have: what fits a comment then fits a check's summary too."""

DESCRIPTION: Final = 140

CLASSIC_SCOPES: Final = frozenset({"repo", "public_repo", "repo:status", "repo_deployment", "read:user", "user:email"})
"""Scopes of a classic token that are no more than is needed; there are no narrower ones for what is done."""

PURPOSES: Final[Mapping[str, str]] = {
    "checks": "plan and proof are not shown as a check, with annotations",
    "contents": "branches and plumbline.yaml cannot be read, and commits not made",
    "deployments": "deployments are not shown",
    "metadata": "who may do what cannot be asked",
    "pull_requests": "pull requests can neither be read nor commented on",
    "statuses": "statuses cannot be written on commits",
    "issues": "comments such as /plan are heard by the next poll only",
    "merge_queues": "the merge queue is not heard of",
    "members": "nobody has a role by a team",
}
"""What will not work without each."""

APP_PERMISSIONS: Final[Mapping[str, str]] = {**TOKEN_PERMISSIONS, "issues": "read", "merge_queues": "read"}
"""What a GitHub App is given; the last two let its webhooks tell of comments and of the merge queue, no token has them."""


class Github:
    """One repository on GitHub; the port's Forge."""

    def __init__(self, api: Api, project: str, *, asks_teams: bool = False) -> None:
        self._api = api
        self._permissions = {**APP_PERMISSIONS, **(TEAM_PERMISSIONS if asks_teams else {})}
        self._project = project
        self._at = f"/repos/{project}"
        self._comments, self._statuses, self._runs = KnownComments(), KnownWords(), KnownWords()
        self._read: dict[int, tuple[float, ChangeRequest | None]] = {}

    @staticmethod
    def of(declared: DeclaredForge, repository: Repository, credentials: Credentials) -> Github:
        """The adapter for a repository; nothing is asked yet. Raises Refused where the App's key is no key."""
        asks_teams = repository.asks_teams
        api = Api(declared.address, repository.project, credentials, asks_teams=asks_teams)
        return Github(api, repository.project, asks_teams=asks_teams)

    @property
    def limits(self) -> Limits:
        """GitHub's; check runs are made by Apps only."""
        return Limits(COMMENT, DESCRIPTION, deployments=True, checks=self._api.app is not None)

    def me(self) -> Person:
        """The App's bot user, or the token's user."""
        return self._me

    @cached_property
    def _me(self) -> Person:
        if self._api.app is None:
            return values.person(self._api.get("/user", missing=()))
        login = f"{self._api.app.slug or self._api.app.app()['slug']}[bot]"
        return values.person(self._api.get(f"/users/{quote(login)}", missing=()))

    def forget(self) -> None:
        """Looks again before each write."""
        for known in (self._comments, self._statuses, self._runs):
            known.forget()

    def presume_nothing(self, revision: str) -> None:
        """Neither a status nor a check run of ours is on this commit yet."""
        self._statuses.presume_nothing(revision)
        self._runs.presume_nothing(revision)

    def grants(self) -> Sequence[Grant]:
        """An App's permissions as its installation has them; of a token GitHub says only whether it may push."""
        if self._api.app is not None:
            given = self._api.app.installation().get("permissions") or {}
            return [
                Grant(f"{name}: {level}", given.get(name) in (level, "write", "admin"), PURPOSES[name])
                for name, level in self._permissions.items()
            ]
        repository = self._api.get(self._at, missing=())
        may_push = bool((repository.get("permissions") or {}).get("push"))
        known = {"metadata": True, "checks": False, "merge_queues": None, "issues": None, "members": None}
        return [
            Grant(f"{name}: {level}", known.get(name, None if may_push else False), PURPOSES[name])
            for name, level in self._permissions.items()
        ]

    def excesses(self) -> Sequence[str]:
        """Of an App the permissions that it does not need; of a classic token its scopes; other tokens do not say them."""
        if self._api.app is not None:
            given = self._api.app.installation().get("permissions") or {}
            return [
                f"{name}: {level}"
                for name, level in given.items()
                if self._permissions.get(name) not in ("write", level)
            ]
        return [f"the scope {name}" for name in self._api.scopes() if name not in CLASSIC_SCOPES]

    def tips(self) -> Mapping[str, str]:
        """Every branch, also the merge queue's own, asked for conditionally."""
        return {
            each["ref"].removeprefix(BRANCH): each["object"]["sha"]
            for each in self._api.pages(f"{self._at}/git/matching-refs/heads/", known=True)
        }

    def described(self, revision: str) -> tuple[str, str]:
        """One request: GitHub's list of branches has their commits' ids only."""
        found = self._api.get(f"{self._at}/git/commits/{revision}")
        return (found["message"].partition("\n")[0], found["author"]["name"]) if found else ("", "")

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit; above a megabyte GitHub gives it as a blob only."""
        found = self._api.get(f"{self._at}/contents/{quote(path)}", {"ref": revision})
        if not isinstance(found, dict) or found.get("type") != "file":
            return None
        if found.get("encoding") != "base64":
            found = self._api.get(f"{self._at}/git/blobs/{found['sha']}", missing=())
        return base64.b64decode(found["content"])

    def change_request(self, number: int, *, within: float = 0.0) -> ChangeRequest | None:
        """One pull request."""
        at, last = self._read.get(number, (0.0, None))
        if last is not None and time.monotonic() - at < within:
            return last
        found = self._api.get(f"{self._at}/pulls/{number}")
        request = values.change_request(found) if found else None
        self._read = {number: (time.monotonic(), request)}
        return request

    def open_change_requests(self) -> Sequence[ChangeRequest]:
        """All open pull requests, asked for conditionally."""
        listed = self._api.pages(f"{self._at}/pulls", {"state": "open"}, known=True)
        return [values.change_request(each) for each in listed]

    def merged_as(self, revision: str) -> ChangeRequest | None:
        """The pull request that was merged, squashed or rebased as this commit."""
        found = self._api.get(f"{self._at}/commits/{revision}/pulls", missing=(404, 422)) or []
        requests = (values.change_request(each) for each in found)
        return next((each for each in requests if each.merged_as == revision), None)

    def permission(self, person: Person) -> Permission:
        """By the collaborators' list; a login that is somebody else's by now may nothing."""
        found = self._api.get(f"{self._at}/collaborators/{quote(person.login, safe='')}/permission")
        if not found or values.person(found.get("user")).id != person.id:
            return Permission.NONE
        return values.PERMISSIONS.get(found["permission"], Permission.NONE)

    def _is_still(self, person: Person) -> bool:
        """Whether the login is still this account's: the teams' lists know logins only."""
        found = self._api.get(f"/users/{quote(person.login, safe='')}")
        return bool(found) and values.person(found).id == person.id

    def is_in_team(self, person: Person, team: str) -> bool:
        """By the team's own list; who was only invited is not in it yet, and a login that is another's by now is in none."""
        organisation, _, name = team.partition("/")
        if not name or not self._is_still(person):
            return False
        at = f"/orgs/{quote(organisation, safe='')}/teams/{quote(name, safe='')}/memberships"
        found = self._api.get(f"{at}/{quote(person.login, safe='')}")
        return bool(found) and found["state"] == "active"

    def comment(self, number: int, comment_id: str) -> Comment | None:
        """One comment, where it is on that pull request."""
        found = self._api.get(f"{self._at}/issues/comments/{int(comment_id)}", missing=(404, 410))
        if not found or not found["issue_url"].endswith(f"/issues/{number}"):
            return None
        return values.comment(found)

    def recent_comments(self, since: float) -> RecentComments:
        """The newest first, asked for conditionally: as long as nobody says anything it costs nothing of the rate limit."""
        query = {"since": written(since), "sort": "updated", "direction": "desc"}
        pages = self._api.pages(f"{self._at}/issues/comments", query, known=True)
        rows = list(itertools.islice(pages, MOST_COMMENTS + 1))
        until = moment(rows[0]["updated_at"]) if rows else 0.0
        numbered = ((values.on_change_request(each), each) for each in rows[:MOST_COMMENTS])
        said = tuple((number, values.comment(each)) for number, each in numbered if number is not None)
        return RecentComments(said, until, is_cut=len(rows) > MOST_COMMENTS)

    def is_received(self, number: int, comment_id: str) -> bool:  # noqa: ARG002
        """By the comment's reactions."""
        mine, at = self.me().id, f"{self._at}/issues/comments/{int(comment_id)}/reactions"
        return any(values.person(each["user"]).id == mine for each in self._api.pages(at, {"content": "eyes"}))

    def react(self, number: int, comment_id: str) -> bool:  # noqa: ARG002
        """GitHub keeps one reaction of a kind of everybody's, and says whether it is new."""
        at = f"{self._at}/issues/comments/{int(comment_id)}/reactions"
        return self._api.attempt("POST", at, {"content": "eyes"}).status == 201

    def our_comment(self, number: int, marker: str) -> str:
        """The text of our comment with the marker."""
        found = self._ours(number, marker)
        return found[1] if found else ""

    def put_comment(self, number: int, marker: str, body: str) -> bool:
        """One comment of ours with the marker, edited in place."""
        at, all_of_it = f"{self._at}/issues/comments", f"{self._at}/issues/{number}/comments"

        return self._comments.put(
            (number, marker),
            body,
            read=lambda each: self.comment(number, each),
            find=lambda: self._ours(number, marker),
            edit=lambda each: self._api.write("PATCH", f"{at}/{each}", {"body": body}, missing=(404, 410)) is not None,
            make=lambda: str(self._api.write("POST", all_of_it, {"body": body})["id"]),
            is_same=values.is_same_text,
        )

    def _ours(self, number: int, marker: str) -> tuple[str, str] | None:
        """The id and the text of our comment with the marker."""
        mine = self.me().id
        there = (values.comment(each) for each in self._api.pages(f"{self._at}/issues/{number}/comments"))
        return next(((each.id, each.body) for each in there if each.author.id == mine and marker in each.body), None)

    def put_status(self, revision: str, status: Status, *, unless_told: bool = False) -> bool:
        """A commit's status, written where its context says something else now; contexts are the same whatever their case."""

        def read() -> Mapping[str, tuple[object, None]]:
            listed = list(self._api.pages(f"{self._at}/commits/{revision}/status", inside="statuses"))
            if not listed:  # a check run of ours never stands on a commit without a status of ours
                self._runs.presume_nothing(revision)
            return {each["context"].lower(): (values.status_words(each), None) for each in listed}

        def write(_: object) -> None:
            self._api.write("POST", f"{self._at}/statuses/{revision}", body)

        body = values.status_body(status)
        words = values.status_words(body)
        return self._statuses.put(revision, status.context.lower(), words, read, write, unless_told=unless_told)

    def put_check(self, revision: str, check: Check) -> bool:
        """A check run: the newest of its name goes on where it has no annotations, which nobody can take back."""
        app = self._api.app
        if app is None:
            return False
        query = {"app_id": app.id, "filter": "latest"}

        def read() -> Mapping[str, tuple[object, Any]]:
            runs = list(self._api.pages(f"{self._at}/commits/{revision}/check-runs", query, inside="check_runs"))
            return {run["name"]: (run["external_id"], run) for run in reversed(runs) if _is_of(run, app.id)}

        def write(newest: Any) -> Any:
            first, *more = values.check_bodies(check)
            if newest and not newest["output"]["annotations_count"]:
                run = self._api.write("PATCH", f"{self._at}/check-runs/{newest['id']}", first)
            else:
                made = {"name": check.name, "head_sha": revision, **first}
                run = self._api.write("POST", f"{self._at}/check-runs", made)
            for body in more:
                run = self._api.write("PATCH", f"{self._at}/check-runs/{run['id']}", body)
            return {"id": run["id"], "output": {"annotations_count": len(check.annotations)}}

        return self._runs.put(revision, check.name, values.check_digest(check), read, write)

    def put_deployment(self, deployment: Deployment) -> bool:
        """The revision's deployment to the environment, made once, and its newest status."""
        query = {"sha": deployment.revision, "environment": deployment.environment}
        at = f"{self._at}/deployments"
        found = next(iter(self._api.pages(at, query)), None)
        made = found or self._api.write("POST", at, values.deployment_body(deployment))
        statuses = f"{at}/{made['id']}/statuses"
        newest = next(iter(self._api.pages(statuses)), None) if found else None
        if newest and values.is_same_deployment_status(newest, deployment):
            return False
        self._api.write("POST", statuses, values.deployment_status_body(deployment))
        return True

    def made(self, revision: str) -> Made | None:
        """One request, which tells at most `values.MOST_FILES` files; None where there may be more."""
        found = self._api.get(f"{self._at}/commits/{revision}", missing=(404, 422))
        return values.made(found) if found else None

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileChange]) -> str:
        """A commit by way of the git data API: GitHub signs it as the App's, and moves the branch only forward."""
        ref = self._api.get(f"{self._at}/git/ref/heads/{quote(branch)}")
        if ref and ref["object"]["sha"] != onto:
            raise Moved(f"branch {branch} of {self._project}", "at the forge")
        parent = self._api.get(f"{self._at}/git/commits/{onto}", missing=())
        entries = [values.tree_entry(file) or self._binary(file) for file in files]
        body = {"base_tree": parent["tree"]["sha"], "tree": entries}
        tree = self._api.write("POST", f"{self._at}/git/trees", body)
        made = self._api.write(
            "POST", f"{self._at}/git/commits", {"message": message, "tree": tree["sha"], "parents": [onto]}
        )
        revision = str(made["sha"])
        if ref:
            path = f"{self._at}/git/refs/heads/{quote(branch)}"
            moved = self._api.attempt("PATCH", path, {"sha": revision, "force": False})
        else:
            path = f"{self._at}/git/refs"
            moved = self._api.attempt("POST", path, {"ref": f"{BRANCH}{branch}", "sha": revision})
        self._judge(moved, branch)
        return revision

    def _binary(self, file: FileChange) -> dict[str, Any]:
        """The tree's entry of a file that is no text: its blob is made first."""
        body = {"content": base64.b64encode(file.data).decode(), "encoding": "base64"}
        blob = self._api.write("POST", f"{self._at}/git/blobs", body)
        return {"path": file.path, "mode": file.mode, "type": "blob", "sha": blob["sha"]}

    def _judge(self, moved: Answer, branch: str) -> None:
        said = message_of(moved)
        if moved.status == 422 and ("fast forward" in said or "already exists" in said):
            raise Moved(f"branch {branch} of {self._project}", "at the forge")
        if moved.status == 422:
            raise Refused(
                f"GitHub does not move branch {branch}: {said.rstrip('.')}", "Propose the change by a pull request"
            )
        checked(moved, f"branch {branch}")

    def open_change_request(self, head: str, base: str, title: str, body: str) -> ChangeRequest:
        """A pull request of a branch of this repository, or the one that is open already."""
        there = self._open_one(head, base)
        if there is not None:
            return there
        sent = {"title": title, "head": head, "base": base, "body": body}
        answer = self._api.attempt("POST", f"{self._at}/pulls", sent)
        if answer.status == 422 and "already exists" in message_of(answer):
            there = self._open_one(head, base)
            if there is not None:
                return there
        return values.change_request(checked(answer, f"a pull request of {head} into {base}"))

    def close_change_request(self, number: int) -> None:
        """Closes a pull request without merging it; one that is not open stays as it is."""
        found = self.change_request(number)
        if found is not None and found.state is RequestState.OPEN:
            self._api.write("PATCH", f"{self._at}/pulls/{number}", {"state": "closed"})

    def _open_one(self, head: str, base: str) -> ChangeRequest | None:
        query = {"state": "open", "head": f"{self._project.partition('/')[0]}:{head}", "base": base}
        listed: Iterator[Any] = self._api.pages(f"{self._at}/pulls", query)
        return next((values.change_request(each) for each in listed), None)


def _is_of(run: Mapping[str, Any], app: str) -> bool:
    """Whether the App made the check run: only its own can it change."""
    return str((run.get("app") or {}).get("id")) == app

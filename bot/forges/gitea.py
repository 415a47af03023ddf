"""Gitea and Forgejo: a typed client of their REST API (`/api/v1`), and what Plumbline says there.

They have commit statuses but neither checks nor deployments, and no conditional requests; so each question is one cheap
request. Nothing is sent twice by this module: a job that is tried again looks first, and writes what differs.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from bot.forges import gitea_values as values
from bot.forges.gitea_wire import CONFLICT, CREATED, INVALID, NOT_FOUND, PAGE, Wire, words_of
from bot.forges.memory import KnownComments, KnownWords
from bot.forges.moments import moment, written
from bot.forges.port import (
    EXECUTABLE_FILE,
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

LIMITS: Final = Limits(comment=65_536, description=140)
"""Gitea has no limit of its own for either; these are what its pages still show well, and what GitHub allows."""


class Gitea(Wire):
    """One repository at a Gitea; nothing is contacted before it is asked something."""

    def __init__(self, address: str, project: str, token: str, *, asks_teams: bool = False) -> None:
        super().__init__(address, project, token)
        self._asks_teams = asks_teams
        self._described: dict[str, tuple[str, str]] = {}
        self._me: Person | None = None
        self._comments, self._words = KnownComments(), KnownWords()

    @staticmethod
    def of(declared: DeclaredForge, repository: Repository, credentials: Credentials) -> Gitea:
        """The speaker for a declared repository. Raises Refused where no token is declared."""
        if credentials.token is None:
            raise Refused(f"{declared.name} has no token", "give `token` under `forges` in app.yaml")
        token = credentials.token.opened()
        return Gitea(declared.address, repository.project, token, asks_teams=repository.asks_teams)

    @property
    def limits(self) -> Limits:
        """How long texts may be."""
        return LIMITS

    # -- who may what --------------------------------------------------------------------------------------------

    def me(self) -> Person:
        """The account of the token; asked once."""
        if self._me is None:
            self._me = values.person(self._get("/user").json())
        return self._me

    def grants(self) -> Sequence[Grant]:
        """What the token allows; the probes write nothing (they aim at the number 0, which nothing has)."""
        found = self._try("GET", self._at)
        rights = found.json().get("permissions", {}) if found.is_success else {}
        comments = self._try("PATCH", f"{self._at}/issues/comments/0", json={"body": "-"})
        hooks = self._try("PATCH", f"{self._at}/hooks/0", json={"active": True})
        teams = [
            Grant("read:organization", self._reads_organizations(), "nobody has a role by a team")
        ] * self._asks_teams
        return (
            Grant("read:user", self._try("GET", "/user").is_success, "its own comments cannot be told from others'"),
            Grant("read:repository", found.is_success, "nothing of the repository can be read"),
            Grant("write:issue", comments.status_code == NOT_FOUND, "predictions cannot be commented"),
            Grant("write access", bool(rights.get("push")), "commit statuses and commits cannot be written"),
            Grant(
                "write:repository", hooks.status_code == NOT_FOUND, "statuses, commits and webhooks cannot be written"
            ),
            Grant("admin access", bool(rights.get("admin")), "who may command, and branch protection, cannot be asked"),
            *teams,
        )

    def _reads_organizations(self) -> bool:
        return self._try("GET", "/user/orgs", params={"limit": 1}).is_success

    def excesses(self) -> Sequence[str]:
        """What the token's user and its scopes allow beyond one repository; the probes write nothing (nothing has the id 0)."""
        user = self._try("GET", "/user")
        found = ["its user is an administrator of this Gitea"] if user.is_success and user.json()["is_admin"] else []
        if self._try("GET", "/admin/users", params={"limit": 1}).is_success:
            found.append("the scope read:admin")
        if user.is_success and not self._asks_teams and self._reads_organizations():
            found.append("the scope read:organization")
        if self._try("DELETE", "/user/keys/0").status_code == NOT_FOUND:
            found.append("the scope write:user")
        return found

    def permission(self, person: Person) -> Permission:
        """What somebody may do here now; NONE for who is not known, or whose name is another's by now."""
        answer = self._get(f"{self._at}/collaborators/{quote(person.login, safe='')}/permission", or_none=True)
        if answer is None:
            return Permission.NONE
        found = answer.json()
        if str(found["user"]["id"]) != person.id:
            return Permission.NONE
        return values.PERMISSIONS.get(found["permission"], Permission.NONE)

    def is_in_team(self, person: Person, team: str) -> bool:
        """Whether somebody is in a team of an organisation, named `organisation/team`; needs the scope read:organization.

        A login that is another's by now is in none.
        """
        organisation, _, name = team.partition("/")
        there = self._get(f"/orgs/{quote(organisation, safe='')}", or_none=True)
        if there is None or not name:
            return False
        teams = self._all(f"/orgs/{quote(organisation, safe='')}/teams")
        numbers = [int(each["id"]) for each in teams if str(each["name"]).lower() == name.lower()]
        at = quote(person.login, safe="")
        members = (self._get(f"/teams/{number}/members/{at}", or_none=True) for number in numbers)
        return any(each is not None and str(each.json()["id"]) == person.id for each in members)

    # -- what is there -------------------------------------------------------------------------------------------

    def tips(self) -> Mapping[str, str]:
        """Every branch and its newest commit."""
        commits = {each["name"]: each["commit"] for each in self._all(f"{self._at}/branches")}
        self._described = {each["id"]: values.described(each) for each in commits.values()}
        return {name: each["id"] for name, each in commits.items()}

    def described(self, revision: str) -> tuple[str, str]:
        """What the last look at the branches said of a tip."""
        return self._described.get(revision, ("", ""))

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit, None where there is none."""
        answer = self._get(f"{self._at}/raw/{quote(path)}", {"ref": revision}, or_none=True)
        return None if answer is None else answer.content

    def change_request(self, number: int, *, within: float = 0.0) -> ChangeRequest | None:  # noqa: ARG002
        """One pull request, None where there is none."""
        answer = self._get(f"{self._at}/pulls/{number}", or_none=True)
        return None if answer is None else values.change_request(answer.json())

    def open_change_requests(self) -> Sequence[ChangeRequest]:
        """All pull requests that may still be merged."""
        return [values.change_request(each) for each in self._all(f"{self._at}/pulls", state="open")]

    def merged_as(self, revision: str) -> ChangeRequest | None:
        """The pull request whose merge made this commit, None where there is none."""
        answer = self._get(f"{self._at}/commits/{revision}/pull", or_none=True)
        found = None if answer is None else values.change_request(answer.json())
        return found if found is not None and found.merged_as == revision else None

    # -- what Plumbline says -------------------------------------------------------------------------------------

    def comment(self, number: int, comment_id: str) -> Comment | None:
        """One comment of a pull request, None where there is none."""
        if not comment_id.isdecimal():
            return None
        answer = self._get(f"{self._at}/issues/comments/{comment_id}", or_none=True)
        if answer is None or not answer.content:
            return None
        found = answer.json()
        place = found.get("pull_request_url") or found.get("issue_url") or ""
        return values.comment(found) if place.rpartition("/")[2] == str(number) else None

    def recent_comments(self, since: float) -> RecentComments:
        """Pages come oldest first and know how many there are; the last ones are read, and there is nothing conditional."""
        at, query = f"{self._at}/issues/comments", {"since": written(since)}
        first = self._get(at, {**query, "page": 1, "limit": PAGE})
        rows, total = list(first.json() or ()), int(first.headers.get("X-Total-Count") or 0)
        size = max(1, len(rows))  # a Gitea may give shorter pages than it is asked for
        last = -(-total // size)
        begin = max(2, last - MOST_COMMENTS // size + 1)
        for page in range(begin, last + 1):
            rows += self._get(at, {**query, "page": page, "limit": PAGE}).json() or ()
        numbered = ((values.on_change_request(each), each) for each in rows)
        said = tuple((number, values.comment(each)) for number, each in numbered if number is not None)
        until = max((moment(each["updated_at"]) for each in rows), default=0.0)
        return RecentComments(said, until, is_cut=begin > 2)

    def is_received(self, number: int, comment_id: str) -> bool:  # noqa: ARG002
        """By the comment's reactions, which come on one page."""
        listed = self._get(f"{self._at}/issues/comments/{int(comment_id)}/reactions").json() or ()
        mine = self.me().id
        return any(each["content"] == "eyes" and values.person(each["user"]).id == mine for each in listed)

    def react(self, number: int, comment_id: str) -> bool:  # noqa: ARG002
        """Gitea says whether the reaction is new."""
        at = f"{self._at}/issues/comments/{int(comment_id)}/reactions"
        return bool(self._send("POST", at, {"content": "eyes"}).status_code == CREATED)

    def our_comment(self, number: int, marker: str) -> str:
        """What our comment says, empty where there is none."""
        found = self._ours(number, marker)
        return found[1] if found else ""

    def _ours(self, number: int, marker: str) -> tuple[str, str] | None:
        """The id and the text of our comment with the marker."""
        own = int(self.me().id)
        listed = self._all(f"{self._at}/issues/{number}/comments")
        ours = (each for each in listed if each["user"]["id"] == own and marker in each["body"])
        return next(((str(each["id"]), str(each["body"])) for each in ours), None)

    def put_comment(self, number: int, marker: str, body: str) -> bool:
        """Makes our comment say `body`; whether that wrote anything."""
        at, all_of_it = f"{self._at}/issues/comments", f"{self._at}/issues/{number}/comments"

        return self._comments.put(
            (number, marker),
            body,
            read=lambda each: self.comment(number, each),
            find=lambda: self._ours(number, marker),
            edit=lambda each: self._send("PATCH", f"{at}/{each}", {"body": body}, passing=(NOT_FOUND,)).is_success,
            make=lambda: str(self._send("POST", all_of_it, {"body": body}).json()["id"]),
        )

    def put_status(self, revision: str, status: Status, *, unless_told: bool = False) -> bool:
        """Makes a commit's status say this; whether that wrote anything."""
        wanted = (values.STATES[status.state], status.text, status.link)
        body = {"context": status.context, "state": wanted[0], "description": wanted[1], "target_url": wanted[2]}

        def write(_: object) -> None:
            self._send("POST", f"{self._at}/statuses/{revision}", body)

        return self._words.put(
            revision, status.context, wanted, lambda: self._statuses(revision), write, unless_told=unless_told
        )

    def _statuses(self, revision: str) -> Mapping[str, tuple[object, Any]]:
        """The newest status of each context."""
        pages = self._pages(f"{self._at}/commits/{revision}/status", {})
        return {
            each["context"]: ((each["status"], each["description"], each["target_url"]), None)
            for page in pages
            for each in page.json().get("statuses") or ()
        }

    def forget(self) -> None:
        """Looks again before each write."""
        self._comments.forget()
        self._words.forget()

    def presume_nothing(self, revision: str) -> None:
        """Nothing was said of this commit yet."""
        self._words.presume_nothing(revision)

    def put_check(self, revision: str, check: Check) -> bool:  # noqa: ARG002
        """Gitea has no checks: nothing is written."""
        return False

    def put_deployment(self, deployment: Deployment) -> bool:  # noqa: ARG002
        """Gitea has no deployments: nothing is written."""
        return False

    def made(self, revision: str) -> Made | None:
        """What a commit did; None where there is none."""
        answer = self._get(f"{self._at}/git/commits/{quote(revision, safe='')}", or_none=True)
        return None if answer is None else values.made(answer.json())

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileChange]) -> str:
        """A commit as the bot user on a branch whose tip is `onto` (made where it is new); its id. Raises Moved.

        Gitea commits to a branch wherever its tip is by then. So a commit is made on a new branch, off one that was at `onto` a
        moment ago, and taken away again where that was elsewhere; a branch that is there is moved to it by a compare and swap.
        Each write runs the hooks of Gitea. A new branch has to be off one that is at `onto`.
        """
        tips = self.tips()
        tip = tips.get(branch)
        base = branch if tip is not None else next((name for name, each in tips.items() if each == onto), "")
        if tips.get(base) != onto:
            raise Moved(f"branch {branch}", "at the forge")
        operations = [self._operation(onto, each) for each in files]
        if tip is None:
            return self._branch_off(base, branch, onto, message, operations)
        draft = f"plumbline-draft-{secrets.token_hex(6)}"
        try:
            made = self._branch_off(base, draft, onto, message, operations)
            self._move(branch, onto, made)
        finally:
            self._send("DELETE", f"{self._at}/branches/{draft}", None, passing=(NOT_FOUND,))
        return made

    def _branch_off(self, base: str, branch: str, onto: str, message: str, operations: Sequence[Any]) -> str:
        body = {"branch": base, "new_branch": branch, "message": message, "files": operations}
        answer = self._send("POST", f"{self._at}/contents", body, passing=(CONFLICT, INVALID, NOT_FOUND))
        if not answer.is_success:
            for name, tip in ((base, onto), (branch, None)):
                if self._tip(name) != tip:
                    raise Moved(f"branch {name}", "at the forge")
            raise Refused(f"the forge does not take the commit to {branch}: {words_of(answer)}")
        made = answer.json()["commit"]
        if [each["sha"] for each in made["parents"]] != [onto]:
            self._send("DELETE", f"{self._at}/branches/{quote(branch, safe='')}", None, passing=(NOT_FOUND,))
            raise Moved(f"branch {base}", "at the forge")
        return str(made["sha"])

    def _move(self, branch: str, tip: str, made: str) -> None:
        body = {"new_commit_id": made, "old_commit_id": tip}
        at = f"{self._at}/branches/{quote(branch, safe='')}"
        answer = self._send("PUT", at, body, passing=(CONFLICT, INVALID))
        if not answer.is_success:
            if self._tip(branch) != tip:
                raise Moved(f"branch {branch}", "at the forge")
            raise Refused(f"the forge does not take the commit to {branch}: {words_of(answer)}")

    def _tip(self, branch: str) -> str | None:
        answer = self._get(f"{self._at}/branches/{quote(branch, safe='')}", or_none=True)
        return None if answer is None else str(answer.json()["commit"]["id"])

    def _operation(self, onto: str, change: FileChange) -> dict[str, str]:
        answer = self._get(f"{self._at}/contents/{quote(change.path)}", {"ref": onto}, or_none=True)
        made = {"path": change.path, "operation": "create"}
        if answer is not None:
            made |= {"operation": "update", "sha": answer.json()["sha"]}
        if change.content is None:
            return made | {"operation": "delete"}
        if change.is_executable != (change.was == EXECUTABLE_FILE):
            raise Refused(
                f"{change.path} would have to {'become' if change.is_executable else 'be no longer'} executable, which Gitea's "
                "API cannot do",
                "Make this commit by hand, with git",
            )
        return made | {"content": base64.b64encode(change.data).decode()}

    def open_change_request(self, head: str, base: str, title: str, body: str) -> ChangeRequest:
        """A pull request for a branch; the one that is open already where there is one."""
        if (found := self._open_one(head, base)) is not None:
            return found
        given = {"head": head, "base": base, "title": title, "body": body}
        answer = self._send("POST", f"{self._at}/pulls", given, passing=(CONFLICT, INVALID))
        if answer.is_success:
            return values.change_request(answer.json())
        if (found := self._open_one(head, base)) is not None:
            return found
        raise Refused(f"the forge does not open a pull request of {head} into {base}: {words_of(answer)}")

    def close_change_request(self, number: int) -> None:
        """Closes a pull request without merging it; one that is not open stays as it is."""
        found = self.change_request(number)
        if found is not None and found.state is RequestState.OPEN:
            self._send("PATCH", f"{self._at}/pulls/{number}", {"state": "closed"})

    def _open_one(self, head: str, base: str) -> ChangeRequest | None:
        for each in self._all(f"{self._at}/pulls", state="open", base_branch=base):
            if each["head"]["ref"] == head and not values.change_request(each).is_from_fork:
                return values.change_request(each)
        return None

    # -- webhooks, for setup -------------------------------------------------------------------------------------

    def hooks(self) -> Sequence[Mapping[str, Any]]:
        """The repository's webhooks as Gitea describes them (`id`, `events`, `active`, `config.url`)."""
        return list(self._all(f"{self._at}/hooks"))

    def put_hook(self, url: str, secret: str, events: Sequence[str]) -> None:
        """Makes the webhook to this address, or sets its events and secret anew: the forge never says a secret."""
        config = {"url": url, "content_type": "json", "secret": secret}
        given = {"config": config, "events": list(events), "active": True}
        for each in self.hooks():
            if each.get("config", {}).get("url") == url:
                self._send("PATCH", f"{self._at}/hooks/{each['id']}", given)
                return
        self._send("POST", f"{self._at}/hooks", {"type": "gitea", **given})

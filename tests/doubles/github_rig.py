"""People at GitHub's double: they push, propose, merge and comment, and its webhooks tell of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bot.forges import github_values as values
from bot.forges.port import (
    Annotation,
    ChangeRequest,
    Check,
    Comment,
    Credentials,
    Deployment,
    Permission,
    State,
    Status,
)
from tests.doubles.bare_git import NOTHING, Conflict
from tests.doubles.contracts import require_contracts
from tests.doubles.forge_rig import OWNER, Delivery, MergeRefused
from tests.doubles.github import APP, BOT, PROJECT, TOKEN, GithubDouble, app_key
from worker.domain.environment import Ceiling
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository
from worker.domain.secret_text import SecretReference, SecretText

STATES: Final = {"pending": State.PENDING, "success": State.SUCCESS, "failure": State.FAILURE, "error": State.ERROR}
DEPLOYMENT_STATES: Final = {word: state for state, word in values.DEPLOYMENT_STATES.items()}
CONCLUSIONS: Final = {
    "success": State.SUCCESS,
    "failure": State.FAILURE,
    "cancelled": State.CANCELLED,
    None: State.PENDING,
}
ROLES: Final = {Permission.NONE: "none", Permission.READ: "read", Permission.WRITE: "write", Permission.ADMIN: "admin"}


def open_pull(
    double: GithubDouble, branch: str, base: str, title: str, head: str, login: str,
    *, is_draft: bool = False, fork: str = "", body: str | None = None,
) -> int:  # fmt: skip
    """Opens a pull request and tells of it; its number."""
    number, moment = len(double.requests) + 1, double.now()
    double.requests[number] = {
        "branch": branch, "base": base, "title": title, "head": head, "author": login, "draft": is_draft, "fork": fork,
        "state": "open", "merged_at": None, "merge_commit_sha": None, "closed_at": None, "body": body,
        "created_at": moment, "updated_at": moment,
    }  # fmt: skip
    double.git.set_ref(f"refs/pull/{number}/head", head)
    tell(double, number, "opened", login)
    return number


def tell(double: GithubDouble, number: int, action: str, login: str, **more: Any) -> None:
    """Sends the pull request's webhook."""
    double.send(
        "pull_request", {"action": action, "number": number, "pull_request": double.pull(number), **more}, login
    )


class GithubRig:
    """The ForgeRig of GitHub's double; `with_app` says how the bot proves itself there."""

    def __init__(self, folder: Path, *, with_app: bool = True) -> None:
        require_contracts()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._with_app = with_app
        self.double = GithubDouble(folder, b"hook secret of the double, long enough")
        for name, text in (
            ("key.pem", app_key()[0]),
            ("token", TOKEN),
            ("webhook-secret", self.webhook_secret.decode()),
        ):
            (folder / name).touch(0o600)
            (folder / name).write_text(text)

    @property
    def declared(self) -> DeclaredForge:
        own = {"app": str(APP), "app_key": self._file("key.pem")} if self._with_app else {"token": self._file("token")}
        return DeclaredForge("github", "github", self.double.address, self._file("webhook-secret"), **own)

    def _file(self, name: str) -> SecretReference:
        return SecretReference(file=str(self._folder / name))

    @property
    def repository(self) -> Repository:
        return Repository("shop", str(self.double.git.folder), None, "github", PROJECT, ("main",), Ceiling())

    @property
    def credentials(self) -> Credentials:
        if self._with_app:
            return Credentials(None, str(APP), SecretText(app_key()[0]))
        return Credentials(SecretText(TOKEN))

    @property
    def webhook_secret(self) -> bytes:
        return self.double.secret

    @property
    def bot(self) -> str:
        return BOT if self._with_app else "plumber"

    def push(
        self,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str = "Change",
        onto: str = "",
        force: bool = False,
    ) -> str:
        git, name = self.double.git, f"refs/heads/{branch}"
        with self.double.lock:
            before = git.tip(name)
            commit = git.commit(onto or before or git.tip("refs/heads/main"), files, message)
            assert force or not before or git.is_ancestor(before, commit), "a push that is no fast-forward needs force"
            self._moved(name, before, commit, OWNER)
        return commit

    def _moved(self, name: str, before: str, commit: str, login: str) -> None:
        double, branch = self.double, name.removeprefix("refs/heads/")
        double.git.set_ref(name, commit)
        forced = bool(before) and not double.git.is_ancestor(before, commit)
        facts = {"ref": name, "before": before or NOTHING, "after": commit, "created": not before, "deleted": False}
        double.send("push", {**facts, "forced": forced, "commits": []}, login)
        for number, known in double.requests.items():
            if known["state"] == "open" and known["branch"] == branch and not known["fork"]:
                known |= {"head": commit, "updated_at": double.now()}
                double.git.set_ref(f"refs/pull/{number}/head", commit)
                tell(double, number, "synchronize", login, before=before, after=commit)

    def open(
        self, head: str, base: str = "main", title: str = "Change", *, author: str = OWNER, is_draft: bool = False
    ) -> int:
        with self.double.lock:
            commit = self.double.git.tip(f"refs/heads/{head}")
            assert commit, f"there is no branch {head}"
            return open_pull(self.double, head, base, title, commit, author, is_draft=is_draft)

    def open_from_fork(self, files: Mapping[str, str | None], base: str = "main", *, author: str = "eve") -> int:
        with self.double.lock:
            if author not in self.double.users:
                self.permit(author, Permission.READ)
            commit = self.double.git.commit(self.double.git.tip(f"refs/heads/{base}"), files, "From a fork", author)
            return open_pull(self.double, "main", base, "From a fork", commit, author, fork="there")

    def push_to_fork(self, number: int, files: Mapping[str, str | None]) -> str:
        double = self.double
        with double.lock:
            known = double.requests[number]
            before = known["head"]
            commit = double.git.commit(before, files, "More from a fork", known["author"])
            known |= {"head": commit, "updated_at": double.now()}
            double.git.set_ref(f"refs/pull/{number}/head", commit)
            tell(double, number, "synchronize", known["author"], before=before, after=commit)
            return commit

    def queue(self, number: int) -> str:
        """The merge queue makes a candidate of a pull request, on a branch of its own, and wants checks of it; its commit."""
        double = self.double
        with double.lock:
            known = double.requests[number]
            onto = double.git.tip(f"refs/heads/{known['base']}")
            name = f"refs/heads/gh-readonly-queue/{known['base']}/pr-{number}-{onto}"
            commit = double.git.merge(onto, known["head"], "merge", f"Merge pull request #{number}")
            double.git.set_ref(name, commit)
            facts = {
                "ref": name,
                "before": NOTHING,
                "after": commit,
                "created": True,
                "deleted": False,
                "forced": False,
            }
            double.send("push", {**facts, "commits": []}, "github-merge-queue[bot]")
            group = {"head_sha": commit, "head_ref": name, "base_ref": f"refs/heads/{known['base']}", "base_sha": onto}
            double.send("merge_group", {"action": "checks_requested", "merge_group": group}, "github-merge-queue[bot]")
            return commit

    def leave_queue(self, number: int, candidate: str, *, is_merged: bool) -> None:
        """The queue is done with a candidate: it becomes the base's tip, or is dropped. Raises MergeRefused without its statuses."""
        double = self.double
        with double.lock:
            known = double.requests[number]
            states = self.statuses(candidate)
            required = double.protected.get(known["base"], ())
            if is_merged and any(each not in states or states[each].state is not State.SUCCESS for each in required):
                raise MergeRefused("The candidate's required status checks have not succeeded.")
            base = f"refs/heads/{known['base']}"
            before = double.git.tip(base)
            for name, commit in double.git.refs("refs/heads/gh-readonly-queue").items():
                if commit == candidate:
                    double.git.set_ref(name, "")
            if is_merged:
                moment = double.now()
                known |= {"state": "closed", "merged_at": moment, "closed_at": moment, "merge_commit_sha": candidate}
                self._moved(base, before, candidate, "github-merge-queue[bot]")
                tell(double, number, "closed", "github-merge-queue[bot]")

    def delete_fork(self, number: int) -> None:
        """Somebody deletes the repository that a change request came from."""
        self.double.requests[number]["fork"] = "gone"

    def edit(
        self, number: int, *, title: str | None = None, base: str | None = None, is_draft: bool | None = None
    ) -> None:
        with self.double.lock:
            known = self.double.requests[number]
            known["updated_at"] = self.double.now()
            if title is not None or base is not None:
                changes = {"base": {"ref": {"from": known["base"]}, "sha": {"from": NOTHING}}} if base else {}
                known |= {"title": title or known["title"], "base": base or known["base"]}
                tell(self.double, number, "edited", OWNER, changes=changes)
            if is_draft is not None:
                known["draft"] = is_draft
                tell(self.double, number, "converted_to_draft" if is_draft else "ready_for_review", OWNER)

    def close_request(self, number: int) -> None:
        with self.double.lock:
            self.double.requests[number] |= {"state": "closed", "closed_at": self.double.now()}
            tell(self.double, number, "closed", OWNER)

    def reopen(self, number: int) -> None:
        with self.double.lock:
            known = self.double.requests[number]
            known |= {"state": "open", "closed_at": None}
            if not known["fork"]:  # what was pushed while it was closed is its head now
                known["head"] = self.double.git.tip(f"refs/heads/{known['branch']}")
                self.double.git.set_ref(f"refs/pull/{number}/head", known["head"])
            tell(self.double, number, "reopened", OWNER)

    def merge(self, number: int, *, method: str = "merge", login: str = OWNER) -> str:
        double = self.double
        with double.lock:
            known = double.requests[number]
            states = self.statuses(known["head"])
            required = double.protected.get(known["base"], ())
            missing = [each for each in required if each not in states or states[each].state is not State.SUCCESS]
            if missing:
                raise MergeRefused(f"Required status check {missing[0]!r} is expected.")
            base = f"refs/heads/{known['base']}"
            before = double.git.tip(base)
            try:
                commit = double.git.merge(before, known["head"], method, f"Merge pull request #{number}")
            except Conflict as conflict:
                raise MergeRefused(str(conflict)) from conflict
            moment = double.now()
            known |= {"state": "closed", "merged_at": moment, "closed_at": moment, "merge_commit_sha": commit}
            self._moved(base, before, commit, login)
            tell(double, number, "closed", login)
            return commit

    def say(self, number: int, body: str, *, login: str = OWNER) -> str:
        with self.double.lock:
            return str(self.double.make_comment(number, login, body)["id"])

    def edit_comment(self, number: int, comment_id: str, body: str, *, login: str = OWNER) -> None:
        with self.double.lock:
            found = self.double.comments[int(comment_id)]
            found |= {"body": body, "updated_at": self.double.now()}
            issue = {"number": number, "pull_request": {}}
            self.double.send("issue_comment", {"action": "edited", "issue": issue, "comment": found}, login)

    def delete_comment(self, number: int, comment_id: str) -> None:
        with self.double.lock:
            found = self.double.comments.pop(int(comment_id))
            issue = {"number": number, "pull_request": {}}
            self.double.send("issue_comment", {"action": "deleted", "issue": issue, "comment": found})

    def permit(self, login: str, permission: Permission) -> None:
        self.double.users.setdefault(login, self.double.next_id())
        self.double.roles[login] = ROLES[permission]

    def protect(self, branch: str, contexts: Sequence[str]) -> None:
        self.double.protected[branch] = tuple(contexts)

    def listen(self, address: str) -> None:
        self.double.listener = address

    def redeliver(self, index: int = -1) -> Delivery:
        self.double.settled()
        before = self.double.deliveries[index]
        return self.double.deliver(before.headers, before.body)

    def tip(self, branch: str) -> str:
        return self.double.git.tip(f"refs/heads/{branch}")

    def change_request(self, number: int) -> ChangeRequest:
        with self.double.lock:
            return values.change_request(self.double.pull(number))

    def comments(self, number: int) -> Sequence[Comment]:
        with self.double.lock:
            found = self.double.comments.values()
            return [values.comment(each) for each in found if each["issue_url"].endswith(f"/issues/{number}")]

    def reactions(self, number: int, comment_id: str) -> Sequence[tuple[str, str]]:
        with self.double.lock:
            return list(self.double.reactions.get(int(comment_id), {}))

    def statuses(self, revision: str) -> Mapping[str, Status]:
        return {each.context: each for each in self.history(revision)}

    def history(self, revision: str) -> Sequence[Status]:
        return [
            Status(each["context"], STATES[each["state"]], each["description"], each["target_url"] or "")
            for each in list(self.double.statuses)
            if each["sha"] == revision
        ]

    def status_count(self, revision: str) -> int:
        return sum(each["sha"] == revision for each in list(self.double.statuses))

    def checks(self, revision: str) -> Sequence[Check]:
        return [
            Check(
                each["name"],
                CONCLUSIONS[each["conclusion"]],
                each["output"]["title"],
                each["output"]["summary"],
                each["details_url"],
                tuple(
                    Annotation(
                        line["path"], line["start_line"], line["annotation_level"], line["title"], line["message"]
                    )
                    for line in each["annotations"]
                ),
            )
            for each in list(self.double.checks)
            if each["head_sha"] == revision
        ]

    def deployments(self, environment: str) -> Sequence[Deployment]:
        found = []
        for number, each in self.double.deployments.items():
            statuses = self.double.deployment_statuses[number]
            if each["environment"] == environment and statuses:
                newest = statuses[-1]
                state = DEPLOYMENT_STATES[newest["state"]]
                found.append(Deployment(environment, each["sha"], "", state, newest["description"], newest["log_url"]))
        return found

    def deliveries(self) -> Sequence[Delivery]:
        self.double.settled()
        return list(self.double.deliveries)

    def requests(self) -> Sequence[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.double.seen if not re.match(r"/app/|.*/installation$", path)]

    def close(self) -> None:
        self.double.close()

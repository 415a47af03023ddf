"""GitLab's double as journeys drive it: its people, its bot user, and what they see."""

from __future__ import annotations

import base64
import contextlib
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.forges import gitlab_values as values
from bot.forges.port import ChangeRequest, Check, Comment, Credentials, Deployment, Permission, State, Status
from tests.doubles.forge_rig import OWNER, Delivery, MergeRefused
from tests.doubles.gitlab import GIT, GitLabDouble, Project, Refusal, Row
from tests.doubles.gitlab_api import Api
from tests.git_server import GitServer
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository
from worker.domain.secret_text import SecretReference, SecretText

PROJECT = "acme/shop"
BOT = "plumbline-bot"
ROLES = {Permission.NONE: 0, Permission.READ: 20, Permission.WRITE: 30, Permission.ADMIN: 40}
STATES = {word: state for state, word in values.STATES.items() if state is not State.ERROR} | {"running": State.PENDING}


class GitLabRig:
    """One project, `ada` who owns it, and the bot user, who is a developer with a token of the scope api."""

    def __init__(self, folder: Path, *, is_signed: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.double = GitLabDouble(folder)
        self.api = Api(self.double)
        self.git_server = GitServer(folder)
        self.project = self.double.project(PROJECT)
        self._token, self._secret = f"glpat-{secrets.token_hex(10)}", secrets.token_hex(16)
        self._signing = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}" if is_signed else ""
        self._files = {
            name: _kept(folder / name, text)
            for name, text in {"token": self._token, "secret": self._secret, "signing": self._signing}.items()
        }
        self.permit(OWNER, Permission.ADMIN)
        self.permit(BOT, Permission.WRITE)
        self.double.tokens[self._token] = (self.double.user(BOT)["id"], {"api"})
        self._clone = folder / "clone"
        subprocess.run(["git", "init", "-q", "-b", "main", str(self._clone)], env=GIT, check=True)
        self.push("main", {"README.md": "A shop.\n"}, message="Begin")

    @property
    def declared(self) -> DeclaredForge:
        return DeclaredForge(
            name="gitlab",
            kind="gitlab",
            address=self.double.address,
            webhook_secret=self._files["secret"],
            token=self._files["token"],
            signing_key=self._files["signing"] if self._signing else None,
        )

    @property
    def repository(self) -> Repository:
        return Repository("shop", self.git_server.url(self.project.folder.name), None, forge="gitlab", project=PROJECT)

    @property
    def credentials(self) -> Credentials:
        return Credentials(SecretText(self._token))

    @property
    def webhook_secret(self) -> bytes:
        return (self._signing or self._secret).encode()

    @property
    def bot(self) -> str:
        return BOT

    # What people do.

    def push(
        self,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str = "Change",
        onto: str = "",
        force: bool = False,
    ) -> str:
        return self._push(self.project, branch, files, message=message, onto=onto, force=force, login=OWNER)

    def _push(
        self,
        project: Project,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str,
        onto: str,
        force: bool,
        login: str,
    ) -> str:
        url = self.git_server.url(project.folder.name)
        start = onto or project.tip(branch) or project.tip("main")
        if start:
            self._git("fetch", "-q", url, "+refs/heads/*:refs/seen/*", "+refs/merge-requests/*:refs/requests/*")
            self._git("checkout", "-q", "--detach", "--force", start)
        for name, content in files.items():
            path = self._clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if content is None else path.write_text(content)
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        self._git("push", "-q", *(["--force"] if force else []), url, f"HEAD:refs/heads/{branch}")
        self.double.look(project, self.double.user(login))
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=self._clone, env=GIT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def open(
        self, head: str, base: str = "main", title: str = "Change", *, author: str = OWNER, is_draft: bool = False
    ) -> int:
        return self._open(self.project, head, base, f"Draft: {title}" if is_draft else title, author)

    def _open(self, source: Project, head: str, base: str, title: str, author: str) -> int:
        content = {"source_branch": head, "target_branch": base, "title": title}
        with self.double.lock:
            made = self.double.open_request(source, self.project, self.double.user(author), **content)
        return int(made["iid"])

    def open_from_fork(self, files: Mapping[str, str | None], base: str = "main", *, author: str = "eve") -> int:
        if author not in {user["username"] for user in self.double.users.values()}:
            self.permit(author, Permission.READ)
        fork = self.double.project(f"{author}/shop")
        fork.is_public = True
        fork.git("fetch", "-q", str(self.project.folder), "refs/heads/*:refs/heads/*")
        self._push(fork, "change", files, message="From a fork", onto=fork.tip(base), force=False, login=author)
        return self._open(fork, "change", base, "From a fork", author)

    def push_to_fork(self, number: int, files: Mapping[str, str | None]) -> str:
        request = self.double.merge_requests[number]
        fork, author = self.double.projects[request["source_project_id"]], request["author"]["username"]
        branch = request["source_branch"]
        return self._push(
            fork, branch, files, message="More from a fork", onto=fork.tip(branch), force=False, login=author
        )

    def edit(
        self, number: int, *, title: str | None = None, base: str | None = None, is_draft: bool | None = None
    ) -> None:
        request = self.double.merge_requests[number]
        name = title if title is not None else request["title"].removeprefix("Draft: ")
        drafted = request["draft"] if is_draft is None else is_draft
        changes = {"title": f"Draft: {name}" if drafted else name} | ({"target_branch": base} if base else {})
        self._edit(number, "update", **{each: value for each, value in changes.items() if request[each] != value})

    def _edit(self, number: int, action: str, **changes: Any) -> None:
        with self.double.lock:
            self.double.edit_request(self.double.merge_requests[number], self.double.user(OWNER), action, **changes)

    def close_request(self, number: int) -> None:
        self._edit(number, "close", state="closed")

    def reopen(self, number: int) -> None:
        request = self.double.merge_requests[number]
        source = self.double.projects[request["source_project_id"]]
        self.double.point(request, source.tip(request["source_branch"]))
        self._edit(number, "reopen", state="opened")

    def merge(self, number: int, *, method: str = "merge", login: str = OWNER) -> str:
        with self.double.lock:
            try:
                return self.double.merge(self.double.merge_requests[number], self.double.user(login), method)
            except Refusal as refusal:
                raise MergeRefused(str(refusal.message)) from None

    def say(self, number: int, body: str, *, login: str = OWNER) -> str:
        with self.double.lock:
            note = self.double.note(self.double.merge_requests[number], self.double.user(login), body)
        return str(note["id"])

    def edit_comment(self, number: int, comment_id: str, body: str, *, login: str = OWNER) -> None:
        note = next(each for each in self.double.notes[number] if str(each["id"]) == comment_id)
        with self.double.lock:
            self.double.edit_note(self.double.merge_requests[number], note, self.double.user(login), body)

    def delete_comment(self, number: int, comment_id: str) -> None:
        notes = self.double.notes[number]
        self.double.notes[number] = [each for each in notes if str(each["id"]) != comment_id]

    def permit(self, login: str, permission: Permission) -> None:
        user = self.double.user(login)
        self.project.members.pop(user["id"], None)
        if ROLES[permission]:
            self.project.members[user["id"]] = {"access_level": ROLES[permission], "expires_at": None}

    def protect(self, branch: str, contexts: Sequence[str]) -> None:
        """GitLab requires no status by its name: the newest pipeline, which they are in, must succeed."""
        self.double.protected.add(branch)
        if contexts:
            self.double.must_succeed.add(branch)

    def listen(self, address: str) -> None:
        content = {**values.HOOK, "url": address, "token": self._secret, "signing_token": self._signing}
        self.double.hooks = [{"id": self.double.number(), "project_id": self.project.id, **content}] if address else []

    def redeliver(self, index: int = -1) -> Delivery:
        self.double.settle()
        return self.double.again(index)

    # What people see.

    def tip(self, branch: str) -> str:
        return self.project.tip(branch)

    def change_request(self, number: int) -> ChangeRequest:
        return values.change_request(self.double.merge_requests[number])

    def comments(self, number: int) -> Sequence[Comment]:
        return [values.comment(note) for note in self.double.notes[number] if not note["system"]]

    def reactions(self, number: int, comment_id: str) -> Sequence[tuple[str, str]]:
        found = self.double.awards.get(int(comment_id), [])
        return [(each["user"]["username"], each["name"]) for each in found]

    def statuses(self, revision: str) -> Mapping[str, Status]:
        return {row["name"]: _status(row) for row in self.double.statuses if row["sha"] == revision}

    def history(self, revision: str) -> Sequence[Status]:
        return [_status(row) for row in list(self.double.written) if row["sha"] == revision]

    def status_count(self, revision: str) -> int:
        return sum(row["sha"] == revision for row in self.double.statuses)

    def checks(self, revision: str) -> Sequence[Check]:
        return ()

    def deployments(self, environment: str) -> Sequence[Deployment]:
        rows = [each for each in self.double.deployments if each["environment"]["name"] == environment]
        link = next(
            (each["external_url"] or "" for each in self.double.environments if each["name"] == environment), ""
        )
        return [Deployment(environment, row["sha"], row["ref"], STATES[row["status"]], "", link) for row in rows]

    def deliveries(self) -> Sequence[Delivery]:
        self.double.settle()
        return tuple(self.double.deliveries)

    def requests(self) -> Sequence[tuple[str, str]]:
        return tuple(self.double.requests)

    def close(self) -> None:
        self.api.close()
        self.git_server.close()
        with contextlib.suppress(OSError):
            self.double.close()


def _status(row: Row) -> Status:
    return Status(row["name"], STATES[row["status"]], row["description"] or "", row["target_url"] or "")


def _kept(path: Path, text: str) -> SecretReference:
    path.write_text(text)
    path.chmod(0o600)
    return SecretReference(file=str(path))

"""People at a real Gitea: they push, propose, merge and comment there, and its own webhooks tell of it.

The repository is private; workers fetch with a token that may read and nothing else. Webhooks and the bot's requests pass
relays, so that it is known what was sent.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bot.forges import gitea_values as values
from bot.forges.gitea import Gitea
from bot.forges.moments import moment
from bot.forges.port import (
    ChangeRequest,
    Check,
    Comment,
    Credentials,
    Deployment,
    Permission,
    Person,
    State,
    Status,
)
from plumbline.forge_system import BOT
from plumbline.setup_gitea import EVENTS, SCOPES
from sandbox.forge import GiteaServer
from tests.doubles.forge_rig import OWNER, Delivery, MergeRefused
from tests.doubles.gitlab import GIT
from tests.doubles.recording_relay import RecordingRelay
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository
from worker.domain.secret_text import SecretReference, SecretText

READER: Final = "reader"
DRAFT: Final = "WIP: "
ROLES: Final = {Permission.READ: "read", Permission.WRITE: "write", Permission.ADMIN: "admin"}
STATES: Final = {
    "pending": State.PENDING, "success": State.SUCCESS, "failure": State.FAILURE, "error": State.ERROR,
    "warning": State.CANCELLED,
}  # fmt: skip
PAGE: Final = 50


class GiteaRig:
    """A private repository of one owner's at a forge that runs already; everybody but the bot has a name of this rig's."""

    def __init__(self, folder: Path, server: GiteaServer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.server = server
        self._folder = folder
        self._suffix = secrets.token_hex(3)
        self._people: set[str] = set()
        self._forks: set[str] = set()
        owner = self._login(OWNER)
        self.project = f"{owner}/shop"
        if server.request("GET", f"/users/{BOT}")[0] != 200:
            server.create_user(BOT)
        self._bot_token = server.create_token(BOT, SCOPES)
        server.create_repository(owner, "shop", {BOT: "admin"})
        self._ask("PATCH", "", {"private": True})
        self.permit(READER, Permission.READ)
        reading = server.create_token(self._login(READER), ["read:repository"])
        self._webhook_secret = secrets.token_hex(32)
        self._files = {
            name: _kept(folder / name, text)
            for name, text in {
                "token": self._bot_token,
                "webhook-secret": self._webhook_secret,
                "read-only": f"{self._login(READER)}:{reading}",
            }.items()
        }
        self._hooks, self._api = RecordingRelay(), RecordingRelay(server.address)
        self._clone = folder / "clone"
        subprocess.run(["git", "init", "-q", "-b", "main", str(self._clone)], env=GIT, check=True)
        self.push("main", {"README.md": "A shop.\n"}, message="Begin")

    def _login(self, login: str) -> str:
        """Somebody's account at the forge, made where it is new."""
        if login == BOT:
            return BOT
        name = f"{login}-{self._suffix}"
        if login not in self._people:
            self._people.add(login)
            self.server.create_user(name)
        return name

    def _ask(self, method: str, path: str, body: Any = None, *, login: str = OWNER, **query: Any) -> Any:
        search = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        at = f"/repos/{self.project}{path}{f'?{search}' if search else ''}"
        return self.server.ask(method, at, body, login=self._login(login))

    def _pages(self, path: str, **query: Any) -> list[Any]:
        found: list[Any] = []
        for page in range(1, 100):
            rows = self._ask("GET", path, page=page, limit=PAGE, **query) or []
            found += rows
            if len(rows) < PAGE:
                break
        return found

    # What Plumbline is told.

    @property
    def declared(self) -> DeclaredForge:
        return DeclaredForge(
            "gitea", "gitea", self._api.address, self._files["webhook-secret"], token=self._files["token"]
        )

    @property
    def repository(self) -> Repository:
        url = f"{self.server.address}/{self.project}.git"
        return Repository("shop", url, None, "gitea", self.project, credentials=self._files["read-only"])

    @property
    def credentials(self) -> Credentials:
        return Credentials(SecretText(self._bot_token))

    @property
    def webhook_secret(self) -> bytes:
        return self._webhook_secret.encode()

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
        return self._push(self.project, OWNER, branch, files, message=message, onto=onto, force=force)

    def _push(
        self,
        project: str,
        login: str,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str,
        onto: str,
        force: bool = False,
    ) -> str:
        start = onto or self.tip(branch) or self.tip("main")
        if start:
            # From the folder on this machine, so that it is the commit as the forge has it, whoever made it.
            self._git("fetch", "-q", str(self.bare), "+refs/heads/*:refs/seen/*", "+refs/pull/*:refs/requests/*")
            self._git("checkout", "-q", "--detach", "--force", start)
        for name, content in files.items():
            path = self._clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if content is None else path.write_text(content)
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        owner, _, name = project.partition("/")
        url = self.server.clone_url(owner, name, self._login(login))
        self._git("push", "-q", *(["--force"] if force else []), url, f"HEAD:refs/heads/{branch}")
        return self._git("rev-parse", "HEAD")

    @property
    def bare(self) -> Path:
        """The repository in the forge's own folder."""
        return self.server.folder(self._login(OWNER), "shop")

    def _git(self, *arguments: str, at: Path | None = None) -> str:
        run = subprocess.run(
            ["git", *arguments], cwd=at or self._clone, env=GIT, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def open(
        self, head: str, base: str = "main", title: str = "Change", *, author: str = OWNER, is_draft: bool = False
    ) -> int:
        return self._open(head, base, f"{DRAFT}{title}" if is_draft else title, author)

    def _open(self, head: str, base: str, title: str, author: str) -> int:
        made = self._ask("POST", "/pulls", {"head": head, "base": base, "title": title}, login=author)
        return int(made["number"])

    def open_from_fork(self, files: Mapping[str, str | None], base: str = "main", *, author: str = "eve") -> int:
        if author not in self._people:
            self.permit(author, Permission.READ)
        name, branch = self._login(author), f"change-{secrets.token_hex(3)}"
        if author not in self._forks:
            self._ask("POST", "/forks", {}, login=author)
            self._forks.add(author)
        self._push(f"{name}/shop", author, branch, files, message="From a fork", onto=self.tip(base))
        return self._open(f"{name}:{branch}", base, "From a fork", author)

    def push_to_fork(self, number: int, files: Mapping[str, str | None]) -> str:
        head = self._ask("GET", f"/pulls/{number}")["head"]
        author = str(head["repo"]["owner"]["login"])
        project, branch, login = f"{author}/shop", head["ref"], author.removesuffix(f"-{self._suffix}")
        return self._push(project, login, branch, files, message="More from a fork", onto=head["sha"])

    def edit(
        self, number: int, *, title: str | None = None, base: str | None = None, is_draft: bool | None = None
    ) -> None:
        known = self.change_request(number)
        name = title if title is not None else known.title.removeprefix(DRAFT)
        drafted = known.is_draft if is_draft is None else is_draft
        changes = {"title": f"{DRAFT}{name}" if drafted else name} | ({"base": base} if base else {})
        self._ask("PATCH", f"/pulls/{number}", changes)

    def close_request(self, number: int) -> None:
        self._ask("PATCH", f"/pulls/{number}", {"state": "closed"})

    def reopen(self, number: int) -> None:
        self._ask("PATCH", f"/pulls/{number}", {"state": "open"})

    def merge(self, number: int, *, method: str = "merge", login: str = OWNER) -> str:
        at = f"/repos/{self.project}/pulls/{number}/merge"
        until = time.monotonic() + 20
        while True:
            code, said = self.server.request("POST", at, {"Do": method}, login=self._login(login))
            if code == 200:
                return self.change_request(number).merged_as
            words = str((said or {}).get("message", code))
            if "try again later" not in words.lower() or time.monotonic() > until:
                raise MergeRefused(words)
            time.sleep(0.05)  # it still looks whether the branches fit

    def say(self, number: int, body: str, *, login: str = OWNER) -> str:
        return str(self._ask("POST", f"/issues/{number}/comments", {"body": body}, login=login)["id"])

    def edit_comment(self, number: int, comment_id: str, body: str, *, login: str = OWNER) -> None:
        self._ask("PATCH", f"/issues/comments/{comment_id}", {"body": body}, login=login)

    def delete_comment(self, number: int, comment_id: str) -> None:
        self._ask("DELETE", f"/issues/comments/{comment_id}")

    def permit(self, login: str, permission: Permission) -> None:
        at = f"/collaborators/{self._login(login)}"
        if permission is Permission.NONE:
            self._ask("DELETE", at)
        else:
            self._ask("PUT", at, {"permission": ROLES[permission]})

    def protect(self, branch: str, contexts: Sequence[str]) -> None:
        rule = {
            "enable_push": True, "enable_push_whitelist": True, "push_whitelist_usernames": [self._login(OWNER)],
            "enable_status_check": bool(contexts), "status_check_contexts": list(contexts), "block_admin_merge_override": True,
        }  # fmt: skip
        known = [each for each in self._ask("GET", "/branch_protections") if each["rule_name"] == branch]
        if known:
            self._ask("PATCH", f"/branch_protections/{quote(branch, safe='')}", rule)
        else:
            self._ask("POST", "/branch_protections", {"rule_name": branch, **rule})

    def listen(self, address: str) -> None:
        base, _, path = address.partition("/webhooks")
        self._hooks.target = base
        with contextlib.closing(Gitea(self.server.address, self.project, self._bot_token)) as speaker:
            for each in speaker.hooks():
                self._ask("DELETE", f"/hooks/{each['id']}")
            if address:
                speaker.put_hook(f"{self._hooks.address}/webhooks{path}", self._webhook_secret, EVENTS)

    def redeliver(self, index: int = -1) -> Delivery:
        """Gitea's own button makes a new delivery of an old body: under another id."""
        old = self._hooks.exchanges[index]
        identity = str(uuid.uuid4())
        headers = {
            name: identity if name.lower().endswith(("-delivery", "-webhook-uuid")) else value
            for name, value in old.headers.items()
        }
        code, _, _ = self._hooks.send(old.method, old.path, headers, old.body)
        return Delivery(headers, old.body, code)

    # What people see.

    def tip(self, branch: str) -> str:
        command = ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"]
        run = subprocess.run(command, cwd=self.bare, env=GIT, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    def change_request(self, number: int) -> ChangeRequest:
        return values.change_request(self._ask("GET", f"/pulls/{number}"))

    def comments(self, number: int) -> Sequence[Comment]:
        return [
            Comment(
                str(each["id"]),
                Person(str(each["user"]["id"]), each["user"]["login"]),
                each["body"],
                moment(each["created_at"]),
                each["updated_at"] != each["created_at"],
            )
            for each in self._pages(f"/issues/{number}/comments")
        ]

    def reactions(self, number: int, comment_id: str) -> Sequence[tuple[str, str]]:
        found = self._ask("GET", f"/issues/comments/{comment_id}/reactions") or []
        return [(each["user"]["login"], each["content"]) for each in found]

    def statuses(self, revision: str) -> Mapping[str, Status]:
        return {each.context: each for each in self.history(revision)}

    def history(self, revision: str) -> Sequence[Status]:
        rows = self._pages(f"/commits/{revision}/statuses")
        return [
            Status(row["context"], STATES[row["status"]], row["description"], row["target_url"])
            for row in sorted(rows, key=lambda row: int(row["id"]))
        ]

    def status_count(self, revision: str) -> int:
        return len(self.history(revision))

    def checks(self, revision: str) -> Sequence[Check]:
        return ()

    def deployments(self, environment: str) -> Sequence[Deployment]:
        return ()

    def deliveries(self) -> Sequence[Delivery]:
        return [Delivery(each.headers, each.body, each.code) for each in tuple(self._hooks.exchanges)]

    def requests(self) -> Sequence[tuple[str, str]]:
        return [(each.method, each.path.removeprefix("/api/v1")) for each in tuple(self._api.exchanges)]

    def close(self) -> None:
        self.listen("")
        self._hooks.close()
        self._api.close()


def _kept(path: Path, text: str) -> SecretReference:
    path.touch(0o600)
    path.write_text(text)
    return SecretReference(file=str(path))

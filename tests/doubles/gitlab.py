"""A GitLab for tests: what it keeps and does, over real git. `gitlab_api` is its REST API, `gitlab_rig` its people.

It enforces what GitLab enforces and its schema does not say: lengths, state transitions, roles, scopes, locks and paging.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.forges.gitlab_door import signing_key
from tests.doubles.forge_rig import Delivery

NOTHING = "0" * 40
GIT = {
    "PATH": os.environ.get("PATH", os.defpath), "HOME": os.devnull, "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@localhost", "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@localhost",
    "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
}  # fmt: skip

Row = dict[str, Any]


def moment() -> str:
    """Now, as GitLab writes it, but for its digits: an edit is later than what it edits."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Refusal(Exception):
    """What the API answers instead: code and message."""

    def __init__(self, code: int, message: Any) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Fault:
    """What one request meets instead of its answer; with `is_taken` only after it was obeyed. Code 0 hangs up."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>made to fail</html>"
    is_taken: bool = False


@dataclass(slots=True)
class Project:
    """A project and the bare repository behind it."""

    id: int
    path: str
    folder: Path
    members: dict[int, Row] = field(default_factory=dict)
    is_public: bool = False

    def git(self, *arguments: str, data: bytes | None = None, check: bool = True, **environ: str) -> str:
        """Runs git in the repository."""
        run = subprocess.run(
            ["git", *arguments], cwd=self.folder, env={**GIT, **environ}, input=data, capture_output=True, check=False
        )
        if check and run.returncode != 0:
            raise AssertionError(f"git {arguments}: {run.stderr.decode()}")
        return run.stdout.decode().rstrip("\n") if run.returncode == 0 else ""

    def blob(self, revision: str, path: str) -> bytes:
        """A file's exact content."""
        command = ["git", "cat-file", "blob", f"{revision}:{path}"]
        return subprocess.run(command, cwd=self.folder, env=GIT, capture_output=True, check=True).stdout

    def tip(self, branch: str) -> str:
        """A branch's commit, empty where there is none."""
        return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", check=False)

    def branches(self) -> dict[str, str]:
        """Every branch and its commit."""
        rows = self.git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads").splitlines()
        return {name: commit for name, _, commit in (row.rpartition(" ") for row in rows)}

    def words(self, commit: str) -> dict[str, str]:
        """A commit as a list of branches has it."""
        title, _, author = self.git("show", "--no-patch", "--format=%s%x00%an", commit).partition("\0")
        return {"id": commit, "title": title, "author_name": author}


class GitLabDouble:
    """Users, projects, merge requests, notes, pipelines, deployments and hooks, and who is told of what happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.users: dict[int, Row] = {}
        self.tokens: dict[str, tuple[int, set[str]]] = {}
        self.projects: dict[int, Project] = {}
        self.merge_requests: dict[int, Row] = {}
        self.notes: dict[int, list[Row]] = {}
        self.commented: list[Row] = []
        self.awards: dict[int, list[Row]] = {}
        self.groups: dict[str, dict[int, Row]] = {}
        self.pipelines: list[Row] = []
        self.statuses: list[Row] = []
        self.written: list[Row] = []
        self.environments: list[Row] = []
        self.deployments: list[Row] = []
        self.hooks: list[Row] = []
        self.protected: set[str] = set()
        self.must_succeed: set[str] = set()
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.requests: list[tuple[str, str]] = []
        self.deliveries: list[Delivery] = []
        self.address = ""
        self._numbers = iter(range(1, 1_000_000))
        self._known: dict[int, dict[str, str]] = {}
        self._outbox: queue.Queue[tuple[str, dict[str, str], bytes] | None] = queue.Queue()
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self._sender.start()

    def number(self) -> int:
        """An id that nothing else has."""
        return next(self._numbers)

    # People and projects.

    def user(self, login: str) -> Row:
        """Somebody, made where new."""
        found = next((user for user in self.users.values() if user["username"] == login), None)
        if found is None:
            number = self.number()
            found = {"id": number, "username": login, "name": login.title(), "state": "active"}
            self.users[number] = found
        return found

    def project(self, path: str) -> Project:
        """A new project with an empty repository."""
        number = self.number()
        folder = self.folder / f"{number}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], env=GIT, check=True)
        made = Project(number, path, folder)
        made.git("config", "http.receivepack", "true")
        self.projects[number] = made
        self._known[number] = {}
        return made

    def level(self, project: Project, user_id: int) -> int:
        """Somebody's access level; 0 for who is no member or not active."""
        member = project.members.get(user_id)
        return int(member["access_level"]) if member and self.users[user_id]["state"] == "active" else 0

    # What happens in the repository.

    def look(self, project: Project, user: Row) -> None:
        """Takes notice of what was pushed: merge requests move, and hooks are sent."""
        with self.lock:
            before, after = self._known[project.id], project.branches()
            self._known[project.id] = after
            for branch in sorted({*before, *after}):
                old, new = before.get(branch, NOTHING), after.get(branch, NOTHING)
                if old != new:
                    self._moved(project, branch, old, new, user)

    def _moved(self, project: Project, branch: str, old: str, new: str, user: Row) -> None:
        self.tell(project, "push", {
            "event_name": "push", "before": old, "after": new, "ref": f"refs/heads/{branch}",
            "checkout_sha": None if new == NOTHING else new, "user_id": user["id"], "user_username": user["username"],
            "project_id": project.id, "commits": [], "total_commits_count": 0,
        })  # fmt: skip
        for request in self.merge_requests.values():
            is_its = request["source_project_id"] == project.id and request["source_branch"] == branch
            if is_its and request["state"] == "opened" and new != NOTHING:
                self.point(request, new)
                self.tell_request(request, "update", user, {"updated_at": {}}, oldrev=old)

    def point(self, request: Row, head: str) -> None:
        """Makes a merge request's head this commit, and keeps it under its ref in the target."""
        source, target = self.projects[request["source_project_id"]], self.projects[request["target_project_id"]]
        ref = f"refs/merge-requests/{request['iid']}/head"
        if source is not target:
            target.git("fetch", "-q", str(source.folder), head)
        target.git("update-ref", ref, head)
        request["sha"] = head

    def open_request(self, source: Project, target: Project, user: Row, **content: Any) -> Row:
        """A new merge request."""
        head = source.tip(content["source_branch"])
        if not head:
            raise Refusal(400, {"validate_branches": ["Source branch does not exist"]})
        if any(self._is_double(each, source, content) for each in self.merge_requests.values()):
            raise Refusal(409, ["Another open merge request already exists for this source branch"])
        iid = len(self.merge_requests) + 1
        request = {
            "id": self.number(), "iid": iid, "project_id": target.id, "source_project_id": source.id,
            "target_project_id": target.id, "source_branch": content["source_branch"], "target_branch": content["target_branch"],
            "title": content["title"], "description": content.get("description", ""), "state": "opened",
            "draft": content["title"].startswith("Draft:"), "author": user, "sha": head, "merge_commit_sha": None,
            "squash_commit_sha": None, "web_url": f"{self.address}/{target.path}/-/merge_requests/{iid}",
        }  # fmt: skip
        request["start_sha"] = target.tip(content["target_branch"])
        self.merge_requests[iid] = request
        self.notes[iid] = []
        self.point(request, head)
        self.tell_request(request, "open", user, {})
        return request

    @staticmethod
    def _is_double(request: Row, source: Project, content: Mapping[str, Any]) -> bool:
        same = all(request[name] == content[name] for name in ("source_branch", "target_branch"))
        return same and request["state"] == "opened" and request["source_project_id"] == source.id

    def edit_request(self, request: Row, user: Row, action: str = "update", **changes: Any) -> None:
        """Changes a merge request, which leaves a note of GitLab's own and tells the hooks."""
        request.update(changes)
        request["draft"] = request["title"].startswith("Draft:")
        self.note(request, user, "changed this merge request", system=True)
        self.tell_request(request, action, user, {name: {} for name in changes})

    def note(self, request: Row, user: Row, body: str, *, system: bool = False) -> Row:
        """A comment, or a note of GitLab's own."""
        if len(body) > 1_000_000:
            raise Refusal(400, {"note": ["is too long (maximum is 1000000 characters)"]})
        now = moment()
        note = {
            "id": self.number(), "body": body, "author": user, "created_at": now, "updated_at": now, "system": system,
            "noteable_type": "MergeRequest", "noteable_id": request["id"], "noteable_iid": request["iid"],
        }  # fmt: skip
        self.notes[request["iid"]].append(note)
        if not system:
            self.commented.append({"id": self.number(), "created_at": now, "note": note, "iid": request["iid"]})
        self._tell_note(request, note, user, "create")
        return note

    def edit_note(self, request: Row, note: Row, user: Row, body: str) -> None:
        """Changes a comment."""
        note.update(body=body, updated_at=moment())
        self._tell_note(request, note, user, "update")

    def merge(self, request: Row, user: Row, method: str) -> str:
        """Merges; the commit on the target. Raises Refusal as GitLab does (405, 406)."""
        target = self.projects[request["target_project_id"]]
        base, head, onto = request["target_branch"], request["sha"], target.tip(request["target_branch"])
        if request["state"] != "opened" or request["draft"]:
            raise Refusal(405, "405 Method Not Allowed")
        if base in self.must_succeed and self.pipeline_state(head) != "success":
            raise Refusal(405, "405 Method Not Allowed")
        tree = target.git("merge-tree", "--write-tree", onto, head, check=False)
        if not tree:
            raise Refusal(406, "Branch cannot be merged")
        parents = {"merge": ["-p", onto, "-p", head], "squash": ["-p", onto]}
        if method == "rebase":
            is_ahead = target.git("merge-base", onto, head) == onto
            made = head if is_ahead else target.git("commit-tree", tree, "-p", onto, "-m", request["title"])
            request["sha"] = made
        else:
            made = target.git("commit-tree", tree, *parents[method], "-m", f"{request['title']} (!{request['iid']})")
            request["merge_commit_sha" if method == "merge" else "squash_commit_sha"] = made
        target.git("update-ref", f"refs/heads/{base}", made, onto)
        request.update(state="merged")
        self.look(target, user)
        self.tell_request(request, "merge", user, {})
        return made

    # Pipelines, statuses.

    def pipeline(self, sha: str, ref: str, source: str = "external") -> Row:
        """A new pipeline of a commit."""
        made = {"id": self.number(), "sha": sha, "ref": ref, "source": source}
        self.pipelines.append(made)
        return made

    def latest_statuses(self, sha: str) -> list[Row]:
        """The newest row of each name in each pipeline of a commit."""
        rows = {(row["pipeline_id"], row["name"]): row for row in self.statuses if row["sha"] == sha}
        return list(rows.values())

    def pipeline_state(self, sha: str) -> str:
        """What the commit's newest pipeline is, by its statuses; empty where there is none."""
        newest = max((each["id"] for each in self.pipelines if each["sha"] == sha), default=0)
        states = {row["status"] for row in self.latest_statuses(sha) if row["pipeline_id"] == newest}
        return next((state for state in ("failed", "canceled", "running", "pending", "success") if state in states), "")

    # Hooks.

    def tell_request(self, request: Row, action: str, user: Row, changes: Row, oldrev: str = "") -> None:
        """Sends a merge request hook."""
        attributes = {name: request[name] for name in ("id", "iid", "title", "state", "source_branch", "target_branch")}
        attributes |= {"action": action, "last_commit": {"id": request["sha"]}} | ({"oldrev": oldrev} if oldrev else {})
        target = self.projects[request["target_project_id"]]
        self.tell(target, "merge_request", {
            "event_type": "merge_request", "user": user, "object_attributes": attributes, "changes": changes,
        })  # fmt: skip

    def _tell_note(self, request: Row, note: Row, user: Row, action: str) -> None:
        attributes = {**note, "note": note["body"], "action": action, "author_id": note["author"]["id"]}
        del attributes["body"], attributes["author"]
        shown = {name: request[name] for name in ("id", "iid", "title", "state", "source_branch", "target_branch")}
        self.tell(self.projects[request["target_project_id"]], "note", {
            "event_type": "note", "user": user, "object_attributes": attributes, "merge_request": shown,
        })  # fmt: skip

    def tell(self, project: Project, kind: str, payload: Row) -> None:
        """Sends an event to the project's hooks that want its kind."""
        wanted = {"push": "push_events", "merge_request": "merge_requests_events", "note": "note_events"}[kind]
        event = {"push": "Push Hook", "merge_request": "Merge Request Hook", "note": "Note Hook"}[kind]
        about = {"id": project.id, "path_with_namespace": project.path, "git_http_url": "http://198.51.100.1/x.git"}
        body = json.dumps({"object_kind": kind, "project": about, **payload}).encode()
        for hook in self.hooks:
            if hook["project_id"] == project.id and hook.get(wanted):
                headers = {
                    "Content-Type": "application/json",
                    "X-Gitlab-Event": event,
                    "Idempotency-Key": str(uuid.uuid4()),
                }
                self._outbox.put((hook["url"], self._sealed(hook, headers, body), body))

    @staticmethod
    def _sealed(hook: Row, headers: dict[str, str], body: bytes) -> dict[str, str]:
        identity, at = headers["Idempotency-Key"], str(int(time.time()))
        sealed = {**headers, "X-Gitlab-Event-UUID": str(uuid.uuid4()), "X-Gitlab-Token": hook.get("token", "")}
        if hook.get("signing_token"):
            digest = hmac.digest(
                signing_key(hook["signing_token"]), f"{identity}.{at}.".encode() + body, hashlib.sha256
            )
            sealed |= {"webhook-id": identity, "webhook-timestamp": at}
            sealed["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
        return sealed

    def again(self, index: int) -> Delivery:
        """Sends a delivery once more: the same key and body, sealed anew."""
        old = self.deliveries[index]
        kept = {name: old.headers[name] for name in ("Content-Type", "X-Gitlab-Event", "Idempotency-Key")}
        hook = self.hooks[0]
        return self._send(hook["url"], self._sealed(hook, kept, old.body), old.body)

    def _send_all(self) -> None:
        while (item := self._outbox.get()) is not None:
            self._send(*item)
            self._outbox.task_done()
        self._outbox.task_done()

    def _send(self, url: str, headers: dict[str, str], body: bytes) -> Delivery:
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                code = answer.status
        except urllib.error.HTTPError as error:
            code = error.code
        except OSError:
            code = 0
        made = Delivery(headers, body, code)
        self.deliveries.append(made)
        return made

    def settle(self) -> None:
        """Waits until every hook was sent."""
        self._outbox.join()

    def close(self) -> None:
        """Ends the sender."""
        self._outbox.put(None)
        self._sender.join()

"""A GitHub that tests own: its REST API for one repository, over real git, with its limits, permissions and signed webhooks.

It stands where an Enterprise Server would (`/api/v3`). Answers are GitHub's own examples with the facts put in, and each exchange
is judged by GitHub's description: `faults` has what did not fit. `fault` makes a request fail as told.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.doubles import github_contract as contract
from tests.doubles.bare_git import BareGit
from tests.doubles.forge_rig import OWNER, Delivery
from tests.loopback_server import KeepingHandler, LoopbackServer

PROJECT: Final = "octo/shop"
APP: Final = 4711
INSTALLATION: Final = 99
BOT: Final = "plumbline[bot]"
TOKEN: Final = "github_pat_" + "t0ken" * 8

NEEDED: Final[Mapping[tuple[str, str], str]] = {
    ("POST", "statuses"): "statuses=write", ("POST", "check-runs"): "checks=write", ("PATCH", "check-runs"): "checks=write",
    ("POST", "deployments"): "deployments=write", ("POST", "pulls"): "pull_requests=write", ("PATCH", "pulls"): "pull_requests=write",
    ("POST", "issues"): "pull_requests=write", ("PATCH", "issues"): "pull_requests=write",
    ("POST", "git"): "contents=write", ("PATCH", "git"): "contents=write",
    ("GET", "pulls"): "pull_requests=read", ("GET", "issues"): "pull_requests=read", ("GET", "git"): "contents=read",
    ("GET", "contents"): "contents=read", ("GET", "deployments"): "deployments=read", ("GET", "collaborators"): "metadata=read",
}  # fmt: skip
"""What a request needs, by method and the part of the path below the repository."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request: this answer instead of its own; `after`: it is done all the same; code 0: no answer."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>made to fail</html>"
    after: bool = False


class Failed(Exception):
    """An answer that is none of success: the code, GitHub's message, its errors."""

    def __init__(self, code: int, message: str, *errors: Mapping[str, str], **headers: str) -> None:
        self.code, self.message, self.errors, self.headers = code, message, errors, headers


@cache
def app_key() -> tuple[str, Any]:
    """The App's private key as PEM, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode(), key.public_key()


def at(moment: float) -> str:
    """A time as GitHub writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class GithubDouble:
    """The server and everything that it knows. People's doings are methods of the rig; this answers the bot's requests."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        self.git = BareGit(folder / "shop.git")
        self.secret = secret
        self.users = {OWNER: 1, BOT: 2, "plumber": 3}
        self.roles = {OWNER: "admin", BOT: "write", "plumber": "write"}
        self.given = dict.fromkeys(("checks", "contents", "deployments", "pull_requests", "statuses"), "write")
        self.given |= {"metadata": "read", "issues": "read", "merge_queues": "read"}
        self.requests: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, dict[str, Any]] = {}
        self.reactions: dict[int, dict[tuple[str, str], dict[str, Any]]] = {}
        self.teams: dict[str, dict[str, str]] = {}
        self.statuses: list[dict[str, Any]] = []
        self.checks: list[dict[str, Any]] = []
        self.deployments: dict[int, dict[str, Any]] = {}
        self.deployment_statuses: dict[int, list[dict[str, Any]]] = {}
        self.protected: dict[str, tuple[str, ...]] = {}
        self.tokens: dict[str, tuple[float, dict[str, str]]] = {}
        self.token_life = 3600.0
        self.scopes = ""
        self.suspended = False
        self.renamed = ""
        self.remaining = 5000
        self.content_a_minute = 80
        self.fault: Callable[[str, str], Fault | None] = lambda _method, _path: None
        self.faults: list[str] = []
        self.seen: list[tuple[str, str, int]] = []
        self.bodies: list[Any] = []
        self.deliveries: list[Delivery] = []
        self.listener = ""
        self._made: list[float] = []
        self._ids = itertools.count(1001)
        self._moment = 0.0
        self.lock = threading.RLock()
        self._outbox: queue.Queue[tuple[dict[str, str], bytes] | None] = queue.Queue()
        outer = self
        contract.read()

        class Own(KeepingHandler):
            def _serve(self) -> None:
                outer._answer(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

        self._server = LoopbackServer(Own)
        self._sender = threading.Thread(target=self._send_all, daemon=True)
        self._sender.start()

    @property
    def address(self) -> str:
        """Where it is, as app.yaml says it."""
        return self._server.address

    def close(self) -> None:
        """Ends the server and the sending of webhooks."""
        self._outbox.put(None)
        self._server.close()
        self._sender.join(10)

    def now(self) -> str:
        """A time that is later with every call, so that an edit is after its creation."""
        self._moment = max(self._moment + 1, time.time())
        return at(self._moment)

    def next_id(self) -> int:
        """An id that nothing else has."""
        return next(self._ids)

    # Webhooks

    def send(self, event: str, payload: Mapping[str, Any], sender: str = OWNER) -> None:
        """Puts a delivery on its way, signed."""
        full = {
            **payload,
            "repository": self.repository(),
            "sender": self.user(sender),
            "installation": {"id": INSTALLATION},
        }
        body = json.dumps(full).encode()
        headers = {
            "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/double", "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid.uuid4()), "X-GitHub-Hook-ID": "1",
            "X-Hub-Signature-256": "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest(),
        }  # fmt: skip
        if self.listener:
            self._outbox.put((headers, body))

    def _send_all(self) -> None:
        while (each := self._outbox.get()) is not None:
            self.deliver(*each)
            self._outbox.task_done()

    def settled(self) -> None:
        """Returns once everything that was to be sent has been."""
        self._outbox.join()

    def deliver(self, headers: Mapping[str, str], body: bytes) -> Delivery:
        """Sends a delivery now; GitHub waits ten seconds for the answer and never tries again by itself."""
        code = 0
        try:
            request = urllib.request.Request(self.listener, body, dict(headers))
            with urllib.request.urlopen(request, timeout=10) as answer:
                code = answer.status
        except urllib.error.HTTPError as error:
            code = error.code
        except OSError:
            pass
        sent = Delivery(headers, body, code)
        self.deliveries.append(sent)
        return sent

    # Answers

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix("/api/v3")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        fault = self.fault(handler.command, path)
        headers: dict[str, str] = {}
        if fault and not fault.after:
            code, answer, headers = fault.code, fault.body, dict(fault.headers)
        else:
            with self.lock:
                code, answer, headers = self._judged(handler, path, query, body)
            if fault:
                code, answer, headers = fault.code, fault.body, dict(fault.headers)
        self.seen.append((handler.command, path, code))
        if code == 0:
            handler.close_connection = True
            handler.connection.close()
            return
        handler.send_response(code)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **headers}.items():
            handler.send_header(name, value)
        answer = b"" if code in (204, 304) else answer
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    def _judged(
        self, handler: BaseHTTPRequestHandler, path: str, query: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        method = handler.command
        headers: dict[str, str] = {}
        try:
            who = self._authenticated(method, path, handler.headers.get("Authorization", ""))
            if self.renamed and path.startswith(f"/repos/{PROJECT}"):
                return 301, b'{"message": "Moved Permanently"}', {"Location": self.renamed}
            self._limited(method, path)
            value = json.loads(body) if body else None
            self.bodies.append(value)
            code, found = self._route(method, unquote(path), query, value, who)
            found, headers = self._page(found, query, handler.path)
            answer = json.dumps(found).encode()
        except Failed as failed:
            code = failed.code
            message: dict[str, Any] = {"message": failed.message, "documentation_url": "https://docs.github.com/rest"}
            answer = json.dumps({**message, "errors": list(failed.errors)} if failed.errors else message).encode()
            headers = {name.replace("_", "-"): value for name, value in failed.headers.items()}
        self.faults += contract.faults(method, path, query, body, code, answer)
        if method == "GET" and code == 200:
            etag = 'W/"' + hashlib.sha256(answer).hexdigest() + '"'
            headers["ETag"] = etag
            if handler.headers.get("If-None-Match") == etag:
                code = 304
        if code != 304:
            self.remaining -= 1
        if self.scopes and "app" not in path:
            headers["X-OAuth-Scopes"] = self.scopes
        headers |= {"X-RateLimit-Limit": "5000", "X-RateLimit-Reset": str(int(time.time()) + 1800)}
        return code, answer, headers | {"X-RateLimit-Remaining": str(max(0, self.remaining))}

    def _authenticated(self, method: str, path: str, given: str) -> str:
        kind, _, token = given.partition(" ")
        if path.startswith("/app") or path.endswith("/installation"):
            try:
                claims = jwt.decode(token, app_key()[1], algorithms=["RS256"], issuer=str(APP))
            except jwt.PyJWTError:
                raise Failed(401, "A JSON web token could not be decoded") from None
            if claims["exp"] - claims["iat"] > 660:
                raise Failed(401, "'Expiration time' claim ('exp') is too far in the future")
            return "app"
        if token == TOKEN and kind.lower() in ("token", "bearer"):
            return "plumber"
        ends, permissions = self.tokens.get(token, (0.0, {}))
        if time.time() > ends:
            raise Failed(401, "Bad credentials")
        part = path.removeprefix(f"/repos/{PROJECT}/").split("/")[0]
        needed = NEEDED.get((method, part), "metadata=read")
        if path.endswith(("/check-runs", "/status")):
            needed = needed if method != "GET" else ("checks=read" if path.endswith("runs") else "statuses=read")
        needed = "members=read" if path.startswith("/orgs/") else needed
        name, _, level = needed.partition("=")
        if permissions.get(name) not in (level, "write"):
            raise Failed(403, "Resource not accessible by integration", X_Accepted_GitHub_Permissions=needed)
        return BOT

    def _limited(self, method: str, path: str) -> None:
        if self.remaining <= 0:
            raise Failed(403, "API rate limit exceeded for installation ID 99.")
        if method != "GET" and not path.startswith("/app"):
            now = time.time()
            self._made = [each for each in self._made if each > now - 60] + [now]
            if len(self._made) > self.content_a_minute:
                words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
                raise Failed(403, words, Retry_After="60")

    def _page(self, found: Any, query: Mapping[str, str], path: str) -> tuple[Any, dict[str, str]]:
        inside = next((name for name in ("statuses", "check_runs") if isinstance(found, dict) and name in found), "")
        items = found[inside] if inside else found
        if not isinstance(items, list):
            return found, {}
        size, number = min(100, int(query.get("per_page", 30))), int(query.get("page", 1))
        part = items[(number - 1) * size : number * size]
        link = {"Link": f'<{self.address}{path}>; rel="next"'} if number * size < len(items) else {}
        return ({**found, inside: part} if inside else part), link

    def _route(self, method: str, path: str, query: Mapping[str, str], body: Any, who: str) -> tuple[int, Any]:
        from tests.doubles.github_routes import ROUTES

        for verb, pattern, answer in ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return answer(self, found.groups(), query, body, who)
        raise Failed(404, "Not Found")

    # Objects

    def repository(self) -> dict[str, Any]:
        """The repository as others name it."""
        base: dict[str, Any] = contract.example("pull-request")["base"]["repo"]
        owner, _, name = PROJECT.partition("/")
        return base | {
            "id": 77,
            "name": name,
            "full_name": PROJECT,
            "owner": self.user(owner),
            "html_url": f"{self.address}/{PROJECT}",
        }

    def user(self, login: str) -> dict[str, Any]:
        """An account."""
        simple: dict[str, Any] = contract.example("issue-comment")["user"]
        number = self.users.get(login, 500)
        kind = "Bot" if login.endswith("[bot]") else "User"
        return simple | {"login": login, "id": number, "type": kind, "html_url": f"{self.address}/{login}"}

    def pull(self, number: int, *, in_list: bool = False) -> dict[str, Any]:
        """A pull request with its head as git has it now."""
        known = self.requests.get(number)
        if known is None:
            raise Failed(404, "Not Found")
        name = "pull-request-simple-items" if in_list else "pull-request"
        value = contract.example(name, requested_teams=[], **{
            key: known[key] for key in ("title", "state", "draft", "merged_at", "merge_commit_sha", "body", "created_at", "updated_at", "closed_at")
        })  # fmt: skip
        repository = self.repository()
        fork = (
            None
            if known["fork"] == "gone"
            else repository | {"id": 88, "full_name": f"{known['author']}/shop", "fork": True}
        )
        value["head"] |= {
            "ref": known["branch"],
            "sha": known["head"],
            "repo": fork if known["fork"] else repository,
            "label": f"octo:{known['branch']}",
        }
        value["base"] |= {"ref": known["base"], "sha": self.git.tip(f"refs/heads/{known['base']}"), "repo": repository}
        value |= {
            "id": 9000 + number,
            "number": number,
            "user": self.user(known["author"]),
            "html_url": f"{self.address}/{PROJECT}/pull/{number}",
        }
        return value if in_list else value | {"merged": bool(known["merged_at"])}

    def pulls(self) -> Iterator[dict[str, Any]]:
        """Every pull request, newest first, as lists have them."""
        return (self.pull(number, in_list=True) for number in sorted(self.requests, reverse=True))

    def make_comment(self, number: int, login: str, text: str) -> dict[str, Any]:
        """A comment of somebody's. Raises Failed for a longer one than GitHub takes."""
        self.check_comment(text)
        moment, name = self.now(), self.next_id()
        made = contract.example(
            "issue-comment", id=name, body=text, user=self.user(login), created_at=moment, updated_at=moment,
            issue_url=f"{self.address}/api/v3/repos/{PROJECT}/issues/{number}",
            html_url=f"{self.address}/{PROJECT}/{'pull' if number in self.requests else 'issues'}/{number}#issuecomment-{name}",
        )  # fmt: skip
        self.comments[name] = made
        issue = {"number": number, "pull_request": {"url": f"{self.address}/api/v3/repos/{PROJECT}/pulls/{number}"}}
        self.send("issue_comment", {"action": "created", "issue": issue, "comment": made}, login)
        return made

    def check_comment(self, text: str) -> None:
        """Raises Failed as GitHub does for a comment that is too long."""
        if len(text) > 65_536:
            said = "Body is too long (maximum is 65536 characters)"
            raise Failed(
                422,
                "Validation Failed",
                {"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": said},
            )

    def token(self, permissions: Mapping[str, str]) -> dict[str, Any]:
        """A new installation token, in the long form that GitHub gives since 2026. Raises Failed for more than was given."""
        if self.suspended:
            raise Failed(403, "This installation has been suspended")
        if any(self.given.get(name) not in (level, "write") for name, level in permissions.items()):
            raise Failed(422, "The permissions requested are not granted to this installation.")
        text = f"ghs_{APP}_" + base64.urlsafe_b64encode(uuid.uuid4().bytes * 20).decode().rstrip("=")
        ends = time.time() + self.token_life
        self.tokens[text] = (ends, dict(permissions))
        return {
            "token": text,
            "expires_at": at(ends),
            "permissions": dict(permissions),
            "repository_selection": "selected",
        }

"""GitHub's REST API over PyGithub's requester: who we are there, one request at a time, and what each refusal means.

PyGithub signs, connects and encodes; what it would do on its own is off, because a job must neither sleep nor write twice:
no pacing, no retries (it repeats a POST whose answer was lost), no requests behind attributes. Paths are ours, never an answer's.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from github import Auth
from github.Requester import Requester

from bot.forges.port import Credentials, NotPermitted
from worker.domain.errors import Refused, Unavailable

CLOUD: Final = "https://github.com"
VERSION: Final = "2022-11-28"
ACCEPT: Final = "application/vnd.github+json"
SECONDS: Final = 10
"""How long to wait for an answer."""

PER_PAGE: Final = 100
MOST_SEEN: Final = 200
"""How many answers are kept to be asked for conditionally; the one that was not asked for the longest goes."""

EARLY: Final = 300.0
"""So many seconds before it ends a token is replaced: longer than any job goes on."""

SECONDARY: Final = 60.0
"""How long to leave GitHub alone where it does not say it (its own rule: at least a minute, then ever longer)."""

LONGEST: Final = 3600.0

TOKEN_PERMISSIONS: Final[Mapping[str, str]] = {
    "checks": "write",
    "contents": "write",
    "deployments": "write",
    "metadata": "read",
    "pull_requests": "write",
    "statuses": "write",
}
"""What a token of ours may do at most; less where the App was given less."""

TEAM_PERMISSIONS: Final[Mapping[str, str]] = {"members": "read"}
"""What is needed beside that where a role of the repository names a team."""


def api_address(address: str) -> str:
    """Where a GitHub's API is: api.github.com, or below the address of an Enterprise Server."""
    return "https://api.github.com" if address == CLOUD else f"{address}/api/v3"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of GitHub's: the HTTP status, headers with lower-case names, and the JSON (None where there is none)."""

    status: int
    headers: Mapping[str, str]
    value: Any


class Wire:
    """One way to GitHub with one identity: requests in, answers out; what is not an answer is Unavailable."""

    def __init__(self, address: str, auth: Auth.Auth) -> None:
        self._requester = Requester(
            auth=auth,
            base_url=api_address(address),
            timeout=SECONDS,
            user_agent="plumbline",
            per_page=PER_PAGE,
            verify=True,
            retry=0,
            pool_size=None,
            api_version=VERSION,
        )
        self._limited = 0

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, sent once.

        Raises Unavailable where no answer comes or GitHub limits the rate, Refused where it sends us elsewhere.
        """
        try:
            status, found, text = self._requester.requestJson(
                method, path, dict(query or {}), {"Accept": ACCEPT, **(headers or {})}, body
            )
        except OSError as error:  # every error of the HTTP library is one
            raise Unavailable(f"GitHub does not answer ({type(error).__name__})") from None
        except RuntimeError:  # PyGithub's word for a redirect to another host; it has not followed it
            raise Refused("GitHub's answer leads to another host", "check the forge's `address` in app.yaml") from None
        answer = Answer(status, found, _json(text))
        wait = seconds_to_wait(answer, time.time(), self._limited)
        if wait is not None:
            self._limited += 1
            raise Unavailable("GitHub asks to be left alone for a while (its rate limit)", wait)
        self._limited = 0
        return answer


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None  # a page for people, such as a gateway's; the status says enough


class AppToken(Auth.Auth):
    """A GitHub App's token for one repository: as few permissions as do, made anew minutes before it ends.

    Raises, where it is asked for: Unavailable, NotPermitted, Refused (the key is no key).
    """

    def __init__(self, address: str, project: str, app: str, key: str, permissions: Mapping[str, str]) -> None:
        try:
            load_pem_private_key(key.encode(), None)
        except (ValueError, TypeError):
            raise Refused(
                "the GitHub App's key is not a private key in PEM", "give the .pem file that GitHub made for the App"
            ) from None
        self.id = app
        self._wire = Wire(address, Auth.AppAuth(app, key))
        self._project, self._permissions = project, permissions
        self._lock = threading.Lock()
        self._token = ""
        self._ends = 0.0
        self.slug = ""
        """The App's name in addresses and logins; empty before the first token."""

    @property
    def token_type(self) -> str:
        """How the token is called in the header."""
        return "Bearer"

    @property
    def token(self) -> str:
        """A token that is good for some minutes more."""
        with self._lock:
            if time.time() > self._ends - EARLY:
                self._make()
            return self._token

    def drop(self) -> None:
        """Forgets the token: GitHub does not take it any more."""
        with self._lock:
            self._ends = 0.0

    def installation(self) -> Mapping[str, Any]:
        """The App's installation for the repository, with the permissions that it was given."""
        answer = self._wire.ask("GET", f"/repos/{self._project}/installation")
        if answer.status == 404:
            raise NotPermitted(
                f"the GitHub App is not installed on {self._project}: install it there, with this repository"
            )
        return dict(checked(answer, f"the App's installation on {self._project}"))

    def app(self) -> Mapping[str, Any]:
        """The App itself."""
        return dict(checked(self._wire.ask("GET", "/app"), "the GitHub App"))

    def _make(self) -> None:
        installation = self.installation()
        self.slug = str(installation.get("app_slug") or "")
        given = installation.get("permissions") or {}
        wanted = {name: _least(level, given[name]) for name, level in self._permissions.items() if name in given}
        body = {"repositories": [self._project.partition("/")[2]], "permissions": wanted}
        path = f"/app/installations/{installation['id']}/access_tokens"
        made = checked(self._wire.ask("POST", path, body=body), "a token of the GitHub App's")
        self._ends = datetime.fromisoformat(made["expires_at"]).timestamp()
        self._token = made["token"]


def _least(wanted: str, given: str) -> str:
    return "read" if "read" in (wanted, given) else "write"


class Api:
    """One repository's API. Every method raises Unavailable (with the seconds to wait), NotPermitted and Refused."""

    def __init__(self, address: str, project: str, credentials: Credentials, *, asks_teams: bool = False) -> None:
        key = credentials.app_key
        permissions = {**TOKEN_PERMISSIONS, **(TEAM_PERMISSIONS if asks_teams else {})}
        self.app = AppToken(address, project, credentials.app, key.opened(), permissions) if key else None
        token = credentials.token.opened() if credentials.token else ""
        self._wire = Wire(address, self.app or Auth.Token(token))
        self._seen: dict[tuple[str, str], Answer] = {}

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, missing: tuple[int, ...] = (404,)) -> Any:
        """What stands there; None where GitHub answers with one of the codes that mean `missing`."""
        answer = self._ask("GET", path, query)
        return None if answer.status in missing else checked(answer, path)

    def pages(
        self, path: str, query: Mapping[str, Any] | None = None, *, known: bool = False, inside: str = ""
    ) -> Iterator[Any]:
        """The items of a list, page after page; `inside` names the field that has them.

        `known`: pages that were seen before are asked for conditionally, which costs nothing of the rate limit.
        """
        for number in itertools.count(1):
            asked = {**(query or {}), "per_page": PER_PAGE, "page": number}
            answer = self._known(path, asked) if known else self._ask("GET", path, asked)
            value = checked(answer, path)
            yield from (value[inside] if inside else value)
            if 'rel="next"' not in answer.headers.get("link", ""):
                return

    def scopes(self) -> tuple[str, ...]:
        """The scopes of a classic token; a fine-grained one has none."""
        answer = self._ask("GET", "/user")
        checked(answer, "the token's user")
        return tuple(scope for each in answer.headers.get("x-oauth-scopes", "").split(",") if (scope := each.strip()))

    def write(self, method: str, path: str, body: Any, *, missing: tuple[int, ...] = ()) -> Any:
        """Sends a change, once; what GitHub made of it, None where it answers with one of the codes that mean `missing`."""
        answer = self._ask(method, path, body=body)
        return None if answer.status in missing else checked(answer, path)

    def attempt(self, method: str, path: str, body: Any) -> Answer:
        """The same where a 409 or 422 has a meaning of its own: that answer is returned."""
        answer = self._ask(method, path, body=body)
        if answer.status not in (409, 422):
            checked(answer, path)
        return answer

    def _known(self, path: str, query: Mapping[str, Any]) -> Answer:
        key = (path, json.dumps(query, sort_keys=True))
        before = self._seen.pop(key, None)
        headers = {"If-None-Match": before.headers["etag"]} if before else None
        answer = self._ask("GET", path, query, headers=headers)
        newest = before if answer.status == 304 and before is not None else answer
        if newest.status == 200 and "etag" in newest.headers:
            self._seen[key] = newest
            if len(self._seen) > MOST_SEEN:
                del self._seen[next(iter(self._seen))]
        return newest

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self._wire.ask(method, path, query, body, headers)
        if answer.status == 401 and self.app is not None:
            self.app.drop()
            answer = self._wire.ask(method, path, query, body, headers)
        return answer


def seconds_to_wait(answer: Answer, now: float, times: int) -> float | None:
    """How long GitHub wants to be left alone; None where it limits nothing.

    `times` counts such answers in a row: without a word from GitHub the wait doubles with each.
    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if answer.status not in (403, 429):
        return None
    said = answer.headers.get("retry-after", "")
    if said.isdecimal():
        return min(LONGEST, max(1.0, float(said)))
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = answer.headers.get("x-ratelimit-reset", "")
        return min(LONGEST, max(1.0, float(reset) - now)) if reset.isdecimal() else SECONDARY
    if answer.status == 429 or Requester.isRateLimitError(message_of(answer)):
        return min(LONGEST, SECONDARY * float(2**times))
    return None


def message_of(answer: Answer) -> str:
    """GitHub's own words about a failure, with the details of its validation; at most 300 characters."""
    if not isinstance(answer.value, dict):
        return ""
    words = [str(answer.value.get("message") or "")]
    errors = answer.value.get("errors")
    words += [
        str(each.get("message") or each.get("code") or "") if isinstance(each, dict) else str(each)
        for each in (errors if isinstance(errors, list) else [])
    ]
    return ": ".join(word for word in words if word)[:300]


def checked(answer: Answer, what: str) -> Any:
    """The answer's value. Raises what a failed one means."""
    said = message_of(answer)
    if answer.status < 300:
        if answer.value is None and answer.status != 204:
            raise Unavailable(f"GitHub's answer about {what} is not JSON")
        return answer.value
    if answer.status >= 500 or answer.status == 409:
        after = answer.headers.get("retry-after", "")
        wait = min(LONGEST, float(after)) if after.isdecimal() else None
        raise Unavailable(f"GitHub answered {answer.status} to {what}", wait)
    if answer.status == 401:
        raise NotPermitted(
            "GitHub does not take the credentials (401): the token has ended or was revoked, or the App's id and key do not "
            "belong together; give new ones in app.yaml"
        )
    if answer.status in (403, 404):
        needed = answer.headers.get("x-accepted-github-permissions", "")
        hint = f"; it needs {needed}: give it in the App's or token's settings" if needed else ""
        seen = said or ("forbidden" if answer.status == 403 else "not found, or not to be seen with these credentials")
        raise NotPermitted(f"GitHub refuses {what} ({answer.status}): {seen}{hint}")
    if answer.status < 400:
        raise Refused(
            f"GitHub answered {answer.status} to {what}: the repository was moved or renamed",
            "write its new name as `project` in app.yaml",
        )
    raise Refused(f"GitHub refuses {what} ({answer.status}): {said or 'without a reason'}")

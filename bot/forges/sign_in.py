"""Signing in with a forge's account: OAuth's authorization code with PKCE, and what the account may read. Speaks httpx.

Addresses are the operator's, redirects are not followed, and the access token is used here and forgotten.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from worker.domain.errors import Refused, Unavailable
from worker.domain.installation import Forge
from worker.domain.secret_text import SecretText

SECONDS: Final = 10.0
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Where a forge has what: paths below its address, the API's base, the scope that reads, and a user's name."""

    authorize: str
    token: str
    api: str
    scope: str
    project: str
    name: str


_DIALECTS: Final[Mapping[str, _Dialect]] = {
    "github": _Dialect("/login/oauth/authorize", "/login/oauth/access_token", "/api/v3", "repo", "/repos/{}", "login"),
    "gitlab": _Dialect("/oauth/authorize", "/oauth/token", "/api/v4", "read_api", "/projects/{}", "username"),
    "gitea": _Dialect(
        "/login/oauth/authorize",
        "/login/oauth/access_token",
        "/api/v1",
        "read:user read:repository",
        "/repos/{}",
        "login",
    ),
}


def authorize_address(forge: Forge, client: str, back: str, state: str, verifier: str) -> str:
    """Where a person is sent to say yes; `back` is our own address that they return to."""
    dialect = _DIALECTS[forge.kind]
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": back,
        "scope": dialect.scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{forge.address}{dialect.authorize}?{urlencode(asked)}"


def signed_in(
    forge: Forge, client: str, secret: SecretText, back: str, code: str, verifier: str, projects: Iterable[str]
) -> tuple[str, str, frozenset[str]]:
    """Who it is (the account's id and name), and which of `projects` they can read. Raises Refused and Unavailable."""
    dialect = _DIALECTS[forge.kind]
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "client_secret": secret.opened(),
        "code": code,
        "redirect_uri": back,
        "code_verifier": verifier,
    }
    try:
        with httpx.Client(timeout=SECONDS, headers={"Accept": "application/json"}) as web:
            answer = web.post(forge.address + dialect.token, data=form)
            token = _document(answer).get("access_token")
            if not isinstance(token, str) or not token:
                raise Refused(f"{forge.name} did not accept the sign-in", "Try again")
            web.headers["Authorization"] = f"Bearer {token}"
            api = _api(forge, dialect)
            user = _document(web.get(f"{api}/user"))
            account, name = user.get("id"), user.get(dialect.name)
            if not isinstance(name, str) or not name or not isinstance(account, int):
                raise Refused(f"{forge.name} does not say who that is", "Try again")

            def reads(project: str) -> bool:
                path = quote(project, safe="" if forge.kind == "gitlab" else "/")
                found = web.get(api + dialect.project.format(path))
                return found.status_code == 200 and _may_read(_document(found))

            asked = list(projects)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                readable = frozenset(each for each, may in zip(asked, pool.map(reads, asked), strict=True) if may)
    except httpx.HTTPError as error:
        raise Unavailable(f"{forge.name} does not answer ({type(error).__name__})") from None
    return str(account), name, readable


def _api(forge: Forge, dialect: _Dialect) -> str:
    return "https://api.github.com" if forge.address == "https://github.com" else forge.address + dialect.api


def _may_read(project: Mapping[str, Any]) -> bool:
    """GitHub and Gitea say what is permitted; GitLab shows only what may be read."""
    permissions = project.get("permissions")
    pull = permissions.get("pull", True) if isinstance(permissions, dict) else True
    return pull is True


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer, empty where it is none. Raises Unavailable where the forge is not well."""
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Unavailable(f"the forge answers {answer.status_code}")
    try:
        found = answer.json() if answer.status_code == 200 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}

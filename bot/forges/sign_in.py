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

from bot.forges.gitlab_values import of_level
from bot.forges.port import Permission
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
) -> tuple[str, str, Mapping[str, Permission | None]]:
    """Who it is (the account's id and name), which of `projects` they can read, and what they may do there.

    That is None where the forge does not say it. Raises Refused and Unavailable.
    """
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

            def permitted(project: str) -> Permission | None:
                path = quote(project, safe="" if forge.kind == "gitlab" else "/")
                found = web.get(api + dialect.project.format(path))
                return permission_of(_document(found)) if found.status_code == 200 else Permission.NONE

            asked = list(projects)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = dict(zip(asked, pool.map(permitted, asked), strict=True))
    except httpx.HTTPError as error:
        raise Unavailable(f"{forge.name} does not answer ({type(error).__name__})") from None
    return str(account), name, {each: may for each, may in found.items() if may is not Permission.NONE}


def _api(forge: Forge, dialect: _Dialect) -> str:
    return "https://api.github.com" if forge.address == "https://github.com" else forge.address + dialect.api


def permission_of(project: Mapping[str, Any]) -> Permission | None:
    """What a forge's words on a project permit, None where they do not say it.

    GitHub and Gitea say what is permitted; GitLab the levels of who is a member, and shows only what may be read.
    """
    said = project.get("permissions")
    if not isinstance(said, dict) or not said:
        return None
    if "project_access" in said or "group_access" in said:
        levels = [each.get("access_level") for each in said.values() if isinstance(each, dict)]
        strongest = max((each for each in levels if isinstance(each, int)), default=None)
        return None if strongest is None else max(Permission.READ, of_level(strongest))
    if said.get("pull", True) is not True:
        return Permission.NONE
    ranks = {"admin": Permission.ADMIN, "maintain": Permission.WRITE, "push": Permission.WRITE}
    return max((rank for name, rank in ranks.items() if said.get(name) is True), default=Permission.READ)


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer, empty where it is none. Raises Unavailable where the forge is not well."""
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Unavailable(f"the forge answers {answer.status_code}")
    try:
        found = answer.json() if answer.status_code == 200 else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}

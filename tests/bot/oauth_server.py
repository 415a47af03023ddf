"""A forge's OAuth, as strict as a forge: one code for one verifier, one client and one address; over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.loopback_server import Handler, LoopbackServer

CLIENT, SECRET = "plumbline-pages", "client-secret-of-the-pages"


@dataclass
class OAuthServer:
    """`readable` maps a project to what its `permissions` say; `redirects_to` makes every answer a redirect."""

    address: str = ""
    login: str = "ada"
    readable: dict[str, dict[str, bool]] = field(default_factory=dict)
    redirects_to: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)

    def allow(self, location: str) -> str:
        """The person says yes to what the address asks for; where they are sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def token(self, form: dict[str, str]) -> dict[str, str] | None:
        """A code's token, once."""
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None:
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        fits = (
            base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
            and form["client_id"] == CLIENT
            and form["client_secret"] == SECRET
            and form["redirect_uri"] == asked["redirect_uri"]
        )
        if not fits:
            return None
        token = secrets.token_urlsafe(16)
        self.tokens.add(token)
        return {"access_token": token, "token_type": "bearer"}


@contextmanager
def oauth_server(base: str, project_prefix: str, name: str) -> Iterator[OAuthServer]:
    """Serves a forge whose API is at `base`, projects at `project_prefix`, and a user's name in the member `name`."""
    double = OAuthServer()

    class Own(Handler):
        def answer(self, code: int, body: Any) -> None:
            if double.redirects_to:
                self.send_response(302)
                self.send_header("Location", double.redirects_to)
                self.end_headers()
                return
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            double.paths.append(self.path)
            length = int(self.headers["Content-Length"])
            form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
            token = double.token(form) if self.path.endswith(("/token", "/access_token")) else None
            self.answer(200 if token else 400, token or {"error": "invalid_grant"})

        def do_GET(self) -> None:
            double.paths.append(self.path)
            if self.headers.get("Authorization", "").removeprefix("Bearer ") not in double.tokens:
                self.answer(401, {})
            elif self.path == f"{base}/user":
                self.answer(200, {"id": 7, name: double.login})
            else:
                project = unquote(self.path.removeprefix(f"{base}{project_prefix}"))
                permissions = double.readable.get(project)
                self.answer(404 if permissions is None else 200, {"permissions": permissions})

    server = LoopbackServer(Own)
    double.address = server.address
    try:
        yield double
    finally:
        server.close()

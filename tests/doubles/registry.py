"""A registry as the OCI distribution specification has it, small: tags by pages, digests, tokens, ETags. Speaks real HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.loopback_server import Handler, LoopbackServer

USER, PASSWORD, TOKEN = "robot", "let-me-pull", "a-token-for-one-repository"


@dataclass
class RegistryDouble:
    """What it has, how it answers, and what it was asked (method, path, Authorization's scheme)."""

    address: str = ""
    tags: dict[str, list[str]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    page: int = 1000
    guard: str = ""
    realm: str = ""
    etag: str = ""
    status: int = 0
    raw: bytes = b""
    link: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(urlsplit(each).path == path for _, each, _ in self.asked)


@contextmanager
def registry_double() -> Iterator[RegistryDouble]:
    """A registry on a port of its own."""
    double = RegistryDouble()

    class Own(Handler):
        def do_GET(self) -> None:
            answer(self, double)

        def do_HEAD(self) -> None:
            answer(self, double)

    server = LoopbackServer(Own)
    double.address = server.address
    try:
        yield double
    finally:
        server.close()


def answer(handler: BaseHTTPRequestHandler, double: RegistryDouble) -> None:
    """One answer."""
    proof = handler.headers.get("Authorization", "")
    double.asked.append((handler.command, handler.path, proof.partition(" ")[0]))
    parts = urlsplit(handler.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if double.status:
        _send(handler, double.status, b"", {"Retry-After": "77"})
    elif parts.path == "/token":
        _send(handler, 200 if proof == basic else 401, json.dumps({"token": TOKEN, "expires_in": 300}).encode(), {})
    elif double.guard == "bearer" and proof != f"Bearer {TOKEN}":
        realm = double.realm or f"{double.address}/token"
        _send(handler, 401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="registry"'})
    elif double.guard == "basic" and proof != basic:
        _send(handler, 401, b"{}", {"WWW-Authenticate": 'Basic realm="registry"'})
    elif parts.path.endswith("/tags/list"):
        _tags(handler, double, parts.path[4 : -len("/tags/list")], query)
    else:
        name, _, tag = parts.path[4:].partition("/manifests/")
        found = double.digests.get(f"{name}:{tag}")
        _send(handler, 200 if found else 404, b"", {"Docker-Content-Digest": found} if found else {})


def _tags(handler: BaseHTTPRequestHandler, double: RegistryDouble, name: str, query: dict[str, str]) -> None:
    if double.raw:
        _send(handler, 200, double.raw, {})
        return
    if name not in double.tags:
        _send(handler, 404, b'{"errors": []}', {})
        return
    if double.etag and handler.headers.get("If-None-Match") == double.etag:
        _send(handler, 304, b"", {})
        return
    every = double.tags[name]
    start = every.index(query["last"]) + 1 if "last" in query else 0
    some = every[start : start + double.page]
    headers = {"ETag": double.etag} if double.etag else {}
    if double.link:
        headers["Link"] = double.link
    elif start + double.page < len(every):
        headers["Link"] = f'</v2/{name}/tags/list?n={double.page}&last={some[-1]}>; rel="next"'
    _send(handler, 200, json.dumps({"name": name, "tags": some}).encode(), headers)


def _send(handler: BaseHTTPRequestHandler, code: int, body: bytes, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)

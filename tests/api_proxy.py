"""A recording and failing HTTP proxy before a real API server, for faults that a healthy server does not show."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Literal

import urllib3

from tests.loopback_server import KeepingHandler, LoopbackServer


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request: it waits `delay` seconds, then is answered with `status`, or cut off.

    A `status` of 0 passes the request on; `cut` closes the connection without an answer, before the server is asked or
    (`after`) when it has done what was asked.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: Literal["", "before", "after"] = ""


Rule = Callable[[str, str], Fault | int | None]
"""(method, path) -> a fault, or an HTTP status to answer with instead of asking the server; None lets it through."""


class ApiProxy:
    """Listens on 127.0.0.1 without TLS; `kubeconfig` is the same as the given one, but for the address.

    `rule` may answer a request in the server's place; `before` is called with each that is passed on. While `silent`, nothing
    of any watch comes through, and the connections stay up.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self._target = cluster["server"]
        authority = folder / "authority.crt"
        authority.write_bytes(base64.b64decode(cluster.pop("certificate-authority-data")))
        self._pool = urllib3.PoolManager(ca_certs=str(authority), maxsize=16)
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, str, bytes]] = []
        self.impersonated: list[tuple[str, str, str | None, list[str]]] = []
        self.rule: Rule = lambda _method, _path: None
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self.silent = False
        self._watches: list[socket.socket] = []
        self._guard = threading.Lock()
        proxy = self

        class Own(KeepingHandler):
            def _pass_on(self) -> None:
                proxy._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        self._server = LoopbackServer(Own)
        cluster["server"] = self._server.address
        self.kubeconfig = folder / "proxied.kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(document))

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._guard:
            self.requests.append((handler.command, handler.path))
            self.bodies.append((handler.command, handler.path, body))
            groups = handler.headers.get_all("Impersonate-Group") or []
            user = handler.headers.get("Impersonate-User")
            self.impersonated.append((handler.command, handler.path, user, groups))
            found = self.rule(handler.command, handler.path)
        fault = Fault(found) if isinstance(found, int) else found or Fault()
        time.sleep(fault.delay)
        if fault.status:
            content = json.dumps(
                {"kind": "Status", "code": fault.status, "reason": "InternalError", "message": "made to fail"}
            )
            self._send(handler, fault.status, content.encode(), fault.headers)
            return
        if fault.cut == "before":
            self._cut(handler)
            return
        self.before(handler.command, handler.path)
        headers = urllib3.HTTPHeaderDict()
        for name, value in handler.headers.items():
            if name.lower() not in ("host", "content-length"):
                headers.add(name, value)
        if "watch=true" in handler.path:
            self._stream(handler, headers)
            return
        answer = self._pool.request(
            handler.command, self._target + handler.path, body=body or None, headers=headers, retries=False
        )
        if fault.cut == "after":
            self._cut(handler)
            return
        self._send(handler, answer.status, answer.data, {})

    def _stream(self, handler: BaseHTTPRequestHandler, headers: urllib3.HTTPHeaderDict) -> None:
        """Passes a watch on as it comes, until either side ends it, `cut_watches` does, or (`silent`) without a word."""
        handler.close_connection = True
        answer = self._pool.request(
            "GET", self._target + handler.path, headers=headers, retries=False, preload_content=False
        )
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Connection", "close")
        handler.end_headers()
        with self._guard:
            self._watches.append(handler.connection)
        try:
            for chunk in answer.stream(1 << 16):
                if not self.silent:
                    handler.wfile.write(chunk)
                    handler.wfile.flush()
        except (OSError, urllib3.exceptions.HTTPError):
            pass  # either side has ended it, which is what watches are for
        finally:
            answer.close()
            with self._guard:
                self._watches.remove(handler.connection)

    def cut_watches(self) -> int:
        """Breaks off every watch that runs; how many there were."""
        with self._guard:
            for connection in self._watches:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            return len(self._watches)

    @staticmethod
    def _cut(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def writes(self) -> list[tuple[str, str]]:
        """The requests that could change something: no reads, no dry runs, none of Plumbline's own records."""
        return [
            (method, path)
            for method, path in self.requests
            if method != "GET" and "dryRun" not in path and "/namespaces/state-" not in path
        ]

    def close(self) -> None:
        """Ends the proxy."""
        self._server.close()

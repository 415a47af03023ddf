"""A recording and failing HTTP proxy before a real API server, for faults that a healthy server does not show."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3

Rule = Callable[[str, str], int | None]
"""(method, path) -> an HTTP status to answer with instead of asking the server, or None to let it through."""


class ApiProxy:
    """Listens on 127.0.0.1 without TLS; `kubeconfig` is the same as the given one, but for the address.

    `rule` may answer a request in the server's place; `before` is called with each that is passed on.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster = document["clusters"][0]["cluster"]
        self._target = cluster["server"]
        authority = folder / "authority.crt"
        authority.write_bytes(base64.b64decode(cluster.pop("certificate-authority-data")))
        self._pool = urllib3.PoolManager(ca_certs=str(authority), maxsize=16)
        self.requests: list[tuple[str, str]] = []
        self.rule: Rule = lambda _method, _path: None
        self.before: Callable[[str, str], None] = lambda _method, _path: None
        self._guard = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                proxy._answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        cluster["server"] = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig = folder / "proxied.kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(document))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._guard:
            self.requests.append((handler.command, handler.path))
            status = self.rule(handler.command, handler.path)
        if status is not None:
            content = json.dumps(
                {"kind": "Status", "code": status, "reason": "InternalError", "message": "made to fail"}
            )
            self._send(handler, status, content.encode())
            return
        self.before(handler.command, handler.path)
        headers = {
            name: value for name, value in handler.headers.items() if name.lower() not in ("host", "content-length")
        }
        answer = self._pool.request(handler.command, self._target + handler.path, body=body or None, headers=headers)
        self._send(handler, answer.status, answer.data)

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content)))
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
        self._server.shutdown()
        self._server.server_close()

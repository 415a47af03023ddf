"""A real Git server over HTTP (`git http-backend`), which fails as told."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.loopback_server import Handler, LoopbackServer

Fault = Callable[[str], str]
"""path -> what is wrong with the answer: "" (nothing), "503", "401", "truncate" (half a pack), "hang"."""


class GitServer:
    """Serves the bare repositories of a folder on 127.0.0.1; `fault` decides per request, `seen` has their headers."""

    def __init__(self, folder: Path) -> None:
        self.fault: Fault = lambda _path: ""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._released = threading.Event()
        outer = self

        class Own(Handler):
            def _serve(self) -> None:
                outer._answer(self, folder)

            do_GET = do_POST = _serve

        self._server = LoopbackServer(Own)

    def url(self, name: str) -> str:
        """The address of one repository."""
        return f"{self._server.address}/{name}"

    def _answer(self, handler: BaseHTTPRequestHandler, folder: Path) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.seen.append((handler.path, dict(handler.headers.items())))
        fault = self.fault(handler.path)
        if fault == "hang":
            self._released.wait(60)
            return
        if fault.isdigit():
            handler.send_error(int(fault), "made to fail")
            return
        path, _, query = handler.path.partition("?")
        environ = {
            "PATH": os.environ.get("PATH", os.defpath), "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_1": "true",
        }  # fmt: skip
        run = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=False)
        head, _, content = run.stdout.partition(b"\r\n\r\n")
        rows = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in rows if name == "Status"), 200)
        handler.send_response(status)
        for name, value in rows:
            if name != "Status":
                handler.send_header(name, value)
        handler.end_headers()
        cut = len(content) // 2 if fault == "truncate" and "git-upload-pack" in path else len(content)
        handler.wfile.write(content[:cut])

    def close(self) -> None:
        """Ends the server, and lets go of who hangs."""
        self._released.set()
        self._server.close()

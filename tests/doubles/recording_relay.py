"""Stands between two programs that speak HTTP: passes each request on, and keeps what was asked and answered."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.loopback_server import KeepingHandler, LoopbackServer

HOP: Final = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding", "accept-encoding"})
"""Headers that are between neighbours only, or are written anew."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it came, and the code of its answer (0: nobody answered)."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    code: int


class RecordingRelay:
    """A server on 127.0.0.1 that passes everything on to `target` (an address; empty answers 502)."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.exchanges: list[Exchange] = []
        outer = self

        class Own(KeepingHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, headers, answer = outer.send(self.command, self.path, dict(self.headers.items()), body)
                self.send_response(code or 502)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        self._server = LoopbackServer(Own)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._server.address

    def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Passes one request on; code (0: nobody answered), headers and body of the answer."""
        place = urlsplit(self.target)
        passed = {name: value for name, value in headers.items() if name.lower() not in HOP}
        code, told, answer = 0, [], b""
        try:
            connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=20)
            try:
                connection.request(method, path, body, passed)
                found = connection.getresponse()
                code, answer = found.status, found.read()
                told = [(name, value) for name, value in found.getheaders() if name.lower() not in HOP]
            finally:
                connection.close()
        except OSError:
            pass
        self.exchanges.append(Exchange(method, path, dict(headers), body, code))
        return code, told, answer

    def close(self) -> None:
        """Ends it."""
        self._server.close()

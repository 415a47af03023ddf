"""An HTTP server on 127.0.0.1 for doubles and proxies: answers at once, ends at once, and says nothing of itself."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

LOOK_SECONDS: Final = 0.02
"""How often it looks whether it is to end. The library's half a second was 14 s of 33 tests with two or three servers each."""


class Handler(BaseHTTPRequestHandler):
    """Head and body of an answer are two writes: with Nagle's algorithm the second waits 40 ms for the client's word."""

    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class KeepingHandler(Handler):
    """Keeps connections (HTTP/1.1); every answer has a length."""

    protocol_version = "HTTP/1.1"


class LoopbackServer(ThreadingHTTPServer):
    """Runs until `close`, on a port of its own; over TLS with `tls`, the PEM files of a certificate and of its key."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], tls: tuple[Path, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.address = f"https://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(LOOK_SECONDS,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self.shutdown()
        self.server_close()
        self._thread.join()

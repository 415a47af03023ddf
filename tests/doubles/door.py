"""A server that takes requests and says nothing to some of them, as one does whose Redis is slow. Speaks real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.loopback_server import Handler, LoopbackServer


@dataclass
class Door:
    """What it was asked (path and document), and what it answers: a document, a status, or (None) nothing. The last stays."""

    address: str = ""
    answers: dict[str, list[dict[str, Any] | int | None]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def documents(self, path: str) -> list[dict[str, Any]]:
        """What a path was asked, in order."""
        return [document for each, document in self.asked if each == path]


@contextmanager
def door() -> Iterator[Door]:
    """A door on a port of its own."""
    made = Door()

    class Own(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append((self.path, json.loads(body)))
            answers = made.answers[self.path]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer is None:
                return
            self.send_response(answer if isinstance(answer, int) else 202)
            self.end_headers()
            self.wfile.write(b"" if isinstance(answer, int) else json.dumps(answer).encode())

    server = LoopbackServer(Own)
    made.address = server.address
    try:
        yield made
    finally:
        server.close()

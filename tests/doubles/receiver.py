"""Somebody who is told of alerts: a real HTTP server on loopback that keeps what came, and answers as a test wants it.

Every event that comes in is checked as its reader would check it: the signature, and the published schema.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jsonschema import Draft202012Validator, FormatChecker

from tests.loopback_server import Handler, LoopbackServer

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, truly").decode()
SCHEMAS = Path(__file__).parents[2] / "docs/events"

Behave = Callable[[BaseHTTPRequestHandler], None]


def valid(event: dict[str, Any]) -> dict[str, Any]:
    """The event, where it is one by its published schema."""
    name = event["type"].removeprefix("io.plumbline.")
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert schema["$id"] == event["dataschema"]
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(event)
    return event


def verify(headers: dict[str, str], body: bytes, secret: str = SECRET) -> None:
    """Standard Webhooks' verification, as their page has it."""
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"].split() == [f"v1,{expected}"]
    assert not headers["webhook-id"].count("."), "the parts of what is signed are told apart by dots"


@dataclass
class Receiver:
    """What came, in order; `behave` answers instead of `204`."""

    port: int = 0
    behave: Behave | None = None
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came, each verified and valid."""
        found = []
        for headers, body in zip(list(self.headers), list(self.bodies), strict=True):
            verify(headers, body)
            event = valid(json.loads(body))
            assert headers["webhook-id"] == event["id"]
            assert headers["content-type"].startswith("application/cloudevents+json")
            found.append(event)
        return found


@contextmanager
def receiving(behave: Behave | None = None, tls: Path | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own, with the certificate in `tls` (a PEM file with its key)."""
    receiver = Receiver(behave=behave)
    guard = threading.Lock()

    class Own(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with guard:
                receiver.bodies.append(body)
                receiver.paths.append(self.path)
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            if receiver.behave is not None:
                receiver.behave(self)
                return
            self.send_response(204)
            self.end_headers()

        do_GET = do_POST

    class Quiet(LoopbackServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever hung up did so on purpose."""

    server = Quiet(Own, (tls, tls) if tls else None)
    receiver.port = server.server_port
    try:
        yield receiver
    finally:
        server.close()


def answering(status: int, **headers: str) -> Behave:
    """Answers with a status."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def certificate(path: Path, name: str) -> Path:
    """A certificate for a name, which is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path

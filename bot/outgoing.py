"""Speaks to a web address that it may have: found once, judged, and exactly that connected to.

Of the answer to a message nothing is believed but its status and `Retry-After`. No proxies, no redirects, no cookies.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from worker.domain.alerting import Address, Reach, WebAddress
from worker.domain.errors import PlumblineError, Unavailable

SECONDS: Final = 5.0
"""For all of it: finding the address, connecting, sending, the answer."""

LARGEST_ANSWER: Final = 64 << 10
LONGEST_WAIT: Final = 24 * 3600.0
"""What `Retry-After` may ask for."""

Resolve = Callable[[str, int], list[str]]


class Unreachable(PlumblineError):
    """An address that nothing is sent to; trying again would not change that."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, and the seconds that `Retry-After` asks for (None: it does not)."""

    status: int
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Response(Answer):
    """All of an answer: its headers and body, and whether the body is whole: not longer than what is read, not broken off."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = True

    def header(self, name: str) -> str:
        """A header whatever its spelling; empty where it is missing."""
        return self.headers.get(name.lower(), "")


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def post(
    address: WebAddress,
    body: bytes,
    headers: Mapping[str, str],
    *,
    reach: Reach,
    resolve: Resolve = addresses_of,
    context: ssl.SSLContext | None = None,
    seconds: float = SECONDS,
) -> Answer:
    """The answer to a POST. Raises Unreachable for an address that the receiver may not have, Unavailable for no answer.

    `resolve` finds the addresses of a name; `context` says whose certificates are believed (the system's).
    """
    found = ask(
        "POST",
        address,
        body,
        headers,
        reach=reach,
        most=LARGEST_ANSWER,
        resolve=resolve,
        context=context,
        seconds=seconds,
    )
    return Answer(found.status, found.retry_after)


def ask(
    method: str,
    address: WebAddress,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    reach: Reach,
    most: int,
    resolve: Resolve = addresses_of,
    context: ssl.SSLContext | None = None,
    seconds: float = SECONDS,
) -> Response:
    """The answer to one request, at most `most` bytes of its body. Raises as `post` does."""
    until = time.monotonic() + seconds
    found = _judged(address, reach, resolve, until)
    with contextlib.closing(_connected(found, address.port, until)) as connection, _deadline(connection, until) as late:
        try:
            channel = _encrypted(connection, address, context) if address.is_encrypted else connection
            with contextlib.closing(channel):
                return _asked(channel, method, address, body, headers or {}, most)
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(f"its certificate is not believed: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise Unavailable(f"did not answer within {seconds:g} s") from None
            raise Unavailable(f"did not answer ({type(error).__name__})") from None


def _judged(address: WebAddress, reach: Reach, resolve: Resolve, until: float) -> list[Address]:
    """The addresses of the host. One that is not allowed makes all of them suspect."""
    found = _within(lambda: resolve(address.host, address.port), until)
    if not found:
        raise Unavailable("its name has no address")
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    for each in addresses:
        if why := reach.refusal(each, encrypted=address.is_encrypted):
            raise Unreachable(f"nothing is sent there: {why} (`allow-private` and `networks` in app.yaml open more)")
    return addresses


def _within(ask: Callable[[], list[str]], until: float) -> list[str]:
    """The answer of the system's resolver, which knows no time limit of ours."""
    box: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put(ask())
        except (OSError, UnicodeError):
            box.put([])

    threading.Thread(target=run, name="resolver", daemon=True).start()
    try:
        return box.get(timeout=max(0.0, until - time.monotonic()))
    except queue.Empty:
        raise Unavailable("its name was not found in time") from None


def _connected(addresses: list[Address], port: int, until: float) -> socket.socket:
    """A connection to the first of the addresses that takes it; no name is looked up again."""
    for each in addresses:
        family = socket.AF_INET6 if each.version == 6 else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.01, until - time.monotonic()))
            connection.connect((str(each), port))
            return connection
        except OSError:
            connection.close()
    raise Unavailable("it cannot be connected to")


@contextlib.contextmanager
def _deadline(connection: socket.socket, until: float) -> Iterator[threading.Event]:
    """Cuts the connection at the deadline, however slowly bytes still come; the event says that this was why."""
    late = threading.Event()
    descriptor = socket.socket(fileno=os.dup(connection.fileno()))

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            descriptor.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()
        descriptor.close()


def _encrypted(connection: socket.socket, address: WebAddress, context: ssl.SSLContext | None) -> socket.socket:
    """TLS for the name that was asked for, whatever the address is."""
    return (context or ssl.create_default_context()).wrap_socket(connection, server_hostname=address.host)


def _asked(
    channel: socket.socket, method: str, address: WebAddress, body: bytes | None, headers: Mapping[str, str], most: int
) -> Response:
    speaker = http.client.HTTPConnection(address.host, address.port)
    speaker.sock = channel
    speaker.request(method, address.target, body, {"Host": address.authority, "Connection": "close", **headers})
    response = speaker.getresponse()
    wait = _retry_after(response.getheader("Retry-After", ""))
    given: bytes | None = None
    with contextlib.suppress(OSError, http.client.HTTPException):
        given = response.read(most + 1)
    named = {name.lower(): value for name, value in response.getheaders()}
    is_whole = given is not None and len(given) <= most
    return Response(response.status, wait, named, (given or b"")[:most], is_whole)


def _retry_after(text: str) -> float | None:
    """Seconds, from a number of them or a date; None where it is neither."""
    if text.strip().isdecimal():
        return min(float(text.strip()[:9]), LONGEST_WAIT)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text)
        return min(max(0.0, (at - datetime.now(at.tzinfo or UTC)).total_seconds()), LONGEST_WAIT)
    return None

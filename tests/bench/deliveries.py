"""Signed deliveries at a given pace, whatever the answers do: how many came how fast, over a connection of its own each."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.bench.ground import quantile

PADDING = [
    {"id": f"{number:040x}", "message": "Let the cart keep 512 MiB, " * 8, "added": [], "modified": ["app/cart.yaml"]}
    for number in range(20)
]
"""Commits as a push lists them; with them a delivery is some 8 KB, as GitHub's and Gitea's are."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One delivery: the HTTP status (0: nothing came back), seconds from the first byte sent to the last one read."""

    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A run of deliveries: how each was answered, and how long after its due time the last one was begun at most, in s."""

    answers: Sequence[Answered]
    late: float

    @property
    def codes(self) -> Mapping[int, int]:
        """How many were answered with which status."""
        return Counter(each.code for each in self.answers)

    def milliseconds(self, share: float) -> float:
        """The time within which a share of them was answered."""
        return quantile([each.seconds for each in self.answers], share) * 1000


def signed(address: str, secret: bytes, name: str, payload: Mapping[str, object], event: str = "push") -> bytes:
    """The bytes of one delivery as Gitea sends it to `address`/webhooks/gitea; `name` tells it from others."""
    body = json.dumps({**payload, "commits": PADDING}).encode()
    place = urlsplit(address)
    head = (
        f"POST /webhooks/gitea HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nX-Gitea-Event: {event}\r\nX-Gitea-Delivery: {name}\r\n"
        f"X-Gitea-Signature: {hmac.new(secret, body, hashlib.sha256).hexdigest()}\r\n\r\n"
    )
    return head.encode() + body


def deliver(address: str, deliveries: Sequence[bytes], a_second: float) -> Acknowledged:
    """Sends each at its due time, `a_second` of them, without waiting for the answers to those before."""
    return asyncio.run(_deliver(address, deliveries, a_second))


async def _deliver(address: str, deliveries: Sequence[bytes], a_second: float) -> Acknowledged:
    place = urlsplit(address)
    assert place.hostname
    assert place.port
    began, late = time.perf_counter(), 0.0
    running = []
    for number, delivery in enumerate(deliveries):
        due = began + number / a_second
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)
        late = max(late, time.perf_counter() - due)
        running.append(asyncio.create_task(_one(place.hostname, place.port, delivery)))
    return Acknowledged(await asyncio.gather(*running), late)


async def _one(host: str, port: int, delivery: bytes) -> Answered:
    began = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(delivery)
        answer = await reader.read()
        writer.close()
    except OSError:
        return Answered(0, time.perf_counter() - began)
    return Answered(int(answer.split()[1]) if answer else 0, time.perf_counter() - began)

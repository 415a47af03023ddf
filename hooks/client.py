"""One signed request to the bot."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hooks.configuration import Configuration

CONNECT_SECONDS = 2.0
UNAVAILABLE = 503
"""With this status the bot says itself what is missing, as {"error": …}."""

LONGEST_REASON = 200


class Away(Exception):
    """The bot does not answer; the text says how, in a few words. `may_be_done`: it may have got the request all the same."""

    def __init__(self, text: str, *, may_be_done: bool = False) -> None:
        super().__init__(text)
        self.may_be_done = may_be_done


def post(configuration: Configuration, path: str, body: bytes, seconds: float) -> dict[str, Any]:
    """Posts bytes and returns the decoded answer; `seconds` is how long the answer may take. Raises Away."""
    parts = urlsplit(configuration.address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Away("its address is not set")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=CONNECT_SECONDS)
    whole = parts.path.rstrip("/") + path
    is_connected = False
    try:
        connection.connect()
        is_connected = True
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        connection.request("POST", whole, body, headers(configuration, path, body))
        answer = connection.getresponse()
        text = answer.read(4 << 20)
    except (OSError, http.client.HTTPException) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else "it cannot be reached"
        raise Away(why, may_be_done=is_connected) from None
    finally:
        connection.close()
    if answer.status == 403:
        raise Away("it does not know this repository's secret")
    if answer.status == 413:
        raise Away("the push is too large for a prediction")
    try:
        answered: dict[str, Any] = json.loads(text)
    except ValueError:
        answered = {}
    if answer.status not in (200, 202):
        said = answered.get("error") if isinstance(answered, dict) and answer.status == UNAVAILABLE else None
        why = str(said)[:LONGEST_REASON] if said else f"it answered with HTTP {answer.status}"
        raise Away(why, may_be_done=answer.status >= 500)
    if not isinstance(answered, dict) or not answered:
        raise Away("its answer cannot be read", may_be_done=True)
    return answered


def headers(configuration: Configuration, path: str, body: bytes) -> dict[str, str]:
    """The headers that say who asks, when, and sign all of it."""
    stamp = str(int(time.time()))
    digest = hashlib.sha256(body).hexdigest()
    signed = "\n".join(("POST", path, stamp, configuration.repository, digest))
    signature = hmac.new(configuration.secret, signed.encode(), hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/octet-stream",
        "Plumbline-Repository": configuration.repository,
        "Plumbline-Timestamp": stamp,
        "Plumbline-Signature": f"sha256={signature}",
    }

"""Plumbline's own server, asked over HTTP with a token: JSON in, JSON out, and errors for the person who reads them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from worker.domain.errors import PlumblineError, Refused
from worker.domain.secret_text import SecretText, SettingsError
from worker.installation_files import LOOPBACK, read_private

SERVER: Final = "PLUMBLINE_SERVER"
TOKEN: Final = "PLUMBLINE_TOKEN"  # noqa: S105 (the name of a variable)
SECONDS: Final = 30.0
WAIT_SECONDS: Final = 10.0
"""Of one request that waits for an answer; the server ends each after that, and it is asked again."""


class NotReachable(PlumblineError):
    """The server does not answer, or says that it cannot now. `may_be_done`: it may have got the request all the same."""

    exit_code = 3

    def __init__(self, text: str, *, may_be_done: bool = False) -> None:
        super().__init__(text)
        self.may_be_done = may_be_done


class Server:
    """The API at an address. Every method raises NotReachable and Refused (with the server's own sentence)."""

    def __init__(self, address: str, token: SecretText) -> None:
        self.address = address.rstrip("/")
        self._web = httpx.Client(timeout=SECONDS, headers={"Authorization": f"Bearer {token.opened()}"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._web.close()

    def get(self, path: str, **asked: str) -> dict[str, Any]:
        """Looks at something."""
        return self._answer("GET", path, params={name: value for name, value in asked.items() if value})

    def command(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Asks for a command; the answer has its ticket. Where no answer came it is asked again, and by our ticket done once."""
        asked = {**wish, "ticket": secrets.token_hex(16)}
        try:
            return self._answer("POST", "/commands", json=asked)
        except NotReachable as error:
            if not error.may_be_done:
                raise
        try:
            return self._answer("POST", "/commands", json=asked)
        except NotReachable as error:
            doubt = "It may still be carried out: `plumbline status` says how things stand"
            raise NotReachable(f"{error}. {doubt}", may_be_done=True) from None

    def answer(self, ticket: str, seconds: float, waiting: Callable[[float], None]) -> dict[str, Any]:
        """The answer to a ticket, waited for at most so many seconds; `waiting` is told how long it was so far."""
        began = time.monotonic()
        while True:
            left = seconds - (time.monotonic() - began)
            wait = max(0.0, min(left, 1.0 if time.monotonic() - began < WAIT_SECONDS else WAIT_SECONDS))
            found = self._answer("GET", f"/commands/{ticket}", params={"wait": f"{wait:.2f}"})
            if found.get("outcome") != "waiting" or left <= 0:
                return found
            waiting(time.monotonic() - began)

    def _answer(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._web.request(method, f"{self.address}/api/v1{path}", **more)
        except httpx.HTTPError as error:
            why = f"{self.address} does not answer ({_why(error)}): is that where web is?"
            is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            raise NotReachable(why, may_be_done=not is_unsent) from None
        try:
            found = answer.json()
        except ValueError:
            found = None
        said = found.get("error") if isinstance(found, dict) else None
        if answer.status_code >= 500:
            why = f"{self.address} cannot do it now: {said or answer.reason_phrase}"
            raise NotReachable(why, may_be_done=not said)
        if not isinstance(found, dict) or answer.is_redirect:
            raise NotReachable(f"{self.address} is no Plumbline with an API (it answers {answer.status_code})")
        if answer.is_error:
            raise Refused(str(said or answer.reason_phrase))
        return found


def _why(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def server_of(address: str | None, token_file: Path | None) -> Server:
    """The server that is named, or `PLUMBLINE_SERVER`'s, with the token of a file or of `PLUMBLINE_TOKEN`.

    Raises Refused and SettingsError in plain words; a token goes to https or to this machine only.
    """
    named = address or os.environ.get(SERVER, "")
    if not named:
        raise Refused("no server is named", f"Give --server URL, or set {SERVER}: it is `address` of app.yaml")
    parts = urlsplit(named)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise Refused(
            f"{named.rpartition('@')[2]} is no address of a server", "Write it like https://plumbline.example.org"
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Refused(
            f"{parts.hostname} is reached without TLS, and the token would be readable on its way", "Use https"
        )
    if token_file is not None:
        return Server(named, SecretText(read_private(token_file.resolve(), "--token-file")))
    own = os.environ.get(TOKEN, "").strip()
    if not own:
        raise Refused("no token is given", f"Give --token-file PATH, or set {TOKEN}: one of `tokens` in app.yaml")
    if not own.isascii() or not own.isprintable():
        raise SettingsError(f"{TOKEN} holds characters that no token has")
    return Server(named, SecretText(own))

"""Requests with JSON to a server of the sandbox."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any


class JsonClient:
    """Asks one server of the sandbox; any thread may. `connect` makes a connection to it.

    Reads go over connections that are kept: what waits for something to stand in a cluster reads again and again, and with a
    handshake each time that took 13 ms of both ends' processors, without one 3. All else has a connection of its own, and is
    never sent twice.
    """

    def __init__(self, connect: Callable[[], http.client.HTTPConnection]) -> None:
        self._connect = connect
        self._idle: list[http.client.HTTPConnection] = []

    def request(self, method: str, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        """The HTTP status and the decoded JSON (None where there is none). Raises OSError where the server does not answer."""
        if method == "GET":
            return self._read(path, authorization)
        with closing(self._connect()) as connection:
            return _exchanged(connection, method, path, body, authorization)

    def _read(self, path: str, authorization: str) -> tuple[int, Any]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        tries = 1 if connection.sock is None else 2  # what was kept the server may have ended, or it was started anew
        for left in reversed(range(tries)):
            try:
                answer = _exchanged(connection, "GET", path, None, authorization)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if not left or isinstance(error, TimeoutError):
                    raise
            else:
                self._idle.append(connection)
                return answer
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Ends the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()


def _exchanged(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, authorization: str
) -> tuple[int, Any]:
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    text = answer.read()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None

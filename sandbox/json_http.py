"""One request with JSON to a server of the sandbox."""

from __future__ import annotations

import http.client
import json
from typing import Any


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, authorization: str
) -> tuple[int, Any]:
    """Sends one request and closes the connection: the HTTP status and the decoded JSON (None where there is none).

    Raises OSError where the server does not answer.
    """
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, None

"""GitHub's own description of its REST API: examples to build answers from, and the judge of every exchange."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from tests.doubles.contracts import CONTRACTS

HOST: Final = "https://api.github.com"
TAILS: Final = re.compile(r"^(/repos/[^/]+/[^/]+/(?:git/ref|git/refs|git/matching-refs|contents))/(.+)$")
"""Paths that end in a name with slashes, which a template of OpenAPI does not match."""


NOT_DESCRIBED: Final = (
    "$.head.repo: None",  # a fork that was deleted; the webhooks' schema does have it
    ".conclusion: None is not one of",  # nullable, but its enum does not list null
    "/contents/d -> 200",  # a folder's list fits none of the alternatives, and neither does the description's own example
    " /repositories/",  # where renamed repositories lead, by their number
)
"""What GitHub does and its description does not say."""


@functools.cache
def description() -> dict[str, Any]:
    """The description as a document."""
    found: dict[str, Any] = json.loads((CONTRACTS / "github/openapi/api.github.com.trimmed.json").read_text())
    return found


@functools.cache
def _judge() -> OpenAPI:
    return OpenAPI.from_dict(description())


def read() -> None:
    """Reads the description, which takes seconds: else the first request would wait for it, and its client give up."""
    faults("GET", "/meta", {}, b"", 200, b"{}")


def example(name: str, /, **changes: Any) -> dict[str, Any]:
    """An example of the description's (the first item of a list) with some fields said otherwise."""
    value = description()["components"]["examples"][name]["value"]
    made: dict[str, Any] = copy.deepcopy(value[0] if isinstance(value, list) else value)
    return made | changes


def faults(method: str, path: str, query: Mapping[str, str], body: bytes, status: int, answer: bytes) -> list[str]:
    """What is wrong with an exchange by GitHub's description: its request, and its answer where that is described."""
    tail = TAILS.match(path)
    where = f"{tail[1]}/{quote(tail[2], safe='%')}" if tail else path
    request = MockRequest(
        HOST, method.lower(), where, args=dict(query), data=body or None, content_type="application/json"
    )
    found = []
    try:
        if status != 422:  # what GitHub refuses as not valid may well be not valid
            _judge().validate_request(request)
        if status < 300:
            _judge().validate_response(
                request, MockResponse(answer, status_code=status, content_type="application/json")
            )
    except Exception as error:
        causes = [each for each in (error, error.__cause__) for each in getattr(each, "schema_errors", ())]
        said = "; ".join(f"{each.json_path}: {each.message[:200]}" for each in causes) or str(error)[:300]
        fault = f"{method} {where} -> {status}: {type(error).__name__} {said}"
        if not any(known in fault for known in NOT_DESCRIBED):
            found.append(fault)
    return found

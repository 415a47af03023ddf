"""A delivery's body read strictly: UTF-8 JSON with each key once. What the doors of all forges share; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from bot.forges.port import Rejected
from worker.domain.images import TAG, ImageError, read_image

DELIVERY: Final = re.compile(r"[0-9A-Za-z._:-]{1,100}")
PROJECT: Final = re.compile(r"[0-9A-Za-z._-]+(?:/[0-9A-Za-z._-]+)+")
LONGEST_NAME: Final = 1000
"""Longer branches and projects than any forge has; a name goes into the queue and into the log."""


def header(headers: Mapping[str, str], name: str) -> str:
    """A header whatever its spelling; empty where it is missing."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), "")


def document(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body. Raises Rejected: 415 for another content type, 400 for what is not one strict object."""
    if header(headers, "Content-Type").split(";")[0].strip().lower() != "application/json":
        raise Rejected(415, "the content type is not application/json: set it so in the webhook's settings")
    try:
        found = json.loads(body.decode(), object_pairs_hook=_each_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Rejected(400, "the body is not UTF-8 JSON with each key once") from None
    if not isinstance(found, dict):
        raise Rejected(400, "the body is not a JSON object")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("not a number")


def below(value: Mapping[str, Any], *names: str) -> Any:
    """What stands under these keys one below the other; None where a step is missing or is no object."""
    found: Any = value
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def name_of(value: Any, what: str) -> str:
    """A branch's name: printable, not empty, not endless. Raises Rejected(400)."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
        raise Rejected(400, f"{what} is not a name")
    return value


def project_of(value: Any, what: str) -> str:
    """A repository's name at its forge, such as `owner/name`. Raises Rejected(400)."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not PROJECT.fullmatch(value):
        raise Rejected(400, f"{what} is not a repository's name")
    return value


def image_of(owner: Any, name: Any, tag: Any, digest: Any = "") -> str:
    """`owner/name:tag@digest` of a forge's own registry; empty for what was pushed without a tag. Raises Rejected(400)."""
    if not all(isinstance(each, str) for each in (owner, name, tag, digest)):
        raise Rejected(400, "the body names no image")
    if not TAG.fullmatch(tag):
        return ""
    text = f"{owner}/{name}".lower() + f":{tag}" + (f"@{digest}" if digest else "")
    try:
        return str(read_image(text))
    except ImageError:
        raise Rejected(400, "the body names no image") from None


def number_of(value: Any, what: str) -> int:
    """A number that a forge gives: whole and above zero. Raises Rejected(400)."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 63:
        raise Rejected(400, f"{what} is not a number")
    return value


def delivery_of(value: str, what: str) -> str:
    """What tells a delivery from others. Raises Rejected(400)."""
    if not DELIVERY.fullmatch(value):
        raise Rejected(400, f"{what} is not a delivery's id")
    return value

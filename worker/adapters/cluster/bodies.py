"""Bodies as they are read and sent: the only place where secret values are unwrapped, and known again in what comes back.

Whoever may write one object of a kind may nest it deeper than a decoder goes (the API server takes 10,000 levels), and so has
its managedFields; in a LIST that would hide all others too. No manifest is that deep, so what lies below is nothing of ours.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from worker.domain.resource import MASK, SecretValue

_NOT_IN_YAML: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xef\xbb\xbf|\xef\xbf[\xbe\xbf]")
"""DEL, the C1 controls, the byte order mark and the two non-characters, in UTF-8 (YAML 1.2, production 1)."""

_OF_SHAPE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
"""The texts and the brackets of a JSON document; nothing else of it says how deep it is."""

DEEPEST: Final = 300
"""Levels of an answer that are kept where it is too deep to be decoded; manifests have 200, and a LIST adds a few."""


def decoded(text: bytes) -> Any:
    """A JSON document; of one that is nested too deep, what lies below `DEEPEST` levels is empty. Raises ValueError."""
    try:
        return orjson.loads(text)
    except ValueError:
        if text.count(b"{") + text.count(b"[") <= DEEPEST:
            raise
    return orjson.loads(_shallow(text))


def _shallow(text: bytes) -> bytes:
    kept, begin, depth = [], 0, 0
    for found in _OF_SHAPE.finditer(text):
        match text[found.start() : found.start() + 1]:
            case b"{" | b"[":
                depth += 1
                if depth == DEEPEST + 1:
                    kept.append(text[begin : found.end()])
            case b"}" | b"]":
                if depth == DEEPEST + 1:
                    begin = found.start()
                depth -= 1
    return b"".join((*kept, text[begin:]))


def spellings(value: SecretValue) -> dict[str, str]:
    """Every text in which a secret value could stand in a message, and what stands for it."""
    encoded = value.reveal()
    try:
        plain = base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        plain = ""
    return {text: MASK for text in (encoded, plain, plain.strip()) if len(text) >= 4}


def encoded(body: Mapping[str, Any]) -> bytes:
    """JSON for an apply patch, which the server reads as YAML: characters that YAML forbids unescaped are escaped."""
    text = orjson.dumps(body, default=revealed)
    if _NOT_IN_YAML.search(text):
        return json.dumps(body, default=revealed).encode("ascii")
    return text


def revealed(value: object) -> str:
    """A secret value as the API takes it, for a JSON encoder that meets one. Raises TypeError for anything else."""
    if isinstance(value, SecretValue):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")

"""Bodies as they are sent: the only place where secret values are unwrapped, and known again in what comes back."""

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

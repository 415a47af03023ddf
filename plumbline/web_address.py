"""The address of web, as commands are given it."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit


def web_address(text: str) -> str:
    """An address that others can call: http or https with a host, and nothing that would be a secret or be dropped.

    Raises ArgumentTypeError, as argparse has it.
    """
    parts = urlsplit(text)
    if "://" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} has no scheme: write https://{text}, or http:// on this machine")
    try:
        port_fits = parts.port != 0
    except ValueError:
        port_fits = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address: write it like http://127.0.0.1:8080")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("an address has no user, password, query or fragment")
    return text

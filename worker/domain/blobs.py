"""What git calls a file's content, told without git. Pure."""

from __future__ import annotations

import hashlib


def blob_id(content: bytes, like: str) -> str:
    """Git's id (hex) of a file's content, in the object format that the id `like` is of."""
    digest = hashlib.sha1(usedforsecurity=False) if len(like) == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()

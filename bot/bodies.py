"""The raw body of a request: read no further than it may be long, however it is sent, before anything of it is believed."""

from __future__ import annotations

import threading
from typing import Final

from flask import abort, request

STEP: Final = 64 << 10
LARGE: Final = 1 << 20
"""Bodies above this are rare, and few may be in memory at once: a crowd of them is turned away, not the small ones."""

_large = threading.BoundedSemaphore(4)


def raw_body(most: int) -> bytes:
    """The body, at most `most` bytes of it.

    Ends the request with 413 where it is longer, also when it is sent in chunks; 415 where it is compressed; 408 where it
    did not come in time; 503 where too many large ones come at once.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        abort(415)
    if (request.content_length or 0) > most:
        abort(413)
    pieces: list[bytes] = []
    size, is_large = 0, False
    try:
        while piece := _piece():
            size += len(piece)
            if size > most:
                abort(413)
            if size > LARGE and not is_large:
                is_large = _large.acquire(blocking=False)
                if not is_large:
                    abort(503)
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        if is_large:
            _large.release()


def _piece() -> bytes:
    try:
        return request.stream.read(STEP)
    except OSError:  # the client went away, or took longer than the server's reads may
        abort(408)

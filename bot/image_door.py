"""POST /images: whoever builds images says so here, signed. What is said is what may be used, not that it is.

The body is JSON, `{"images": ["ghcr.io/acme/web:1.5.0@sha256:…"], "revision": "<the commit they were built of>"}`. Signed by
`Plumbline-Timestamp` (Unix seconds) and `Plumbline-Signature: sha256=` with the HMAC-SHA256, in hex, of timestamp, `.` and the
raw body. Answers: 202 queued, 200 a duplicate, 401 not signed, 400 or 415 nothing that can be read, 413 too large, 404 where
app.yaml names no `images-secret`, 503 Redis is away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from typing import Any, Final

from flask import Blueprint, Response, abort, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.bodies import raw_body
from bot.entrance import Entrance
from worker.domain.environment import COMMIT_ID
from worker.domain.errors import Unavailable
from worker.domain.images import Image, ImageError, read_image

LARGEST_BODY: Final = 64 << 10
SKEW_SECONDS: Final = 300
MOST_IMAGES: Final = 50
NAME: Final = "images"
"""What the door's deliveries are counted and told apart under; no forge has this name for its door."""

image_door = Blueprint("image_door", __name__)
security = logging.getLogger("plumbline.security")


@image_door.post("/images")
def built() -> tuple[Response, int]:
    """One announcement."""
    entrance: Entrance = current_app.extensions["plumbline-entrance"]
    began = time.monotonic()
    try:
        answer, outcome = _taken(entrance)
    except ImageError as error:
        answer, outcome = _refused(400, str(error)), "refused-400"
    except HTTPException as error:
        code = error.code or 400
        answer, outcome = _refused(code, error.description or error.name), f"refused-{code}"
    except Unavailable as error:
        answer, outcome = (jsonify({"error": str(error)}), 503), "unavailable"
    entrance.metrics.delivery(NAME, outcome, time.monotonic() - began)
    return answer


def _taken(entrance: Entrance) -> tuple[tuple[Response, int], str]:
    secret = entrance.settings.images_secret
    if secret is None:
        abort(404, "this door is closed: app.yaml names no images-secret")
    body = raw_body(LARGEST_BODY)
    signature = _verified(secret.opened_bytes(), body)
    images, revision = _read(body)
    with entrance.patience.asking():
        if entrance.sightings.has_delivery(f":{NAME}", signature):
            return (jsonify({"said": "a duplicate"}), 200), "duplicate"
        entrance.announce(images, revision)
        entrance.sightings.note_delivery(f":{NAME}", signature)
    return (jsonify({"said": "queued"}), 202), "queued"


def _verified(secret: bytes, body: bytes) -> str:
    """The signature, where it fits and is fresh; compared in constant time, before anything of the body is read."""
    stamp = request.headers.get("Plumbline-Timestamp", "")
    given = request.headers.get("Plumbline-Signature", "").removeprefix("sha256=")
    expected = hmac.new(secret, stamp.encode(errors="replace") + b"." + body, hashlib.sha256).hexdigest()
    fits = hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
    fresh = stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(time.time() - int(stamp)) <= SKEW_SECONDS
    if not fits or not fresh:
        abort(401, "the signature does not fit, or its time is more than five minutes away")
    return expected


def _read(body: bytes) -> tuple[list[Image], str]:
    """The images and the commit. Raises ImageError for one that is no reference with a tag."""
    if request.mimetype != "application/json":
        abort(415, "the body is not application/json")
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        abort(400, "the body is not JSON")
    named = said.get("images") if isinstance(said, dict) else None
    if (
        not isinstance(named, list)
        or not 0 < len(named) <= MOST_IMAGES
        or not all(isinstance(each, str) for each in named)
    ):
        abort(400, f"`images` is a list of 1 to {MOST_IMAGES} references")
    revision = said.get("revision", "")
    if revision and not (isinstance(revision, str) and COMMIT_ID.fullmatch(revision)):
        abort(400, "`revision` is not a full commit id")
    images = [read_image(each) for each in named]
    for each in images:
        if not each.tag:
            raise ImageError(f"{each.name!r} has no tag: say which one was built")
    return images, revision


def _refused(code: int, reason: str) -> tuple[Response, int]:
    security.warning(
        "%s",
        json.dumps(
            {"event": "announcement-refused", "code": code, "reason": reason[:200], "from": request.remote_addr}
        ),
    )
    return jsonify({"error": reason}), code

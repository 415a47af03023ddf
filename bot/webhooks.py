"""POST /webhooks/<forge>: verify, record, enqueue. A delivery says where to look; nothing else of it is believed.

Answers: 202 queued, 200 a duplicate or of no concern, 401 not signed by the forge, 400 or 415 not a delivery, 413 too large,
408 too slow, 404 no such forge, 503 Redis is away (the forge or the poller comes again).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.bodies import raw_body
from bot.entrance import Entrance
from bot.forges import gitea_door, github_door, gitlab_door
from bot.forges.port import Door, Hint, Rejected
from worker.domain.errors import Unavailable
from worker.domain.images import ImageError, read_image
from worker.domain.installation import Forge
from worker.domain.messages import LookRequest

LARGEST_BODY: Final = 25 << 20
"""What GitHub and GitLab send at most."""

CLOCK_SECONDS: Final = 1.0
"""How old Redis' clock may be for the time of a delivery: in a crowd it is not asked for each."""

DOORS: Final[Mapping[str, Door]] = {"github": github_door, "gitlab": gitlab_door, "gitea": gitea_door}
"""How the deliveries of each kind of forge are told and read."""

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")
security = logging.getLogger("plumbline.security")

Answer = tuple[Response, int]


def _entrance() -> Entrance:
    entrance: Entrance = current_app.extensions["plumbline-entrance"]
    return entrance


@webhooks.post("/<forge>")
def delivered(forge: str) -> Answer:
    """One delivery of a forge."""
    began = time.monotonic()
    entrance = _entrance()
    try:
        answer, outcome = _take(entrance, forge)
    except Rejected as error:
        answer, outcome = _refuse(forge, error.code, str(error))
    except HTTPException as error:
        answer, outcome = _refuse(forge, error.code or 400, error.name)
    except Unavailable as error:
        answer, outcome = (jsonify({"error": str(error)}), 503), "unavailable"
    name = forge if entrance.settings.installation.forge(forge) else "unknown"
    entrance.metrics.delivery(name, outcome, time.monotonic() - began)
    return answer


def _take(entrance: Entrance, name: str) -> tuple[Answer, str]:
    """The answer and its word in the counters. Raises Rejected, HTTPException and Unavailable."""
    declared = entrance.settings.installation.forge(name)
    door = DOORS.get(declared.kind) if declared else None
    if declared is None or door is None:
        abort(404)
    body = raw_body(LARGEST_BODY)
    headers = dict(request.headers)
    door.verify(headers, body, entrance.settings.webhook_secrets[name].proof, time.time())
    hint = door.read(headers, body)
    if hint is None:
        return _said("of no concern"), "ignored"
    if hint.image:
        return _built(entrance, declared, hint)
    repository = entrance.settings.installation.repository_at(name, hint.project)
    if repository is None:
        _log(name, 200, "the repository is not one of app.yaml's")
        return _said("not a repository of app.yaml's"), "foreign"
    if hint.ping:
        return _said("pong"), "ping"
    with entrance.patience.asking():
        if entrance.sightings.has_delivery(name, hint.delivery):
            return _said("a duplicate"), "duplicate"
        entrance.requests.look(_look(repository.name, entrance.requests.queue.now(CLOCK_SECONDS), hint))
        entrance.sightings.note_delivery(name, hint.delivery)
    return (jsonify({"said": "queued"}), 202), "queued"


def _built(entrance: Entrance, declared: Forge, hint: Hint) -> tuple[Answer, str]:
    """An image was pushed to the forge's own registry: policies that follow it are looked at, whosever it is."""
    registry = entrance.settings.installation.registry_of(declared.name)
    host = registry.host if registry else own_registry(declared)
    try:
        image = read_image(f"{host}/{hint.image}")
    except ImageError:
        raise Rejected(400, "the body names no image") from None
    with entrance.patience.asking():
        if entrance.sightings.has_delivery(declared.name, hint.delivery):
            return _said("a duplicate"), "duplicate"
        entrance.announce([image], "")
        entrance.sightings.note_delivery(declared.name, hint.delivery)
    return (jsonify({"said": "queued"}), 202), "queued"


def own_registry(declared: Forge) -> str:
    """How images name the registry of a forge: GitHub's has a name of its own, Gitea's is where its pages are."""
    host = urlsplit(declared.address).netloc
    if declared.kind != "github":
        return host
    return "ghcr.io" if host == "github.com" else f"containers.{host}"


def _look(repository: str, at: float, hint: Hint) -> LookRequest:
    return LookRequest(repository, at, hint.number, hint.branch, hint.comment, hint.revision)


def _said(what: str) -> Answer:
    return jsonify({"said": what}), 200


def _refuse(forge: str, code: int, reason: str) -> tuple[Answer, str]:
    _log(forge, code, reason)
    return (jsonify({"error": reason}), code), f"refused-{code}"


def _log(forge: str, code: int, reason: str) -> None:
    """One line of JSON, whatever was sent; nothing of a delivery is in it but who sent it."""
    fact: dict[str, Any] = {
        "event": "delivery-refused",
        "forge": forge[:64],
        "code": code,
        "reason": reason,
        "from": request.remote_addr,
    }
    security.warning("%s", json.dumps(fact))

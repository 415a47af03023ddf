"""The web process: the door for hooks, webhooks and people. `create_app` is its composition root."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

from flask import Flask, Response, jsonify

from bot import login
from bot.api import api
from bot.board import Board
from bot.built_images import BuiltImages
from bot.buttons import buttons
from bot.dashboard import dashboard
from bot.deliveries import Deliveries
from bot.entrance import Entrance
from bot.image_door import image_door
from bot.metrics import Metrics, metrics
from bot.pushes import pushes
from bot.queue import Requests
from bot.settings import Settings
from bot.sightings import Sightings
from bot.tickets import Tickets
from bot.visitors import Visitors
from bot.webhooks import webhooks
from worker.domain.errors import PlumblineError, Unavailable
from worker.domain.secret_text import SettingsError
from worker.signed_queue import SignedQueue

ANSWERS_WITHIN: Final = 1.0
"""Seconds that a request waits for Redis before it is answered with 503, which is to come within two on a busy machine too."""


APP_LOAD_ERROR: Final = 4
"""The exit code at which gunicorn ends, instead of starting the next worker into the same error."""


def _give_up(error: PlumblineError) -> NoReturn:
    print(f"plumbline web: {error}", file=sys.stderr, flush=True)  # noqa: T201
    sys.exit(APP_LOAD_ERROR)


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application; settings are read from the environment unless they are given.

    Ends the process with one sentence where they cannot be used.
    """
    try:
        chosen = settings or Settings.load(os.environ)
    except PlumblineError as error:
        _give_up(error)
    app = Flask(__name__, static_folder=None)
    queue = SignedQueue(chosen.redis_url.opened(), chosen.signing_key.opened_bytes(), answers_within=ANSWERS_WITHIN)
    try:
        queue.require_lasting()
        names = ", ".join(repository.name for repository in chosen.installation.repositories)
        print(f"plumbline web: ready: repositories {names}; Redis at {queue.address}", file=sys.stderr, flush=True)  # noqa: T201
    except SettingsError as error:
        _give_up(error)
    except Unavailable as error:
        app.logger.warning("Redis is away (%s), answering with 503 until it is back: %s", queue.address, error)
    board = Board(queue.connection)
    requests, figures = Requests(queue), Metrics(chosen.installation, queue)
    app.extensions["plumbline"] = (chosen, requests, board)
    app.extensions["plumbline-tickets"] = Tickets(queue.connection)
    app.extensions["plumbline-deliveries"] = Deliveries(queue.connection)
    app.extensions["plumbline-entrance"] = Entrance(
        chosen, requests, Sightings(queue.connection), BuiltImages(queue.connection), figures
    )
    app.extensions["plumbline-metrics"] = (chosen, figures)
    app.register_blueprint(pushes)
    app.register_blueprint(webhooks)
    app.register_blueprint(image_door)
    app.register_blueprint(metrics)
    app.register_blueprint(api)
    login.prepare(app, chosen, Visitors(queue.connection))
    app.register_blueprint(login.login)
    app.register_blueprint(dashboard)
    app.register_blueprint(buttons)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok\n"

    @app.get("/readyz")
    def readyz() -> tuple[str, int]:
        try:
            queue.require_lasting()
        except (Unavailable, SettingsError) as error:
            return f"{error}\n", 503
        return "ok\n", 200

    @app.errorhandler(Exception)
    def failed(error: Exception) -> tuple[Response, int] | Response:
        from werkzeug.exceptions import HTTPException

        if isinstance(error, HTTPException):
            return jsonify({"error": error.name}), error.code or 500
        app.logger.error("internal error", exc_info=error)
        return jsonify({"error": "internal error; see the web process's log"}), 500

    return app

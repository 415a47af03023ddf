"""/api/v1: what the command line asks for, as JSON. Every request proves itself by a token of app.yaml; no cookie counts.

Looking is answered from the board, a command by a ticket: the bot's process carries it out, and whoever has the token may wait
for the answer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flask import Blueprint, Response, abort, current_app, g, jsonify, request
from werkzeug.exceptions import HTTPException

from bot import standing
from bot.asking import Asker, TooMany, Wish, ask
from bot.authority import facts_of_token, judged, needs
from bot.board import Board
from bot.bodies import raw_body
from bot.commands import Command
from bot.markdown import flat, plain
from bot.queue import Requests
from bot.settings import Settings
from bot.tickets import Asked, CommandOutcome, Tickets, in_time
from bot.visitors import ATTEMPT_SECONDS, Visitors
from worker.domain.declaration import Declaration
from worker.domain.episode_text import said
from worker.domain.errors import Refused, Unavailable
from worker.domain.installation import Repository
from worker.domain.messages import UnknownMessage
from worker.domain.tokens import Token

LARGEST_BODY: Final = 16 << 10
LONGEST_WAIT: Final = 20.0
"""Seconds that one request waits for an answer; whoever waits longer asks again."""

LOOK_SECONDS: Final = 0.1
LONGEST_TOKEN: Final = 1024
TICKET: Final = re.compile(r"[0-9a-f]{32}")
FIELDS: Final = {"repository": str, "line": str, "number": int, "branch": str, "ticket": str}

api = Blueprint("api", __name__, url_prefix="/api/v1")
security = logging.getLogger("plumbline.security")


def _settings() -> Settings:
    settings: Settings = current_app.extensions["plumbline"][0]
    return settings


def _board() -> Board:
    board: Board = current_app.extensions["plumbline"][2]
    return board


def _tickets() -> Tickets:
    tickets: Tickets = current_app.extensions["plumbline-tickets"]
    return tickets


# -- who -----------------------------------------------------------------------------------------------------------


@api.before_request
def require_token() -> None:
    """Knows the token (`g.token`), or ends the request. Only wrong ones are counted and wait: many may share an address."""
    settings = _settings()
    if not settings.token_secrets:
        abort(401, "No token may command here: app.yaml has no `tokens`.")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    digest = hashlib.sha256(given.strip()[:LONGEST_TOKEN].encode()).digest()
    name = ""
    for each, secret in settings.token_secrets.items():
        if hmac.compare_digest(hashlib.sha256(secret.opened_bytes()).digest(), digest):
            name = each
    found = settings.installation.token(name) if name and scheme.lower() == "bearer" else None
    if found is None:
        visitors: Visitors = current_app.extensions["plumbline-visitors"]
        if not visitors.may_try(f"api:{request.remote_addr}"):
            abort(429, f"Too many wrong tokens from this address. Try again in {ATTEMPT_SECONDS // 60} minutes.")
        line = {"event": "token-refused", "from": request.remote_addr, "path": flat(request.path)}
        security.warning("%s", json.dumps(line))
        abort(401, "This token is none of app.yaml's `tokens`.")
    g.token = found


def _reading(repository: Repository) -> bool:
    """Whether the token may see a repository's environments, by what app.yaml says of `status`."""
    token: Token = g.token
    command = Command("status")
    asked = needs(command, repository, Declaration(()))
    return token.serves(repository.name) and judged(command, asked, facts_of_token(token), repository) is None


def _repository(name: str) -> Repository:
    """The repository of that name, or the only one that the token is for; ends the request where there is none."""
    token: Token = g.token
    own = [each for each in _settings().installation.repositories if token.serves(each.name)]
    found = [each for each in own if name in ("", each.name)]
    if len(found) != 1:
        names = ", ".join(each.name for each in own) or "none"
        what = (
            f"There is no repository {flat(name, 100)} for this token"
            if name
            else "This token is for several repositories"
        )
        abort(404 if name else 400, f"{what}. Name one with --repository: {names}.")
    return found[0]


# -- looking -------------------------------------------------------------------------------------------------------


@api.get("/environments")
def environments() -> Response:
    """Every environment that the token may see, worst first."""
    name = request.args.get("repository", "")
    shown = [_repository(name)] if name else list(_settings().installation.repositories)
    readable = [each.name for each in shown if _reading(each)]
    if not readable:
        abort(403, "This token may see no environments: give it `read` under `may`.")
    found = [
        standing.view(history, episodes)
        for history, episodes in _board().environments(readable)
        if g.token.reaches([history[-1].environment])
    ]
    rows = [_environment(each) for each in sorted(found, key=lambda row: row.urgency)]
    return jsonify({"environments": rows})


def _environment(view: standing.View) -> dict[str, Any]:
    last = view.last
    held, _ = _board().shown(last.repository, last.environment)
    return {
        "repository": last.repository,
        "environment": last.environment,
        "branch": last.branch,
        "revision": last.revision,
        "state": view.standing.word.value,
        "mark": view.standing.plumb.value,
        **{axis.name: axis.word for axis in view.axes},
        "text": view.sentence,
        "since": view.since,
        "held": [
            {"what": each.what, "by": each.who, "since": each.since, "why": each.why, "release": each.release}
            for each in held
        ],
    }


@api.get("/history")
def history() -> Response:
    """What happened to one environment, newest first: commits with their facts, divergences with their events."""
    name = request.args.get("environment", "")
    repository = _repository(request.args.get("repository", ""))
    if not _reading(repository) or not g.token.reaches([name]):
        abort(403, f"This token may not see {flat(name, 100)} of {repository.name}.")
    facts, episodes = _board().history(repository.name, name), _board().episodes(repository.name, name)
    if not facts:
        abort(404, f"Nothing was told of an environment {flat(name, 100)} in {repository.name} (yet).")
    commits = _board().commits((repository.name, each.revision) for each in facts)
    called = {revision: each for (_, revision), each in commits.items()}
    items = [_item(each, called) for each in standing.timeline(facts, episodes)]
    return jsonify({"repository": repository.name, "environment": name, "history": items})


def _item(item: standing.Run | standing.Divergence, called: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(item, standing.Run):
        commit = called.get(item.revision)
        facts = [{"step": str(each.step), "text": each.text, "seconds": each.seconds} for each in item.facts]
        return {
            "revision": item.revision,
            "branch": item.branch,
            "subject": commit.subject if commit else "",
            "author": commit.author if commit else "",
            "state": item.word.value,
            "at": item.at,
            "facts": facts,
        }
    news = [{"step": str(each.news.event), "text": said(each.news), "seconds": each.seconds} for each in item.reports]
    return {"divergence": str(item.widest.cause), "state": item.word, "at": item.at, "facts": news}


# -- commands ------------------------------------------------------------------------------------------------------


@api.post("/commands")
def command() -> tuple[Response, int]:
    """Asks for a command; 202 with the ticket of its answer."""
    given = _document()
    repository = _repository(given.get("repository", ""))
    asker = Asker(token=g.token.name)
    wish = Wish(repository.name, given.get("line", ""), given.get("number", 0), given.get("branch", ""))
    requests: Requests = current_app.extensions["plumbline"][1]
    own = given.get("ticket", "")
    ticket = ask(requests, _tickets(), asker, wish, _settings().installation.instance, own)
    return jsonify({"ticket": ticket, "repository": repository.name, "outcome": str(CommandOutcome.WAITING)}), 202


def _document() -> dict[str, Any]:
    try:
        found = json.loads(raw_body(LARGEST_BODY))
    except (ValueError, RecursionError):
        abort(400, "The body is no JSON.")
    if not isinstance(found, dict) or any(name not in FIELDS for name in found):
        abort(400, f"The body has to be an object with some of {', '.join(FIELDS)}.")
    for name, kind in FIELDS.items():
        if name in found and (not isinstance(found[name], kind) or isinstance(found[name], bool)):
            abort(400, f"`{name}` has to be {'a number' if kind is int else 'text'}.")
    if not 0 <= found.get("number", 0) < 1 << 53:
        abort(400, "`number` is no number of a change request.")
    if "ticket" in found and not TICKET.fullmatch(found["ticket"]):
        abort(400, "`ticket` has to be 32 digits of 0-9a-f.")
    return found


@api.get("/commands/<ticket>")
def answered(ticket: str) -> Response:
    """The answer to a command of the same token; waits for it up to `wait` seconds."""
    asked = _tickets().asked(ticket) if TICKET.fullmatch(ticket) else None
    if asked is None or asked.by != Asker(token=g.token.name).name:
        abort(404, "There is no such ticket of this token (any more).")
    answer: dict[str, str] = {}
    for answer in _looks(ticket, asked, request.args.get("wait", 0.0, type=float)):
        if answer["outcome"] != CommandOutcome.WAITING:
            break
    return jsonify({"ticket": ticket, "repository": asked.repository, "line": asked.line, **answer})


def _looks(ticket: str, asked: Asked, seconds: float) -> Iterator[dict[str, str]]:
    requests: Requests = current_app.extensions["plumbline"][1]
    now = requests.queue.now()
    until = time.monotonic() + min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else 0.0  # noqa: PLR0124 (NaN)
    while True:
        found = in_time(_tickets().said(ticket), asked, now)
        yield {"outcome": str(found.outcome), "text": plain(found.text), "markdown": found.text}
        if time.monotonic() >= until:
            return
        time.sleep(LOOK_SECONDS)


# -- errors --------------------------------------------------------------------------------------------------------


@api.after_request
def _private(response: Response) -> Response:
    response.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
    return response


@api.errorhandler(HTTPException)
def _refused(error: HTTPException) -> tuple[Response, int]:
    answer = jsonify({"error": error.description or error.name})
    if error.code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer, error.code or 500


@api.errorhandler(Refused)
def _not_understood(error: Refused) -> tuple[Response, int]:
    return jsonify({"error": str(error)}), 422


@api.errorhandler(TooMany)
def _too_many(error: TooMany) -> tuple[Response, int]:
    return jsonify({"error": str(error)}), 429


@api.errorhandler(Unavailable)
@api.errorhandler(UnknownMessage)
def _away(error: Exception) -> tuple[Response, int]:
    return jsonify({"error": str(error)}), 503

"""POST /pushes/*: the addresses of the server-side hooks. Verify, then ask or answer; nothing is believed before."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from typing import Any, Final

from flask import Blueprint, Response, abort, current_app, jsonify, request

from bot import terminal
from bot.authority import APPROVE, confirming, facts_of_pusher, judged
from bot.board import Board
from bot.bodies import raw_body
from bot.commands import Command
from bot.markdown import plain
from bot.push_request import PushedCommand
from bot.queue import Requests, new_ticket
from bot.settings import Settings
from bot.tickets import CommandOutcome, Tickets
from worker.domain.declaration import Declaration
from worker.domain.environment import COMMIT_ID
from worker.domain.errors import Unavailable
from worker.domain.installation import PLAIN
from worker.domain.messages import (
    INTAKE_QUEUE,
    PREVIEWS_QUEUE,
    REPORTS_QUEUE,
    Committed,
    PreviewRequest,
    RefUpdate,
    UnknownMessage,
)
from worker.domain.reports import FINAL_STEPS, ConvergenceReport, Step

LARGEST_BODY: Final = 9 << 20
SKEW_SECONDS: Final = 300
LONGEST_WAIT: Final = 9.5
STREAM_BLOCK_MS: Final = 500
MOST_WORDS: Final = 2000
MOST_COMMANDS: Final = 10
LONGEST_COMMAND: Final = 600
TICKET: Final = re.compile(r"[0-9a-f]{32}")
STREAM_ID: Final = re.compile(r"\d{1,15}(-\d{1,15})?")

pushes = Blueprint("pushes", __name__, url_prefix="/pushes")


def _desk() -> tuple[Settings, Requests, Board]:
    desk: tuple[Settings, Requests, Board] = current_app.extensions["plumbline"]
    return desk


def _verified() -> tuple[str, bytes]:
    """The repository that asks and the raw body; 403 where the signature, the time or the repository does not fit."""
    settings, _, _ = _desk()
    body = raw_body(LARGEST_BODY)
    name = request.headers.get("Plumbline-Repository", "")
    stamp = request.headers.get("Plumbline-Timestamp", "")
    given = request.headers.get("Plumbline-Signature", "")
    secret = settings.hook_secrets.get(name)
    key = secret.opened_bytes() if secret is not None else b"no such repository"
    signed = "\n".join((request.method, request.path, stamp, name, hashlib.sha256(body).hexdigest()))
    expected = "sha256=" + hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    fits = hmac.compare_digest(expected.encode(), given.encode(errors="replace"))
    fresh = stamp.isdigit() and abs(time.time() - int(stamp)) <= SKEW_SECONDS
    if secret is None or not fits or not fresh:
        abort(403)
    return name, body


def _updates(document: dict[str, Any]) -> tuple[RefUpdate, ...]:
    try:
        found = tuple(RefUpdate(str(each["ref"]), str(each["old"]), str(each["new"])) for each in document["updates"])
    except (KeyError, TypeError):
        abort(400)
    if len(found) > MOST_WORDS:
        abort(400)
    if any(not COMMIT_ID.fullmatch(value) for update in found for value in (update.old, update.new)):
        abort(400)
    return found


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        abort(400)
    if not isinstance(document, dict):
        abort(400)
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refused(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _number(document: dict[str, Any], name: str, default: float) -> float:
    found = document.get(name) or default
    if not isinstance(found, int | float) or not 0 <= found < 1e12:
        abort(400)
    return float(found)


def _words(document: dict[str, Any], name: str) -> tuple[str, ...]:
    found = document.get(name) or []
    if not isinstance(found, list) or len(found) > MOST_WORDS:
        abort(400)
    return tuple(str(each)[:64] for each in found)


def _texts(document: dict[str, Any], name: str) -> dict[str, str]:
    found = document.get(name) or {}
    if not isinstance(found, dict):
        abort(400)
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _lists(document: dict[str, Any], name: str) -> dict[str, list[str]]:
    found = document.get(name) or {}
    if not isinstance(found, dict) or not all(isinstance(each, list) for each in found.values()):
        abort(400)
    return {key: [str(each) for each in value] for key, value in found.items()}


@pushes.post("/preview")
def preview() -> Response:
    """Says whether a push may come in, with the lines for its terminal; `accept` is null where that is not known."""
    settings, requests, board = _desk()
    repository, body = _verified()
    header, _, pack = body.partition(b"\n")
    document = _document(header)
    updates = _updates(document)
    seconds = min(_number(document, "seconds", LONGEST_WAIT), LONGEST_WAIT)
    ticket = new_ticket()
    approvals = _words(document, "approvals")
    why = _uncounted(settings, repository, _by(document)) if approvals else ""
    approvals = () if why else approvals
    asked = PreviewRequest(ticket, repository, updates, bool(pack), requests.queue.now() + seconds, approvals)
    requests.preview(asked, pack)
    report = board.wait(ticket, seconds)
    if report is None:
        _require_served(requests)
        return jsonify({"accept": None, "lines": []})
    lines = terminal.preview_lines(report, updates, colour=bool(document.get("colour")))
    lines += terminal.notice_lines(f"the code does not count: {why}") if why else []
    return jsonify({"accept": not report.refuses, "lines": lines})


def _by(document: dict[str, Any]) -> str:
    """Who pushes, as the hook knows it; empty where it does not say."""
    found = document.get("by", "")
    if not isinstance(found, str):
        abort(400)
    return found[:100]


def _uncounted(settings: Settings, name: str, by: str) -> str:
    """Why app.yaml does not let who pushes confirm by a code; empty where it does, and at a forge."""
    repository = settings.installation.repository(name)
    if repository is None or repository.forge != PLAIN:
        return ""
    asked = confirming(repository, Declaration(()))
    denied = judged(Command(APPROVE), asked, facts_of_pusher(by), repository)
    return plain(denied.text) if denied else ""


def _require_served(requests: Requests) -> None:
    """Raises Unavailable with the process that nobody has started, where one of those that make a prediction is missing."""
    for queue, process in ((PREVIEWS_QUEUE, "worker"), (REPORTS_QUEUE, "bot")):
        if not requests.queue.is_served(queue):
            raise Unavailable(f"no {process} runs: `python -m {process}` of the Procfile is not there")


@pushes.post("/committed")
def committed() -> tuple[Response, int]:
    """The "change committed" alert: recorded as a job, answered with where to read on."""
    _, requests, board = _desk()
    repository, body = _verified()
    document = _document(body)
    updates = _updates(document)
    declaration = _texts(document, "declaration")
    approvals = _words(document, "approvals")
    now = requests.queue.now()
    at = min(_number(document, "at", now), now)
    cursor = board.cursor(repository, [update.new for update in updates])
    requests.committed(Committed(repository, updates, at, declaration, approvals, _by(document)))
    state = {"revisions": cursor, "expected": {}, "ended": {}}
    return jsonify({"cursor": state}), 202


@pushes.post("/commands")
def commands() -> tuple[Response, int]:
    """Commands that came as push options: each is a job, under a ticket of the hook's by which its answer is found.

    A ticket counts once: what is sent again, by whoever recorded it or by a hook in doubt, asks for nothing anew.
    """
    _, requests, _ = _desk()
    repository, body = _verified()
    document = _document(body)
    by, lines = document.get("by"), document.get("lines")
    if not isinstance(by, str) or not isinstance(lines, list) or not 0 < len(lines) <= MOST_COMMANDS:
        abort(400)
    if not all(isinstance(each, str) and len(each) <= LONGEST_COMMAND for each in lines):
        abort(400)
    given = document.get("tickets")
    if not isinstance(given, list) or not all(isinstance(each, str) and TICKET.fullmatch(each) for each in given):
        abort(400)
    if len(given) != len(lines) or len(set(given)) != len(given):
        abort(400)
    tickets: Tickets = current_app.extensions["plumbline-tickets"]
    now = requests.queue.now()
    for ticket, line in zip(given, lines, strict=True):
        if tickets.take(repository, ticket, 2 * SKEW_SECONDS):
            requests.pushed(PushedCommand(ticket, repository, line, by[:100], now))
    return jsonify({"tickets": given}), 202


@pushes.post("/answer")
def answer() -> Response:
    """What was answered to a command, for a terminal, and what it came to; no text where there is none (yet).

    Who asks for the `last` time hears why.
    """
    _, requests, _ = _desk()
    _, body = _verified()
    document = _document(body)
    ticket = document.get("ticket")
    if not isinstance(ticket, str) or not TICKET.fullmatch(ticket):
        abort(400)
    said = current_app.extensions["plumbline-tickets"].said(ticket)
    is_waiting = said.outcome is CommandOutcome.WAITING
    if is_waiting and document.get("last") and not requests.queue.is_served(INTAKE_QUEUE):
        raise Unavailable("no bot runs: `python -m bot` of the Procfile is not there")
    return jsonify({"text": "" if is_waiting else plain(said.text), "outcome": str(said.outcome)})


@pushes.post("/stream")
def stream() -> Response:
    """What came since the cursor, as lines; `done` once nothing more is to be waited for."""
    _, _, board = _desk()
    repository, body = _verified()
    document = _document(body)
    cursor = document.get("cursor")
    if not isinstance(cursor, dict) or not isinstance(cursor.get("revisions"), dict):
        abort(400)
    revisions = {name: last for name, last in _texts(cursor, "revisions").items() if COMMIT_ID.fullmatch(name)}
    if any(not STREAM_ID.fullmatch(last) for last in revisions.values()):
        abort(400)
    expected, ended = _lists(cursor, "expected"), _lists(cursor, "ended")
    lines: list[str] = []
    colour, patient = bool(document.get("colour")), bool(document.get("patient"))
    for revision, entry_id, entry in board.read(repository, revisions, STREAM_BLOCK_MS) if revisions else []:
        revisions[revision] = entry_id
        if "expects" in entry:
            expected[revision] = json.loads(entry["expects"])
        elif "line" in entry:
            lines.append(entry["line"])
        elif "report" in entry:
            report = ConvergenceReport.from_json(json.loads(entry["report"]))
            several = len(expected.get(revision, ())) > 1
            lines += terminal.convergence_line(report, several=several, colour=colour).split("\n")
            if report.step in FINAL_STEPS or (
                report.step in (Step.SETTLING, Step.VERIFIED) and _is_end(report, patient)
            ):
                ended.setdefault(revision, []).append(report.environment)
    done = all(name in expected and set(expected[name]) <= set(ended.get(name, ())) for name in revisions)
    return jsonify(
        {"lines": lines, "cursor": {"revisions": revisions, "expected": expected, "ended": ended}, "done": done}
    )


def _is_end(report: ConvergenceReport, patient: bool) -> bool:  # noqa: FBT001
    """Who did not ask to wait longer has seen enough at "settling", or at a "verified" that nothing follows."""
    settles = bool((report.proof or {}).get("settle"))
    return not patient and (report.step is Step.SETTLING or (report.step is Step.VERIFIED and not settles))


@pushes.errorhandler(Unavailable)
def unavailable(error: Unavailable) -> tuple[Response, int]:
    """Redis is away: the hook decides by its policy."""
    return jsonify({"error": str(error)}), 503


@pushes.errorhandler(UnknownMessage)
def unknown(error: UnknownMessage) -> tuple[Response, int]:
    """A message of another version."""
    return jsonify({"error": str(error)}), 400

"""Who may read the pages, and the rules that every page is under: host, headers, sessions, signing in and out.

Nothing that a visitor sends becomes an address to go to; after signing in, a visitor goes where they were turned away.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Answer

from bot.forges.sign_in import authorize_address, signed_in
from bot.settings import Settings
from bot.visitors import ATTEMPT_SECONDS, ATTEMPTS, FORGE_ATTEMPTS, Visitor, Visitors
from worker.domain.errors import Refused, Unavailable
from worker.domain.field_text import visible
from worker.domain.installation import Forge

TOKEN_SECONDS: Final = 12 * 3600
FORGE_SECONDS: Final = 3600
"""How long what a forge permits counts: then the visitor signs in again, which mostly is one click."""

LONGEST_TOKEN: Final = 1024
AWAY_SECONDS: Final = 10

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a page may load; the one script that may run is named beside it, so nothing else that is answered here ever is one."""

SCRIPT: Final = "pages.js"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
WRONG: Final = "That token is not the one."

login = Blueprint("login", __name__, template_folder="templates", static_folder="static", static_url_path="/pages")

log = logging.getLogger("plumbline.pages")


def prepare(app: Flask, settings: Settings, visitors: Visitors) -> None:
    """Gives the application its sessions, and templates in which every text is made visible before it is escaped."""
    app.extensions["plumbline-visitors"] = visitors
    is_https = settings.installation.address.startswith("https://")
    app.secret_key = hmac.new(settings.signing_key.opened_bytes(), b"plumbline/pages", hashlib.sha256).digest()
    app.config.update(
        SESSION_COOKIE_NAME="__Host-plumbline" if is_https else "plumbline",
        SESSION_COOKIE_SECURE=is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.jinja_env.finalize = _plain


def _plain(value: Any) -> Any:
    """Control and direction characters written out; markup of our own templates is left as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def guarded(blueprint: Blueprint) -> Blueprint:
    """Puts a blueprint's pages under the rules that all have: the host that is ours, headers, errors in words."""
    blueprint.before_request(_require_our_host)
    blueprint.after_request(_with_headers)
    blueprint.register_error_handler(HTTPException, _refused)
    blueprint.register_error_handler(Unavailable, _away)
    return blueprint


def _settings() -> Settings:
    settings: Settings = current_app.extensions["plumbline"][0]
    return settings


def _visitors() -> Visitors:
    visitors: Visitors = current_app.extensions["plumbline-visitors"]
    return visitors


def _require_our_host() -> None:
    """Another name that leads here is somebody else's page in the visitor's browser (DNS rebinding)."""
    address = urlsplit(_settings().installation.address)
    usual = {"http": ":80", "https": ":443"}[address.scheme]
    if request.host.lower().removesuffix(usual) != address.netloc.lower().removesuffix(usual):
        abort(400, f"This page is at {_settings().installation.address}.")


def _with_headers(response: Response) -> Response:
    address = urlsplit(_settings().installation.address)
    script = f"{address.scheme}://{address.netloc}{url_for('login.static', filename=SCRIPT)}"
    response.headers.update(HEADERS)
    response.headers["Content-Security-Policy"] = f"{POLICY}; script-src {script}"
    if request.endpoint != "login.static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _refused(error: HTTPException) -> tuple[str, int] | HTTPException:
    if error.code is None or error.code < 400:
        return error
    own = error.code == 404
    text = "There is no such page, or it is not yours to see." if own else error.description or error.name
    return render_template("message.html", title=error.name, text=text), error.code


def _away(error: Unavailable) -> tuple[str, int]:
    """Only a page that can be asked for again looks again: what was sent by a form, or a sign-in's way back, cannot."""
    is_page = request.method == "GET" and request.blueprint != login.name
    text = "This page looks again by itself" if is_page else "Go back and try again in a moment"
    refresh = AWAY_SECONDS if is_page else None
    return render_template("message.html", title="Not now", text=f"{error}. {text}.", refresh=refresh), 503


def require_visitor() -> Answer | None:
    """Before each page: knows who looks (`g.visitor`), or sends them to the door, whatever they asked for."""
    found = _known()
    if found is None:
        if request.method == "GET" and request.endpoint:
            session["wanted"] = url_for(request.endpoint, **(request.view_args or {}))
        return redirect(url_for("login.door"))
    g.visitor = found
    return None


def _known() -> Visitor | None:
    if _settings().installation.pages.is_open:
        return Visitor("open")
    own = session.get("id")
    found = _visitors().known(own) if isinstance(own, str) else None
    return found if found is not None and found.by in _ways() else None


def _ways() -> dict[str, str]:
    """How one can sign in: what a session is begun by, and the forge's name (empty: the token)."""
    settings = _settings()
    ways = {f"forge:{each.forge}": each.forge for each in settings.installation.pages.sign_in}
    if settings.pages_token is not None:
        ways[f"token:{hashlib.sha256(settings.pages_token.opened_bytes()).hexdigest()[:32]}"] = ""
    return ways


@login.get("/login")
def door() -> str:
    """The page to sign in at."""
    return _door()


def _door(problem: str = "") -> str:
    ways = _ways().values()
    return render_template(
        "login.html", problem=problem, has_token="" in ways, forges=[each for each in ways if each], form=_form_token()
    )


def _form_token() -> str:
    """What a form of ours has and one from elsewhere cannot know."""
    if "form" not in session:
        session["form"] = secrets.token_urlsafe(32)
    return str(session["form"])


def require_our_form() -> None:
    """A form that was sent from elsewhere is refused: by its token, and by what the browser says of its origin."""
    given = request.form.get("form", "")
    own = str(session.get("form", ""))
    site, origin = request.headers.get("Sec-Fetch-Site", "same-origin"), request.headers.get("Origin", "null")
    # A page without referrers says `null` of itself, so the origin only counts where it is said.
    ours = origin in ("null", _settings().installation.address.rstrip("/"))
    if not own or not hmac.compare_digest(own.encode(), given.encode()) or site != "same-origin" or not ours:
        abort(400, "This form is not of this page, or too old. Open the page again.")


@login.post("/login")
def sign_in() -> Answer | tuple[str, int]:
    """Signs in by the token; whatever is wrong with it, the answer is the same."""
    request.max_content_length = 16 << 10
    require_our_form()
    settings = _settings()
    expected = settings.pages_token.opened() if settings.pages_token is not None else secrets.token_urlsafe(32)
    given = request.form.get("token", "").strip()[:LONGEST_TOKEN]
    sides = (hashlib.sha256(side.encode()).digest() for side in (expected, given))
    if not hmac.compare_digest(*sides):
        _require_patience()
        log.warning("sign-in by token refused from=%s", request.remote_addr)
        return _door(WRONG), 403
    by = next(way for way, forge in _ways().items() if not forge)
    return _admitted(Visitor(by), TOKEN_SECONDS)


def _require_patience(counted: str = "", most: int = ATTEMPTS) -> None:
    """Counts a wrong attempt; too many from one address wait. A right token never does: many people may share an address."""
    if not _visitors().may_try(f"{counted}{request.remote_addr}", most):
        log.warning("sign-in: too many attempts from=%s", request.remote_addr)
        abort(429, f"Too many attempts. Try again in {ATTEMPT_SECONDS // 60} minutes.")


def _admitted(visitor: Visitor, seconds: int) -> Answer:
    """A session of its own begins (one that somebody else may know of ends), and leads to what was wanted."""
    wanted = str(session.get("wanted") or url_for("dashboard.environments"))
    session.clear()
    session["id"] = _visitors().admit(visitor, seconds)
    log.info("signed in by=%s name=%s from=%s", visitor.by[:12], visible(visitor.name), request.remote_addr)
    return redirect(wanted)


@login.get("/login/<forge>")
def go(forge: str) -> Answer:
    """Sends the visitor to their forge."""
    declared, client = _client(forge)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    session["oauth"] = {"forge": forge, "state": state, "verifier": verifier}
    return redirect(authorize_address(declared, client, _back(forge), state, verifier))


@login.get("/login/<forge>/done")
def done(forge: str) -> Answer | tuple[str, int]:
    """Where the forge sends the visitor back to, with a code that only the one who asked can use."""
    declared, client = _client(forge)
    asked = session.pop("oauth", None) or {}
    state, code = request.args.get("state", ""), request.args.get("code", "")
    right = hmac.compare_digest(str(asked.get("state", "")).encode(), state.encode())
    if not asked or not right or asked.get("forge") != forge or not code:
        return _door("That sign-in was not begun here, or was called off. Try again."), 403
    # Whether the code is a good one only the forge knows: it is counted before the forge is asked, and taken back where it was.
    _require_patience("forge:", FORGE_ATTEMPTS)
    settings = _settings()
    repositories = {each.project: each.name for each in settings.installation.repositories if each.forge == forge}
    secret = settings.sign_in_secrets[forge]
    try:
        account, name, permitted = signed_in(
            declared, client, secret, _back(forge), code, str(asked["verifier"]), repositories
        )
    except Refused as error:
        log.warning("sign-in by %s refused from=%s", forge, request.remote_addr)
        return _door(str(error)), 403
    _visitors().forgive(f"forge:{request.remote_addr}")
    seen = {repositories[project]: may for project, may in permitted.items()}
    return _admitted(Visitor(f"forge:{forge}", name, seen, account), FORGE_SECONDS)


def _client(forge: str) -> tuple[Forge, str]:
    installation = _settings().installation
    found = next((each for each in installation.pages.sign_in if each.forge == forge), None)
    declared = installation.forge(forge)
    if found is None or declared is None:
        abort(404)
    return declared, found.client


def _back(forge: str) -> str:
    return _settings().installation.address.rstrip("/") + url_for("login.done", forge=forge)


@login.post("/logout")
def sign_out() -> Answer:
    """Ends the session, here and in the browser."""
    request.max_content_length = 16 << 10
    require_our_form()
    own = session.get("id")
    if isinstance(own, str):
        _visitors().dismiss(own)
    session.clear()
    return redirect(url_for("login.door"))


@login.app_context_processor
def _known_to_templates() -> dict[str, Any]:
    """What every page's frame shows: who looks, and the form that signs out."""
    visitor = g.get("visitor")
    signed = visitor is not None and visitor.by != "open"
    return {"visitor": visitor, "signed_in": signed, "form": _form_token() if signed else ""}


guarded(login)

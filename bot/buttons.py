"""The pages' buttons: a line of the grammar, sent by a form of ours, carried out for who is signed in, answered on a page.

A button says what a comment says, and is judged in the same place: an account by what its forge says at that moment, who
signed in by the token by `pages.may`. What is hard to take back is asked twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, abort, current_app, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from bot.asking import Asker, TooMany, Wish, ask, understood
from bot.authority import Facts, facts_of_token, hopes
from bot.commands import Command, parse
from bot.dashboard import board_of_pages, require_visible
from bot.forges.port import Person
from bot.login import guarded, require_our_form, require_visitor
from bot.markdown import plain
from bot.queue import Requests
from bot.settings import Settings
from bot.tickets import CommandOutcome, Tickets, in_time
from bot.visitors import Visitor
from worker.domain.episodes import Episode
from worker.domain.errors import Refused
from worker.domain.locks import Holding
from worker.domain.tokens import PAGES

ASKED_TWICE: Final = frozenset({"rollback", "approve", "confirm-prune", "freeze", "adopt"})
WORDS: Final = ASKED_TWICE | {"hold", "unhold", "thaw", "retry"}
OF_PERSONS: Final = frozenset({"approve", "confirm-prune"})
"""What a token is refused: a plan is confirmed by a person."""

EVERYWHERE: Final = frozenset({"freeze", "thaw"})
"""What is about all environments of the branch, and not about the page's alone."""

TICKET: Final = re.compile(r"[0-9a-f]{32}")
LOOK_SECONDS: Final = 1

buttons = Blueprint("buttons", __name__)
guarded(buttons)
buttons.before_request(require_visitor)


@dataclass(frozen=True, slots=True)
class Button:
    """A form with one button: the line that it says, its label, and a field's label and hint (empty: nothing is added)."""

    line: str
    label: str
    more: str = ""
    hint: str = ""

    @property
    def word(self) -> str:
        """The command's word."""
        return self.line.split(" ", 1)[0].removeprefix("/")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something that is hard to take back: the question, what follows, and the button that says yes."""

    asks: str
    follows: str
    yes: str


def question(command: Command, name: str, branch: str) -> Question:
    """What is asked about a command on the page of the environment `name`, which `branch` declares."""
    asks, follows, yes = {
        "rollback": (
            f"Roll {name} back?",
            f"A commit goes to {branch} at once, and {name} is converged to it."
            if "push" in command.flags
            else "A commit is proposed for it. Nothing changes in the cluster before it is merged.",
            f"Yes, roll {name} back",
        ),
        "approve": (
            f"Approve the plan of {name}?",
            "It is applied as soon as it has all approvals that it needs.",
            "Yes, approve it",
        ),
        "confirm-prune": (
            f"Delete what the plan of {name} deletes?",
            "The objects are deleted with what they hold; Git cannot bring data back.",
            "Yes, delete it",
        ),
        "freeze": (
            f"Freeze all environments of {branch}?",
            "Nothing is converged or healed in any of them until they are thawed.",
            "Yes, freeze them all",
        ),
        "adopt": (
            f"Take what drifted in {name} into Git?",
            "A commit is proposed that says what the cluster has. Nothing changes before it is merged.",
            "Yes, take it into Git",
        ),
    }[command.word]
    return Question(asks, follows, yes)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["plumbline"][0]
    return settings


def _asker() -> Asker | None:
    """Who commands from these pages; None for who only looks."""
    visitor: Visitor = g.visitor
    pages = _settings().installation.pages
    kind, _, forge = visitor.by.partition(":")
    if kind == "forge" and visitor.account:
        return Asker(forge=forge, account=visitor.account, login=visitor.name)
    return Asker(token=PAGES) if kind == "token" and pages.may else None


def _of_forge(repository: str) -> bool:
    """Whether who commands is known where the repository lies: an account of another forge is nobody there."""
    found, asker = _settings().installation.repository(repository), _asker()
    return found is not None and asker is not None and asker.forge in ("", found.forge)


@buttons.app_template_global("buttons_of")
def buttons_of(
    repository: str, environment: str, held: tuple[Holding, ...], episode: Episode | None = None
) -> list[Button]:
    """The buttons of an environment's page, what releases it first; none for who may only look.

    `episode` is its open divergence: what drifted can be adopted.
    """
    asker = _asker()
    if asker is None or not _of_forge(repository):
        return []
    released = [line.strip() for each in held for line in each.release.split(" and ")]
    found = [Button(line, _label(line)) for line in released if isinstance(parse(line), Command)]
    found = [each for each in found if not (asker.token and each.word in OF_PERSONS)]
    words = {each.word for each in found}
    if "unhold" not in words:
        found.append(Button(f"/hold {environment}", "Hold", "Hold it, because", "reason"))
    if "thaw" not in words:
        found.append(Button("/freeze", "Freeze all", "Freeze all, because", "reason"))
    found += [
        Button(f"/rollback {environment}", "Roll back", "Roll it back to", "the last converged"),
        Button(f"/retry {environment}", "Retry"),
    ]
    if episode is not None and episode.drift:
        found.append(Button(f"/adopt {environment}", "Adopt drift"))
    return [each for each in found if _may_hope(repository, each)]


def _may_hope(repository: str, button: Button) -> bool:
    """Whether a button may come to something for who looks, by app.yaml and by what the forge said at sign-in."""
    installation, visitor, command = _settings().installation, g.visitor, parse(button.line)
    found, token = installation.repository(repository), installation.token(PAGES)
    if found is None or not isinstance(command, Command):
        return False
    if visitor.account:
        permission = (visitor.repositories or {}).get(repository)
        if permission is None:
            return True
        facts = Facts(Person(visitor.account, visitor.name), permission)
    elif token is not None:
        facts = facts_of_token(token)
    else:
        return False
    return hopes(command, facts, found)


def _label(line: str) -> str:
    word = line.split(" ", 1)[0].removeprefix("/")
    return {
        "unhold": "Unhold",
        "thaw": "Thaw",
        "approve": "Approve the plan",
        "confirm-prune": "Confirm the deletions",
    }.get(word, word.capitalize())


@buttons.post("/environments/<path:repository>/<name>/commands")
def press(repository: str, name: str) -> Response | str | tuple[str, int]:
    """Carries out what a button says; first asks whether it is meant, where it is hard to take back."""
    request.max_content_length = 16 << 10
    require_our_form()
    require_visible(repository)
    asker = _asker()
    if asker is None or not _of_forge(repository):
        abort(
            403,
            "Who looks here may not command here: `pages.may` of app.yaml, or an account of the repository's forge.",
        )
    line = " ".join((request.form.get("line", "") + " " + request.form.get("more", "")).split())
    try:
        command = understood(line)
        _require_of_this_page(command, name)
    except Refused as error:
        text = str(error)
        return render_template(
            "message.html",
            title="Not understood",
            text=f"{text[:1].upper()}{text[1:]}",
            repository=repository,
            name=name,
        ), 422
    history = board_of_pages().history(repository, name)
    if not history:
        abort(404)
    if command.word in ASKED_TWICE and request.form.get("sure") != "yes":
        asked = question(command, name, history[-1].branch)
        return render_template(
            "confirm.html", repository=repository, name=name, line=line, word=command.word, question=asked
        )
    wish = Wish(repository, line, branch=history[-1].branch)
    extensions: dict[str, Any] = current_app.extensions
    try:
        ticket = ask(
            extensions["plumbline"][1], extensions["plumbline-tickets"], asker, wish, _settings().installation.instance
        )
    except TooMany as error:
        return render_template(
            "message.html", title="Too many commands", text=str(error), repository=repository, name=name
        ), 429
    return redirect(url_for("buttons.answered", ticket=ticket, environment=name), 303)


def _require_of_this_page(command: Command, name: str) -> None:
    """Raises Refused where a page's form would say something about another environment, or what no button says."""
    about = () if command.word in EVERYWHERE else (name,)
    if command.word not in WORDS or command.environments != about:
        raise Refused("that is none of this page's buttons")


@buttons.get("/commands/<ticket>")
def answered(ticket: str) -> str:
    """The answer to a command of the same visitor; looks again until it is there."""
    tickets: Tickets = current_app.extensions["plumbline-tickets"]
    asked, asker = tickets.asked(ticket) if TICKET.fullmatch(ticket) else None, _asker()
    if asked is None or asker is None or asked.by != asker.name:
        abort(404)
    require_visible(asked.repository)
    requests: Requests = current_app.extensions["plumbline"][1]
    said = in_time(tickets.said(ticket), asked, requests.queue.now())
    waits = said.outcome is CommandOutcome.WAITING
    text = plain(said.text)
    return render_template(
        "answer.html",
        asked=asked,
        environment=request.args.get("environment", "") or asked.environment,
        outcome=said.outcome,
        paragraphs=f"{text[:1].upper()}{text[1:]}".splitlines(),
        refresh=LOOK_SECONDS if waits else None,
    )


@buttons.app_context_processor
def _known_to_templates() -> dict[str, Any]:
    """As whom one commands, for the words beside the buttons."""
    visitor = g.get("visitor")
    return {"commands_as": visitor.name or "the pages' token" if visitor is not None and session.get("id") else ""}

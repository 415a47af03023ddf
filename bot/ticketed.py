"""Job: a command that came with a ticket, by the API or from the pages, carried out as one in a comment is.

The branch that declares the environment stands for the change request's base; who asks is a token of app.yaml, or an account
of whom the forge is asked at this moment. The answer is kept for whoever waits with the ticket.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.answers import Origin
from bot.authority import Facts, facts_of_token
from bot.commands import Command, Mistake, parse, settled
from bot.conversation import FactsOf, audit, carry_out, declared_at, facts_at
from bot.desk import Desk
from bot.forges.port import ChangeRequest, Forge, NotPermitted, Person, Tree
from bot.given import Given
from bot.markdown import code, prose
from bot.ticket_request import TicketRequest
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import FILE, Declaration
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import PLAIN, Repository
from worker.domain.orders import Verb
from worker.domain.tokens import Token

TOO_OLD: Final = 15 * 60.0
"""Seconds after which nobody waits for a command any more: carried out then, it would surprise."""

CONFIRMS: Final = frozenset({str(Verb.APPROVE), str(Verb.CONFIRM_PRUNE)})

log = logging.getLogger("plumbline.ticketed")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a command is about: the branch, what it declares, and the change request that the command is said of."""

    branch: str
    declaration: Declaration
    request: ChangeRequest | None = None


def carry(desk: Desk, message: dict[str, Any]) -> None:
    """Carries out one command, unless its ticket has its answer. Raises Unavailable (tried again, not for long)."""
    asked = TicketRequest.from_json(message)
    if desk.tickets.said(asked.ticket).outcome is not CommandOutcome.WAITING:
        return
    token = desk.settings.installation.token(asked.token) if asked.token else None
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None or (asked.token and token is None):
        log.warning("a command for %s by %s, which app.yaml does not list, is ignored", asked.repository, asked.token)
        said: Said | None = Said(
            "app.yaml was changed meanwhile, and knows no such repository or token.", CommandOutcome.REFUSED
        )
    else:
        own = f"token:{token.name}" if token else asked.login
        by = Person(own if token else asked.account, own)
        origin = Origin(token.by if token else asked.login, asked.number, ticket=asked.ticket)
        said = _said(desk, repository, asked, by, origin, token)
    if said is not None:
        desk.tickets.say(asked.ticket, said)


def _said(
    desk: Desk, repository: Repository, asked: TicketRequest, by: Person, origin: Origin, token: Token | None
) -> Said | None:
    """The answer, None where it comes later."""
    command = parse(asked.line, desk.settings.installation.instance)
    word = command.word if command is not None else ""
    if not isinstance(command, Command):
        audit("command-mistaken", repository, by, origin, word)
        return Said(command.text if isinstance(command, Mistake) else "this is no command.", CommandOutcome.REFUSED)
    if desk.requests.queue.now() - asked.at > TOO_OLD:
        audit("command-refused", repository, by, origin, word, reason="too old")
        return Said(
            f"this waited for more than {TOO_OLD / 60:.0f} minutes and is not done any more.", CommandOutcome.REFUSED
        )
    try:
        place = _found(desk, repository, asked, command)
    except DesiredStateError as error:
        audit("command-refused", repository, by, origin, word, reason=f"{FILE} cannot be read")
        text = f"who may command stands in {code(FILE)}, which cannot be read: {prose(str(error))}. Mend it there."
        return Said(text, CommandOutcome.REFUSED)
    except (Refused, NotPermitted) as error:
        audit("command-refused", repository, by, origin, word, reason=str(error))
        return Said(f"{prose(str(error))}", CommandOutcome.REFUSED)
    settled_on = settled(command, [name for name, _ in place.declaration.targets()])
    meant = settled_on if isinstance(settled_on, Command) else command  # a mistake is answered with all others
    given = Given(repository, meant, by, origin, place.branch, place.declaration, place.request, token)
    if token is not None and not (token.serves(repository.name) and token.reaches(given.environments)):
        audit("command-refused", repository, by, origin, word, reason="not an environment of this token")
        return Said(f"the token {code(token.name)} is not for {_about(given)}.", CommandOutcome.REFUSED)
    return carry_out(desk, given, _facts_of(desk, repository, token))


def _about(given: Given) -> str:
    if given.command.environments:
        return ", ".join(code(name) for name in given.command.environments)
    return f"all environments of {code(given.branch)}, which this is about: name one"


def _facts_of(desk: Desk, repository: Repository, token: Token | None) -> FactsOf:
    if token is not None:
        own = facts_of_token(token)

        def given(person: Person, teams: object) -> Facts:  # noqa: ARG001
            return own

        return given
    return lambda person, teams: facts_at(desk.forge(repository), person, teams)


# -- where -------------------------------------------------------------------------------------------------------


def _found(desk: Desk, repository: Repository, asked: TicketRequest, command: Command) -> _Place:
    """The branch that the command is about. Raises Refused, DesiredStateError, Unavailable and NotPermitted."""
    if repository.forge == PLAIN:
        if asked.number:
            raise Refused("there are no change requests on a plain Git server", "Leave the number out")
        return _declaring(desk, repository, desk.plain_git(repository), asked, command)
    forge = desk.forge(repository)
    if asked.number:
        request = forge.change_request(asked.number)
        if request is None:
            raise Refused(f"there is no change request #{asked.number} in {repository.name}")
        tip = forge.tips().get(request.base, "")
        return _Place(request.base, declared_at(desk, repository, forge, request.base, tip), request)
    place = _declaring(desk, repository, forge, asked, command)
    return _Place(place.branch, place.declaration, _awaited(desk, repository, forge, place, command))


def _declaring(desk: Desk, repository: Repository, tree: Tree, asked: TicketRequest, command: Command) -> _Place:
    """The followed branch that declares what the command names; the one that is named, or the only one."""
    tips = {name: tip for name, tip in tree.tips().items() if repository.follows(name)}
    if asked.branch:
        if asked.branch not in tips:
            raise Refused(f"no environments are declared on the branch {asked.branch} of {repository.name}")
        return _Place(asked.branch, declared_at(desk, repository, tree, asked.branch, tips[asked.branch]))
    name = command.environment
    if not name:
        if len(tips) != 1:
            raise Refused(
                f"this is about a whole branch, and {repository.name} has {_named(tips)}", "Name one: --branch"
            )
        ((branch, tip),) = tips.items()
        return _Place(branch, declared_at(desk, repository, tree, branch, tip))
    return _by_name(desk, repository, tree, tips, name)


def _by_name(desk: Desk, repository: Repository, tree: Tree, tips: Mapping[str, str], name: str) -> _Place:
    """The branch that an environment was last converged from, where that declares it still; else the only one that does."""
    history = desk.board.history(repository.name, name)
    last = history[-1].branch if history else ""
    found, broken = [], None
    for branch in sorted(tips, key=lambda each: (each != last, each)):
        try:
            declaration = declared_at(desk, repository, tree, branch, tips[branch])
        except DesiredStateError as error:
            if branch == last or len(tips) == 1:
                raise
            broken = error
            continue
        if any(name == declared for declared, _ in declaration.targets()):
            found.append(_Place(branch, declaration))
            if branch == last:
                break
    if not found and broken is not None:
        raise broken
    if len(found) > 1:
        raise Refused(f"{name} is declared on {_named([each.branch for each in found])}", "Name one: --branch")
    if not found:
        raise Refused(f"no branch of {repository.name} declares an environment {name}")
    return found[0]


def _awaited(desk: Desk, repository: Repository, forge: Forge, place: _Place, command: Command) -> ChangeRequest | None:
    """The change request whose merge waits for this approval; None for other commands, and where it is not known."""
    if command.word not in CONFIRMS:
        return None
    names = [command.environment] if command.environment else [name for name, _ in place.declaration.targets()]
    history = desk.board.history(repository.name, names[0]) if len(names) == 1 else ()
    return forge.merged_as(history[-1].revision) if history else None


def _named(branches: Mapping[str, str] | list[str]) -> str:
    names = list(branches)
    return (
        "no branch" if not names else f"{len(names)} branches ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"
    )

"""Job: a command that came with a ticket, by the API or from the pages, carried out as one in a comment is.

The branch that declares the environment stands for the change request's base; who asks is a token of app.yaml, or an account
of whom the forge is asked at this moment. The answer is kept for whoever waits with the ticket.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from bot.answers import Origin
from bot.authority import Facts, facts_of_token
from bot.commands import Command, Mistake, parse, settled
from bot.conversation import FactsOf, audit, carry_out, facts_at
from bot.declarations import Declared, declared_at, declaring
from bot.desk import Desk
from bot.forges.port import ChangeRequest, Forge, NotPermitted, Person, Tree
from bot.given import Given, refusal
from bot.instead import INSTEAD, instead_of
from bot.markdown import code, prose
from bot.ticket_request import TicketRequest
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import FILE
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import PLAIN, Repository
from worker.domain.orders import Verb
from worker.domain.tokens import Token

TOO_OLD: Final = 15 * 60.0
"""Seconds after which nobody waits for a command any more: carried out then, it would surprise."""

CONFIRMS: Final = frozenset({str(Verb.APPROVE), str(Verb.CONFIRM_PRUNE)})

log = logging.getLogger("plumbline.ticketed")


def carry(desk: Desk, message: dict[str, Any]) -> None:
    """Carries out one command, unless its ticket has its answer. Raises Unavailable (tried again, not for long)."""
    asked = TicketRequest.from_json(message)
    if desk.tickets.said(asked.ticket).outcome is not CommandOutcome.WAITING:
        return
    token = desk.settings.installation.token(asked.token) if asked.token else None
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None or (asked.token and token is None):
        log.warning("a command for %s by %s, which app.yaml does not list, is ignored", asked.repository, asked.token)
        said: Said | None = refusal("app.yaml was changed meanwhile, and knows no such repository or token.")
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
    if word in INSTEAD and repository.forge == PLAIN:
        audit("command-refused", repository, by, origin, word, reason="there are no change requests")
        return refusal(instead_of(word))
    if not isinstance(command, Command):
        audit("command-mistaken", repository, by, origin, word)
        return refusal(command.text if isinstance(command, Mistake) else "this is no command.")
    if desk.requests.queue.now() - asked.at > TOO_OLD:
        audit("command-refused", repository, by, origin, word, reason="too old")
        return refusal(f"this waited for more than {TOO_OLD / 60:.0f} minutes and is not done any more.")
    try:
        place, request = _found(desk, repository, asked, command)
    except DesiredStateError as error:
        audit("command-refused", repository, by, origin, word, reason=f"{FILE} cannot be read")
        text = f"who may command stands in {code(FILE)}, which cannot be read: {prose(str(error))}. Mend it there."
        return refusal(text)
    except (Refused, NotPermitted) as error:
        audit("command-refused", repository, by, origin, word, reason=str(error))
        return refusal(prose(str(error)))
    settled_on = settled(command, [name for name, _ in place.declaration.targets()])
    meant = settled_on if isinstance(settled_on, Command) else command  # a mistake is answered with all others
    given = Given(repository, meant, by, origin, place.branch, place.declaration, request, token)
    if token is not None and not (token.serves(repository.name) and token.reaches(given.environments)):
        audit("command-refused", repository, by, origin, word, reason="not an environment of this token")
        return refusal(f"the token {code(token.name)} is not for {_about(given)}.")
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


def _found(
    desk: Desk, repository: Repository, asked: TicketRequest, command: Command
) -> tuple[Declared, ChangeRequest | None]:
    """The branch that the command is about, and the change request that it is said of.

    Raises Refused, DesiredStateError, Unavailable and NotPermitted.
    """
    if repository.forge == PLAIN:
        if asked.number:
            raise Refused("there are no change requests on a plain Git server", "Leave the number out")
        return _declared(desk, repository, desk.plain_git(repository), asked, command), None
    forge = desk.forge(repository)
    if asked.number:
        request = forge.change_request(asked.number)
        if request is None:
            raise Refused(f"there is no change request #{asked.number} in {repository.name}")
        tip = forge.tips().get(request.base, "")
        return Declared(request.base, declared_at(desk, repository, forge, request.base, tip)), request
    place = _declared(desk, repository, forge, asked, command)
    return place, _awaited(desk, repository, forge, place, command)


def _declared(desk: Desk, repository: Repository, tree: Tree, asked: TicketRequest, command: Command) -> Declared:
    """The branch that was named, or else the one that declares what the command names."""
    if not asked.branch:
        return declaring(desk, repository, tree, command.environment)
    tip = tree.tips().get(asked.branch, "") if repository.follows(asked.branch) else ""
    if not tip:
        raise Refused(f"no environments are declared on the branch {asked.branch} of {repository.name}")
    return Declared(asked.branch, declared_at(desk, repository, tree, asked.branch, tip))


def _awaited(
    desk: Desk, repository: Repository, forge: Forge, place: Declared, command: Command
) -> ChangeRequest | None:
    """The change request whose merge waits for this approval; None for other commands, and where it is not known."""
    if command.word not in CONFIRMS:
        return None
    names = [command.environment] if command.environment else [name for name, _ in place.declaration.targets()]
    history = desk.board.history(repository.name, names[0]) if len(names) == 1 else ()
    return forge.merged_as(history[-1].revision) if history else None

"""Job: a command that came as an option of a push to a plain Git server, carried out as one in a comment is.

Who pushes has a name that the hook knows, and nothing else is known of them: they may look, and what else they may app.yaml
says by roles that name them. The branch that declares the environment stands for the change request's base.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from bot.answers import Origin, answer
from bot.authority import Facts, facts_of_pusher
from bot.commands import Mistake, parse
from bot.conversation import audit, carry_out
from bot.declarations import declaring
from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.forges.port import Person
from bot.given import Given, refusal
from bot.instead import INSTEAD, instead_of
from bot.markdown import LOGIN, code, prose
from bot.push_request import PushedCommand
from bot.tickets import Said
from worker.domain.declaration import FILE
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import PLAIN, Repository

TOO_OLD: Final = 60.0
"""Seconds after which whoever pushed has gone away: carried out then, it would surprise."""

log = logging.getLogger("plumbline.pushed")


def carry(desk: Desk, message: dict[str, Any]) -> None:
    """Carries out one command, unless its ticket has its answer. Raises Unavailable (tried again, not for long)."""
    asked = PushedCommand.from_json(message)
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None:
        log.warning("a command for %s, which app.yaml does not list, is ignored", asked.repository)
        return
    if desk.tickets.said(asked.ticket).text:
        return
    origin = Origin(asked.by if LOGIN.fullmatch(asked.by) else "", ticket=asked.ticket)
    said = _answered(desk, repository, asked, origin)
    if said is not None:
        answer(desk, repository.name, origin, said.text, said.outcome)


def _answered(desk: Desk, repository: Repository, asked: PushedCommand, origin: Origin) -> Said | None:
    by = Person(f"push:{origin.by}", origin.by)
    said = parse(asked.line, desk.settings.installation.instance)
    if said is not None and said.word in INSTEAD and repository.forge == PLAIN:
        audit("command-refused", repository, by, origin, said.word, reason="there are no change requests")
        return refusal(instead_of(said.word))
    if said is None or isinstance(said, Mistake):
        audit("command-mistaken", repository, by, origin, said.word if said else "")
        return refusal(said.text if said else "this is no command.")
    why = _refusal(desk, repository, asked, origin)
    if why:
        audit("command-refused", repository, by, origin, said.word, reason=why)
        return refusal(why)
    try:
        plain = desk.plain_git(repository)
        place = declaring(desk, repository, plain, said.environment, _first(plain, repository))
    except DesiredStateError as error:
        audit("command-refused", repository, by, origin, said.word, reason=f"{FILE} cannot be read")
        return refusal(
            f"who may command stands in {code(FILE)}, which cannot be read: {prose(str(error))}. Mend it there."
        )
    except Refused as error:
        audit("command-refused", repository, by, origin, said.word, reason=str(error))
        return refusal(prose(str(error)))
    given = Given(repository, said, by, origin, place.branch, place.declaration)
    return carry_out(desk, given, _facts)


def _facts(person: Person, teams: Sequence[str]) -> Facts:  # noqa: ARG001 (there are no teams here)
    return facts_of_pusher(person.login)


def _refusal(desk: Desk, repository: Repository, asked: PushedCommand, origin: Origin) -> str:
    """Why nobody may command this way; empty where somebody may."""
    if repository.forge != PLAIN:
        return (
            "this repository is at a forge: say it in a comment on a change request, where the forge knows who you are."
        )
    if not origin.by:
        return "who pushes is not known here, so nobody may: the repository's owner names the variable in plumbline.pusher."
    if desk.requests.queue.now() - asked.at > TOO_OLD:
        return f"this waited for more than {TOO_OLD:.0f} s and is not done any more."
    return ""


def _first(plain: PlainGit, repository: Repository) -> str:
    """The branch that a command is about where it names none: the one that clones begin with, else the first that is followed."""
    head, followed = plain.head(), [name for name in sorted(plain.tips()) if repository.follows(name)]
    return head if head in followed else next(iter(followed), "")

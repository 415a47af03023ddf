"""Commands by the API and from the pages: understood, counted, and passed to the bot's process under a ticket."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.commands import Command, Mistake, parse
from bot.markdown import plain
from bot.queue import Requests, new_ticket
from bot.ticket_request import TicketRequest
from bot.tickets import Asked, Tickets
from worker.domain.environment import DEFAULT_INSTANCE
from worker.domain.errors import PlumblineError, Refused, Unavailable
from worker.domain.messages import INTAKE_QUEUE


class TooMany(PlumblineError):
    """More commands in a minute than one who asks may give."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as web has proven it: a token of app.yaml by its name, or an account at a forge by its id and login."""

    token: str = ""
    forge: str = ""
    account: str = ""
    login: str = ""

    @property
    def name(self) -> str:
        """One name for each of all who may ask."""
        return f"token:{self.token}" if self.token else f"forge:{self.forge}:{self.account}"


@dataclass(frozen=True, slots=True)
class Wish:
    """A command as a line of the grammar, for a repository; said of the change request `number` (0: of none)."""

    repository: str
    line: str
    number: int = 0
    branch: str = ""


def understood(line: str, instance: str = DEFAULT_INSTANCE) -> Command:
    """The command of a line. Raises Refused with what is wrong with it."""
    found = parse(line, instance)
    if isinstance(found, Command):
        return found
    raise Refused(plain(found.text) if isinstance(found, Mistake) else "this is no command: /help says what there is")


def ask(requests: Requests, tickets: Tickets, who: Asker, wish: Wish, instance: str, ticket: str = "") -> str:
    """Has a command carried out; the ticket with which its answer is found. Raises Refused, TooMany and Unavailable.

    Who makes the ticket themselves can ask again with it where no answer came: the command is carried out once.
    """
    command = understood(wish.line, instance)
    if not tickets.may_ask(who.name):
        raise TooMany("too many commands in this minute; wait a moment")
    if not requests.queue.is_served(INTAKE_QUEUE):
        raise Unavailable("no bot runs: `python -m bot` of the Procfile is not there")
    now = requests.queue.now()
    ticket = ticket or new_ticket()
    asked = Asked(who.name, wish.repository, command.environment, wish.line, now)
    if not tickets.ask(asked, ticket):
        known = tickets.asked(ticket)
        if known is None or replace(known, at=now) != asked:
            raise Refused("another command has this ticket", "Make a new one: 32 random digits of 0-9a-f")
        return ticket
    requests.ticket(
        TicketRequest(
            ticket,
            wish.repository,
            wish.line,
            now,
            who.token,
            who.forge,
            who.account,
            who.login,
            wish.number,
            wish.branch,
        )
    )
    return ticket

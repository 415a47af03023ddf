"""What an action is given, and what an action is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.answers import Origin
from bot.commands import Command
from bot.desk import Desk
from bot.forges.port import ChangeRequest, Person
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import Declaration
from worker.domain.installation import Repository
from worker.domain.tokens import Token


@dataclass(frozen=True, slots=True)
class Given:
    """A command that may be carried out: whose, about what, and where it is answered.

    `declaration` is the base branch's as it is now, never the proposal's; `branch` that branch. `change_request` is the one
    that was commented on, as the forge says it is now; None where the command came another way. `token` is the one of app.yaml
    by which it came; None where an account of the forge commands.
    """

    repository: Repository
    command: Command
    by: Person
    origin: Origin
    branch: str
    declaration: Declaration
    change_request: ChangeRequest | None = None
    token: Token | None = None

    @property
    def is_own(self) -> bool:
        """Whether who commands is the author of the change request that it is said of."""
        request = self.change_request
        if request is None:
            return False
        user = self.token.user if self.token else ""
        return request.author.id == self.by.id or (bool(user) and request.author.login.casefold() == user.casefold())

    @property
    def environments(self) -> tuple[str, ...]:
        """Those that the command names, or else all that the base branch declares."""
        return self.command.environments or tuple(name for name, _ in self.declaration.targets())


Action = Callable[[Desk, Given], Said | str | None]
"""Carries a command out and gives the answer in Markdown, or None where the answer comes later by `bot.answers.answer`.

An answer without an outcome says that it was done; `refusal` makes one that nothing was.

It may be called a second time for one comment, where the process was killed in between. What it raises of PlumblineError is
the answer, but for Unavailable, after which it is called again.
"""


def refusal(text: str) -> Said:
    """The answer that nothing was done, and why, in Markdown."""
    return Said(text, CommandOutcome.REFUSED)

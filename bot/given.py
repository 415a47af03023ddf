"""What an action is given, and what an action is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.answers import Origin
from bot.commands import Command
from bot.desk import Desk
from bot.forges.port import ChangeRequest, Person
from worker.domain.declaration import Declaration
from worker.domain.installation import Repository


@dataclass(frozen=True, slots=True)
class Given:
    """A command that may be carried out: whose, about what, and where it is answered.

    `declaration` is the base branch's as it is now, never the proposal's; `branch` that branch. `change_request` is the one
    that was commented on, as the forge says it is now; None where the command came another way.
    """

    repository: Repository
    command: Command
    by: Person
    origin: Origin
    branch: str
    declaration: Declaration
    change_request: ChangeRequest | None = None

    @property
    def environments(self) -> tuple[str, ...]:
        """Those that the command names, or else all that the base branch declares."""
        return self.command.environments or tuple(name for name, _ in self.declaration.targets())


Action = Callable[[Desk, Given], str | None]
"""Carries a command out and gives the answer in Markdown, or None where the answer comes later by `bot.answers.answer`.

It may be called a second time for one comment, where the process was killed in between. What it raises of PlumblineError is
the answer, but for Unavailable, after which it is called again.
"""

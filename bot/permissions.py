"""What the bot's credentials allow at each repository's forge, said at the start: there, missing, more than is needed.

A forge that is away is asked again until it has answered; nothing waits for that, unless app.yaml says `strict-scopes`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.desk import Desk
from bot.forges.port import Grant
from bot.markdown import flat
from worker.domain.errors import PlumblineError, Unavailable
from worker.domain.installation import PLAIN, Repository
from worker.domain.secret_text import SettingsError

AGAIN_SECONDS: Final = 60.0
"""Between two questions to a forge that was away."""

LONGEST: Final = 300

log = logging.getLogger("plumbline.permissions")


@dataclass(frozen=True, slots=True)
class Sayings:
    """What is said of one repository: a line of what is there, one for each thing that is missing or too much."""

    there: str
    missing: tuple[str, ...] = ()
    too_much: tuple[str, ...] = ()


def judged(repository: Repository, grants: Sequence[Grant], excesses: Sequence[str]) -> Sayings:
    """The lines about a repository, by what its forge says of the credentials."""
    at = f"{repository.name} at {repository.forge}"
    given = [each.name for each in grants if each.is_granted]
    unsaid = [each.name for each in grants if each.is_granted is None]
    there = f"{at}: granted: {', '.join(given) or 'nothing'}"
    there += f"; the forge does not say: {', '.join(unsaid)}" if unsaid else ""
    missing = [f"{at}: missing: {each.name}; without it {each.purpose}" for each in grants if each.is_granted is False]
    too_much = [f"{at}: more than is needed: {each}" for each in excesses]
    return Sayings(
        flat(there, 3 * LONGEST), *(tuple(flat(each, LONGEST) for each in said) for said in (missing, too_much))
    )


class Permissions:
    """Asks each forge once, by adapters of its own: it works beside the jobs. `is_refused` where strict scopes are broken."""

    def __init__(self, desk: Desk) -> None:
        self._desk = replace(desk, _forges={})
        self._is_strict = desk.settings.installation.strict_scopes
        self._open = [each for each in desk.settings.installation.repositories if each.forge != PLAIN]
        self.is_refused = False

    def require_narrow(self) -> None:
        """Asks at once where app.yaml is strict. Raises SettingsError where credentials allow more than is needed."""
        if self._is_strict:
            self.ask()
        if self.is_refused:
            raise SettingsError(
                "`strict-scopes`: the credentials above allow more than is needed; make narrower ones, or remove it"
            )

    def keep_asking(self, stop: threading.Event, end: Callable[[], None]) -> None:
        """Asks until every forge has answered, or `stop`; calls `end` where app.yaml is strict and one allows too much."""
        while self._open and not stop.is_set():
            self.ask()
            if self.is_refused:
                end()
                return
            stop.wait(AGAIN_SECONDS if self._open else 0)

    def ask(self) -> None:
        """One round over the forges that have not answered yet."""
        self._open = [each for each in self._open if not self._is_said(each)]

    def _is_said(self, repository: Repository) -> bool:
        """Whether the forge could be asked, or never can be."""
        try:
            forge = self._desk.forge(repository)
            said = judged(repository, forge.grants(), forge.excesses())
        except Unavailable as error:
            log.warning("%s at %s: what is granted is not known yet: %s", repository.name, repository.forge, error)
            return False
        except PlumblineError as error:
            log.error("%s at %s: nothing is granted: %s", repository.name, repository.forge, error)
            return True
        log.info("%s", said.there)
        for line in said.missing:
            log.warning("%s", line)
        for line in said.too_much:
            log.log(logging.ERROR if self._is_strict else logging.WARNING, "%s", line)
        self.is_refused = self.is_refused or (self._is_strict and bool(said.too_much))
        return True

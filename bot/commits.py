"""Commits that somebody asked for, made at a forge once, and answered: what rollbacks, images and policies have in common.

Their jobs run on a queue of their own, in a thread of its own: a forge with our hooks asks the bot for a prediction while it
takes the bot's commit, and that must find somebody who answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from bot.answers import Origin, answer
from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.forges.port import Forge, NotPermitted
from bot.outbox import WAITS
from bot.queue import CommitRequest
from bot.tickets import CommandOutcome
from worker.domain.blobs import blob_id
from worker.domain.errors import Moved, Refused, Unavailable
from worker.domain.installation import PLAIN, Repository

ATTEMPTS: Final = 5
"""How often the worker is asked anew because the branch moved."""

GIVEN_UP: Final = 12 * 3600.0
"""Seconds after which a commit that the forge never took is no longer what somebody wants without having said it again."""

log = logging.getLogger("plumbline.commits")


@dataclass(frozen=True, slots=True)
class Site:
    """Where a commit is made: the forge, its name for addresses, its branches as they are now."""

    forge: Forge
    host: str
    tips: Mapping[str, str]

    def require_tip(self, branch: str, revision: str) -> None:
        """Raises Moved where the branch is elsewhere."""
        if self.tips.get(branch) != revision:
            raise Moved(f"the branch {branch}", "at the forge")


@dataclass(frozen=True, slots=True)
class Making:
    """One commit: what makes it and says so, what says why it is not made, what asks the worker anew for the new tip.

    `make` finds what is there already, and raises Moved, Refused, NotPermitted and Unavailable; `plainly` does the same in the
    repository of a plain Git server (None: nobody there could merge it). `refusal` is the worker's.
    """

    make: Callable[[Site], str]
    refused: Callable[[str], str]
    again: Callable[[], None]
    refusal: str = ""
    plainly: Callable[[PlainGit], str] | None = None


def make_commit(desk: Desk, request: CommitRequest, making: Making) -> None:
    """Makes and answers it; later, where the forge is away; after another judgement, where the branch moved."""
    asked = request.report.request
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None:
        log.warning("a commit in %s, which app.yaml does not list, is not made", asked.repository)
        return
    outcome = CommandOutcome.REFUSED
    try:
        text = making.refused(making.refusal) if making.refusal else _made(desk, repository, making)
        outcome = CommandOutcome.REFUSED if making.refusal else CommandOutcome.DONE
    except Moved as error:
        if asked.attempt + 1 < ATTEMPTS:
            making.again()
            return
        text = making.refused(f"{error}, {ATTEMPTS} times while it was being made. Ask again in a quieter moment")
    except Unavailable as error:
        if desk.requests.queue.now() - asked.at <= GIVEN_UP:
            _later(desk, request, error)
            return
        hours = f"{GIVEN_UP / 3600:.0f} hours"
        text = making.refused(f"{error}. It was tried for {hours}; ask again if it is still wanted")
    except (Refused, NotPermitted) as error:
        text = making.refused(str(error))
    if asked.origin:
        answer(desk, repository.name, Origin.from_json(asked.origin), text, outcome)
    else:
        log.info("%s: %s", repository.name, text)


def _later(desk: Desk, request: CommitRequest, error: Unavailable) -> None:
    wait = max(error.retry_after or 0.0, WAITS[min(request.tries, len(WAITS) - 1)])
    log.warning("a commit in %s waits %g s for the forge: %s", request.report.request.repository, wait, error)
    desk.requests.commit(replace(request, tries=request.tries + 1), wait)


def _made(desk: Desk, repository: Repository, making: Making) -> str:
    if repository.forge != PLAIN:
        return making.make(_site(desk, repository))
    if making.plainly is None:
        raise Refused(
            "on a plain Git server there is nobody who could open a change request", "Push the commit yourself"
        )
    return making.plainly(desk.plain_git(repository))


def _site(desk: Desk, repository: Repository) -> Site:
    declared = desk.settings.installation.forge(repository.forge)
    host = (urlsplit(declared.address).hostname or "localhost") if declared else "localhost"
    forge = desk.forge(repository)
    return Site(forge, host.removeprefix("api."), forge.tips())


def content_of(forge: Forge, revision: str, path: str, blob: str) -> bytes:
    """A file as the forge has it. Raises Refused where that is not the blob that the worker read."""
    content = forge.file(revision, path)
    if content is None or blob_id(content, blob) != blob:
        raise Refused(
            f"the forge does not give {path} of {revision[:7]} as Git has it", "Make the commit by hand, with git"
        )
    return content

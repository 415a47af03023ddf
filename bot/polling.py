"""Job: what a forge shows and no webhook told of (lost, disabled, down for hours), asked for; and the schedule of it.

Branches and change requests are held against what was seen of them last; comments are read on from where the last poll ended.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from bot.desk import Desk
from bot.forges.port import MOST_COMMENTS, Forge
from bot.requests import missed
from bot.sightings import Heard
from bot.unheard import commands_in, read_since, unheard
from worker.domain.errors import PlumblineError
from worker.domain.installation import PLAIN, Repository
from worker.domain.messages import LookRequest, PollRequest

log = logging.getLogger("plumbline.polling")


def poll(desk: Desk, message: dict[str, Any]) -> None:
    """Asks for a look at every branch and change request of a repository that is not as it was last seen."""
    asked = PollRequest.from_json(message)
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None or repository.forge == PLAIN:
        return
    forge = desk.forge(repository)
    tips, requests, now = forge.tips(), forge.open_change_requests(), desk.requests.queue.now()
    found = missed(
        repository,
        tips,
        requests,
        seen=desk.sightings.tips(repository.name),
        remembered=desk.sightings.change_requests(repository.name),
        now=now,
    )
    looks = [
        *(LookRequest(repository.name, now, branch=branch) for branch in found.branches),
        *(LookRequest(repository.name, now, number=number) for number in found.numbers),
    ]
    for look in looks:
        desk.requests.look(look)
    if looks:
        log.info(
            "polled repository=%s branches=%s change-requests=%s left=%d",
            repository.name, list(found.branches), list(found.numbers), found.left,
        )  # fmt: skip
    _listen(desk, repository, forge, now)


def _listen(desk: Desk, repository: Repository, forge: Forge, now: float) -> None:
    """Has the commands heard that were said since the last poll and are not done; what was done nobody is asked about again."""
    listened = desk.sightings.listened(repository.name)
    read = forge.recent_comments(read_since(listened, now))
    commands = commands_in(read, forge.me().id, desk.settings.installation.instance)
    done = {each.id for _, each in commands if desk.sightings.heard(repository.name, each.id, each.body) is Heard.DONE}
    found = unheard(commands, done, listened, read.until, now)
    asked = [
        comment.id
        for number, comment in found.commands
        if desk.requests.look(LookRequest(repository.name, now, number=number, comment=comment.id))
    ]
    desk.sightings.note_listened(repository.name, found.until)
    if read.is_cut:
        log.warning("polled repository=%s: only the newest %d comments were read", repository.name, MOST_COMMENTS)
    if asked:
        log.info("polled repository=%s commands=%s left=%d", repository.name, asked, found.left)


def keep_polling(desk: Desk, stop: threading.Event) -> None:
    """Asks for polls until `stop`: at once, then every `poll` seconds, by whichever process comes first."""
    installation = desk.settings.installation
    repositories = [each for each in installation.repositories if each.forge != PLAIN]
    is_first = True
    while repositories and not stop.is_set():
        for repository in repositories:
            try:
                _ask(desk, repository, is_first=is_first)
            except PlumblineError as error:
                log.warning("cannot ask for a poll of %s, trying again: %s", repository.name, error)
        is_first = False
        stop.wait(min(installation.poll_seconds, 30.0) / 4)


def _ask(desk: Desk, repository: Repository, *, is_first: bool) -> None:
    if desk.sightings.takes_turn(repository.name, desk.settings.installation.poll_seconds) or is_first:
        desk.requests.poll(PollRequest(repository.name))

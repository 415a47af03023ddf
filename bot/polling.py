"""Job: what a forge shows and no webhook told of (lost, disabled, down for hours), asked for; and the schedule of it."""

from __future__ import annotations

import logging
import threading
from typing import Any

from bot.desk import Desk
from bot.requests import missed
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

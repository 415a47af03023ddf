"""A look at one change request: what the forge says of it now, and what is asked for because of it."""

from __future__ import annotations

import logging

from bot import results
from bot.desk import Desk
from bot.forges.port import Forge
from bot.requests import Asked, judged
from bot.statuses import predict_context
from worker.domain.installation import Repository
from worker.domain.messages import LookRequest

log = logging.getLogger("plumbline.intake")


def look_at_change_request(
    desk: Desk, repository: Repository, forge: Forge, number: int, at: float, *, approved: str = ""
) -> None:
    """One change request: its state, head and base as they are.

    `at` is the Unix time of the event, `approved` the commit of a fork that somebody who may has just named.
    """
    read_at = desk.requests.queue.now()
    change_request = forge.change_request(number)
    if change_request is None:
        desk.sightings.note_change_request(repository.name, number, None)
        return
    known = desk.sightings.change_request(repository.name, number)
    name = predict_context(desk.settings.installation.instance)
    found = judged(change_request, repository, known, at=at, name=name, approved=approved)
    if found.from_fork:
        results.announce(desk, repository, change_request, at)
    else:
        is_new = known is not None and known.head != change_request.head
        act_on(desk, repository, change_request.head, found, at, read_at=read_at, is_new=is_new)
    if found.withdrawn:
        results.withdraw(desk, repository, change_request, found.withdrawn, at)
    desk.sightings.note_change_request(repository.name, number, found.remember)
    log.info(
        "looked at %s#%d: %s, head %s onto %s: %s",
        repository.name, number, change_request.state, change_request.head[:7], change_request.base,
        "a prediction is asked for" if found.proposal else "nothing to predict",
    )  # fmt: skip


def act_on(
    desk: Desk,
    repository: Repository,
    revision: str,
    found: Asked,
    at: float,
    *,
    read_at: float,
    is_new: bool = False,
) -> None:
    """The status first, so that it never comes after the result of what is asked for.

    `at` is the Unix time of the event, `read_at` when the forge was asked. `is_new`: the change request was seen before, and
    not at this revision.
    """
    if found.status is not None:
        results.put_status(
            desk, repository.name, revision, found.status, at, unless_told=found.unless_told, is_first=is_new
        )
    if found.proposal is not None:
        desk.requests.propose(found.proposal, read_at)
    if found.look_at:
        desk.requests.look(LookRequest(repository.name, desk.requests.queue.now(), branch=found.look_at))

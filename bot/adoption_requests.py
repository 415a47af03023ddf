"""What `/adopt` asks of the worker."""

from __future__ import annotations

from bot.desk import Desk
from bot.given import Given
from worker.domain.adoption import AdoptionRequest


def adopt(desk: Desk, given: Given) -> None:
    """Has the worker find and prove the change of files; the answer comes with the change request."""
    asked = AdoptionRequest(
        given.repository.name,
        given.command.environment,
        given.command.argument("object"),
        given.branch,
        origin=given.origin.to_json(),
        at=desk.requests.queue.now(),
    )
    desk.requests.adopt(asked)

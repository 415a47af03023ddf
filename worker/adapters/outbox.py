"""What the worker says to the bot: one report, one job on the bot's queue."""

from __future__ import annotations

import secrets
from typing import TypeAlias

from worker.domain.adoption import AdoptionReport
from worker.domain.divergence import EpisodeReport
from worker.domain.hold_reminder import HoldReport
from worker.domain.image_update import ImageReport
from worker.domain.messages import DELIVER, REPORTS_QUEUE
from worker.domain.orders import OrderReport
from worker.domain.policy_update import UpdateReport
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ConvergenceReport, PreviewReport
from worker.domain.revert import RevertReport
from worker.domain.rollback import RollbackReport
from worker.signed_queue import SignedQueue

Report: TypeAlias = (
    PreviewReport
    | ProposalReport
    | ConvergenceReport
    | EpisodeReport
    | OrderReport
    | RollbackReport
    | RevertReport
    | ImageReport
    | AdoptionReport
    | UpdateReport
    | HoldReport
)


class Outbox:
    """Sends reports in the order in which they are said."""

    def __init__(self, queue: SignedQueue) -> None:
        self._queue = queue

    def report(self, message: Report) -> None:
        """Enqueues the report. Raises Unavailable when Redis does not answer."""
        self._queue.enqueue(REPORTS_QUEUE, DELIVER, message.to_json(), job_id=f"report-{secrets.token_hex(12)}")

"""What the bot asks for: which job goes to which queue, under which id."""

from __future__ import annotations

import hashlib
import json
import secrets

from worker.domain.messages import (
    COMMITTED,
    CONVERGE,
    INTAKE_QUEUE,
    PREVIEW,
    PREVIEWS_QUEUE,
    WRITE,
    WRITES_QUEUE,
    Committed,
    ConvergeRequest,
    PreviewRequest,
    WriteRequest,
    applies_queue,
)
from worker.signed_queue import SignedQueue

PREVIEW_SECONDS = 30
INTAKE_SECONDS = 30
CONVERGE_SECONDS = 600
WRITE_SECONDS = 120


class Requests:
    """Enqueues by name. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, queue: SignedQueue) -> None:
        self.queue = queue

    def preview(self, request: PreviewRequest, pack: bytes) -> None:
        """Asks for the prediction of a push; its objects travel beside the job, encrypted."""
        if request.has_objects:
            self.queue.put_parcel(request.ticket, pack)
        job_id = f"preview-{request.ticket}"
        self.queue.enqueue(PREVIEWS_QUEUE, PREVIEW, request.to_json(), job_id=job_id, timeout=PREVIEW_SECONDS)

    def committed(self, message: Committed) -> None:
        """Passes a "change committed" alert on; the same alert twice is one job."""
        facts = json.dumps([message.repository, sorted((update.ref, update.new) for update in message.updates)])
        job_id = f"committed-{hashlib.sha256(facts.encode()).hexdigest()[:32]}"
        self.queue.enqueue(INTAKE_QUEUE, COMMITTED, message.to_json(), job_id=job_id, timeout=INTAKE_SECONDS)

    def converge(self, request: ConvergeRequest) -> bool:
        """Asks for a convergence; whether it was not asked for already."""
        queue = applies_queue(request.cluster)
        return self.queue.enqueue(queue, CONVERGE, request.to_json(), job_id=request.job_id, timeout=CONVERGE_SECONDS)

    def write(self, request: WriteRequest, delay: float = 0.0) -> None:
        """Asks, now or after `delay` seconds, for what the outbox holds to be written to a forge."""
        for job_id in request.job_ids:
            if self.queue.enqueue(
                WRITES_QUEUE, WRITE, request.to_json(), job_id=job_id, timeout=WRITE_SECONDS, delay=delay
            ):
                return


def new_ticket() -> str:
    """A name for one waiting push that nobody can guess."""
    return secrets.token_hex(16)

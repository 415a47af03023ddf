"""What the bot asks for: which job goes to which queue, under which id."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bot.push_request import PushedCommand
from bot.ticket_request import TicketRequest
from worker.domain.adoption import AdoptionReport, AdoptionRequest
from worker.domain.image_update import ImageReport, ImageRequest
from worker.domain.messages import (
    ADOPT,
    COMMIT,
    COMMIT_ADOPTION,
    COMMIT_IMAGE,
    COMMIT_REVERT,
    COMMIT_UPDATE,
    COMMITS_QUEUE,
    COMMITTED,
    CONVERGE,
    FOLLOW,
    IMAGE,
    INTAKE_QUEUE,
    LOOK,
    ORDER,
    POLL,
    PREVIEW,
    PREVIEWS_QUEUE,
    PROPOSALS_QUEUE,
    PROPOSE,
    PROPOSE_SECONDS,
    PUSHED,
    REGISTRIES_QUEUE,
    REVERT,
    ROLLBACK,
    SCHEMA,
    SEND,
    TICKET,
    UPDATE,
    WRITE,
    WRITES_QUEUE,
    Committed,
    ConvergeRequest,
    LookRequest,
    PollRequest,
    PreviewRequest,
    ProposalRequest,
    UnknownMessage,
    alerts_queue,
    applies_queue,
    checked,
    job_name,
)
from worker.domain.orders import Order
from worker.domain.policy_update import UpdateReport, UpdateRequest
from worker.domain.reports import report_from_json
from worker.domain.revert import RevertReport, RevertRequest
from worker.domain.rollback import RollbackReport, RollbackRequest
from worker.newest import Newest
from worker.signed_queue import SignedQueue

PREVIEW_SECONDS = 30
INTAKE_SECONDS = 30
LOOK_SECONDS = 120
FOLLOW_SECONDS = 600
CONVERGE_SECONDS = 600
WRITE_SECONDS = 120
SEND_SECONDS = 60
ORDER_SECONDS = 60
ROLLBACK_SECONDS = 120
IMAGE_SECONDS = 60
ADOPT_SECONDS = 180
REVERT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Write to a repository's forge what the outbox holds for it."""

    repository: str

    @property
    def job_ids(self) -> tuple[str, str]:
        """The ids of its job: one runs, and one may wait that will see what was put there since."""
        name = job_name(self.repository)
        return f"write-{name}-a", f"write-{name}-b"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> WriteRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        return WriteRequest(checked(value)["repository"])


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Tell one receiver of one alert: `event` is the CloudEvent as JSON types, `text` the same in a line for people."""

    receiver: str
    event: Mapping[str, Any]
    text: str

    @property
    def name(self) -> str:
        """What tells the event from every other; the same event is told to a receiver once."""
        return str(self.event["id"])

    @property
    def job_id(self) -> str:
        """The id of its job: the same event is sent to a receiver by one job at a time."""
        return f"alert-{job_name(self.receiver, self.name)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, "receiver": self.receiver, "event": dict(self.event), "text": self.text}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> SendRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return SendRequest(value["receiver"], value["event"], value["text"])


@dataclass(frozen=True, slots=True)
class FollowRequest:
    """Look which policies of a repository want another image: those of the image at `place`, or all where it is empty."""

    repository: str
    place: str = ""

    @property
    def job_ids(self) -> tuple[str, str]:
        """The ids of its job: one runs, and one may wait that will see what was announced since."""
        name = job_name(self.repository, self.place)
        return f"follow-{name}-a", f"follow-{name}-b"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> FollowRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return FollowRequest(value["repository"], value["place"])


CommitReport: TypeAlias = RollbackReport | RevertReport | ImageReport | UpdateReport | AdoptionReport
"""What the worker says of a commit that the bot is to make."""


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """Make the commit of a rollback, a revert, an image, a policy or adopted drift at its forge.

    `tries` counts how often the forge was away.
    """

    report: CommitReport
    tries: int = 0

    @property
    def job_id(self) -> str:
        """The id of its job: one for each try, so that the next can be asked for while this one runs."""
        return f"commit-{job_name(self.report.request.job_id, self.report.onto, str(self.tries))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, "report": self.report.to_json(), "tries": self.tries}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CommitRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        report = report_from_json(value["report"])
        if not isinstance(report, CommitReport):
            raise UnknownMessage("a commit of something that is none")
        return CommitRequest(report, value["tries"])


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
        """Passes a "change committed" alert on; the same alert twice, with the same approvals of the same person, is one job."""
        moved = sorted((update.ref, update.new) for update in message.updates)
        facts = json.dumps([message.repository, moved, sorted(message.approvals), message.by])
        job_id = f"committed-{hashlib.sha256(facts.encode()).hexdigest()[:32]}"
        self.queue.enqueue(INTAKE_QUEUE, COMMITTED, message.to_json(), job_id=job_id, timeout=INTAKE_SECONDS)

    def converge(self, request: ConvergeRequest) -> bool:
        """Asks for a convergence; whether it was not asked for already."""
        queue = applies_queue(request.cluster)
        return self.queue.enqueue(queue, CONVERGE, request.to_json(), job_id=request.job_id, timeout=CONVERGE_SECONDS)

    def order(self, order: Order) -> bool:
        """Asks for a person's order to be carried out; whether it was not asked for already."""
        queue = applies_queue(order.cluster)
        return self.queue.enqueue(queue, ORDER, order.to_json(), job_id=order.job_id, timeout=ORDER_SECONDS)

    def write(self, request: WriteRequest, delay: float = 0.0) -> None:
        """Asks, now or after `delay` seconds, for what the outbox holds to be written to a forge."""
        for job_id in request.job_ids:
            if self.queue.enqueue(
                WRITES_QUEUE, WRITE, request.to_json(), job_id=job_id, timeout=WRITE_SECONDS, delay=delay
            ):
                return

    def pushed(self, request: PushedCommand) -> bool:
        """Asks for a command of a push's to be carried out; whether it was not asked for already."""
        return self.queue.enqueue(INTAKE_QUEUE, PUSHED, request.to_json(), job_id=request.job_id, timeout=LOOK_SECONDS)

    def ticket(self, request: TicketRequest) -> bool:
        """Asks for a command of the API's or the pages' to be carried out; whether it was not asked for already."""
        return self.queue.enqueue(INTAKE_QUEUE, TICKET, request.to_json(), job_id=request.job_id, timeout=LOOK_SECONDS)

    def rollback(self, request: RollbackRequest) -> bool:
        """Asks the worker what would make a rollback; whether it was not asked for already."""
        return self.queue.enqueue(
            PREVIEWS_QUEUE, ROLLBACK, request.to_json(), job_id=request.job_id, timeout=ROLLBACK_SECONDS
        )

    def revert(self, request: RevertRequest) -> bool:
        """Asks the worker what takes a change request back; whether it was not asked for already."""
        return self.queue.enqueue(
            PREVIEWS_QUEUE, REVERT, request.to_json(), job_id=request.job_id, timeout=REVERT_SECONDS
        )

    def image(self, request: ImageRequest) -> bool:
        """Asks the worker where an image is named; whether it was not asked for already."""
        return self.queue.enqueue(
            PREVIEWS_QUEUE, IMAGE, request.to_json(), job_id=request.job_id, timeout=IMAGE_SECONDS
        )

    def adopt(self, request: AdoptionRequest) -> bool:
        """Asks the worker how drift comes into Git; whether it was not asked for already."""
        return self.queue.enqueue(
            PREVIEWS_QUEUE, ADOPT, request.to_json(), job_id=request.job_id, timeout=ADOPT_SECONDS
        )

    def follow(self, request: FollowRequest) -> bool:
        """Asks which policies follow an image; false where a job is waiting that will see what was announced."""
        return self._after_now(REGISTRIES_QUEUE, FOLLOW, request.to_json(), request.job_ids, FOLLOW_SECONDS)

    def update(self, request: UpdateRequest) -> bool:
        """Asks the worker what changes for a policy; whether it was not asked for already."""
        return self.queue.enqueue(
            PREVIEWS_QUEUE, UPDATE, request.to_json(), job_id=request.job_id, timeout=IMAGE_SECONDS
        )

    def commit(self, request: CommitRequest, delay: float = 0.0) -> bool:
        """Asks, now or after `delay` seconds, for a commit; whether it was not asked for already."""
        match request.report:
            case RollbackReport():
                job = COMMIT
            case RevertReport():
                job = COMMIT_REVERT
            case ImageReport():
                job = COMMIT_IMAGE
            case UpdateReport():
                job = COMMIT_UPDATE
            case AdoptionReport():
                job = COMMIT_ADOPTION
        return self.queue.enqueue(
            COMMITS_QUEUE, job, request.to_json(), job_id=request.job_id, timeout=WRITE_SECONDS, delay=delay
        )

    def send(self, request: SendRequest) -> bool:
        """Asks for one receiver to be told of one alert; whether it was not asked for already."""
        queue = alerts_queue(request.receiver)
        return self.queue.enqueue(queue, SEND, request.to_json(), job_id=request.job_id, timeout=SEND_SECONDS)

    def look(self, request: LookRequest) -> bool:
        """Asks for a look at a place of the forge; false where one is waiting that will see what there is to see."""
        return self._after_now(INTAKE_QUEUE, LOOK, request.to_json(), request.job_ids, LOOK_SECONDS)

    def poll(self, request: PollRequest) -> bool:
        """Asks for a look at all of a repository's forge; whether none was asked for already."""
        return self.queue.enqueue(INTAKE_QUEUE, POLL, request.to_json(), job_id=request.job_id, timeout=LOOK_SECONDS)

    def propose(self, request: ProposalRequest, read_at: float) -> bool:
        """Asks for the prediction of a change request, as its forge said at `read_at` (Unix, Redis' clock) that it is.

        False where one is waiting: that one predicts this.
        """
        Newest(self.queue).lay(request.name, request.to_json(), read_at)
        return self._after_now(PROPOSALS_QUEUE, PROPOSE, request.to_json(), request.job_ids, PROPOSE_SECONDS)

    def _after_now(self, queue: str, job: str, message: dict[str, Any], ids: tuple[str, str], seconds: int) -> bool:
        """Sees to it that a job of these begins after now: one that waits will do, one that runs may have looked already.

        A job that failed for a while and waits to be tried again is not waited for, unless both do. Where both run (on
        several machines), it is a third.
        """
        if "queued" in self.queue.standing(*ids):  # in a crowd most end here, at little cost
            return False
        for job_id in (*ids, f"{ids[0]}-{secrets.token_hex(8)}"):
            if self.queue.enqueue(queue, job, message, job_id=job_id, timeout=seconds):
                return True
            (standing,) = self.queue.standing(job_id)
            if standing == "queued" or (standing == "scheduled" and job_id == ids[1]):
                return False
        return False


def new_ticket() -> str:
    """A name for one waiting push that nobody can guess."""
    return secrets.token_hex(16)

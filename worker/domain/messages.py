"""What bot and worker say to each other over the queue: job names, queues, and messages as JSON with a schema number.

A message is a hint and an answer, never authority: whoever acts on one reads the truth again from Git and the cluster.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

SCHEMA: Final = 1

PREVIEW: Final = "worker.previews.preview"
CONVERGE: Final = "worker.jobs.converge"
CHECK: Final = "worker.jobs.check"
GIVE_UP: Final = "worker.jobs.give_up"
OBSERVE: Final = "worker.observing.observe"
LEAVE: Final = "worker.leaving.leave"
ORDER: Final = "worker.orders.order"
PROPOSE: Final = "worker.proposals.propose"
ROLLBACK: Final = "worker.rollbacks.rollback"
IMAGE: Final = "worker.images.image"
ADOPT: Final = "worker.adoptions.adopt"
REVERT: Final = "worker.reverts.revert"
UPDATE: Final = "worker.updates.update"
COMMITTED: Final = "bot.intake.committed"
LOOK: Final = "bot.intake.look"
PUSHED: Final = "bot.pushed.carry"
TICKET: Final = "bot.ticketed.carry"
POLL: Final = "bot.polling.poll"
DELIVER: Final = "bot.reports.deliver"
WRITE: Final = "bot.results.write"
SEND: Final = "bot.alerts.send"
COMMIT: Final = "bot.rollbacks.commit"
COMMIT_IMAGE: Final = "bot.images.commit"
COMMIT_ADOPTION: Final = "bot.adoptions.commit"
COMMIT_REVERT: Final = "bot.reverts.commit"
COMMIT_UPDATE: Final = "bot.updates.commit"
FOLLOW: Final = "bot.following.follow"

JOBS: Final = (
    PREVIEW, PROPOSE, ROLLBACK, REVERT, IMAGE, ADOPT, UPDATE, CONVERGE, CHECK, OBSERVE, LEAVE, ORDER, GIVE_UP,
    COMMITTED, LOOK, PUSHED, TICKET, POLL, DELIVER, WRITE, SEND,
    COMMIT, COMMIT_IMAGE, COMMIT_ADOPTION, COMMIT_REVERT, COMMIT_UPDATE, FOLLOW,
)  # fmt: skip
"""The only functions that a job may name; the workers' tables hold these and nothing else."""

INTAKE_QUEUE: Final = f"v{SCHEMA}-intake"
REPORTS_QUEUE: Final = f"v{SCHEMA}-reports"
WRITES_QUEUE: Final = f"v{SCHEMA}-writes"
COMMITS_QUEUE: Final = f"v{SCHEMA}-commits"
REGISTRIES_QUEUE: Final = f"v{SCHEMA}-registries"
PREVIEWS_QUEUE: Final = f"v{SCHEMA}-previews"
PROPOSALS_QUEUE: Final = f"v{SCHEMA}-proposals"
"""Queues and keys carry the schema's number: two versions on one Redis leave each other's work alone."""

PROPOSE_SECONDS: Final = 300
"""How long predicting a change request may take, whoever asks for it."""

KEYS: Final = f"plumbline:v{SCHEMA}"

NO_COMMIT: Final = "0" * 40
"""Git's id for "no such commit": the old side of a new branch, the new side of a deleted one."""


def applies_queue(cluster: str) -> str:
    """The queue of everything that writes to one cluster."""
    return f"v{SCHEMA}-applies-{cluster}"


def looks_queue(cluster: str) -> str:
    """The queue of looks at what was applied to one cluster; behind what is to be applied."""
    return f"v{SCHEMA}-looks-{cluster}"


def alerts_queue(receiver: str) -> str:
    """The queue of what is said to one receiver of alerts: a slow one keeps nobody else waiting."""
    return f"v{SCHEMA}-alerts-{receiver}"


def job_name(*parts: str) -> str:
    """A name that RQ takes in a job's id (letters, digits, `_` and `-`)."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def told_key(repository: str, environment: str) -> str:
    """Where the bot notes which ending of an environment it wrote back: `<revision> <step>`."""
    return f"{KEYS}:told:{repository}:{environment}"


def shown_key(repository: str, environment: str) -> str:
    """Where the worker shows what an environment's record says, for the pages; written again with every look at it."""
    return f"{KEYS}:shown:{repository}:{environment}"


PROPOSALS_KEY: Final = f"{KEYS}:proposals"
"""A hash of the change requests whose prediction may go stale; the bot drops the field of one that is closed."""


def proposal_field(repository: str, number: int) -> str:
    """Where in it a change request is kept."""
    return f"{repository}#{number}"


class UnknownMessage(ValueError):
    """A message of another schema or of a shape that this version does not speak."""


def checked(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message, if it is of this version's schema; raises UnknownMessage otherwise."""
    if value.get("schema") != SCHEMA:
        raise UnknownMessage(f"message schema {value.get('schema')!r}, this version speaks {SCHEMA}")
    return value


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One line of what Git tells a hook: full ref name, old and new object id (all zeros where there is none)."""

    ref: str
    old: str
    new: str

    @property
    def branch(self) -> str | None:
        """The branch's name, None for a tag or another ref."""
        prefix = "refs/heads/"
        return self.ref.removeprefix(prefix) if self.ref.startswith(prefix) else None

    @property
    def deletes(self) -> bool:
        """Whether the ref goes away."""
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        """Whether the ref is new."""
        return not self.old.strip("0")


def _updates(values: list[Mapping[str, Any]]) -> tuple[RefUpdate, ...]:
    return tuple(RefUpdate(value["ref"], value["old"], value["new"]) for value in values)


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """Somebody waits for the predicted diff of a push that is not accepted yet.

    `ticket` names the waiting push and the parcel that holds its objects (a thin pack); without a parcel
    (`has_objects` false) everything is already in the repository. `deadline` is a Unix time: later, nobody reads it.
    `approvals` are the codes given with `git push -o plumbline.approve=CODE`.
    """

    ticket: str
    repository: str
    updates: tuple[RefUpdate, ...]
    has_objects: bool
    deadline: float
    approvals: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {
            "schema": SCHEMA,
            **asdict(self),
            "updates": [asdict(update) for update in self.updates],
            "approvals": list(self.approvals),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PreviewRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return PreviewRequest(
            value["ticket"],
            value["repository"],
            _updates(value["updates"]),
            value["has_objects"],
            value["deadline"],
            tuple(value["approvals"]),
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """The "change committed" alert of a hook (or of the poller): these refs moved; `at` is the Unix time of it.

    `declaration` is the text of plumbline.yaml per branch as the hook saw it: a hint for routing, never authority.
    `approvals` are the codes given with `git push -o plumbline.approve=CODE`, `by` is who
    pushed them, as the hook knows it (empty: not known; None: who gave them was judged already).
    """

    repository: str
    updates: tuple[RefUpdate, ...]
    at: float
    declaration: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[str, ...] = ()
    by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {
            "schema": SCHEMA,
            "repository": self.repository,
            "updates": [asdict(update) for update in self.updates],
            "at": self.at,
            "declaration": dict(self.declaration),
            "approvals": list(self.approvals),
            "by": self.by,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Committed:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return Committed(
            value["repository"],
            _updates(value["updates"]),
            value["at"],
            value["declaration"],
            tuple(value["approvals"]),
            value.get("by", ""),
        )


@dataclass(frozen=True, slots=True)
class ConvergeRequest:
    """Make this environment what `revision` says; `at` is the Unix time of the commit's arrival.

    A revision that does not descend from the applied one is held unless `approvals` holds the code of exactly that plan.
    """

    repository: str
    environment: str
    branch: str
    revision: str
    cluster: str
    at: float
    approvals: tuple[str, ...] = ()

    @property
    def job_id(self) -> str:
        """The id of its job: the same revision of the same environment, with the same approvals, is asked for once."""
        approved = job_name(*self.approvals) if self.approvals else "0"
        return f"converge-{job_name(self.repository, self.environment)}-{self.revision}-{approved}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "approvals": list(self.approvals)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ConvergeRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return ConvergeRequest(
            value["repository"],
            value["environment"],
            value["branch"],
            value["revision"],
            value["cluster"],
            value["at"],
            tuple(value["approvals"]),
        )


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """Look at an environment whose operation is open: health, settling, the time limit. One short job."""

    repository: str
    environment: str
    cluster: str

    @property
    def job_id(self) -> str:
        """The id of its job: one look at a time."""
        return f"check-{job_name(self.repository, self.environment)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CheckRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return CheckRequest(value["repository"], value["environment"], value["cluster"])


@dataclass(frozen=True, slots=True)
class LookRequest:
    """Look at the forge, at the place that an event named: one change request, one branch, or a merge queue's candidate.

    `comment` is the id of a comment that was just made on the change request; `revision` the candidate's commit, which
    would be merged into `branch`. `at` is the Unix time of the event. Nothing else of the event is believed.
    """

    repository: str
    at: float
    number: int | None = None
    branch: str = ""
    comment: str = ""
    revision: str = ""

    @property
    def job_ids(self) -> tuple[str, str]:
        """The ids of its job: one runs, one may wait, and a third would see nothing that the second does not."""
        name = job_name(self.repository, str(self.number), self.branch, self.comment, self.revision)
        return f"look-{name}-a", f"look-{name}-b"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> LookRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return LookRequest(
            value["repository"], value["at"], value["number"], value["branch"], value["comment"], value["revision"]
        )


@dataclass(frozen=True, slots=True)
class PollRequest:
    """Look whether a forge shows something of a repository that no webhook told of."""

    repository: str

    @property
    def job_id(self) -> str:
        """The id of its job: one look at a time."""
        return f"poll-{job_name(self.repository)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PollRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        return PollRequest(checked(value)["repository"])


@dataclass(frozen=True, slots=True)
class ProposalRequest:
    """Predict what merging a change request would do: `head` (found under `head_ref`) merged into `base` as it is then.

    `number` is 0 for a merge queue's candidate, whose `head` is the merge result. `at` is the Unix time of the event.
    """

    repository: str
    number: int
    head: str
    head_ref: str
    base: str
    at: float
    is_from_fork: bool = False

    @property
    def name(self) -> str:
        """What requests share that one job serves: a change request and its base, whatever its head is by then."""
        own = job_name(self.repository, str(self.number), self.base, self.head if not self.number else "")
        return f"propose-{own}"

    @property
    def job_ids(self) -> tuple[str, str]:
        """The ids of its job: one runs, and one may wait that will see what has moved since."""
        return f"{self.name}-a", f"{self.name}-b"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ProposalRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return ProposalRequest(**{each.name: value[each.name] for each in fields(ProposalRequest)})

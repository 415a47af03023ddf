"""What bot and worker say to each other over the queue: job names, queues, and messages as JSON with a schema number.

A message is a hint and an answer, never authority: it holds ids and facts to show, and whoever acts on one reads the
truth again from Git and from the cluster.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from worker.domain.errors import Problem
from worker.domain.plan import Plan

SCHEMA: Final = 1

PREVIEW: Final = "worker.jobs.preview"
CONVERGE: Final = "worker.jobs.converge"
CHECK: Final = "worker.jobs.check"
COMMITTED: Final = "bot.intake.committed"
DELIVER: Final = "bot.reports.deliver"

JOBS: Final = (PREVIEW, CONVERGE, CHECK, COMMITTED, DELIVER)
"""The only functions that a job may name; the workers' tables hold these and nothing else."""

INTAKE_QUEUE: Final = "intake"
REPORTS_QUEUE: Final = "reports"
PREVIEWS_QUEUE: Final = "previews"

NO_COMMIT: Final = "0" * 40
"""Git's id for "no such commit": the old side of a new branch, the new side of a deleted one."""


def applies_queue(cluster: str) -> str:
    """The queue of everything that writes to one cluster."""
    return f"applies-{cluster}"


def _named(repository: str, environment: str) -> str:
    """A name that RQ takes in a job's id (letters, digits, `_` and `-`)."""
    return hashlib.sha256(f"{repository}/{environment}".encode()).hexdigest()[:16]


class UnknownMessage(ValueError):
    """A message of another schema or of a shape that this version does not speak."""


def _checked(value: Mapping[str, Any]) -> Mapping[str, Any]:
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
        value = _checked(value)
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
    `approvals` are the codes given with `git push -o plumbline.approve=CODE`.
    """

    repository: str
    updates: tuple[RefUpdate, ...]
    at: float
    declaration: Mapping[str, str] = field(default_factory=dict)
    approvals: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {
            "schema": SCHEMA,
            "repository": self.repository,
            "updates": [asdict(update) for update in self.updates],
            "at": self.at,
            "declaration": dict(self.declaration),
            "approvals": list(self.approvals),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Committed:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = _checked(value)
        return Committed(
            value["repository"],
            _updates(value["updates"]),
            value["at"],
            value["declaration"],
            tuple(value["approvals"]),
        )


@dataclass(frozen=True, slots=True)
class ConvergeRequest:
    """Make this environment what `revision` says; `at` is the Unix time of the commit's arrival.

    `before` is the branch's tip before the push ("" where unknown): a revision that does not descend from the applied
    one is held unless `approvals` holds the code of exactly that plan.
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
        """The id of its job: the same revision of the same environment is asked for once."""
        return f"converge-{_named(self.repository, self.environment)}-{self.revision}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "approvals": list(self.approvals)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ConvergeRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = _checked(value)
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
        return f"check-{_named(self.repository, self.environment)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> CheckRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = _checked(value)
        return CheckRequest(value["repository"], value["environment"], value["cluster"])


class Outcome(enum.StrEnum):
    """How the prediction of one environment ended."""

    PLANNED = "planned"
    INVALID = "invalid"
    REFUSED = "refused"
    HELD = "held"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class EnvironmentPreview:
    """The prediction for one environment, or why there is none.

    PLANNED has a plan; INVALID has problems (the author's); REFUSED and HELD have a text and a next step (a guard's);
    UNAVAILABLE has a text: the cluster could not be asked, which is never "no changes".
    """

    environment: str
    outcome: Outcome
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()
    text: str = ""
    next_step: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types; secrets in the plan are masked."""
        return {
            "environment": self.environment,
            "outcome": str(self.outcome),
            "plan": self.plan.to_json() if self.plan else None,
            "problems": [problem.to_json() for problem in self.problems],
            "text": self.text,
            "next_step": self.next_step,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnvironmentPreview:
        """The inverse of `to_json`."""
        return EnvironmentPreview(
            value["environment"],
            Outcome(value["outcome"]),
            Plan.from_json(value["plan"]) if value["plan"] else None,
            tuple(Problem.from_json(problem) for problem in value["problems"]),
            value["text"],
            value["next_step"],
        )


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """The worker's answer to a PreviewRequest: one entry per environment that follows a pushed branch.

    `problems` are those of the push as a whole (an unreadable plumbline.yaml); `notices` are lines that inform
    (a branch that no environment follows). The push is to be refused where anything is INVALID, REFUSED or HELD.
    """

    ticket: str
    repository: str
    environments: tuple[EnvironmentPreview, ...] = ()
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def refuses(self) -> bool:
        """Whether the push must not be accepted."""
        stops = (Outcome.INVALID, Outcome.REFUSED, Outcome.HELD)
        return bool(self.problems) or any(preview.outcome in stops for preview in self.environments)

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "preview",
            "ticket": self.ticket,
            "repository": self.repository,
            "environments": [preview.to_json() for preview in self.environments],
            "problems": [problem.to_json() for problem in self.problems],
            "notices": list(self.notices),
            "seconds": self.seconds,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> PreviewReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = _checked(value)
        return PreviewReport(
            value["ticket"],
            value["repository"],
            tuple(EnvironmentPreview.from_json(preview) for preview in value["environments"]),
            tuple(Problem.from_json(problem) for problem in value["problems"]),
            tuple(value["notices"]),
            value["seconds"],
        )


class Step(enum.StrEnum):
    """A fact of one convergence, in the order in which they usually come."""

    CONVERGING = "converging"
    APPLYING = "applying"
    APPLIED = "applied"
    WAITING = "waiting"
    DEGRADED = "degraded"
    HEALTHY = "healthy"
    VERIFIED = "verified"
    SETTLING = "settling"
    CONVERGED = "converged"
    FAILED = "failed"
    HELD = "held"
    RETRYING = "retrying"
    SUPERSEDED = "superseded"


FINAL_STEPS: Final = frozenset({Step.CONVERGED, Step.FAILED, Step.HELD, Step.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class ConvergenceReport:
    """One fact of a convergence, said once, in the order of `sequence` (milliseconds of Unix time).

    `text` is the sentence ("Deployment shop/cart 3/3", "2 of 2", why it failed); `seconds` counts from the commit's
    arrival (`at`, Unix time) to the fact. `proof` is there on VERIFIED, CONVERGED and FAILED: revision, digest,
    objects, health, verdict ("as predicted", or what differed), times; it is what is written back to Git.
    """

    repository: str
    environment: str
    branch: str
    revision: str
    step: Step
    text: str
    at: float
    seconds: float
    sequence: int
    proof: Mapping[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes for this revision."""
        return self.step in FINAL_STEPS

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "convergence",
            "repository": self.repository,
            "environment": self.environment,
            "branch": self.branch,
            "revision": self.revision,
            "step": str(self.step),
            "text": self.text,
            "at": self.at,
            "seconds": self.seconds,
            "sequence": self.sequence,
            "proof": dict(self.proof) if self.proof is not None else None,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ConvergenceReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = _checked(value)
        return ConvergenceReport(
            value["repository"],
            value["environment"],
            value["branch"],
            value["revision"],
            Step(value["step"]),
            value["text"],
            value["at"],
            value["seconds"],
            value["sequence"],
            value["proof"],
        )


def report_from_json(value: Mapping[str, Any]) -> PreviewReport | ConvergenceReport:
    """The report that a `bot.reports.deliver` job carries; raises UnknownMessage for anything else."""
    match value.get("type"):
        case "preview":
            return PreviewReport.from_json(value)
        case "convergence":
            return ConvergenceReport.from_json(value)
    raise UnknownMessage(f"report type {value.get('type')!r}")

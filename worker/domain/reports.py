"""What the worker says to the bot: predictions of pushes, and the facts of convergences."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.domain.errors import Problem
from worker.domain.messages import SCHEMA, UnknownMessage, checked
from worker.domain.plan import Plan

if TYPE_CHECKING:
    from worker.domain.adoption import AdoptionReport
    from worker.domain.divergence import EpisodeReport
    from worker.domain.hold_reminder import HoldReport
    from worker.domain.image_update import ImageReport
    from worker.domain.orders import OrderReport
    from worker.domain.policy_update import UpdateReport
    from worker.domain.proposals import ProposalReport
    from worker.domain.revert import RevertReport
    from worker.domain.rollback import RollbackReport


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
        value = checked(value)
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
    PRUNED = "pruned"
    VERIFIED = "verified"
    SETTLING = "settling"
    CONVERGED = "converged"
    FAILED = "failed"
    HELD = "held"
    RETRYING = "retrying"
    SUPERSEDED = "superseded"
    LEFT = "left"


ENDINGS: Final = frozenset({Step.CONVERGED, Step.FAILED, Step.HELD, Step.LEFT})
"""The steps that end an operation and are kept in its state, so that they are said even if the first saying got lost."""

FINAL_STEPS: Final = frozenset({*ENDINGS, Step.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class ConvergenceReport:
    """One fact of a convergence, said once, in the order of `sequence` (milliseconds of Unix time).

    `text` is the sentence ("Deployment shop/cart 3/3", "2 of 2", why it failed); `seconds` counts from the commit's
    arrival (`at`, Unix time) to the fact. `proof` is there on VERIFIED, CONVERGED and FAILED: revision, digest,
    objects, health, verdict ("as predicted", or what differed), times; it is what is written back to Git. On LEFT it says how the
    environment stood (`was`) and which divergence that ends (`episode`).
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
    def ending(self) -> str:
        """What ended: the revision and the step, in one word each."""
        return f"{self.revision} {self.step}"

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
        value = checked(value)
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


def report_from_json(
    value: Mapping[str, Any],
) -> (
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
):
    """The report that a `bot.reports.deliver` job carries; raises UnknownMessage for anything else."""
    from worker.domain.adoption import AdoptionReport
    from worker.domain.divergence import EpisodeReport  # both stand on this module's Outcome
    from worker.domain.hold_reminder import HoldReport
    from worker.domain.image_update import ImageReport
    from worker.domain.orders import OrderReport
    from worker.domain.policy_update import UpdateReport
    from worker.domain.proposals import ProposalReport
    from worker.domain.revert import RevertReport
    from worker.domain.rollback import RollbackReport

    match value.get("type"):
        case "preview":
            return PreviewReport.from_json(value)
        case "proposal":
            return ProposalReport.from_json(value)
        case "convergence":
            return ConvergenceReport.from_json(value)
        case "episode":
            return EpisodeReport.from_json(value)
        case "hold":
            return HoldReport.from_json(value)
        case "order":
            return OrderReport.from_json(value)
        case "rollback":
            return RollbackReport.from_json(value)
        case "revert":
            return RevertReport.from_json(value)
        case "image":
            return ImageReport.from_json(value)
        case "adoption":
            return AdoptionReport.from_json(value)
        case "update":
            return UpdateReport.from_json(value)
    raise UnknownMessage(f"report type {value.get('type')!r}")

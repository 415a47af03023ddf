"""The prediction of a change request as values: three causes apart, for every environment that it touches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.errors import Problem
from worker.domain.messages import SCHEMA, UnknownMessage, checked
from worker.domain.plan import ABSENT, WRITES, Change, FieldChange, Plan
from worker.domain.reports import Outcome
from worker.domain.resource import ResourceKey

VANISHED: Final = "metadata.name"
"""The field that is said to have drifted where the whole object is gone."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One field that the cluster has otherwise than the base says, and who wrote it last.

    `old` of the field is what Git says, `new` what is live. `manager`, `operation` (Apply, Update, Update:scale) and
    `at` (RFC 3339, as the cluster says it) are empty where managedFields cannot tell.
    """

    key: ResourceKey
    field: FieldChange
    manager: str = ""
    at: str = ""
    operation: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types; secrets are masked."""
        return {
            "key": self.key.to_json(),
            "field": self.field.to_json(),
            "manager": self.manager,
            "operation": self.operation,
            "at": self.at,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Drift:
        """A drift as it was shown."""
        found = value["field"]
        sides = (ABSENT if found[side] is None else found[side] for side in ("old", "new"))
        return Drift(
            ResourceKey.from_json(value["key"]),
            FieldChange(found["path"], *sides),
            value["manager"],
            value["at"],
            value["operation"],
        )


@dataclass(frozen=True, slots=True)
class EnvironmentProposal:
    """What merging would do to one environment, or why that is not known.

    `change` is what this change request does (its render against the base's), `drift` what had moved before, `plan` what
    merging will do to the cluster; `touched` is false where the render's inputs are the same on both sides, and then
    nothing else is asked. `dangers` are sentences about what cannot be taken back. `objects` counts the desired ones.
    `cluster` names where it is; `seen` stands for the live objects that the prediction rests on, so that it is known when
    they move.
    """

    environment: str
    cluster: str
    outcome: Outcome
    touched: bool = True
    change: tuple[Change, ...] = ()
    drift: tuple[Drift, ...] = ()
    plan: Plan | None = None
    dangers: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    text: str = ""
    next_step: str = ""
    confirmation: str = ""
    objects: int = 0
    seen: str = ""

    @property
    def is_predicted(self) -> bool:
        """Whether it is known what merging does here: also where nothing had to be asked, or a confirmation is wanted."""
        known = not self.touched or (self.plan is not None and not self.plan.unpredictable)
        return self.outcome in (Outcome.PLANNED, Outcome.HELD) and known

    @property
    def changes(self) -> tuple[Change, ...]:
        """What this change request does here: the objects that it creates, alters or takes away."""
        return tuple(change for change in self.change if change.action in WRITES)

    def to_json(self) -> dict[str, Any]:
        """JSON types; secrets are masked."""
        return {
            "environment": self.environment,
            "cluster": self.cluster,
            "outcome": str(self.outcome),
            "touched": self.touched,
            "change": [change.to_json() for change in self.change],
            "drift": [drift.to_json() for drift in self.drift],
            "plan": self.plan.to_json() if self.plan else None,
            "dangers": list(self.dangers),
            "problems": [problem.to_json() for problem in self.problems],
            "text": self.text,
            "next_step": self.next_step,
            "confirmation": self.confirmation,
            "objects": self.objects,
            "seen": self.seen,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnvironmentProposal:
        """The inverse of `to_json`."""
        return EnvironmentProposal(
            environment=value["environment"],
            cluster=value["cluster"],
            outcome=Outcome(value["outcome"]),
            touched=value["touched"],
            change=tuple(Change.from_json(each) for each in value["change"]),
            drift=tuple(Drift.from_json(each) for each in value["drift"]),
            plan=Plan.from_json(value["plan"]) if value["plan"] else None,
            dangers=tuple(value["dangers"]),
            problems=tuple(Problem.from_json(each) for each in value["problems"]),
            text=value["text"],
            next_step=value["next_step"],
            confirmation=value["confirmation"],
            objects=value["objects"],
            seen=value["seen"],
        )


@dataclass(frozen=True, slots=True)
class ProposalReport:
    """The worker's answer to a ProposalRequest.

    `head` was merged into `base` at `base_revision`, which made the tree `merged` (empty where that is not possible:
    `conflicts` then names the files). `problems` are those of plumbline.yaml as a whole. `at` is a Unix time, `seconds`
    what predicting took.
    """

    repository: str
    number: int
    head: str
    base: str
    base_revision: str
    merged: str = ""
    conflicts: tuple[str, ...] = ()
    environments: tuple[EnvironmentProposal, ...] = ()
    problems: tuple[Problem, ...] = ()
    text: str = ""
    at: float = 0.0
    seconds: float = 0.0

    @property
    def is_predicted(self) -> bool:
        """Whether it is known, of every environment, what merging does; nothing to ask about is not an answer."""
        asked = bool(self.merged and self.environments) and not self.problems and not self.text
        return asked and all(each.is_predicted for each in self.environments)

    @property
    def changes(self) -> int:
        """How many objects the change request creates, alters or takes away, in all environments."""
        return sum(len(each.changes) for each in self.environments)

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "proposal",
            "repository": self.repository,
            "number": self.number,
            "head": self.head,
            "base": self.base,
            "base_revision": self.base_revision,
            "merged": self.merged,
            "conflicts": list(self.conflicts),
            "environments": [each.to_json() for each in self.environments],
            "problems": [each.to_json() for each in self.problems],
            "text": self.text,
            "at": self.at,
            "seconds": self.seconds,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ProposalReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "proposal":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return ProposalReport(
            repository=value["repository"],
            number=value["number"],
            head=value["head"],
            base=value["base"],
            base_revision=value["base_revision"],
            merged=value["merged"],
            conflicts=tuple(value["conflicts"]),
            environments=tuple(EnvironmentProposal.from_json(each) for each in value["environments"]),
            problems=tuple(Problem.from_json(each) for each in value["problems"]),
            text=value["text"],
            at=value["at"],
            seconds=value["seconds"],
        )

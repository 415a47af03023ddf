"""What a person ordered about environments, passed on by the bot, and what the worker made of it, told back to the bot."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name


class Verb(enum.StrEnum):
    """What may be ordered."""

    HOLD = "hold"
    UNHOLD = "unhold"
    FREEZE = "freeze"
    THAW = "thaw"
    APPROVE = "approve"
    CONFIRM_PRUNE = "confirm-prune"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Subject:
    """An environment that an order is about, and the branch that declares it."""

    environment: str
    branch: str


@dataclass(frozen=True, slots=True)
class Order:
    """A person's order about environments of one cluster; that the person may give it was decided by the bot.

    `at` is the Unix time of the order: the same person's order of the same time is the same order. `code` quotes the plan that
    is approved or confirmed, and `fingerprint` is the whole one of the prediction that the person saw on an open change request
    (empty: none was shown); `revision` is the commit as which the change request that it was said on was merged (empty: none).
    `own`, `bot` and `old` say of an approval that an author of the change gave it, that no person did, or that it was given for
    a commit that is not the head any more; `because` is the sentence on why it is an author's. `head` is the newest commit of
    the change request that it was said on, `head_ref` where the repository has it, and `by_bot` says that the bot opened it:
    the commits tell then who asked for it. `anywhere` says that it was given where there are no change requests, so that
    it counts wherever a plan began to wait. `origin` goes back with the answer as it came.
    """

    repository: str
    cluster: str
    subjects: tuple[Subject, ...]
    verb: Verb
    by: str
    at: float
    reason: str = ""
    code: str = ""
    fingerprint: str = ""
    revision: str = ""
    own: bool = False
    bot: bool = False
    old: bool = False
    because: str = ""
    head: str = ""
    head_ref: str = ""
    by_bot: bool = False
    anywhere: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def job_id(self) -> str:
        """The id of its job: the same order is carried out once at a time."""
        names = [each.environment for each in self.subjects]
        return f"order-{job_name(self.repository, self.cluster, *names, self.verb, self.by, str(self.at), self.code)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        subjects = [asdict(each) for each in self.subjects]
        return {
            "schema": SCHEMA,
            **asdict(self),
            "verb": str(self.verb),
            "subjects": subjects,
            "origin": dict(self.origin),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Order:
        """The inverse of `to_json`; raises UnknownMessage for another schema or an order that nobody knows."""
        value = dict(checked(value))
        if value["verb"] not in tuple(Verb):
            raise UnknownMessage(f"order {value['verb']!r}")
        del value["schema"]
        subjects = tuple(Subject(**each) for each in value.pop("subjects"))
        return Order(**{**value, "verb": Verb(value["verb"])}, subjects=subjects)


@dataclass(frozen=True, slots=True)
class Answered:
    """What an order came to for one environment: `done`, `already`, `refused` or `waits`, and the sentence for who ordered it."""

    environment: str
    done: str
    text: str


@dataclass(frozen=True, slots=True)
class OrderReport:
    """The worker's answer to an order, with the order's own `origin`, for whoever has to be told."""

    repository: str
    verb: Verb
    by: str
    at: float
    answers: tuple[Answered, ...]
    origin: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "order",
            "repository": self.repository,
            "verb": str(self.verb),
            "by": self.by,
            "at": self.at,
            "answers": [asdict(each) for each in self.answers],
            "origin": dict(self.origin),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> OrderReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return OrderReport(
            value["repository"],
            Verb(value["verb"]),
            value["by"],
            value["at"],
            tuple(Answered(**each) for each in value["answers"]),
            value["origin"],
        )

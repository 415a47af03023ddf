"""What bot and worker say to each other of taking a merged change request back: which one, and which files make it.

No content of a file is in these messages (a manifest may hold a secret): the report names blobs and where the bot reads them
at the forge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name
from worker.domain.rollback import Restored

Entry = tuple[str, str]
"""git's mode and the blob's id; both empty where there is no file."""

NONE: Final[Entry] = ("", "")


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did to one file."""

    path: str
    before: Entry
    after: Entry


@dataclass(frozen=True, slots=True)
class RevertRequest:
    """Say what would take a change request back that was merged into `branch` as the commit `merged`.

    `head` is the newest commit of the change request and `head_ref` where the repository keeps it; `began` the commit at
    which it left its branch, as far as the forge says it. `origin` is who asked and where the answer goes, in the bot's own
    words; it comes back as it is. `attempt` counts from 0 how often the branch moved meanwhile; `at` is the Unix time of the
    asking.
    """

    repository: str
    number: int
    title: str
    merged: str
    head: str
    head_ref: str
    began: str
    branch: str
    origin: Mapping[str, Any]
    at: float
    attempt: int = 0

    @property
    def environment(self) -> str:
        """What a log line calls it: a change request may be about several environments."""
        return f"#{self.number}"

    @property
    def job_id(self) -> str:
        """The id of its job: the same words in the same place are asked for once."""
        words = (self.repository, str(self.number), repr(sorted(self.origin.items())))
        return f"revert-{job_name(*words, str(self.attempt))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "origin": dict(self.origin)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RevertRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        known = dict(checked(value))
        del known["schema"]
        return RevertRequest(**known)


@dataclass(frozen=True, slots=True)
class Three:
    """The blobs of a file that was changed again since: on the branch now, after the merge, and before it."""

    now: str
    after: str
    before: str


@dataclass(frozen=True, slots=True)
class RevertReport:
    """The worker's answer: the files that take the merge's changes back on top of `onto`, or why that cannot be done.

    A file's content is the one that it has at `before` (the commit that the merge was made on), unless `merges` has it: then
    it is what `worker.domain.three_way` makes of the three. `conflicts` says why, path by path; then nothing is to be done.
    """

    request: RevertRequest
    onto: str = ""
    before: str = ""
    files: tuple[Restored, ...] = ()
    merges: Mapping[str, Three] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    explanation: tuple[str, ...] = ()
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "revert",
            "request": self.request.to_json(),
            "onto": self.onto,
            "before": self.before,
            "files": [asdict(each) for each in self.files],
            "merges": {path: asdict(each) for path, each in self.merges.items()},
            "conflicts": dict(self.conflicts),
            "explanation": list(self.explanation),
            "refusal": self.refusal,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RevertReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "revert":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return RevertReport(
            RevertRequest.from_json(value["request"]),
            value["onto"],
            value["before"],
            tuple(Restored(**each) for each in value["files"]),
            {path: Three(**each) for path, each in value["merges"].items()},
            value["conflicts"],
            tuple(value["explanation"]),
            value["refusal"],
        )

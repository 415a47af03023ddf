"""What bot and worker say to each other of a rollback: which one is asked for, and which files make it.

No content of a file is in these messages (a manifest may hold a secret): the report names blobs and where the bot reads them
at the forge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name

LAST_CONVERGED: Final = "last-converged"

TARGET_TRAILER: Final = "Plumbline-Rollback-To"
ENVIRONMENT_TRAILER: Final = "Plumbline-Environment"
"""By these trailers of its message a rollback's commit is known again."""

PLAIN_MODES: Final = frozenset({"100644", "100755"})
"""git's modes of files that a forge's API can write; links and submodules have others."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a render of an environment reads at one revision: path -> (git's mode, blob id).

    `folder` is the environment's own, `whole` are folders outside it that are read with everything in them.
    """

    folder: str
    files: Mapping[str, tuple[str, str]]
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """Say what would bring an environment back to an earlier revision.

    `target` is as a person gave it: a commit id (abbreviated or not), `~n`, `last-converged` or nothing. `branch` is the one
    by whose rules the asking was judged. `push` asks for a commit straight to the branch.
    `origin` is who asked and where the answer goes, in the bot's own words; it comes back as it is. `attempt` counts from 0
    how often the branch moved meanwhile. `at` is the Unix time of the asking. `since` is the tip onto which an earlier attempt
    may have pushed its commit, although the forge's answer was lost; then `target` is a full commit id. With `dry_run` it is
    only said what would be made.
    """

    repository: str
    environment: str
    target: str
    branch: str
    push: bool
    origin: Mapping[str, Any]
    at: float
    attempt: int = 0
    since: str = ""
    dry_run: bool = False

    @property
    def job_id(self) -> str:
        """The id of its job: the same words in the same place are asked for once."""
        how = f"{self.push}{' dry run' if self.dry_run else ''}"
        words = (self.repository, self.environment, self.target, how, repr(sorted(self.origin.items())))
        return f"rollback-{job_name(*words, str(self.attempt))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "origin": dict(self.origin)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RollbackRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return RollbackRequest(
            value["repository"],
            value["environment"],
            value["target"],
            value["branch"],
            value["push"],
            value["origin"],
            value["at"],
            value["attempt"],
            value["since"],
            value.get("dry_run", False),
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """A file of the commit that makes a rollback: `path` gets the blob and git's mode that `source` has at the target.

    An empty `blob` takes the file away. `was` is the mode that it has now, empty where it is new.
    """

    path: str
    blob: str = ""
    mode: str = ""
    source: str = ""
    was: str = ""


@dataclass(frozen=True, slots=True)
class RollbackReport:
    """The worker's answer: the files that make the environment's inputs those of `target` on top of `onto`, or a refusal.

    `shared` names, per file, the other environments that change with it; then only a change request will do. `may_push`
    says whether the branch's own policy lets the commit go straight to it. `explanation` and `warnings` are sentences for
    people, the most important one first. `made` is the commit that an earlier attempt
    pushed already: nothing is left to do.
    """

    request: RollbackRequest
    branch: str = ""
    onto: str = ""
    target: str = ""
    files: tuple[Restored, ...] = ()
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    explanation: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    may_push: bool = False
    refusal: str = ""
    made: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "rollback",
            "request": self.request.to_json(),
            "branch": self.branch,
            "onto": self.onto,
            "target": self.target,
            "files": [asdict(each) for each in self.files],
            "shared": {path: list(names) for path, names in self.shared.items()},
            "explanation": list(self.explanation),
            "warnings": list(self.warnings),
            "may_push": self.may_push,
            "refusal": self.refusal,
            "made": self.made,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RollbackReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "rollback":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return RollbackReport(
            RollbackRequest.from_json(value["request"]),
            value["branch"],
            value["onto"],
            value["target"],
            tuple(Restored(**each) for each in value["files"]),
            {path: tuple(names) for path, names in value["shared"].items()},
            tuple(value["explanation"]),
            tuple(value["warnings"]),
            value["may_push"],
            value["refusal"],
            value["made"],
        )

"""What bot and worker say to each other of drift that is to be taken into Git: whose, and which changes of which files.

The changes carry values as the cluster has them (never those of a Secret, nor what looks like one), and no content of a file:
the report names blobs, and the bot reads them at the forge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.edits.changes import Append, Change, Put, Remove
from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name
from worker.domain.proposals import Drift

_KINDS: Mapping[str, type[Put] | type[Append]] = {"put": Put, "append": Append}


@dataclass(frozen=True, slots=True)
class AdoptionRequest:
    """Say how the drift of an environment comes into `branch` as it is now.

    `object` is `Kind/name` or `Kind/namespace/name` as a person gave it, empty for all that drifted. `origin` is who asked and
    where the answer goes, in the bot's own words; it comes back as it is. `attempt` counts from 0 how often the branch moved
    meanwhile. `at` is the Unix time of the asking.
    """

    repository: str
    environment: str
    object: str
    branch: str
    origin: Mapping[str, Any]
    at: float
    attempt: int = 0

    @property
    def job_id(self) -> str:
        """The id of its job: the same words in the same place are asked for once."""
        words = (self.repository, self.environment, self.object, self.branch, repr(sorted(self.origin.items())))
        return f"adopt-{job_name(*words, str(self.attempt))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "origin": dict(self.origin)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> AdoptionRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return AdoptionRequest(
            value["repository"],
            value["environment"],
            value["object"],
            value["branch"],
            value["origin"],
            value["at"],
            value["attempt"],
        )


@dataclass(frozen=True, slots=True)
class AdoptedFile:
    """A file with the changes that take drift into it: its blob and git's mode now, and the blob that they make of it.

    `made` is what the worker rendered: whoever makes the changes again has to come to just that blob. `shared` are the other
    environments that read the file.
    """

    path: str
    blob: str
    mode: str
    made: str
    changes: tuple[Change, ...]
    shared: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "path": self.path,
            "blob": self.blob,
            "mode": self.mode,
            "made": self.made,
            "changes": [_change_to_json(each) for each in self.changes],
            "shared": list(self.shared),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> AdoptedFile:
        """The inverse of `to_json`; raises UnknownMessage for a change that nobody knows."""
        return AdoptedFile(
            value["path"],
            value["blob"],
            value["mode"],
            value["made"],
            tuple(_change_from_json(each) for each in value["changes"]),
            tuple(value["shared"]),
        )


def _change_to_json(change: Change) -> dict[str, Any]:
    kind = "remove" if isinstance(change, Remove) else "append" if isinstance(change, Append) else "put"
    value = {} if isinstance(change, Remove) else {"value": change.value}
    return {"change": kind, "document": change.document, "path": list(change.path), **value}


def _change_from_json(value: Mapping[str, Any]) -> Change:
    document, path = value["document"], tuple(value["path"])
    if value["change"] == "remove":
        return Remove(document, path)
    if value["change"] not in _KINDS:
        raise UnknownMessage(f"change {value['change']!r}")
    return _KINDS[value["change"]](document, path, value["value"])


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """The worker's answer: the files at `onto`, the branch's tip, that take the `adopted` fields into Git, or a refusal.

    `left` are sentences about drift that is not taken, each with its reason; `notes` are others for people.
    """

    request: AdoptionRequest
    onto: str = ""
    files: tuple[AdoptedFile, ...] = ()
    adopted: tuple[Drift, ...] = ()
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "adoption",
            "request": self.request.to_json(),
            "onto": self.onto,
            "files": [each.to_json() for each in self.files],
            "adopted": [each.to_json() for each in self.adopted],
            "left": list(self.left),
            "notes": list(self.notes),
            "refusal": self.refusal,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> AdoptionReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "adoption":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return AdoptionReport(
            AdoptionRequest.from_json(value["request"]),
            value["onto"],
            tuple(AdoptedFile.from_json(each) for each in value["files"]),
            tuple(Drift.from_json(each) for each in value["adopted"]),
            tuple(value["left"]),
            tuple(value["notes"]),
            value["refusal"],
        )

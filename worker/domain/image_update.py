"""What bot and worker say to each other of an image that is to be used: which one where, and which places name it now.

No content of a file is in these messages (a manifest may hold a secret): the report names blobs and places in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name
from worker.domain.yaml_text import Path


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Say where an environment names `image` (a reference with a tag or a digest), on `branch` as it is now.

    `origin` is who asked and where the answer goes, in the bot's own words; it comes back as it is. `attempt` counts from 0
    how often the branch moved meanwhile. `at` is the Unix time of the asking.
    """

    repository: str
    environment: str
    image: str
    branch: str
    origin: Mapping[str, Any]
    at: float
    attempt: int = 0

    @property
    def job_id(self) -> str:
        """The id of its job: the same words in the same place are asked for once."""
        words = (self.repository, self.environment, self.image, self.branch, repr(sorted(self.origin.items())))
        return f"image-{job_name(*words, str(self.attempt))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self), "origin": dict(self.origin)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ImageRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return ImageRequest(
            value["repository"],
            value["environment"],
            value["image"],
            value["branch"],
            value["origin"],
            value["at"],
            value["attempt"],
        )


@dataclass(frozen=True, slots=True)
class Naming:
    """A value that names the image: the document of its file (from 0), its path in it, its line (from 1)."""

    document: int
    path: Path
    line: int

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Naming:
        """The inverse of `asdict`, as JSON has it."""
        return Naming(value["document"], tuple(value["path"]), value["line"])


@dataclass(frozen=True, slots=True)
class NamingFile:
    """A file that names the image: its blob and git's mode, the places to change, the other environments that read it."""

    path: str
    blob: str
    mode: str
    places: tuple[Naming, ...]
    shared: tuple[str, ...] = ()

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> NamingFile:
        """The inverse of `asdict`, as JSON has it."""
        places = tuple(Naming.from_json(each) for each in value["places"])
        return NamingFile(value["path"], value["blob"], value["mode"], places, tuple(value["shared"]))


@dataclass(frozen=True, slots=True)
class ImageReport:
    """The worker's answer: the files at `onto`, the branch's tip, in which the image is to be changed, or a refusal.

    `warnings` are sentences for people.
    """

    request: ImageRequest
    onto: str = ""
    files: tuple[NamingFile, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "image",
            "request": self.request.to_json(),
            "onto": self.onto,
            "files": [asdict(each) for each in self.files],
            "warnings": list(self.warnings),
            "refusal": self.refusal,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ImageReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "image":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return ImageReport(
            ImageRequest.from_json(value["request"]),
            value["onto"],
            tuple(NamingFile.from_json(each) for each in value["files"]),
            tuple(value["warnings"]),
            value["refusal"],
        )

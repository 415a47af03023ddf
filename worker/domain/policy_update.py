"""What bot and worker say to each other of an image that a policy of plumbline.yaml wants, and what is in the commit for it.

No content of a file is in these messages (a manifest may hold a secret): the report names blobs and places in them.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.domain.image_section import UpdateBy
from worker.domain.image_update import NamingFile
from worker.domain.messages import SCHEMA, UnknownMessage, checked, job_name
from worker.domain.seals import values_of

TRAILER: Final = "Plumbline-Image-Policy"
"""The trailer of a commit that a policy made: `<policy> <image> <seal>`. By it the policy's last word is known from Git alone."""


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """Say where the images of a policy are named that are to become `image`, on `branch` as it is now.

    `image` has a tag, and a digest where that is known. `attempt` counts from 0 how often the branch moved meanwhile. `at` is
    the Unix time of the asking.
    """

    repository: str
    branch: str
    policy: str
    image: str
    at: float
    attempt: int = 0

    @property
    def origin(self) -> Mapping[str, Any]:
        """Nobody asked, so nobody is answered."""
        return {}

    @property
    def job_id(self) -> str:
        """The id of its job: the same image for the same policy is asked for once."""
        return f"update-{job_name(self.repository, self.branch, self.policy, self.image, str(self.attempt))}"

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> UpdateRequest:
        """The inverse of `to_json`; raises UnknownMessage for another schema."""
        value = checked(value)
        return UpdateRequest(
            value["repository"], value["branch"], value["policy"], value["image"], value["at"], value["attempt"]
        )


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """The worker's answer: the files at `onto`, the branch's tip, to change in one commit; or why there is nothing to do.

    `image` is the reference to write (without a digest where the policy pins none), `environments` those that the policy is
    about, `was` the tags that stand there now. `settled` says why all is as it should be, `refusal` what a person has to see
    to; `warnings` are sentences.
    """

    request: UpdateRequest
    onto: str = ""
    image: str = ""
    files: tuple[NamingFile, ...] = ()
    environments: tuple[str, ...] = ()
    was: tuple[str, ...] = ()
    update_by: UpdateBy = UpdateBy.CHANGE_REQUEST
    warnings: tuple[str, ...] = ()
    settled: str = ""
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON types, with the schema number and the message's type."""
        return {
            "schema": SCHEMA,
            "type": "update",
            "request": self.request.to_json(),
            "onto": self.onto,
            "image": self.image,
            "files": [asdict(each) for each in self.files],
            "environments": list(self.environments),
            "was": list(self.was),
            "update_by": str(self.update_by),
            "warnings": list(self.warnings),
            "settled": self.settled,
            "refusal": self.refusal,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> UpdateReport:
        """The inverse of `to_json`; raises UnknownMessage for another schema or type."""
        value = checked(value)
        if value.get("type") != "update":
            raise UnknownMessage(f"report type {value.get('type')!r}")
        return UpdateReport(
            UpdateRequest.from_json(value["request"]),
            value["onto"],
            value["image"],
            tuple(NamingFile.from_json(each) for each in value["files"]),
            tuple(value["environments"]),
            tuple(value["was"]),
            UpdateBy(value["update_by"]),
            tuple(value["warnings"]),
            value["settled"],
            value["refusal"],
        )


def trailer(policy: str, image: str, seal: str) -> str:
    """The line of the commit's message."""
    return f"{TRAILER}: {policy} {image} {seal}"


def is_of_a_policy(message: str, seal_of: Callable[[str, str], str]) -> bool:
    """Whether a commit's message has a policy's trailer with the seal that only the bot can have written."""
    return any(_is(seal, seal_of(policy, image)) for policy, image, seal in _trailers(message))


def last_word(messages: str, policy: str, seal_of: Callable[[str], str]) -> str:
    """The image that a policy set last, by the messages of a branch's commits, newest first; empty where it set none.

    `seal_of` an image is what only the bot can have written after it: a line of anybody else's says nothing. It counts
    wherever it stands, for a forge that squashes puts the message of a commit in the middle of its own.
    """
    said = _trailers(messages)
    return next((image for name, image, seal in said if name == policy and _is(seal, seal_of(image))), "")


def _trailers(messages: str) -> Iterator[tuple[str, str, str]]:
    """What `trailer` wrote: policy, image and seal; of what others wrote, whatever stands there."""
    for value in values_of(messages, TRAILER):
        policy, _, rest = value.partition(" ")
        image, _, seal = rest.partition(" ")
        yield policy, image, seal


def _is(seal: str, expected: str) -> bool:
    return hmac.compare_digest(seal.encode(), expected.encode())

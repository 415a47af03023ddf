"""The `images` section of plumbline.yaml: which images are kept up to date, by which policy, as a commit or a change request."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from worker.domain.image_policy import Newest, Pattern, Pinned, Policy, PolicyError, Semver
from worker.domain.images import TAG, Image, ImageError, read_image
from worker.domain.schema import Section

_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?")
_KINDS: Final = ("semver", "newest", "regex", "digest")


class UpdateBy(enum.StrEnum):
    """How an update reaches the branch."""

    CHANGE_REQUEST = "change-request"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """One image that is kept up to date: the name that markers use, where it lies, which tag is wanted, how it is written.

    `environments` are those of the same branch that it is about.
    """

    name: str
    image: Image
    policy: Policy
    environments: tuple[str, ...] = ()
    update_by: UpdateBy = UpdateBy.CHANGE_REQUEST
    pins_digest: bool = False


def read_images(top: Section, environments: Collection[str]) -> tuple[ImagePolicy, ...]:
    """Every entry that can be used; what cannot is noted with its line, and an entry of a name that stands twice too.

    An entry that names none is about all of the file's `environments`.
    """
    found: list[ImagePolicy] = []
    names: set[str] = set()
    for section in top.sections("images"):
        name = section.text("name", required=True)
        if name and not _NAME.fullmatch(name):
            section.problem("name", f"`name`: {name!r} is not a name", "use a-z, 0-9, '-' and '.', at most 63")
        if name in names:
            section.problem("name", f"the image {name} is declared twice", "give each its own name")
        names.add(name)
        image = _image(section)
        policy = _policy(section)
        about = _environments(section, environments)
        update_by = UpdateBy(section.text("update-by", UpdateBy.CHANGE_REQUEST, choices=tuple(UpdateBy)))
        pins = section.flag("pin-digest", default=isinstance(policy, Pinned))
        section.end()
        if image is not None and policy is not None:
            found.append(ImagePolicy(name, image, policy, about, update_by, pins))
    return tuple(found)


def _environments(section: Section, known: Collection[str]) -> tuple[str, ...]:
    named = section.narrowing("environments", "all of them")
    for each in named or ():
        if each not in known:
            there = ", ".join(known)
            section.problem("environments", f"`environments`: {each!r} is not declared here", f"there are: {there}")
    return tuple(known) if named is None else named


def _image(section: Section) -> Image | None:
    text = section.text("image", required=True)
    if not text:
        return None
    try:
        image = read_image(text)
    except ImageError as error:
        section.problem("image", f"`image`: {error}", "write it like registry.example.org/shop/cart")
        return None
    if image.tag or image.digest:
        section.problem("image", "`image`: a tag or digest stands behind the name", f"write `image: {image.name}`")
    return image


def _policy(section: Section) -> Policy | None:
    """The one policy of the entry, `policy: {semver: 1.x}`; None where it cannot be used, which is noted."""
    policy = section.section("policy", required=True)
    if policy is None:
        return None
    kinds = [kind for kind in _KINDS if policy.peek(kind) not in (None, False)]
    if len(kinds) > 1:
        section.problem("policy", f"`policy`: {' and '.join(kinds)} stand beside each other", "keep one of them")
    found: Policy | None = None
    try:
        found = _one_of(policy)
    except PolicyError as error:
        section.problem("policy", f"`policy`: {error}")
    policy.end()
    if not kinds:
        section.problem("policy", "`policy`: names no policy", f"write one of {', '.join(_KINDS)}")
    return found if len(kinds) == 1 else None


def _one_of(policy: Section) -> Policy | None:
    """What the section names. Raises PolicyError."""
    semver, newest, tag = policy.text("semver"), policy.flag("newest", default=False), policy.text("digest")
    regex, extract = policy.text("regex"), policy.text("extract")
    order = policy.text("order", "alphabetical", choices=("alphabetical", "numerical"))
    if tag and not TAG.fullmatch(tag):
        raise PolicyError(f"{tag[:80]!r} is not a tag")
    if semver:
        return Semver(semver)
    if regex:
        return Pattern(regex, extract, order)
    if tag:
        return Pinned(tag)
    return Newest() if newest else None

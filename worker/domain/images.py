"""References of container images, as the distribution project's grammar has them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

DOCKER: Final = "docker.io"
LONGEST: Final = 255
"""Characters of a name with its registry (distribution/reference, NameTotalLengthMax)."""

TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PART: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?")


class ImageError(ValueError):
    """A text that is no reference of an image; it says why, without more of the text than its first characters."""


@dataclass(frozen=True, slots=True)
class Image:
    """A reference: the name as it is written, its registry and the repository there, tag and digest (empty where absent)."""

    name: str
    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def place(self) -> str:
        """What two spellings of one image have in common: `docker.io/library/nginx`."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def read_image(text: str) -> Image:
    """Reads `registry/name:tag@digest`; no registry means Docker's. Raises ImageError."""
    rest, at, digest = text.partition("@")
    if at and not DIGEST.fullmatch(digest):
        raise ImageError(f"{text[:80]!r} has no digest behind its @")
    slash, colon = rest.rfind("/"), rest.rfind(":")
    name, tag = (rest[:colon], rest[colon + 1 :]) if colon > slash else (rest, "")
    if colon > slash and not TAG.fullmatch(tag):
        raise ImageError(f"{text[:80]!r} has no tag behind its colon")
    first, _, below = name.partition("/")
    has_registry = bool(below) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    registry, repository = (first, below) if has_registry else (DOCKER, name)
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER
    if registry == DOCKER and "/" not in repository:
        repository = f"library/{repository}"
    fits = len(name) <= LONGEST and _HOST.fullmatch(registry) and all(map(_PART.fullmatch, repository.split("/")))
    if not fits:
        raise ImageError(f"{text[:80]!r} is not the name of an image")
    return Image(name, registry.lower(), repository, tag, digest)

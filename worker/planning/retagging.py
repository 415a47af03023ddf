"""Which of the places that name an image have to change for another tag or digest of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.domain.errors import Refused
from worker.domain.image_places import ImagePlace, Part
from worker.domain.images import Image, read_image

MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Found:
    """A place and the file in which it is."""

    file: str
    place: ImagePlace

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}"


def to_change(places: Iterable[Found], new: Image) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    """The places to change, and those that name the image and are left: what a kustomization sets, it sets over them.

    Raises Refused where the image is not named, is named so already, or cannot be said in what is there.
    """
    named = [each for each in places if each.place.image == new.place]
    if not named:
        raise Refused(f"nothing that it reads names the image {new.name}", "Look for another spelling of its name")
    setting = [each for each in named if each.place.part is not Part.WHOLE]
    require_parts(setting, new)
    meant = setting or named
    changed = tuple(each for each in meant if not says(each.place, new))
    if not changed:
        raise Refused(f"{new} is what {listed(meant)} names already", "There is nothing to change")
    return changed, tuple(each for each in named if each not in meant)


def listed(places: Iterable[Found]) -> str:
    """The places by file and line, in one line."""
    spots = [str(each) for each in places]
    more = f" and {len(spots) - MOST_NAMED} more" if len(spots) > MOST_NAMED else ""
    return ", ".join(spots[:MOST_NAMED]) + more


def require_parts(setting: Iterable[Found], new: Image) -> None:
    """An entry of a kustomization gets exactly the parts that it has: a digest left behind would win over a new tag.

    Raises Refused with the places.
    """
    given = {part for part, said in ((Part.TAG, new.tag), (Part.DIGEST, new.digest)) if said}
    entries: dict[tuple[object, ...], list[Found]] = {}
    for each in setting:
        entries.setdefault((each.file, each.place.document, each.place.path[:-1]), []).append(each)
    for entry in entries.values():
        there = {each.place.part for each in entry}
        if there != given:
            words = " and a ".join(part for part in (Part.TAG, Part.DIGEST) if part in there)
            raise Refused(
                f"{listed(entry)} says a {words}, and {new} does not say just that", f"Name it with a {words}"
            )


def says(place: ImagePlace, new: Image) -> bool:
    """Whether a place has just this tag or digest, or both. Raises ImageError for a whole reference that is none."""
    if place.part is Part.WHOLE:
        now = read_image(place.value)
        return (now.tag, now.digest) == (new.tag, new.digest)
    return place.value == (new.tag if place.part is Part.TAG else new.digest)


def by_file(places: Iterable[Found]) -> Mapping[str, tuple[ImagePlace, ...]]:
    """The places of each file, in their order."""
    found: dict[str, list[ImagePlace]] = {}
    for each in places:
        found.setdefault(each.file, []).append(each.place)
    return {path: tuple(each) for path, each in found.items()}

"""Which of the places that name a policy's image change to what the policy wants. Pure.

Where a marker names the policy, the marked places count and no others; else every place that names its image, as `/image` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from worker.domain.errors import Refused
from worker.domain.image_places import ImagePlace, Part
from worker.domain.image_policy import Tag, goes_down
from worker.domain.image_section import ImagePolicy
from worker.domain.images import TAG, Image, ImageError, read_image
from worker.planning.retagging import Found, listed, require_parts, says

Entry: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Updating:
    """The places to change; those that stand above the image already; those that a kustomization sets it over."""

    changed: tuple[Found, ...]
    above: tuple[Found, ...] = ()
    left: tuple[Found, ...] = ()


def to_update(places: Sequence[Found], policy: ImagePolicy, new: Image) -> Updating:
    """Raises Refused where nothing names the policy's image, or `new` cannot be said in what is there."""
    marked = [each for each in places if each.place.policy.rpartition(":")[2] == policy.name]
    plain = [each for each in places if not each.place.policy and each.place.image == new.place]
    if not marked and not plain:
        raise Refused(
            f"nothing that {', '.join(policy.environments)} read names the image {new.name}, or the policy {policy.name}",
            "Look for another spelling, or put a marker behind the value",
        )
    setting = [each for each in plain if each.place.part is not Part.WHOLE]
    meant = marked or setting or plain
    entries: dict[Entry, list[Found]] = {}
    for each in meant:
        entries.setdefault(_entry(each), []).append(each)
    changed: list[Found] = []
    above: list[Found] = []
    for name, entry in entries.items():
        if any(goes_down(policy.policy, _tag(each.place), Tag(new.tag)) for each in entry):
            above += entry
            continue
        beside = [each for each in plain if _entry(each) == name and each not in entry]
        require_parts([each for each in (*entry, *beside) if each.place.part in (Part.TAG, Part.DIGEST)], new)
        _require_pin(entry, new)
        changed += [each for each in entry if not _is_there(each.place, new)]
    left = () if marked else tuple(each for each in plain if each not in meant)
    return Updating(tuple(changed), tuple(above), left)


def tags_of(places: Iterable[Found]) -> tuple[str, ...]:
    """The tags that stand there, each once."""
    tags = (_tag(each.place) for each in places)
    return tuple(sorted({tag for tag in tags if TAG.fullmatch(tag)}))


def _entry(found: Found) -> Entry:
    """What the parts of one image's name stand in: the mapping around them. A whole reference stands by itself."""
    path = found.place.path
    return found.file, found.place.document, path if found.place.part is Part.WHOLE else path[:-1]


def _tag(place: ImagePlace) -> str:
    if place.part is Part.TAG:
        return place.value
    try:
        return read_image(place.value).tag if place.part is Part.WHOLE else ""
    except ImageError:
        return ""


def _require_pin(entry: Iterable[Found], new: Image) -> None:
    """What is pinned by its digest stays pinned."""
    pinned = [each for each in entry if each.place.part is Part.WHOLE and "@" in each.place.value]
    if pinned and not new.digest:
        raise Refused(f"{listed(pinned)} names a digest, and the policy pins none", "Give it `pin-digest: true`")


def _is_there(place: ImagePlace, new: Image) -> bool:
    """Whether a place says it; a name does in another spelling too, and without the registry that stands beside it."""
    if place.part is Part.NAME:
        return place.value == new.repository or _place_of(place.value) == new.place
    return (place.part is not Part.WHOLE or place.image == new.place) and says(place, new)


def _place_of(text: str) -> str:
    try:
        return read_image(text).place
    except ImageError:
        return ""

"""A file with an image's new tag or digest in every place that names it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from worker.domain.edits.changes import Put, edited
from worker.domain.image_places import ImagePlace, Part
from worker.domain.images import Image, read_image


def retagged(text: bytes, places: Iterable[ImagePlace], new: Image) -> bytes:
    """The file with these places saying `new`; a place that says it already is not touched. Raises NotEditable.

    A whole reference keeps the spelling of its name where it is the same image.
    """
    changes = [
        Put(place.document, place.path, value)
        for place in places
        if (value := _said(place, new)) not in ("", place.value)
    ]
    return edited(text, changes, only_scalars=True) if changes else text


def _said(place: ImagePlace, new: Image) -> str:
    """What a place says of the new image; nothing where that has no such part."""
    if place.part is Part.NAME:
        return new.name
    if place.part is Part.TAG:
        return new.tag
    if place.part is Part.DIGEST:
        return new.digest
    name = read_image(place.value).name if place.image == new.place else new.name
    return str(Image(name, new.registry, new.repository, new.tag, new.digest))

"""Where a file names an image: by a marker behind the value, in a kustomization, in a workload's own field, or in values. Pure.

Markers are Flux's `# {"$imagepolicy": "namespace:name"}` (`:name`, `:tag` and `:digest` behind it for a part) and our own
`# plumbline: image NAME` with the same endings. A chart's values have the keys `repository` and `tag` (`registry` and
`digest` too) beside each other, as in the charts that `helm create` makes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.domain.images import ImageError, read_image
from worker.domain.yaml_places import Node, roots
from worker.domain.yaml_text import Document, Path, read_documents

_FLUX: Final = re.compile(
    r'[ \t]+#[ \t]*\{[ \t]*"\$imagepolicy"[ \t]*:[ \t]*"([^":\s]+:[^":\s]+?)(?::(name|tag|digest))?"[ \t]*\}[ \t]*\r?$'
)
_OURS: Final = re.compile(
    r"[ \t]+#[ \t]*plumbline:[ \t]*image[ \t]+([a-z0-9][-a-z0-9.]*?)(?::(name|tag|digest))?[ \t]*\r?$"
)
_LISTS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
KUSTOMIZATION: Final = "Kustomization"


class Part(enum.StrEnum):
    """What of a reference a value holds."""

    WHOLE = "whole"
    NAME = "name"
    TAG = "tag"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """A value that names an image or a part of it: where, its line (from 1), what it says.

    `policy` is that of a marker (`namespace:name` of Flux's, `name` of ours; empty without one); `image` the place of the
    image (`docker.io/shop/cart`), empty where the value alone does not say it.
    """

    document: int
    path: Path
    line: int
    part: Part
    value: str
    policy: str = ""
    image: str = ""


def image_places(text: str | bytes) -> tuple[ImagePlace, ...]:
    """All of a file, in its order. Raises DesiredStateError where it cannot be read."""
    documents = read_documents(text, "")
    characters = (text.decode() if isinstance(text, bytes) else text).removeprefix("\ufeff")
    nodes = {root.line: root for root in roots(characters)}
    found: list[ImagePlace] = []
    for number, document in enumerate(documents):
        root = nodes[document.line]
        marked = list(_marked(number, document, root, characters))
        plain = {place.path: place for place in _unmarked(number, document, root)}
        own = {
            place.path: replace(place, image=place.image or plain[place.path].image) if place.path in plain else place
            for place in marked
        }
        found += sorted((plain | own).values(), key=lambda place: place.line)
    return tuple(found)


def _marked(number: int, document: Document, root: Node, text: str) -> Iterator[ImagePlace]:
    if "$imagepolicy" not in text and "plumbline:" not in text:
        return
    for path, node, value in _scalars(root, document.value, ()):
        end = text.find("\n", node.end)
        rest = text[node.end : end if end >= 0 else len(text)]
        found = _FLUX.match(rest) or _OURS.match(rest)
        said = _said(node, value)
        if found and said is not None:
            part = Part(found[2] or "whole")
            image = _image(said) if part is Part.WHOLE else ""
            yield ImagePlace(number, path, node.line, part, said, found[1], image)


def _said(node: Node, value: Any) -> str | None:
    """A text, or a number as it is written (`tag: 1.20`); nothing else names a part of an image."""
    if isinstance(value, str):
        return value
    return node.text if isinstance(value, int | float) and not isinstance(value, bool) else None


def _scalars(node: Node, value: Any, path: Path) -> Iterator[tuple[Path, Node, Any]]:
    """Every scalar that is written at its own place; what an alias or a merge brings is written elsewhere."""
    if node.kind == "scalar":
        yield path, node, value
    elif node.kind == "mapping" and not node.merges:
        for (name, member), below in zip(value.items(), node.members, strict=True):
            yield from _scalars(below, member, (*path, name))
    elif node.kind == "sequence":
        for position, (member, below) in enumerate(zip(value, node.members, strict=True)):
            yield from _scalars(below, member, (*path, position))


def _unmarked(number: int, document: Document, root: Node) -> Iterator[ImagePlace]:
    value = document.value
    kustomizes = isinstance(value, dict) and value.get("kind", KUSTOMIZATION) == KUSTOMIZATION
    for path, node, each in _scalars(root, value, ()):
        said = _said(node, each)
        if said is None:
            continue
        if len(path) >= 3 and path[-1] == "image" and path[-3] in _LISTS:
            if isinstance(each, str) and (image := _image(each)):
                yield ImagePlace(number, path, node.line, Part.WHOLE, each, image=image)
        elif kustomizes and len(path) == 3 and path[0] == "images" and path[2] in _KUSTOMIZE:
            entry = value["images"][path[1]]
            if image := _image(entry.get("newName") or entry.get("name")):
                yield ImagePlace(number, path, node.line, _KUSTOMIZE[str(path[2])], said, image=image)
        elif path and path[-1] in _VALUES and said and (image := _image(_repository(value, path))):
            yield ImagePlace(number, path, node.line, _VALUES[str(path[-1])], said, image=image)


_KUSTOMIZE: Final = {"newTag": Part.TAG, "digest": Part.DIGEST}
_VALUES: Final = {"tag": Part.TAG, "digest": Part.DIGEST}


def _repository(value: Any, path: Path) -> object:
    """What stands under `repository` beside a tag, behind its `registry`; None where there is none."""
    beside = value
    for step in path[:-1]:
        beside = beside[step]
    repository = beside.get("repository") if isinstance(beside, dict) else None
    registry = beside.get("registry") if isinstance(repository, str) else None
    return f"{registry}/{repository}" if registry and isinstance(registry, str) else repository


def _image(text: object) -> str:
    """The place of the image that a text names, empty where it is none."""
    try:
        return read_image(text).place if isinstance(text, str) else ""
    except ImageError:
        return ""

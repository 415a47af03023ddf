"""How Git can say what the cluster has of a field that a kustomization makes: where it is written, or as a patch. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.edits.changes import Put, Remove
from worker.domain.edits.places import NotEditable, steps_of
from worker.domain.errors import DesiredStateError
from worker.domain.images import ImageError, read_image
from worker.domain.plan import ABSENT
from worker.domain.proposals import Drift
from worker.domain.resource import Resource, ResourceKey
from worker.domain.yaml_text import Document, Path, read_documents
from worker.planning.diffing import MergeKeys
from worker.planning.offers import Fragment, Inside, Offer, Operation

MOST: Final = 4
"""Places where a field may be written that are tried, before a patch is."""

BUILT_IN: Final = ("", "apps", "batch", "autoscaling", "policy")
"""Groups whose lists kustomize merges by their keys; so it does with those of `*.k8s.io`."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A kustomization that an environment is rendered from: its file, and every file that only this environment reads."""

    file: str
    kustomization: Document
    texts: Mapping[str, Sequence[Document]]


def ways(drift: Drift, desired: Resource, overlay: Overlay) -> tuple[Offer, ...]:
    """What may say a field as it lives, the most natural first; only a render tells which one does. Raises NotEditable."""
    path = steps_of(drift.field.path, desired.body, 1)
    written = sorted(_written(drift, path, overlay), key=lambda each: each[0])
    found = [
        *_set(drift, path, overlay),
        *(offer for _, offer in written[:MOST]),
        *_patches(drift, desired, path, overlay),
    ]
    return tuple(each for position, each in enumerate(found) if each not in found[:position])


def _set(drift: Drift, path: Path, overlay: Overlay) -> Iterator[Offer]:
    """What the kustomization itself sets over all that it is made of: a number of replicas, an image's tag or digest."""
    value = overlay.kustomization.value
    if path == ("spec", "replicas"):
        for position, entry in _entries(value, "replicas"):
            if _may_be(entry.get("name"), drift.key) and isinstance(drift.field.new, int):
                yield Offer(overlay.file, Put(0, ("replicas", position, "count"), drift.field.new))
    elif path[-1:] == ("image",):
        try:
            old, new = read_image(str(drift.field.old)), read_image(str(drift.field.new))
        except ImageError:
            return
        for position, entry in _entries(value, "images"):
            if str(entry.get("newName") or entry.get("name")) == old.name == new.name:
                for part, said in (("newTag", new.tag), ("digest", new.digest)):
                    if part in entry and said:
                        yield Offer(overlay.file, Put(0, ("images", position, part), said))


def _entries(value: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    entries = value.get(name) if isinstance(value, dict) else None
    for position, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield position, entry


_Rank = tuple[bool, bool, bool]


def _written(drift: Drift, path: Path, overlay: Overlay) -> Iterator[tuple[_Rank, Offer]]:
    """Every place in the texts that says this field of an object of the kind, with how unlikely it is to be the one."""
    folder = overlay.file.rpartition("/")[0]
    for file, documents in overlay.texts.items():
        is_elsewhere = file.rpartition("/")[0] != folder
        for number, base, body in _holders([document.value for document in documents], drift.key):
            try:
                steps = steps_of(drift.field.path, body, 1)
            except NotEditable:
                continue
            if (now := _at(body, steps)) is not ABSENT:
                change = _change(number, (*base, *steps), drift.field.new)
                yield _rank(drift, now, body, is_elsewhere=is_elsewhere), Offer(file, change)
    for place, text in _inline(overlay.kustomization.value):
        for part, now, body in _inside(drift, path, place, text):
            yield _rank(drift, now, body, is_elsewhere=False), Offer(overlay.file, part)


def _rank(drift: Drift, now: Any, body: Any, *, is_elsewhere: bool) -> _Rank:
    return now != drift.field.old, is_elsewhere, _name_of(body) != drift.key.name


def _holders(values: Sequence[Any], key: ResourceKey) -> Iterator[tuple[int, Path, Any]]:
    """The objects in a file's documents that may become this one: of its kind, with a name that is in its name."""
    for number, value in enumerate(values):
        items = value.get("items") if isinstance(value, dict) else None
        several = [
            (("items", position), item) for position, item in enumerate(items if isinstance(items, list) else ())
        ]
        for base, body in [((), value), *several]:
            if isinstance(body, dict) and body.get("kind") == key.kind and _may_be(_name_of(body), key):
                group, slash, _ = str(body.get("apiVersion", "")).partition("/")
                if (group if slash else "") == key.group:
                    yield number, base, body


def _name_of(body: Any) -> Any:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return metadata.get("name") if isinstance(metadata, dict) else None


def _may_be(name: Any, key: ResourceKey) -> bool:
    """Whether an object of this name may be the one, after prefixes and suffixes."""
    return isinstance(name, str) and bool(name) and name in key.name


def _inline(value: Any) -> Iterator[tuple[Path, str]]:
    for position, entry in _entries(value, "patches"):
        if isinstance(entry.get("patch"), str):
            yield ("patches", position, "patch"), entry["patch"]


def _inside(drift: Drift, path: Path, place: Path, text: str) -> Iterator[tuple[Inside, Any, Any]]:
    """The field in a patch that stands in the kustomization as text: as a part of the object, or as an operation."""
    try:
        documents = [document.value for document in read_documents(text, "")]
    except DesiredStateError:
        return
    for number, base, body in _holders(documents, drift.key):
        try:
            steps = steps_of(drift.field.path, body, 1)
        except NotEditable:
            continue
        if (now := _at(body, steps)) is not ABSENT:
            yield Inside(place, _change(number, (*base, *steps), drift.field.new)), now, body
    if drift.field.new is ABSENT or not documents or not isinstance(documents[0], list):
        return
    for position, operation in enumerate(documents[0]):
        if isinstance(operation, dict) and operation.get("path") == pointer(path) and "value" in operation:
            yield Inside(place, Put(0, (position, "value"), drift.field.new)), operation["value"], None


def _at(value: Any, steps: Path) -> Any:
    for step in steps:
        members = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        if step not in members:
            return ABSENT
        value = members[step]
    return value


def _change(number: int, path: Path, value: Any) -> Put | Remove:
    return Remove(number, path) if value is ABSENT else Put(number, path, value)


# -- patches ---------------------------------------------------------------------------------------------------------------


def _patches(drift: Drift, desired: Resource, path: Path, overlay: Overlay) -> Iterator[Offer]:
    """A patch that merges, where the way to the field has names for all its items; else, and after it, one that operates."""
    value = overlay.kustomization.value
    name = drift.key.name
    if isinstance(value, dict):  # the patches of a kustomization come before its own prefix and suffix
        name = name.removeprefix(str(value.get("namePrefix") or "")).removesuffix(str(value.get("nameSuffix") or ""))
    group = drift.key.group
    target = {"kind": drift.key.kind, "name": name, "version": desired.version, **({"group": group} if group else {})}
    head = {"apiVersion": desired.api_version, "kind": drift.key.kind, "metadata": {"name": name}}
    new = drift.field.new
    steps = _keyed(desired.body, path) if group in BUILT_IN or group.endswith(".k8s.io") else path
    if steps is not None and not any(isinstance(step, int) for step in steps):
        if isinstance(steps[-1], str):
            yield Offer(overlay.file, Fragment(head, steps, None if new is ABSENT else new))
        elif new is ABSENT:
            yield Offer(overlay.file, Fragment(head, (*steps, "$patch"), "delete"))
    operation = {"op": "remove", "path": pointer(path)}
    if new is not ABSENT:
        there = _at(desired.body, path) is not ABSENT
        operation = {"op": "replace" if there else "add", "path": pointer(path), "value": new}
    yield Offer(overlay.file, Operation(target, operation))


def pointer(path: Path) -> str:
    """A place as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _keyed(body: Any, path: Path) -> tuple[Any, ...] | None:
    """The way to a place with the keys of a list's item in the place of its position; None where an item has none."""
    keys, names, value = MergeKeys(), tuple[str, ...](), body
    steps: list[Any] = []
    for step in path:
        if isinstance(step, int):
            fields = keys.of(names)
            items = value[: step + 1]
            own = tuple(
                tuple((name, item[name]) for name in fields if isinstance(item, dict) and name in item)
                for item in items
            )
            if not all(own):
                return None
            value = items[-1]
            steps.append(own)
        else:
            names, value = (*names, step), value.get(step) if isinstance(value, dict) else None
            steps.append(step)
    return tuple(steps)

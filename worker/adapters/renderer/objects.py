"""Documents made into objects: lists taken apart, and what is no Kubernetes object named with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from worker.domain.errors import Problem
from worker.domain.resource import MalformedSecret, Resource, Source, resource_of


def flattened(value: Any) -> Iterator[Any]:
    """The objects of a document: itself, or the items of a List (also of a typed one such as ConfigMapList).

    An object that is named is no list, whatever its kind is called: an AllowList may have items of its own.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list) and not _is_named(value, kind):
        for item in items:
            if isinstance(item, dict) and kind != "List":
                item = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List"), **item}  # noqa: PLW2901
            yield from flattened(item)
    else:
        yield value


def _is_named(value: dict[str, Any], kind: str) -> bool:
    metadata = value.get("metadata")
    return kind != "List" and isinstance(metadata, dict) and bool(metadata.get("name"))


def made_of(body: Any, source: Source) -> Resource | Problem:
    """The object that a body is, or the problem with it, at its source."""

    def problem(message: str, suggestion: str, where: str | None = None) -> Problem:
        return Problem(message, source.file, source.line, where, suggestion)

    if not isinstance(body, dict):
        return problem("is not a Kubernetes object", "move it out of the environment's folder")
    for member in ("apiVersion", "kind"):
        if not isinstance(body.get(member), str) or not body[member]:
            return problem(
                f"is not a Kubernetes object: `{member}` is missing", "add it, or move the file out of the folder"
            )
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or (metadata.get("name") in (None, "") and not metadata.get("generateName")):
        return problem(f"the {body['kind']} has no metadata.name", "add `metadata: {name: …}`")
    named: object = metadata.get("generateName") if metadata.get("name") in (None, "") else metadata["name"]
    if not isinstance(named, str) or not isinstance(metadata.get("namespace") or "", str):
        return problem(f"the {body['kind']} has a name or namespace that is not text", "put it in quotes")
    if not metadata.get("name"):
        return problem(
            "has generateName, so nothing can be said of it twice",
            "give it a fixed metadata.name",
            f"{body['kind']} {named}",
        )
    try:
        return resource_of(body, source)
    except MalformedSecret as error:
        return problem(str(error), "put the value in quotes; under `data` it is encoded with base64", f"Secret {named}")

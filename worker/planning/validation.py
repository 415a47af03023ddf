"""Is the desired state well-formed, and is it allowed here: placed in namespaces, checked, every problem named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from worker.domain.environment import NAMESPACE, OWNER_LABEL, Ceiling, Environment
from worker.domain.errors import Problem
from worker.domain.resource import Resource, ResourceKey
from worker.planning.dangers import denied
from worker.planning.scopes import Scope, builtin_scope, scope_with

__all__ = ["Scope", "builtin_scope", "place", "scope_with", "validate"]

SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""RFC 1123 subdomain, what most names must be; some kinds (RBAC) take any path segment."""

FREE_NAMES: Final = frozenset({"rbac.authorization.k8s.io"})
NAME_LIMIT: Final = 253


def place(resources: Iterable[Resource], namespace: str, scope: Scope) -> tuple[Resource, ...]:
    """Every object where it belongs: namespaced ones without a namespace in `namespace`, cluster-wide ones in none."""
    return tuple(_placed(resource, namespace, scope(resource.key.group, resource.key.kind)) for resource in resources)


def _placed(resource: Resource, namespace: str, namespaced: bool | None) -> Resource:  # noqa: FBT001 (three answers)
    key, metadata = resource.key, dict(resource.metadata)
    if namespaced is False and key.namespace:
        metadata.pop("namespace", None)
        moved = ResourceKey(key.group, key.kind, "", key.name)
    elif namespaced and not key.namespace and namespace:
        metadata["namespace"] = namespace
        moved = ResourceKey(key.group, key.kind, namespace, key.name)
    else:
        return resource
    return Resource(moved, resource.version, {**resource.body, "metadata": metadata}, resource.source)


def validate(
    resources: Iterable[Resource],
    environment: Environment,
    ceiling: Ceiling,
    scope: Scope,
    *,
    state_namespace: str = "",
) -> tuple[Problem, ...]:
    """Everything that is wrong with placed objects; each problem names its file, line and object."""
    found: list[Problem] = []
    seen: dict[ResourceKey, Resource] = {}
    for resource in resources:
        other = seen.setdefault(resource.key, resource)
        if other is not resource:
            place_of_other = f"{other.source}" if other.source else "elsewhere"
            found.append(
                _problem(resource, f"is declared twice; the other is in {place_of_other}", "keep one of the two")
            )
        found.extend(_shape(resource))
        found.extend(_allowed(resource, environment, ceiling, scope, state_namespace))
        found.extend(denied(resource, ceiling))
    return tuple(found)


def _shape(resource: Resource) -> Iterator[Problem]:
    key, metadata = resource.key, resource.metadata
    if metadata.get("generateName"):
        yield _problem(
            resource, "has generateName, so nothing can be said of it twice", "give it a fixed metadata.name"
        )
    if key.namespace and not NAMESPACE.fullmatch(key.namespace):
        yield _problem(
            resource, "is in a namespace whose name the API does not take", "use lower-case letters, digits, '-'"
        )
    if "/" in key.name or key.name in (".", "..") or "%" in key.name:
        yield _problem(resource, "has a name that cannot stand in a path", "rename it")
    elif key.group not in FREE_NAMES and (len(key.name) > NAME_LIMIT or not SUBDOMAIN.fullmatch(key.name)):
        yield _problem(
            resource,
            "has a name that the API does not take",
            "use lower-case letters, digits, '-' and '.', at most 253 characters",
        )
    for member in ("labels", "annotations"):
        values = metadata.get(member)
        if values is None:
            continue
        if not isinstance(values, dict):
            yield _problem(resource, f"metadata.{member}: expected a mapping", "write name: value lines")
            continue
        for name, value in values.items():
            if value is not None and not isinstance(value, str) and resource.key.kind != "Secret":
                kind = type(value).__name__
                yield _problem(
                    resource, f"metadata.{member}.{name}: expected text, found {kind}", "put the value in quotes"
                )
    if OWNER_LABEL in resource.labels:
        yield _problem(resource, f"sets the label {OWNER_LABEL}, which is Plumbline's own", "remove it")


def _allowed(
    resource: Resource, environment: Environment, ceiling: Ceiling, scope: Scope, state_namespace: str
) -> Iterator[Problem]:
    key = resource.key
    namespaced = scope(key.group, key.kind)
    who = f"the operator allows more in app.yaml, under the repository {environment.repository}'s ceiling"
    if namespaced is None:
        yield _problem(
            resource,
            f"is of a kind that the cluster does not serve ({resource.api_version})",
            "check apiVersion and kind, or add its CustomResourceDefinition to the same environment",
        )
    if not ceiling.allows_kind(key.group_kind):
        yield _problem(resource, f"is of the kind {key.group_kind}, which is not allowed here", who)
    if namespaced and not key.namespace:
        yield _problem(resource, "has no namespace", "set metadata.namespace, or the environment's namespace")
    elif namespaced and not ceiling.allows_namespace(key.namespace):
        yield _problem(resource, f"is in the namespace {key.namespace}, which is not allowed here", who)
    elif namespaced is False and not _allows_cluster_wide(key, ceiling):
        yield _problem(resource, f"is cluster-wide ({key.group_kind}), which is not allowed here", who)
    own = key.namespace or (key.name if key.group_kind == "Namespace" else "")
    if state_namespace and own == state_namespace and ceiling.namespaces is not None:
        yield _problem(
            resource, f"is in {state_namespace}, where Plumbline keeps its own records", "use another namespace"
        )


def _allows_cluster_wide(key: ResourceKey, ceiling: Ceiling) -> bool:
    if key.group_kind == "Namespace" and ceiling.namespaces is not None and ceiling.allows_namespace(key.name):
        return True
    return ceiling.allows_cluster_scoped(key.group_kind)


def _problem(resource: Resource, message: str, suggestion: str) -> Problem:
    source = resource.source
    return Problem(
        message,
        file=source.file if source else None,
        line=source.line if source else None,
        where=str(resource.key),
        suggestion=suggestion,
    )

"""Rendered objects made into what will be sent: placed, checked, in stages, with our label."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.adapters.cluster import Cluster
from worker.domain.desired import DesiredState
from worker.domain.environment import OWNER_LABEL, Ceiling, Environment
from worker.domain.errors import DesiredStateError
from worker.domain.resource import Body, Resource, ResourceKey
from worker.planning import validation
from worker.planning.ownership import Ownership, autoscaled
from worker.planning.sequencing import sequence

TEMPLATES = (
    ("metadata",),
    ("template", "metadata"),
    ("spec", "template", "metadata"),
    ("spec", "jobTemplate", "metadata"),
    ("spec", "jobTemplate", "spec", "template", "metadata"),
)
CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")


@dataclass(frozen=True, slots=True)
class Target:
    """What is planned against: a cluster, an environment in it, and what the operator allows there.

    `scaled` are the workloads that an autoscaler of the desired state scales, as `beside` finds them.
    """

    cluster: Cluster
    environment: Environment
    ceiling: Ceiling
    state_namespace: str
    scaled: Mapping[ResourceKey, str] = field(default_factory=dict)

    @property
    def ownership(self) -> Ownership:
        """Who has which field: the one judge of everything that compares desired with live."""
        environment = self.environment
        return Ownership(environment.field_manager, environment.policy, self.ceiling.force, self.scaled)

    def beside(self, desired: Iterable[Resource]) -> Target:
        """The same, with what a desired state's own autoscalers scale."""
        return replace(self, scaled=autoscaled(desired))


def prepare(target: Target, resources: Iterable[Resource]) -> DesiredState:
    """Desired objects as they will be sent: in their namespace, with our label.

    Raises DesiredStateError with every Problem found.
    """
    return check(target, place(target, resources))


def place(target: Target, resources: Iterable[Resource]) -> DesiredState:
    """Desired objects in their namespaces; those that the server does not serve apart, where policy leaves them out."""
    rendered = tuple(resources)
    placed = validation.place(rendered, target.environment.namespace, _scope(target, rendered))
    if target.environment.policy.unserved != "skip":
        return DesiredState(placed)
    brought = {kind for resource in rendered if (kind := defined_kind(resource))}
    served = tuple(
        resource
        for resource in placed
        if (resource.key.group, resource.key.kind) in brought
        or target.cluster.discovery.of(resource.key, resource.version) is not None
    )
    there = {id(resource) for resource in served}
    return DesiredState(served, unserved=tuple(resource for resource in placed if id(resource) not in there))


def check(target: Target, placed: DesiredState) -> DesiredState:
    """Placed objects, valid and allowed, in stages and with our label.

    Raises DesiredStateError with every Problem found.
    """
    environment, resources = target.environment, placed.resources
    scope = _scope(target, resources)
    problems = validation.validate(
        resources, environment, target.ceiling, scope, state_namespace=target.state_namespace
    )
    owner = environment.owner_label
    ordered = sequence(labelled(_without_status(target, resource), owner) for resource in resources)
    if problems or ordered.problems:
        raise DesiredStateError([*problems, *ordered.problems])
    applied = tuple(resource for stage in ordered.stages for resource in stage.resources)
    return DesiredState(applied, ordered.stages, placed.unserved, ordered.never, ordered.removed)


def _scope(target: Target, resources: Iterable[Resource]) -> validation.Scope:
    return functools.cache(validation.scope_with(resources, target.cluster.discovery.scope))


def _without_status(target: Target, resource: Resource) -> Resource:
    """The object without a status that the server would ignore: generators of definitions leave one in manifests."""
    if "status" not in resource.body:
        return resource
    served = target.cluster.discovery.of(resource.key, resource.version)
    if served is None or not served.has_status:
        return resource
    body = {name: value for name, value in resource.body.items() if name != "status"}
    return Resource(resource.key, resource.version, body, resource.source)


def labelled(resource: Resource, owner: str) -> Resource:
    """The object with the environment's label on it, and without what would make the server write it at each apply.

    That is, as observed: empty annotations, which it does not keep, and the `creationTimestamp: null` that generators
    leave in templates.
    """
    metadata = {**resource.metadata, "labels": {**resource.labels, OWNER_LABEL: owner}}
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    body = {**resource.body, "metadata": metadata}
    for path in TEMPLATES:
        _drop_null_timestamp(body, path)
    return Resource(resource.key, resource.version, body, resource.source)


def _drop_null_timestamp(body: Body, path: tuple[str, ...]) -> None:
    """Leaves the null out of a copy; nothing is copied where there is none."""
    place: Any = body
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict) or place.get("creationTimestamp", place) is not None:
        return
    place = body
    for name in path:
        place[name] = dict(place[name])
        place = place[name]
    del place["creationTimestamp"]


def defined_kind(resource: Resource) -> tuple[str, str] | None:
    """The (group, kind) that a CustomResourceDefinition brings; None for anything else."""
    if (resource.key.group, resource.key.kind) != CRD:
        return None
    spec = resource.body.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind")
    return (str(spec.get("group", "")), str(kind)) if kind else None

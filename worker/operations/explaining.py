"""Why an object is not healthy, in words a person can act on: its Pods, and the events of it and of what it made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from worker.adapters.cluster.discovery import AccessDenied
from worker.domain.health import Health, ResourceHealth
from worker.domain.resource import Resource, ResourceKey
from worker.operations.preparing import Target
from worker.planning.assessment import current_pods, is_ready, newest_replica_set, rollout_trouble, telling

TEMPLATED: Final = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch"})
"""Kinds that make Pods."""


SELECTS_BEFORE_LIST: Final = 8
"""From this many unhealthy workloads of one namespace, one LIST of its Pods is cheaper than a selection for each."""


def troubles_of(
    target: Target, unhealthy: Iterable[ResourceHealth], live: Mapping[ResourceKey, Resource]
) -> list[tuple[ResourceHealth, str]]:
    """What the Pods of each workload's newest template say will not mend by itself; nothing where they say nothing.

    A few workloads are asked about one by one, many of a namespace by one LIST of its Pods: a first convergence has
    hundreds, and the API server has better things to do then.
    """
    doubted: dict[str, list[tuple[ResourceHealth, Resource]]] = {}
    for health in unhealthy:
        workload = live.get(health.key)
        if workload is not None and _labels(workload):
            doubted.setdefault(health.key.namespace, []).append((health, workload))
    found: list[tuple[ResourceHealth, str]] = []
    for namespace, asked in doubted.items():
        every = _pods(target, namespace, "") if len(asked) > SELECTS_BEFORE_LIST else None
        for health, workload in asked:
            if every is None:
                pods, sets = _made_by(target, workload)
            else:
                pods, sets = (_matching(each, _labels(workload)) for each in every)
            if trouble := rollout_trouble(workload, pods, sets):
                own = health.reason if health.key.kind == "Job" and health.health is Health.DEGRADED else ""
                found.append((health, f"{own}: {trouble}" if own else trouble))
    return found


def explained(target: Target, health: ResourceHealth, live: Mapping[ResourceKey, Resource]) -> str:
    """Why an object is not healthy: its own reason, and what the newest warning about it or its Pods says."""
    reason = health.reason or health.health.value
    resource = live.get(health.key)
    if resource is None:
        return reason
    subjects = [resource]
    if health.key.group_kind in TEMPLATED:
        pods, sets = _made_by(target, resource)
        waiting = [pod for pod in current_pods(resource, pods, sets) if not is_ready(pod)]
        newest = newest_replica_set(resource, sets)
        subjects = [*waiting[:1], *([newest] if newest else []), resource]
    for subject in subjects:
        said = _told(target, subject)
        if said and said not in reason:
            return f"{reason}; {said}"
    return reason


def _labels(workload: Resource) -> Mapping[str, str]:
    """The labels that a workload selects its Pods by, empty for what makes none."""
    if workload.key.group_kind not in TEMPLATED:
        return {}
    return ((workload.body.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}


def _made_by(target: Target, workload: Resource) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """The Pods of a workload's selector, and a Deployment's ReplicaSets."""
    labels = _labels(workload)
    if not labels:
        return (), ()
    return _pods(target, workload.key.namespace, ",".join(f"{name}={value}" for name, value in sorted(labels.items())))


def _pods(target: Target, namespace: str, label: str) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """The Pods and ReplicaSets of a namespace, by label."""
    kinds = [target.cluster.discovery.find("", "Pod", "v1"), target.cluster.discovery.find("apps", "ReplicaSet", "v1")]
    pods, sets = (target.cluster.select(kind, namespace, label=label) if kind else () for kind in kinds)
    return pods, sets


def _matching(resources: tuple[Resource, ...], labels: Mapping[str, str]) -> tuple[Resource, ...]:
    return tuple(each for each in resources if labels.items() <= each.labels.items())


def _told(target: Target, resource: Resource) -> str:
    """The newest warning about an object; an identity that may not read events is told nothing, and needs nothing."""
    kind = target.cluster.discovery.find("", "Event", "v1")
    if kind is None or not resource.uid:
        return ""
    namespace = resource.key.namespace or "default"
    try:
        return telling(target.cluster.select(kind, namespace, fields=f"involvedObject.uid={resource.uid}"))
    except AccessDenied:
        return ""

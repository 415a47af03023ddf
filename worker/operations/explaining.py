"""Why an object is not healthy, in words a person can act on: its Pods, and the events of it and of what it made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.adapters.cluster.discovery import AccessDenied
from worker.domain.health import Health, ResourceHealth
from worker.domain.resource import Resource, ResourceKey
from worker.operations.preparing import Target
from worker.planning.assessment import current_pods, is_ready, newest_replica_set, rollout_trouble, telling

TEMPLATED: Final = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch"})
"""Kinds that make Pods."""


def trouble_of(target: Target, health: ResourceHealth, live: Mapping[ResourceKey, Resource]) -> str | None:
    """What the Pods of a workload's newest template say will not mend by itself; None where they say nothing."""
    workload = live.get(health.key)
    if workload is None or health.key.group_kind not in TEMPLATED:
        return None
    pods, sets = _made_by(target, workload)
    trouble = rollout_trouble(workload, pods, sets)
    own = health.reason if health.key.kind == "Job" and health.health is Health.DEGRADED else ""
    return f"{own}: {trouble}" if own and trouble else trouble


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


def _made_by(target: Target, workload: Resource) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """The Pods of a workload's selector, and a Deployment's ReplicaSets."""
    selector = ((workload.body.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if not selector:
        return (), ()
    label = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
    pods_kind = target.cluster.discovery.find("", "Pod", "v1")
    sets_kind = target.cluster.discovery.find("apps", "ReplicaSet", "v1")
    assert pods_kind is not None
    assert sets_kind is not None
    namespace = workload.key.namespace
    pods = target.cluster.select(pods_kind, namespace, label=label)
    sets = target.cluster.select(sets_kind, namespace, label=label) if workload.key.kind == "Deployment" else ()
    return pods, sets


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

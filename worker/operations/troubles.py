"""Why workloads are not healthy, as their Pods say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from worker.domain.health import ResourceHealth
from worker.domain.resource import Resource, ResourceKey
from worker.operations.preparing import Target
from worker.planning.assessment import rollout_trouble

SELECTS_BEFORE_LIST: Final = 8
"""From this many unhealthy workloads of one namespace, one LIST of its Pods is cheaper than a selection for each."""

TEMPLATED: Final = frozenset({"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch"})


def troubles_of(
    target: Target, unhealthy: Iterable[ResourceHealth], live: Mapping[ResourceKey, Resource]
) -> list[tuple[ResourceHealth, str]]:
    """What the Pods of each workload's newest template say about why it is not healthy; nothing where they say nothing.

    A few workloads are asked about one by one, many of a namespace by one LIST of its Pods: a first convergence has
    hundreds, and the API server has better things to do then.
    """
    doubted: dict[str, list[tuple[ResourceHealth, Resource, Mapping[str, str]]]] = {}
    for health in unhealthy:
        workload = live.get(health.key)
        if workload is None or health.key.group_kind not in TEMPLATED:
            continue
        labels = ((workload.body.get("spec") or {}).get("selector") or {}).get("matchLabels")
        if labels:
            doubted.setdefault(health.key.namespace, []).append((health, workload, labels))
    found: list[tuple[ResourceHealth, str]] = []
    for namespace, asked in doubted.items():
        every = _pods(target, namespace, "") if len(asked) > SELECTS_BEFORE_LIST else None
        for health, workload, labels in asked:
            if every is None:
                selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
                pods, sets = _pods(target, namespace, selector)
            else:
                pods, sets = (_matching(each, labels) for each in every)
            if trouble := rollout_trouble(workload, pods, sets):
                found.append((health, trouble))
    return found


def _pods(target: Target, namespace: str, label: str) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
    """The Pods and ReplicaSets of a namespace, by label."""
    kinds = [target.cluster.discovery.find("", "Pod", "v1"), target.cluster.discovery.find("apps", "ReplicaSet", "v1")]
    pods, sets = (target.cluster.select(kind, namespace, label=label) if kind else () for kind in kinds)
    return pods, sets


def _matching(resources: tuple[Resource, ...], labels: Mapping[str, str]) -> tuple[Resource, ...]:
    return tuple(each for each in resources if labels.items() <= each.labels.items())

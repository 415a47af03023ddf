"""In which order objects are applied, and deleted: one table of kinds, each row with its reason.

Four keys decide: the group of the kind, the kind, the namespace, the name. Objects of one group are applied in parallel,
the groups one after another; deletion is the exact reverse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from worker.domain.resource import Resource, ResourceKey

PHASES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("others live in it", ("Namespace",)),
    ("others are of it", ("CustomResourceDefinition.apiextensions.k8s.io",)),
    (
        "cluster-wide classes and limits that admission looks up when an object is created",
        (
            "PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "StorageClass.storage.k8s.io",
            "VolumeSnapshotClass.snapshot.storage.k8s.io", "IngressClass.networking.k8s.io",
            "GatewayClass.gateway.networking.k8s.io", "ClusterClass.cluster.x-k8s.io",
            "ResourceQuota", "LimitRange", "NetworkPolicy.networking.k8s.io", "PodSecurityPolicy.policy",
        ),
    ),
    ("Pods name it when they start", ("ServiceAccount",)),
    ("rights that Pods use as soon as they run", ("ClusterRole.rbac.authorization.k8s.io", "Role.rbac.authorization.k8s.io")),
    (
        "a binding needs its role (escalation is checked against it)",
        ("ClusterRoleBinding.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io"),
    ),
    ("Pods mount or read it when they start", ("Secret", "ConfigMap")),
    ("claims bind to it", ("PersistentVolume",)),
    ("Pods wait for it", ("PersistentVolumeClaim",)),
    ("its address is injected into Pods that start later", ("Service", "Endpoints", "EndpointSlice.discovery.k8s.io")),
    (
        "what runs; budgets before what they protect",
        ("PodDisruptionBudget.policy",),
    ),
    (
        "what runs",
        (
            "DaemonSet.apps", "Pod", "ReplicationController", "ReplicaSet.apps", "Deployment.apps", "StatefulSet.apps",
            "Job.batch", "CronJob.batch",
        ),
    ),
    ("needs the workload that it scales", ("HorizontalPodAutoscaler.autoscaling", "VerticalPodAutoscaler.autoscaling.k8s.io")),
    ("sends traffic to Services that exist by now", ("Ingress.networking.k8s.io", "HTTPRoute.gateway.networking.k8s.io")),
)  # fmt: skip

LAST: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("its server runs by now", ("APIService.apiregistration.k8s.io",)),
    (
        "a webhook whose Pods do not run yet would refuse everything after it",
        (
            "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
            "MutatingAdmissionPolicy.admissionregistration.k8s.io",
            "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
            "MutatingWebhookConfiguration.admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        ),
    ),
)
"""After every kind that no row names (custom resources: their definitions and controllers are there by then)."""

WAITED_FOR: Final = frozenset({"Namespace", "CustomResourceDefinition.apiextensions.k8s.io"})
"""Kinds whose objects must be established before anything later can even be tried."""

_UNNAMED: Final = len(PHASES)
_T = TypeVar("_T")


def _ranks() -> Mapping[str, tuple[int, int]]:
    ranks: dict[str, tuple[int, int]] = {}
    for start, table in ((0, PHASES), (_UNNAMED + 1, LAST)):
        for phase, (_, kinds) in enumerate(table, start=start):
            ranks.update({kind: (phase, place) for place, kind in enumerate(kinds)})
    return ranks


RANKS: Final = _ranks()


def rank(key: ResourceKey) -> tuple[int, int]:
    """The group of a kind and its place in it; kinds that no row names come between workloads and webhooks."""
    return RANKS.get(key.group_kind, (_UNNAMED, 0))


def sort_key(key: ResourceKey) -> tuple[tuple[int, int], str, str, str, str]:
    """The whole order: group and kind by the table, then unnamed kinds by name, namespace, name."""
    return rank(key), key.group, key.kind, key.namespace, key.name


def apply_order(resources: Iterable[Resource]) -> tuple[tuple[Resource, ...], ...]:
    """The groups in which objects are applied, one after another; inside one, in parallel."""
    return _grouped([(resource.key, resource) for resource in resources])


def prune_order(keys: Iterable[ResourceKey]) -> tuple[tuple[ResourceKey, ...], ...]:
    """The groups in which objects are deleted: the apply order, reversed."""
    groups = _grouped([(key, key) for key in keys])
    return tuple(tuple(reversed(group)) for group in reversed(groups))


def _grouped(items: Sequence[tuple[ResourceKey, _T]]) -> tuple[tuple[_T, ...], ...]:
    groups: dict[int, list[_T]] = {}
    for key, item in sorted(items, key=lambda pair: sort_key(pair[0])):
        groups.setdefault(rank(key)[0], []).append(item)
    return tuple(tuple(group) for group in groups.values())


def waits_for(group: Iterable[Resource]) -> bool:
    """Whether what was applied must be established before the next group is tried."""
    return any(resource.key.group_kind in WAITED_FOR for resource in group)

"""The order of kinds, as a picture, and against other projects' lists."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import table
from worker.domain.resource import ResourceKey, resource_of
from worker.planning.ordering import apply_order, prune_order, rank, waits_for

WRITTEN = (
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "w"),
    ("example.com/v1", "Widget", "b", "one"),
    ("apps/v1", "Deployment", "b", "cart"),
    ("v1", "Service", "b", "cart"),
    ("apps/v1", "Deployment", "a", "cart"),
    ("v1", "ConfigMap", "b", "flags"),
    ("v1", "Namespace", "", "b"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.example.com"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "b", "r"),
    ("rbac.authorization.k8s.io/v1", "Role", "b", "r"),
    ("v1", "ServiceAccount", "b", "s"),
    ("networking.k8s.io/v1", "Ingress", "b", "i"),
)

PICTURE = """\
Namespace b
CustomResourceDefinition widgets.example.com
ServiceAccount b/s
Role b/r
RoleBinding b/r
ConfigMap b/flags
Service b/cart
Deployment a/cart + Deployment b/cart
Ingress b/i
Widget b/one
ValidatingWebhookConfiguration w"""


def resources() -> list[object]:
    return [
        resource_of({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}})
        for version, kind, namespace, name in WRITTEN
    ]


def test_the_order_can_be_read_aloud() -> None:
    groups = apply_order(resources())  # type: ignore[arg-type]
    assert "\n".join(" + ".join(str(resource.key) for resource in group) for group in groups) == PICTURE
    assert [waits_for(group) for group in groups].count(True) == 2


def test_deletion_is_the_exact_reverse() -> None:
    keys = [resource.key for resource in resources()]  # type: ignore[attr-defined]
    applied = [resource.key for group in apply_order(resources()) for resource in group]  # type: ignore[arg-type]
    assert [key for group in prune_order(keys) for key in group] == applied[::-1]


GROUPS = {
    "Role": "rbac.authorization.k8s.io", "RoleBinding": "rbac.authorization.k8s.io",
    "ClusterRole": "rbac.authorization.k8s.io", "ClusterRoleBinding": "rbac.authorization.k8s.io",
    "CustomResourceDefinition": "apiextensions.k8s.io", "Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps",
    "ReplicaSet": "apps", "Job": "batch", "CronJob": "batch", "Ingress": "networking.k8s.io",
    "IngressClass": "networking.k8s.io", "StorageClass": "storage.k8s.io", "PriorityClass": "scheduling.k8s.io",
    "HorizontalPodAutoscaler": "autoscaling", "PodDisruptionBudget": "policy", "APIService": "apiregistration.k8s.io",
    "NetworkPolicy": "networking.k8s.io",
}  # fmt: skip

DIFFERENT = {
    ("IngressClass", "Ingress"): "an Ingress names its class when it is admitted",
    ("CustomResourceDefinition", "ServiceAccount"): "definitions are waited for, so they go first",
    ("PersistentVolume", "CustomResourceDefinition"): "definitions are waited for, so they go first",
}


def test_pairs_that_every_project_orders_the_same_way_are_ordered_so(corpora: Path) -> None:
    lists = [
        case["order"] for case in table(corpora, "order_kinds") if "uninstall" not in case["id"] and "order" in case
    ]
    assert lists

    def key(kind: str) -> ResourceKey:
        return ResourceKey(GROUPS.get(kind, ""), kind, "", "x")

    wrong = []
    known = [
        kind
        for kind in lists[0]
        if kind in GROUPS or kind in ("Namespace", "Secret", "ConfigMap", "Service", "Pod", "ServiceAccount")
    ]
    for first in known:
        for second in known:
            votes = [order.index(first) < order.index(second) for order in lists if first in order and second in order]
            if (
                len(votes) == len(lists)
                and all(votes)
                and (first, second) not in DIFFERENT
                and rank(key(first)) > rank(key(second))
            ):
                wrong.append((first, second))
    assert wrong == []

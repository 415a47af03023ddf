"""Which kinds live in a namespace: the built-in ones, for who has no API server to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from worker.domain.resource import Resource

Scope = Callable[[str, str], bool | None]
"""(group, kind) -> whether the kind lives in a namespace, None where it is not known."""

CLUSTER_SCOPED: Final = frozenset({
    "Namespace", "Node", "PersistentVolume", "ComponentStatus",
    "CustomResourceDefinition.apiextensions.k8s.io", "APIService.apiregistration.k8s.io",
    "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
    "PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "IngressClass.networking.k8s.io",
    "IPAddress.networking.k8s.io", "ServiceCIDR.networking.k8s.io",
    "StorageClass.storage.k8s.io", "CSIDriver.storage.k8s.io", "CSINode.storage.k8s.io",
    "VolumeAttachment.storage.k8s.io", "VolumeAttributesClass.storage.k8s.io",
    "CertificateSigningRequest.certificates.k8s.io", "ClusterTrustBundle.certificates.k8s.io",
    "FlowSchema.flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
    "MutatingWebhookConfiguration.admissionregistration.k8s.io",
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
    "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
    "MutatingAdmissionPolicy.admissionregistration.k8s.io",
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
    "DeviceClass.resource.k8s.io", "ResourceSlice.resource.k8s.io", "PodSecurityPolicy.policy",
})  # fmt: skip

BUILT_IN_GROUPS: Final = frozenset({
    "", "apps", "batch", "autoscaling", "policy", "rbac.authorization.k8s.io", "networking.k8s.io", "storage.k8s.io",
    "scheduling.k8s.io", "node.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
    "certificates.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
    "flowcontrol.apiserver.k8s.io", "resource.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
})  # fmt: skip


def builtin_scope(group: str, kind: str) -> bool | None:
    """The scope of a built-in kind; None for custom resources."""
    if (f"{kind}.{group}" if group else kind) in CLUSTER_SCOPED:
        return False
    return True if group in BUILT_IN_GROUPS else None


def scope_with(resources: Iterable[Resource], scope: Scope) -> Scope:
    """The same scope, which also knows the kinds that definitions in the set itself bring."""
    own: dict[tuple[str, str], bool] = {}
    for resource in resources:
        if resource.key.group_kind != "CustomResourceDefinition.apiextensions.k8s.io":
            continue
        spec = resource.body.get("spec")
        names = spec.get("names") if isinstance(spec, dict) else None
        if isinstance(spec, dict) and isinstance(names, dict):
            own[str(spec.get("group", "")), str(names.get("kind", ""))] = spec.get("scope") == "Namespaced"

    def known(group: str, kind: str) -> bool | None:
        found = scope(group, kind)
        return own.get((group, kind)) if found is None else found

    return known

"""What gives an environment, or whoever it names, more power than its own namespaces: denied until the operator opens it.

Judged on the very objects that are sent, and again on what the server answers. The names are those of `dangerous` in an
app.yaml's ceiling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from worker.domain.environment import Ceiling
from worker.domain.errors import Problem
from worker.domain.resource import Resource

KINDS: Final = {
    "ClusterRole.rbac.authorization.k8s.io": "rbac",
    "ClusterRoleBinding.rbac.authorization.k8s.io": "rbac",
    "CertificateSigningRequest.certificates.k8s.io": "rbac",
    "ClusterTrustBundle.certificates.k8s.io": "rbac",
    "MutatingWebhookConfiguration.admissionregistration.k8s.io": "admission",
    "ValidatingWebhookConfiguration.admissionregistration.k8s.io": "admission",
    "MutatingAdmissionPolicy.admissionregistration.k8s.io": "admission",
    "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io": "admission",
    "ValidatingAdmissionPolicy.admissionregistration.k8s.io": "admission",
    "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io": "admission",
    "CustomResourceDefinition.apiextensions.k8s.io": "api-extensions",
    "APIService.apiregistration.k8s.io": "api-extensions",
}
"""Kinds that are dangerous whatever they say."""

WHAT_KINDS_DO: Final = {
    "rbac": "gives rights in the whole cluster",
    "admission": "sees or changes what everybody writes",
    "api-extensions": "changes the API for everybody",
}
WIDENING_VERBS: Final = frozenset({"*", "escalate", "bind", "impersonate"})
"""Verbs by which a right makes more rights (Kubernetes' RBAC good practices)."""

HARMLESS_CLUSTER_ROLE: Final = "view"
ENFORCE: Final = "pod-security.kubernetes.io/enforce"
TOKENS: Final = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})


def dangers(resource: Resource, ceiling: Ceiling) -> dict[str, str]:
    """Each danger's name and what the object does, empty where it is harmless."""
    name = KINDS.get(resource.key.group_kind)
    if name is not None:
        return {name: WHAT_KINDS_DO[name]}
    match resource.key.group_kind:
        case "Role.rbac.authorization.k8s.io":
            name, found = "rbac", _wide_rules(resource.body)
        case "RoleBinding.rbac.authorization.k8s.io":
            name, found = "rbac", _wide_binding(resource.body, resource.key.namespace, ceiling)
        case "Namespace":
            name, found = "pod-security", _weak_pod_security(resource)
        case "Secret":
            name, found = "tokens", _tokens(resource)
        case _:
            return {}
    reasons = "; ".join(dict.fromkeys(found))
    return {name: reasons} if reasons else {}


def denied(resource: Resource, ceiling: Ceiling, before: Resource | None = None) -> tuple[Problem, ...]:
    """What the ceiling does not open of it; what the live object `before` was already is nobody's new danger."""
    if ceiling.dangerous is None:
        return ()
    source = resource.source
    was = dangers(before, ceiling) if before is not None else {}
    does = dangers(resource, ceiling)
    if before is not None and (taken := _lost_pod_security(resource, before)):
        does, was = {**does, "pod-security": taken}, {each: why for each, why in was.items() if each != "pod-security"}
    return tuple(
        Problem(
            f"{why}, which is not allowed here",
            source.file if source else None,
            source.line if source else None,
            str(resource.key),
            f"the operator allows it in app.yaml, under this repository's ceiling: dangerous: [{name}]",
        )
        for name, why in does.items()
        if name not in ceiling.dangerous and name not in was
    )


def opened(resource: Resource, ceiling: Ceiling) -> tuple[str, ...]:
    """What an object does that the operator has opened, in words for everybody who looks at the plan."""
    if ceiling.dangerous is None:
        return ()
    return tuple(why for name, why in dangers(resource, ceiling).items() if name in ceiling.dangerous)


def _wide_rules(body: dict[str, Any]) -> Iterator[str]:
    for rule in _mappings(body.get("rules")):
        verbs = WIDENING_VERBS & set(_texts(rule.get("verbs")))
        if verbs:
            yield f"gives the right to {', '.join(sorted(verbs))}"
        elif "*" in (*_texts(rule.get("resources")), *_texts(rule.get("apiGroups"))):
            yield "gives rights over every kind there is"


def _wide_binding(body: dict[str, Any], namespace: str, ceiling: Ceiling) -> Iterator[str]:
    role = body.get("roleRef")
    if isinstance(role, dict) and role.get("kind") == "ClusterRole" and role.get("name") != HARMLESS_CLUSTER_ROLE:
        yield f"binds the ClusterRole {role.get('name')}"
    for subject in _mappings(body.get("subjects")):
        its = str(subject.get("namespace") or namespace)
        if subject.get("kind") != "ServiceAccount":
            yield f"gives rights to the {subject.get('kind')} {subject.get('name')}"
        elif its != namespace and not ceiling.allows_namespace(its):
            yield f"gives rights to a ServiceAccount of the namespace {its}"


def _weak_pod_security(resource: Resource) -> Iterator[str]:
    level, version = resource.labels.get(ENFORCE, "restricted"), resource.labels.get(f"{ENFORCE}-version", "latest")
    if level != "restricted" or version != "latest":
        yield f"sets how safe Pods have to be ({ENFORCE}: {level}, version {version})"


def _lost_pod_security(resource: Resource, before: Resource) -> str:
    """What a Namespace loses by being without the level that it has; without one, Pods are as safe as the cluster's default."""
    if resource.key.group_kind != "Namespace" or ENFORCE in resource.labels or ENFORCE not in before.labels:
        return ""
    return f"takes away how safe Pods have to be ({ENFORCE}: {before.labels[ENFORCE]})"


def _tokens(resource: Resource) -> Iterator[str]:
    if str(resource.body.get("type")) in TOKENS:
        yield f"makes a token of the type {resource.body['type']}"


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

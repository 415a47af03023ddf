"""What people's tools added beside Git: fields and list items of our objects, and objects that nobody declared.

Judged by managedFields alone: a field is an addition where only people's tools own it. What a controller owns, what the
server fills in by itself, and what belongs to an object that a controller made, is nobody's addition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from worker.domain.environment import OWNER_LABEL
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import Resource, ResourceKey
from worker.domain.rules import OWN, is_peoples_tool
from worker.planning.diffing import NOISE
from worker.planning.owned_fields import (
    FieldPath,
    Owned,
    entries_of,
    fields_of,
    is_leaf,
    is_ours,
    member,
    operation_of,
    text_of,
)

SERVER_DEFAULTS: Final[Mapping[str, tuple[Any, ...]]] = {
    "clusterIP": (), "clusterIPs": (), "nodePort": (), "ipFamilies": (), "uid": (), "volumeName": (),
    "internalTrafficPolicy": ("Cluster",), "ipFamilyPolicy": ("SingleStack",), "sessionAffinity": ("None",),
    "externalTrafficPolicy": ("Cluster",), "allocateLoadBalancerNodePorts": (True,),
    "type": ("ClusterIP", "RollingUpdate", "Opaque"), "protocol": ("TCP",),
    "progressDeadlineSeconds": (600,), "revisionHistoryLimit": (10,), "replicas": (1,), "podManagementPolicy": ("OrderedReady",),
    "maxSurge": ("25%", 0), "maxUnavailable": ("25%", 1), "partition": (0,), "strategy": ({},), "updateStrategy": ({},),
    "whenDeleted": ("Retain",), "whenScaled": ("Retain",), "minReadySeconds": (0,),
    "dnsPolicy": ("ClusterFirst",), "restartPolicy": ("Always",), "schedulerName": ("default-scheduler",),
    "securityContext": ({},), "terminationGracePeriodSeconds": (30,), "enableServiceLinks": (True,), "preemptionPolicy": (),
    "priority": (0,), "serviceAccount": (), "tolerationSeconds": (300,),
    "imagePullPolicy": ("Always", "IfNotPresent"), "resources": ({},), "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",), "failureThreshold": (3,), "periodSeconds": (10,), "successThreshold": (1,),
    "timeoutSeconds": (1,), "initialDelaySeconds": (0,), "scheme": ("HTTP",), "path": ("/",), "defaultMode": (420,),
    "apiVersion": ("v1",), "optional": (False,),
    "backoffLimit": (6,), "completionMode": ("NonIndexed",), "completions": (1,), "parallelism": (1,), "suspend": (False,),
    "manualSelector": (False,), "podReplacementPolicy": ("TerminatingOrFailed",), "concurrencyPolicy": ("Allow",),
    "failedJobsHistoryLimit": (1,), "successfulJobsHistoryLimit": (3,), "volumeMode": ("Filesystem",), "storageClassName": (),
}  # fmt: skip
"""Last names of fields, and the values that the server gives them by itself (none named: whatever it is).

The object's creator owns them too, so they look as if it had written them (core/v1, apps/v1, batch/v1: defaults.go).
"""

SYSTEM_KINDS: Final = frozenset({
    "Event", "Event.events.k8s.io", "Endpoints", "EndpointSlice.discovery.k8s.io", "Lease.coordination.k8s.io",
    "ControllerRevision.apps", "PodMetrics.metrics.k8s.io",
})  # fmt: skip
SYSTEM_NAMES: Final = frozenset({
    ("ConfigMap", "kube-root-ca.crt"), ("ConfigMap", "openshift-service-ca.crt"), ("ServiceAccount", "default"),
    ("Service", "kubernetes"),
})  # fmt: skip
HELM_RELEASE: Final = "sh.helm.release.v1."
"""What every cluster, or every namespace, has by itself, and where helm keeps its records."""


def additions(
    live: Resource, manager: str, is_left: Callable[[FieldPath], bool]
) -> tuple[tuple[FieldPath, Drift], ...]:
    """What people's tools added to an object that our `manager` has applied, each with its place in managedFields.

    `is_left` says which places policy leaves to others.
    """
    entries = live.metadata.get("managedFields") or ()
    if not any(is_peoples_tool(entry.get("manager", "")) and not entry.get("subresource") for entry in entries):
        return ()
    entries = entries_of(live)
    ours = next((entry for entry in entries if is_ours(entry, manager)), None)
    if ours is None:
        return ()
    people = [each for each in entries if is_peoples_tool(str(each.get("manager"))) and not each.get("subresource")]
    others = [fields_of(each) for each in entries if each not in people]
    found: dict[FieldPath, Drift] = {}
    for entry in people:
        for path, value in _added(fields_of(entry), others, live.body, ()):
            if path not in found and not is_left(path):
                found[path] = _addition(live.key, text_of(path), value, entry)
    return tuple(found.items())


def _added(owned: Owned, others: Sequence[Owned], live: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    """The places that nobody in `others` owns: a list's item as a whole, of everything else each field."""
    for name, below in owned.items():
        value = member(live, name)
        here = (*path, name)
        if name == "." or value is None or _is_noise(here):
            continue
        nodes = [each[name] for each in others if name in each]
        if any(not node for node in nodes):
            continue
        if is_leaf(below) or (name.startswith("k:") and not nodes):
            if not nodes and not _is_default(here, value, live):
                yield here, value
        else:
            yield from _added(below, nodes, value, here)


def _is_noise(path: FieldPath) -> bool:
    names = tuple(name[2:] for name in path if name.startswith("f:"))
    return names in NOISE


def _is_default(path: FieldPath, value: Any, parent: Any) -> bool:
    """Whether the server itself may have given a field this value; it gives none to metadata and to a ConfigMap's data."""
    name = path[-1]
    if path[0] in ("f:metadata", "f:data") or not name.startswith("f:"):
        return False
    if name == "f:targetPort":
        return bool(value == parent.get("port"))
    values = SERVER_DEFAULTS.get(name[2:])
    return values is not None and (not values or value in values)


def _addition(key: ResourceKey, path: str, value: Any, entry: Mapping[str, Any]) -> Drift:
    manager, at = str(entry.get("manager", "")), str(entry.get("time", ""))
    return Drift(key, FieldChange(path, ABSENT, value), manager, at, operation_of(entry))


def undeclared(
    found: Iterable[Resource], declared: frozenset[ResourceKey], is_ignored: Callable[[Resource], bool]
) -> tuple[Drift, ...]:
    """The objects among `found` (their metadata is enough) that a person made and nobody declared.

    `declared` are the keys that this environment applies or has applied, `is_ignored` says which ones policy leaves to others.
    They are told, and never deleted: nothing but a record of what was applied says that an object is an environment's own,
    and what a person made by hand may be in use by somebody whom no repository knows.
    """
    said = []
    for resource in found:
        key = resource.key
        if key in declared or _is_system(resource) or is_ignored(resource):
            continue
        entries = entries_of(resource)
        people = [each for each in entries if is_peoples_tool(str(each.get("manager"))) and not each.get("subresource")]
        if people and not _belongs(resource, entries):
            said.append(_addition(key, VANISHED, key.name, people[0]))
    return tuple(said)


def _is_system(resource: Resource) -> bool:
    key = resource.key
    return (
        key.group_kind in SYSTEM_KINDS
        or (key.group_kind, key.name) in SYSTEM_NAMES
        or (key.group_kind == "Secret" and key.name.startswith(HELM_RELEASE))
    )


def _belongs(resource: Resource, entries: Iterable[Mapping[str, Any]]) -> bool:
    """Whether somebody looks after it: an object that made it, or another environment that has applied it."""
    if resource.metadata.get("ownerReferences"):
        return True
    applied = any(str(each.get("manager")).startswith(OWN) and each.get("operation") == "Apply" for each in entries)
    return applied and OWNER_LABEL in resource.labels

"""What of a change cannot be taken back, or opens what was closed: named first, in sentences, worst first.

Judged on the plan (what is deleted) and on desired state before and after (what is opened): an object that was as
dangerous before is nobody's new danger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from worker.domain.environment import Environment
from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey
from worker.planning.pruning import PROTECTED

WHAT_GOES: Final = {
    "Namespace": "and everything in it",
    "CustomResourceDefinition.apiextensions.k8s.io": "and every object of its kind",
    "PersistentVolumeClaim": "and the data on it",
    "PersistentVolume": "and the data on it",
    "StatefulSet.apps": "and its Pods",
}
NETWORK_POLICY: Final = "NetworkPolicy.networking.k8s.io"
RBAC: Final = ".rbac.authorization.k8s.io"
HOST: Final = ("hostNetwork", "hostPID", "hostIPC")
TEMPLATES: Final = (("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec"))
FORK: Final = "comes from a fork: somebody without write access wrote it"


def hazards(
    changes: Iterable[Change], before: Mapping[ResourceKey, Resource], after: Mapping[ResourceKey, Resource]
) -> tuple[str, ...]:
    """The sentences of a plan's `changes`; `before` and `after` are the desired objects of base and merge."""
    found: list[tuple[int, str]] = []
    for change in changes:
        found += _deleted(change)
        if change.action in (Action.CREATE, Action.CONFIGURE, Action.RECREATE) and change.key in after:
            found += [(3, f"{change.key} {why}") for why in _opened(before.get(change.key), after[change.key])]
    return tuple(dict.fromkeys(text for _, text in sorted(found, key=lambda each: each[0])))


def authority_changes(base: Environment | None, merged: Environment | None) -> tuple[str, ...]:
    """How plumbline.yaml itself changes for an environment; what it says of authority counts once it is merged."""
    if base is None and merged is None:
        return ()
    if base is None:
        assert merged is not None
        return (f"plumbline.yaml: {merged.name} is new: it writes to {merged.namespace} in {merged.cluster}",)
    if merged is None:
        return (f"plumbline.yaml: {base.name} is no longer declared: its objects stay, and nobody looks after them",)
    found = [
        f"plumbline.yaml: {base.name}'s {name} changes from {was} to {now}"
        for name in ("branch", "cluster", "namespace", "path", "renderer", "release", "values")
        if (was := getattr(base, name)) != (now := getattr(merged, name))
    ]
    found += [
        f"plumbline.yaml: {base.name}'s policy changes {name.replace('_', '-')} from {_said(was)} to {_said(now)}"
        for name in base.policy.__dataclass_fields__
        if (was := getattr(base.policy, name)) != (now := getattr(merged.policy, name))
    ]
    return tuple(found)


def _said(value: Any) -> str:
    """A setting in words; a list of rules by its entries."""
    return "; ".join(str(each) for each in value) or "nothing" if isinstance(value, tuple) else str(value)


def _deleted(change: Change) -> Iterator[tuple[int, str]]:
    kind = change.key.group_kind
    if change.action is Action.RECREATE:
        yield 1, f"{change.key} is deleted and made again: {change.reason}"
    elif change.action is Action.PRUNE and kind in PROTECTED:
        yield 0, f"{change.key} is deleted, {WHAT_GOES[kind]}"
    elif change.action is Action.PRUNE and kind == NETWORK_POLICY:
        yield 2, f"{change.key} is deleted: traffic that it kept out can come in"


def _opened(before: Resource | None, after: Resource) -> Iterator[str]:
    if after.key.group_kind.endswith(RBAC):
        yield from _rbac(before.body if before else {}, after.body)
        return
    was = set(_privileges(before)) if before else set()
    yield from (why for why in _privileges(after) if why not in was)
    if _replicas(after) == 0 and (before is None or _replicas(before) != 0):
        yield "is scaled to no replicas"


def _rbac(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    had = list(_maps(before.get("rules")))
    for rule in _maps(after.get("rules")):
        if not any(_covers(each, rule) for each in had):
            verbs = ", ".join(_texts(rule.get("verbs"))) or "nothing"
            what = ", ".join((*_texts(rule.get("resources")), *_texts(rule.get("nonResourceURLs")))) or "nothing"
            yield f"gives the right to {verbs} {what}"
    subjects = list(_maps(after.get("subjects")))
    role, its = after.get("roleRef") or {}, before.get("roleRef") or {}
    known = list(_maps(before.get("subjects"))) if role == its else []
    for subject in subjects:
        if subject not in known:
            yield f"gives {role.get('kind')} {role.get('name')} to {subject.get('kind')} {subject.get('name')}"


def _covers(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a rule allows everything that another one does."""

    def within(name: str) -> bool:
        mine, theirs = set(_texts(one.get(name))), set(_texts(other.get(name)))
        return "*" in mine or theirs <= mine

    names, others = set(_texts(one.get("resourceNames"))), set(_texts(other.get("resourceNames")))
    fits = not names or (bool(others) and others <= names)
    return fits and all(within(name) for name in ("apiGroups", "resources", "verbs", "nonResourceURLs"))


def _privileges(resource: Resource) -> Iterator[str]:
    pod = _pod(resource)
    yield from (f"uses the node's own namespaces ({name})" for name in HOST if pod.get(name) is True)
    for volume in _maps(pod.get("volumes")):
        if isinstance(path := volume.get("hostPath"), dict):
            yield f"mounts {path.get('path')} of the node"
    for member in ("initContainers", "containers"):
        for container in _maps(pod.get(member)):
            context = container.get("securityContext")
            if not isinstance(context, dict):
                continue
            if context.get("privileged") is True:
                yield f"runs the container {container.get('name')} privileged"
            capabilities = context.get("capabilities")
            added = _texts(capabilities.get("add")) if isinstance(capabilities, dict) else []
            if added:
                yield f"gives the container {container.get('name')} the capabilities {', '.join(sorted(added))}"


def _pod(resource: Resource) -> Mapping[str, Any]:
    if resource.key.group_kind == "Pod":
        spec = resource.body.get("spec")
        return spec if isinstance(spec, dict) else {}
    for path in TEMPLATES:
        place: Any = resource.body
        for name in path:
            place = place.get(name) if isinstance(place, dict) else None
        if isinstance(place, dict):
            return place
    return {}


def _replicas(resource: Resource) -> Any:
    spec = resource.body.get("spec")
    return spec.get("replicas") if isinstance(spec, dict) else None


def _maps(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

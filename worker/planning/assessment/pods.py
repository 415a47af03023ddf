"""Health of Pods, and what the Pods of a rollout say about why it does not get on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.domain.health import Health
from worker.domain.resource import Resource
from worker.domain.scrubbing import scrubbed_text
from worker.planning.assessment.conditions import Judgement, condition, is_true, spec_of, status_of

REVISION: Final = "deployment.kubernetes.io/revision"
TEMPLATE_HASH: Final = "pod-template-hash"
RESTARTS: Final = "argocd.argoproj.io/ignore-restart-policy"
"""Argo CD's annotation for a Pod that something else restarts; read as it is."""

CONTROLLER_HASH: Final = "controller-revision-hash"


def judge_pod(live: Resource) -> Judgement:
    """A Pod by its phase and its containers; only a long-running one may crash into being degraded."""
    status = status_of(live)
    long_running = spec_of(live).get("restartPolicy", "Always") == "Always" or live.annotations.get(RESTARTS) == "true"
    if long_running and (trouble := _waiting_trouble(live)):
        return Health.DEGRADED, trouble
    match status.get("phase"):
        case "Pending":
            return Health.PROGRESSING, _unscheduled(live) or "is pending"
        case "Succeeded":
            return Health.HEALTHY, ""
        case "Failed":
            return Health.DEGRADED, str(status.get("message") or _terminated(live) or "has failed")
        case "Running" if not long_running:
            return Health.PROGRESSING, "runs and has not ended yet"
        case "Running":
            if is_true(live, "Ready"):
                return Health.HEALTHY, ""
            if last := _last_termination(live):
                return Health.DEGRADED, last
            return Health.PROGRESSING, "runs and is not ready"
        case None:
            return Health.PROGRESSING, "has not been seen by a node yet"
        case other:
            return Health.UNKNOWN, f"its phase is {other}"


def pod_trouble(pod: Resource) -> str | None:
    """Why a Pod will not become ready by itself, in one sentence; None where it may."""
    if waiting := _waiting_trouble(pod):
        return waiting
    status = status_of(pod)
    if status.get("phase") == "Failed":
        return str(status.get("message") or _terminated(pod) or "the Pod failed")
    return None


def rollout_trouble(workload: Resource, pods: Iterable[Resource], replica_sets: Iterable[Resource]) -> str | None:
    """What the Pods of the workload's newest template say; None where nothing points at trouble."""
    for pod in current_pods(workload, pods, replica_sets):
        if trouble := pod_trouble(pod):
            return scrubbed_text(trouble)
    return None


def current_pods(
    workload: Resource, pods: Iterable[Resource], replica_sets: Iterable[Resource]
) -> tuple[Resource, ...]:
    """The Pods of a workload's newest template that are not being deleted."""
    sets = tuple(replica_sets)
    return tuple(pod for pod in pods if _is_current(workload, pod, sets))


def is_ready(pod: Resource) -> bool:
    """Whether a Pod is ready, or has ended well."""
    return is_true(pod, "Ready") or status_of(pod).get("phase") == "Succeeded"


def newest_replica_set(workload: Resource, replica_sets: Iterable[Resource]) -> Resource | None:
    """The ReplicaSet of a Deployment's newest template."""
    own = [each for each in replica_sets if _owner_uid(each) == workload.uid]
    return max(own, key=_revision, default=None)


def _revision(replica_set: Resource) -> int:
    text = str(replica_set.annotations.get(REVISION, ""))
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _is_current(workload: Resource, pod: Resource, replica_sets: tuple[Resource, ...]) -> bool:
    if pod.metadata.get("deletionTimestamp"):
        return False
    if workload.key.kind == "Deployment":
        newest = newest_replica_set(workload, replica_sets)
        return newest is not None and pod.labels.get(TEMPLATE_HASH) == newest.labels.get(TEMPLATE_HASH)
    if workload.key.kind == "StatefulSet":
        return pod.labels.get(CONTROLLER_HASH) == status_of(workload).get("updateRevision")
    return _owner_uid(pod) == workload.uid


def _owner_uid(resource: Resource) -> str:
    owners = resource.metadata.get("ownerReferences") or ()
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")


def _containers(pod: Resource) -> Iterator[dict[str, Any]]:
    status = status_of(pod)
    for member, word in (("initContainerStatuses", "init container"), ("containerStatuses", "container")):
        listed = status.get(member)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, dict):
                yield {**each, "name": f"{word} {each.get('name')}"}


def _waiting_trouble(pod: Resource) -> str | None:
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if not (reason.startswith("Err") or reason.endswith(("Error", "BackOff"))):
            continue
        if reason == "CrashLoopBackOff":
            return f"{reason}: {_crash(container)}"
        said = str(waiting.get("message") or "").strip()
        return f"{reason}: {said}" if said else f"{reason} ({container.get('name')}, {container.get('image')})"
    return None


def _crash(container: dict[str, Any]) -> str:
    last = (container.get("lastState") or {}).get("terminated") or {}
    restarts = container.get("restartCount", 0)
    parts = [str(container.get("name"))]
    if "exitCode" in last:
        named = f" ({last['reason']})" if last.get("reason") else ""
        parts.append(f"exit code {last['exitCode']}{named}")
    parts.append(f"restarted {restarts} times")
    if last.get("message"):
        parts.append(str(last["message"]).strip().splitlines()[-1][:200])
    return ", ".join(parts)


def _terminated(pod: Resource) -> str:
    for container in _containers(pod):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            if ended.get("message"):
                return str(ended["message"])
            if ended.get("reason") == "OOMKilled":
                return f"OOMKilled: {container.get('name')} used more memory than its limit"
            return f"{container.get('name')} failed with exit code {ended['exitCode']}"
    return ""


def _last_termination(pod: Resource) -> str:
    for container in _containers(pod):
        last = (container.get("lastState") or {}).get("terminated")
        if last:
            return f"not ready after {_crash(container)}"
    return ""


def _unscheduled(pod: Resource) -> str:
    scheduled = condition(pod, "PodScheduled")
    if scheduled and str(scheduled.get("status")) == "False":
        return f"cannot be scheduled: {scheduled.get('message') or scheduled.get('reason')}"
    return ""

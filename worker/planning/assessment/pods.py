"""Health of Pods, and what the Pods of a rollout say about why it does not get on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from worker.domain.health import Health
from worker.domain.resource import Resource
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
    current = [pod for pod in pods if _is_current(workload, pod, tuple(replica_sets))]
    for pod in current:
        if trouble := pod_trouble(pod):
            return trouble
    return None


def _is_current(workload: Resource, pod: Resource, replica_sets: tuple[Resource, ...]) -> bool:
    if pod.metadata.get("deletionTimestamp"):
        return False
    if workload.key.kind == "Deployment":
        own = [each for each in replica_sets if _owner_uid(each) == workload.uid]
        newest = max(own, key=lambda each: int(each.annotations.get(REVISION, 0)), default=None)
        return newest is not None and pod.labels.get(TEMPLATE_HASH) == newest.labels.get(TEMPLATE_HASH)
    if workload.key.kind == "StatefulSet":
        return pod.labels.get(CONTROLLER_HASH) == status_of(workload).get("updateRevision")
    return _owner_uid(pod) == workload.uid


def _owner_uid(resource: Resource) -> str:
    owners = resource.metadata.get("ownerReferences") or ()
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")


def _containers(pod: Resource) -> Iterator[dict[str, Any]]:
    status = status_of(pod)
    for member in ("initContainerStatuses", "containerStatuses"):
        yield from (each for each in status.get(member) or () if isinstance(each, dict))


def _waiting_trouble(pod: Resource) -> str | None:
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if not (reason.startswith("Err") or reason.endswith(("Error", "BackOff"))):
            continue
        if reason == "CrashLoopBackOff":
            return f"{reason}: {_crash(container)}"
        said = str(waiting.get("message") or "").strip()
        return (
            f"{reason}: {said}" if said else f"{reason} (container {container.get('name')}, {container.get('image')})"
        )
    return None


def _crash(container: dict[str, Any]) -> str:
    last = (container.get("lastState") or {}).get("terminated") or {}
    restarts = container.get("restartCount", 0)
    parts = [f"container {container.get('name')}"]
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
                return "OOMKilled"
            return f"container {container.get('name')} failed with exit code {ended['exitCode']}"
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

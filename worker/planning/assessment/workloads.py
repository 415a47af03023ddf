"""Health of what runs Pods: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job."""

from __future__ import annotations

from worker.domain.health import Health
from worker.domain.resource import Resource
from worker.planning.assessment.conditions import Judgement, condition, is_true, message, number, spec_of, status_of


def deployment(live: Resource) -> Judgement:
    """Rolled out when every replica is updated, old ones are gone and all are available."""
    spec, status = spec_of(live), status_of(live)
    progressing = condition(live, "Progressing")
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Health.DEGRADED, message(progressing, "its rollout made no progress in time")
    if is_true(live, "ReplicaFailure"):
        return Health.DEGRADED, message(condition(live, "ReplicaFailure"), "replicas cannot be created")
    if "observedGeneration" not in status:
        return Health.PROGRESSING, "its controller has not seen it yet"
    wanted = number(spec, "replicas", 1)
    updated, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
    if updated < wanted:
        return Health.PROGRESSING, f"{updated} of {wanted} replicas updated"
    if (total := number(status, "replicas")) > updated:
        return Health.PROGRESSING, f"old replicas still there: {total - updated}"
    if available < updated:
        return Health.PROGRESSING, f"{available} of {wanted} replicas available"
    if wanted and number(status, "readyReplicas", available) < wanted:
        return Health.PROGRESSING, f"{number(status, 'readyReplicas')} of {wanted} replicas ready"
    if spec.get("progressDeadlineSeconds") and progressing and progressing.get("reason") != "NewReplicaSetAvailable":
        return Health.PROGRESSING, message(progressing, "its new replicas are not all available")
    return Health.HEALTHY, ""


def stateful_set(live: Resource) -> Judgement:
    """Ready when all replicas are, and the update (or the partition of it) has reached every one."""
    spec, status = spec_of(live), status_of(live)
    if not number(status, "observedGeneration"):
        return Health.PROGRESSING, "its controller has not seen it yet"
    wanted = number(spec, "replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    if (ready := number(status, "readyReplicas")) < wanted:
        return Health.PROGRESSING, f"{ready} of {wanted} replicas ready"
    if (total := number(status, "replicas", wanted)) > wanted:
        return Health.PROGRESSING, f"replicas more than wanted, still there: {total - wanted}"
    if strategy.get("type") == "OnDelete":
        return Health.HEALTHY, ""
    partition = number(strategy.get("rollingUpdate") or {}, "partition")
    if partition:
        if (updated := number(status, "updatedReplicas")) < wanted - partition:
            return Health.PROGRESSING, f"{updated} of {wanted - partition} replicas updated (partition {partition})"
        return Health.HEALTHY, ""
    if status.get("updateRevision") != status.get("currentRevision"):
        return Health.PROGRESSING, f"{number(status, 'updatedReplicas')} of {wanted} replicas updated"
    return Health.HEALTHY, ""


def daemon_set(live: Resource) -> Judgement:
    """Rolled out when every node that should run it runs the updated Pod."""
    spec, status = spec_of(live), status_of(live)
    if "observedGeneration" not in status:
        return Health.PROGRESSING, "its controller has not seen it yet"
    wanted = number(status, "desiredNumberScheduled")
    if (spec.get("updateStrategy") or {}).get("type") != "OnDelete":
        if (updated := number(status, "updatedNumberScheduled")) < wanted:
            return Health.PROGRESSING, f"{updated} of {wanted} nodes updated"
        if (available := number(status, "numberAvailable")) < wanted:
            return Health.PROGRESSING, f"available on {available} of {wanted} nodes"
        if (ready := number(status, "numberReady", wanted)) < wanted:
            return Health.PROGRESSING, f"ready on {ready} of {wanted} nodes"
    return Health.HEALTHY, ""


def replica_set(live: Resource) -> Judgement:
    """Ready when all replicas are available."""
    spec, status = spec_of(live), status_of(live)
    if is_true(live, "ReplicaFailure"):
        return Health.DEGRADED, message(condition(live, "ReplicaFailure"), "replicas cannot be created")
    wanted = number(spec, "replicas", 1)
    if (total := number(status, "replicas", wanted)) > wanted:
        return Health.PROGRESSING, f"replicas more than wanted, still there: {total - wanted}"
    if (available := number(status, "availableReplicas")) < wanted:
        return Health.PROGRESSING, f"{available} of {wanted} replicas available"
    if (ready := number(status, "readyReplicas", available)) < wanted:
        return Health.PROGRESSING, f"{ready} of {wanted} replicas ready"
    return Health.HEALTHY, ""


def job(live: Resource) -> Judgement:
    """Healthy when complete, degraded when failed, suspended when told so."""
    if is_true(live, "Failed") or is_true(live, "FailureTarget"):
        return Health.DEGRADED, message(condition(live, "Failed") or condition(live, "FailureTarget"), "has failed")
    if is_true(live, "Complete"):
        return Health.HEALTHY, ""
    if is_true(live, "Suspended"):
        return Health.SUSPENDED, message(condition(live, "Suspended"), "is suspended")
    status = status_of(live)
    wanted = number(spec_of(live), "completions", 1)
    return Health.PROGRESSING, f"{number(status, 'succeeded')} of {wanted} completions"

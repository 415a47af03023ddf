"""Is a live object healthy, and if not, why: one small function per kind, one table.

To add a kind: write a function from an object to a Judgement, and add its row to `RULES`. The order of the questions is
kstatus's generic ones first (deletion, observedGeneration, Reconciling, Stalled), then the kind's own rule, then the
`Ready` condition, then healthy: an object that says nothing of itself cannot be unhealthy.

Where the field's projects disagree, the choice is: a Pod that failed is degraded (kstatus calls it current); a Job that
runs is progressing (kstatus calls it current), so that verification waits for it; a waiting container is degraded for any
`Err…`, `…Error` or `…BackOff` reason (kstatus knows only CrashLoopBackOff); conditions count only with status True.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from worker.domain.expression import EvaluationError
from worker.domain.health import IGNORE, Health, HealthPolicy, HealthRule, ResourceHealth
from worker.domain.resource import Resource, ResourceKey
from worker.domain.scrubbing import scrubbed_text
from worker.planning.assessment import others, workloads
from worker.planning.assessment.conditions import Judgement, condition, generation_observed, message, spec_of
from worker.planning.assessment.custom import custom, is_failure
from worker.planning.assessment.events import telling
from worker.planning.assessment.pods import (
    current_pods,
    is_ready,
    judge_pod,
    newest_replica_set,
    pod_trouble,
    rollout_trouble,
)

__all__ = [
    "RULES",
    "assess",
    "current_pods",
    "is_ready",
    "newest_replica_set",
    "pod_trouble",
    "rollout_trouble",
    "telling",
]

RULES: Final[Mapping[str, Callable[[Resource], Judgement]]] = {
    "Deployment.apps": workloads.deployment,
    "StatefulSet.apps": workloads.stateful_set,
    "DaemonSet.apps": workloads.daemon_set,
    "ReplicaSet.apps": workloads.replica_set,
    "ReplicationController": workloads.replica_set,
    "Job.batch": workloads.job,
    "CronJob.batch": others.always_healthy,
    "Pod": judge_pod,
    "Service": others.service,
    "Ingress.networking.k8s.io": others.ingress,
    "Ingress.extensions": others.ingress,
    "PersistentVolumeClaim": others.volume_claim,
    "PersistentVolume": others.volume,
    "Namespace": others.namespace,
    "PodDisruptionBudget.policy": others.disruption_budget,
    "HorizontalPodAutoscaler.autoscaling": others.autoscaler,
    "APIService.apiregistration.k8s.io": others.api_service,
    "CustomResourceDefinition.apiextensions.k8s.io": others.definition,
    "Workflow.argoproj.io": others.workflow,
}


SILENT: Final = frozenset({
    "ConfigMap", "Secret", "ServiceAccount", "Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io",
    "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
})  # fmt: skip
"""Kinds without a status: they are healthy by being there."""


def assess(live: Resource | None, key: ResourceKey, overrides: Mapping[str, HealthPolicy]) -> ResourceHealth:
    """The health of an object that should exist; `overrides` are the policy's, per kind (`ignore`, or a rule)."""
    if live is None:
        return ResourceHealth(key, Health.MISSING, "does not exist")
    override = overrides.get(key.group_kind)
    if override == IGNORE and not live.metadata.get("deletionTimestamp"):
        return ResourceHealth(key, Health.HEALTHY, "its health is ignored by the environment's policy")
    health, reason = _judged(live) if override is None or override == IGNORE else _ruled(live, override)
    return ResourceHealth(key, health, scrubbed_text(str(reason)))


def _ruled(live: Resource, rule: HealthRule) -> Judgement:
    """A policy's rule; a status that is not of the newest generation is not asked, and a failing rule is never healthy."""
    if live.metadata.get("deletionTimestamp"):
        return Health.PROGRESSING, "is being deleted"
    if not generation_observed(live):
        return Health.PROGRESSING, "its controller has not seen the change yet"
    try:
        told = rule.reason.value(live.body) if rule.reason else None
        said = told if isinstance(told, str) and told else ""
        if rule.degraded is not None and rule.degraded.holds(live.body):
            return Health.DEGRADED, said or f"the policy's rule says so: {rule.degraded.text}"
        if rule.suspended is not None and rule.suspended.holds(live.body):
            return Health.SUSPENDED, said or "is suspended, as the policy's rule says"
        if rule.healthy.holds(live.body):
            return Health.HEALTHY, ""
    except EvaluationError as error:
        return Health.UNKNOWN, f"the policy's health rule has no answer: {error}"
    return Health.PROGRESSING, said or f"does not fulfil the policy's rule yet: {rule.healthy.text}"


def _judged(live: Resource) -> Judgement:
    if live.metadata.get("deletionTimestamp"):
        return Health.PROGRESSING, "is being deleted"
    if live.key.group_kind in SILENT:
        return Health.HEALTHY, ""
    rule = RULES.get(live.key.group_kind)
    if rule is workloads.deployment and spec_of(live).get("paused"):
        return Health.SUSPENDED, "is paused"
    if not generation_observed(live):
        return Health.PROGRESSING, "its controller has not seen the change yet"
    if (reconciling := condition(live, "Reconciling")) and reconciling.get("status") == "True":
        ready = condition(live, "Ready")
        if ready and str(ready.get("status")) == "False" and is_failure(ready):
            return Health.DEGRADED, message(ready, "is tried again after a failure")
        return Health.PROGRESSING, reconciling.get("message") or "is reconciling"
    if (stalled := condition(live, "Stalled")) and stalled.get("status") == "True":
        return Health.DEGRADED, stalled.get("message") or stalled.get("reason") or "is stalled"
    if rule is not None:
        return rule(live)
    return custom(live)

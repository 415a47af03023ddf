"""Health of everything that runs no Pods by itself."""

from __future__ import annotations

import json
from typing import Any, Final

from worker.domain.health import Health
from worker.domain.resource import Resource
from worker.planning.assessment.conditions import Judgement, condition, is_true, message, number, spec_of, status_of

HPA_FAILURES: Final = {
    "AbleToScale": frozenset({"FailedGetScale", "FailedUpdateScale"}),
    "ScalingActive": frozenset({
        "FailedGetResourceMetric", "FailedGetObjectMetric", "FailedGetPodsMetric", "FailedGetExternalMetric",
        "FailedGetContainerResourceMetric", "FailedComputeMetricsReplicas", "InvalidSelector", "InvalidMetricSourceType",
    }),
}  # fmt: skip
"""Condition reasons of the autoscaling controller that mean that it cannot work."""


V1_CONDITIONS: Final = "autoscaling.alpha.kubernetes.io/conditions"


def always_healthy(_: Resource) -> Judgement:
    """For kinds whose own state says nothing about whether they work."""
    return Health.HEALTHY, ""


def service(live: Resource) -> Judgement:
    """A load balancer must have an address; every other Service is as good as its Pods."""
    if spec_of(live).get("type") == "LoadBalancer" and not _addresses(live):
        return Health.PROGRESSING, "waits for a load balancer's address"
    return Health.HEALTHY, ""


def ingress(live: Resource) -> Judgement:
    """Must have an address; controllers that never write one are what the policy's `health` override is for."""
    if not _addresses(live):
        return Health.PROGRESSING, "waits for an address from its ingress controller"
    return Health.HEALTHY, ""


def _addresses(live: Resource) -> bool:
    balancer = status_of(live).get("loadBalancer")
    return isinstance(balancer, dict) and bool(balancer.get("ingress"))


def volume_claim(live: Resource) -> Judgement:
    """Bound is healthy, Lost is degraded."""
    match status_of(live).get("phase"):
        case "Bound":
            return Health.HEALTHY, ""
        case "Lost":
            return Health.DEGRADED, "its volume is lost"
        case "Pending" | None:
            return Health.PROGRESSING, "waits for a volume"
        case other:
            return Health.UNKNOWN, f"its phase is {other}"


def volume(live: Resource) -> Judgement:
    """Failed is degraded; available, bound and released are healthy."""
    if status_of(live).get("phase") == "Failed":
        return Health.DEGRADED, str(status_of(live).get("message") or "its reclamation failed")
    return Health.HEALTHY, ""


def namespace(live: Resource) -> Judgement:
    """Active, or going away."""
    if status_of(live).get("phase") == "Terminating":
        return Health.PROGRESSING, "is being deleted"
    return Health.HEALTHY, ""


def disruption_budget(live: Resource) -> Judgement:
    """Progressing until its controller has counted the Pods."""
    status = status_of(live)
    if "currentHealthy" in status and number(status, "currentHealthy") < number(status, "desiredHealthy"):
        return (
            Health.PROGRESSING,
            f"protects {number(status, 'currentHealthy')} of {number(status, 'desiredHealthy')} Pods",
        )
    return Health.HEALTHY, ""


def autoscaler(live: Resource) -> Judgement:
    """Degraded where it cannot read metrics or set the scale."""
    told = _autoscaler_conditions(live)
    for name, reasons in HPA_FAILURES.items():
        found = told.get(name)
        if found and found.get("reason") in reasons:
            return Health.DEGRADED, message(found, "cannot scale")
    if any(str(told.get(name, {}).get("status")) == "True" for name in ("AbleToScale", "ScalingLimited")):
        return Health.HEALTHY, ""
    return Health.PROGRESSING, "waits to scale for the first time"


def _autoscaler_conditions(live: Resource) -> dict[str, dict[str, Any]]:
    """By type; autoscaling/v1 has no conditions in its status and keeps them as JSON in an annotation."""
    listed = status_of(live).get("conditions")
    if not listed and (text := live.annotations.get(V1_CONDITIONS)):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = []
    known = listed if isinstance(listed, list) else []
    return {str(each.get("type")): each for each in known if isinstance(each, dict)}


def api_service(live: Resource) -> Judgement:
    """Available once its server answers."""
    if is_true(live, "Available"):
        return Health.HEALTHY, ""
    return Health.PROGRESSING, message(condition(live, "Available"), "its server does not answer yet")


def definition(live: Resource) -> Judgement:
    """Established, unless its names are taken."""
    names = condition(live, "NamesAccepted")
    if names and str(names.get("status")) == "False":
        return Health.DEGRADED, message(names, "its names are taken by another definition")
    if is_true(live, "NonStructuralSchema"):
        return Health.DEGRADED, message(condition(live, "NonStructuralSchema"), "its schema is not structural")
    established = condition(live, "Established")
    if (
        established
        and str(established.get("status")) == "False"
        and established.get("reason") not in (None, "Installing")
    ):
        return Health.DEGRADED, message(established, "cannot be established")
    if is_true(live, "Established"):
        return Health.HEALTHY, ""
    return Health.PROGRESSING, message(established, "is not established yet")


def workflow(live: Resource) -> Judgement:
    """Argo's Workflow, by its phase."""
    match status_of(live).get("phase"):
        case "Succeeded":
            return Health.HEALTHY, ""
        case "Failed" | "Error":
            return Health.DEGRADED, str(status_of(live).get("message") or "has failed")
    return Health.PROGRESSING, str(status_of(live).get("message") or "runs")

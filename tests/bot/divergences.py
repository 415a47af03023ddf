"""Divergences as people meet them, for tests of what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episodes import Cause, Episode, Event, News, Stage, Trouble
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.reports import ConvergenceReport, Step
from worker.domain.resource import ResourceKey, SecretValue

REVISION = "3f9c2ab" + "2" * 33
NEWER = "5b1e0aa" + "3" * 33
BEGAN = 1_700_000_000.0
CHECKOUT = ResourceKey("apps", "Deployment", "shop", "checkout")
FLAGS = ResourceKey("", "ConfigMap", "shop", "flags")
PROOF: dict[str, Any] = {
    "environment": "production", "revision": REVISION, "state": "converged", "digest": "d" * 16, "objects": 12,
    "health": {"healthy": 12}, "verdict": "as predicted", "settle": 30.0,
    "times": {"arrived": BEGAN, "applied": BEGAN + 1, "verified": BEGAN + 4.1, "converged": BEGAN + 34.1},
}  # fmt: skip

SCALED = Drift(CHECKOUT, FieldChange("spec.replicas", 3, 5), "kubectl-edit", "2026-11-24T12:51:03Z", "Update")
TAKEN = replace(SCALED, manager="argocd", operation="Apply")
GONE = Drift(FLAGS, FieldChange(VANISHED, "flags", ABSENT))
REMOVED = Drift(FLAGS, FieldChange("data.colour", "green", ABSENT))
PASSWORD = Drift(
    ResourceKey("", "Secret", "shop", "db"),
    FieldChange("data.password", SecretValue(b"canary-of-git"), SecretValue(b"canary-of-the-cluster")),
    "kubectl-edit",
)
PULL = Trouble(CHECKOUT, "degraded", "ImagePullBackOff for 60 s")


def episode(*found: Drift | Trouble, **others: Any) -> Episode:
    drift = tuple(each for each in found if isinstance(each, Drift))
    troubles = tuple(each for each in found if isinstance(each, Trouble))
    cause = Cause.FAILURE if not drift else Cause.CONFLICT if drift[0].operation == "Apply" else Cause.DRIFT
    facts: dict[str, Any] = {"alerted": BEGAN, "drift": drift, "troubles": troubles} | others
    return Episode("e1d2c3b4a5968778", REVISION, facts.pop("cause", cause), Stage.OPEN, BEGAN, **facts)


def said(
    event: Event,
    *found: Drift | Trouble,
    after: float = 840.0,
    mode: Mode = Mode.ALERT,
    revision: str = REVISION,
    wait: float = 3600.0,
    proof: dict[str, Any] | None = None,
    **others: Any,
) -> EpisodeReport:
    """An event of an episode, `after` seconds after it began; something happens again after `wait`."""
    at = BEGAN + after
    news = News(event, episode(*found, **others), at, PROOF if event is Event.CONVERGED and proof is None else proof)
    report = EpisodeReport("shop", "production", "main", revision, mode, news, at + wait if wait else 0.0)
    return EpisodeReport.from_json(report.to_json())


def fact(step: Step, text: str = "", *, after: float = 34.1, revision: str = REVISION) -> ConvergenceReport:
    """A fact of a convergence, `after` seconds after its commit arrived."""
    proof = PROOF if step in (Step.VERIFIED, Step.CONVERGED) else None
    at = int((BEGAN + after) * 1000)
    return ConvergenceReport("shop", "production", "main", revision, step, text, BEGAN, after, at, proof)

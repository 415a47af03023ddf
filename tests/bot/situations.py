"""Predictions as people meet them, and the comment of each; `python -m tests.bot.situations` writes the golden files anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bot.comments import prediction, waiting_for_a_maintainer
from worker.domain.errors import Problem
from worker.domain.plan import ABSENT, Action, Change, FieldChange, Plan
from worker.domain.proposals import Drift, EnvironmentProposal, ProposalReport
from worker.domain.reports import ConvergenceReport, Outcome, Step
from worker.domain.resource import ResourceKey, SecretValue

GOLDEN: Final = Path(__file__).parents[1] / "golden/comments"
HEAD: Final = "8d21f0c" + "0" * 33
BASE: Final = "a41b7e9" + "1" * 33
MERGED: Final = "3f9c2ab" + "2" * 33
LINK: Final = "https://plumbline.example.com/proposals/shop/7"
CART: Final = ResourceKey("apps", "Deployment", "shop", "cart")
CHECKOUT: Final = ResourceKey("apps", "Deployment", "shop", "checkout")
CONTAINER: Final = "spec.template.spec.containers[name=cart]"


def change(key: ResourceKey, action: Action, *fields: FieldChange, reason: str = "") -> Change:
    return Change(key, "v1", action, reason, fields)


def plan(environment: str, *changes: Change, warnings: tuple[str, ...] = ()) -> Plan:
    return Plan(environment, MERGED, changes, warnings, "7k2m91fdaaaabbbb")


def report(*environments: EnvironmentProposal, **others: Any) -> ProposalReport:
    facts: dict[str, Any] = {
        "repository": "shop", "number": 7, "head": HEAD, "base": "main", "base_revision": BASE, "merged": MERGED,
        "at": 1.0, "seconds": 0.9,
    } | others  # fmt: skip
    return ProposalReport(environments=environments, **facts)


IMAGE: Final = change(
    CART,
    Action.CONFIGURE,
    FieldChange(f"{CONTAINER}.image", "ghcr.io/acme/cart:1.4.1", "ghcr.io/acme/cart:1.5.0"),
    FieldChange(f"{CONTAINER}.resources.limits.memory", "256Mi", "512Mi"),
)
SECRET: Final = change(
    ResourceKey("", "Secret", "shop", "cart-db"),
    Action.CONFIGURE,
    FieldChange("data.password", SecretValue(b"canary-of-before"), SecretValue(b"canary-of-after")),
)
CLAIM: Final = change(
    ResourceKey("", "PersistentVolumeClaim", "shop", "cart-data"),
    Action.PRUNE,
    reason="removed from clusters/production/cart.yaml",
)
SCALED: Final = Drift(CHECKOUT, FieldChange("spec.replicas", 3, 5), "kubectl-edit", "2026-11-24T12:51:03Z")
HEALS: Final = change(CHECKOUT, Action.CONFIGURE, FieldChange("spec.replicas", 5, 3))
FLAGS: Final = change(
    ResourceKey("", "ConfigMap", "shop", "flags"),
    Action.CREATE,
    FieldChange("data", ABSENT, {"checkout.yaml": "fast: true\nnew: false\n", "colour": "green"}),
)
NGINX: Final = change(
    ResourceKey("", "ConfigMap", "shop", "nginx"),
    Action.CONFIGURE,
    FieldChange(
        'data["nginx.conf"]',
        "".join(f"line {number}\n" for number in range(40)),
        "".join(f"line {number}{' changed' if number in (3, 20, 33) else ''}\n" for number in range(40)),
    ),
)

PRODUCTION: Final = EnvironmentProposal(
    "production",
    "blue",
    Outcome.HELD,
    change=(IMAGE, SECRET, CLAIM),
    drift=(SCALED,),
    plan=plan("production", IMAGE, SECRET, HEALS, CLAIM, warnings=("unknown field spec.foo is dropped",)),
    dangers=("PersistentVolumeClaim shop/cart-data would be pruned, and its data with it",),
    text="Merging holds the operation: 1 prune of a protected kind",
    next_step="Confirm it before or after the merge",
    confirmation="7k2m91fdaaaabbbb",
    objects=12,
)
STAGING: Final = EnvironmentProposal(
    "staging", "blue", Outcome.PLANNED, change=(FLAGS,), plan=plan("staging", FLAGS), objects=11
)
UNTOUCHED: Final = EnvironmentProposal("load-test", "blue", Outcome.PLANNED, touched=False)
SAME: Final = EnvironmentProposal("staging", "blue", Outcome.PLANNED, plan=plan("staging"), objects=11)
INVALID: Final = EnvironmentProposal(
    "production",
    "blue",
    Outcome.INVALID,
    problems=(
        Problem(
            "expected a string, found a list",
            "clusters/production/cart.yaml",
            14,
            "Deployment shop/cart spec.template.spec.containers[0].image",
            "Write one image there",
        ),
    ),
)
AWAY: Final = EnvironmentProposal("production", "blue", Outcome.UNAVAILABLE, text="blue does not answer (timed out)")
UNKNOWN: Final = EnvironmentProposal(
    "production",
    "blue",
    Outcome.PLANNED,
    change=(IMAGE,),
    plan=plan(
        "production", change(CART, Action.UNPREDICTABLE, reason="the webhook inject.acme.io does not support dry runs")
    ),
    objects=12,
)


def verdict(
    step: Step, text: str = "", environment: str = "production", said: str = "as predicted"
) -> ConvergenceReport:
    proof = {"verdict": said, "settle": 30.0, "times": {"arrived": 100.0, "verified": 104.1}}
    return ConvergenceReport("shop", environment, "main", MERGED, step, text, 100.0, 4.1, 104100, proof)


def comment(found: ProposalReport, limit: int = 65_536, **others: Any) -> str:
    return prediction(found, instance="default", limit=limit, link=LINK, **others)


SITUATIONS: Final[dict[str, Callable[[], str]]] = {
    "changes": lambda: comment(report(STAGING, PRODUCTION, UNTOUCHED)),
    "one_environment": lambda: comment(report(EnvironmentProposal("staging", "blue", Outcome.PLANNED, change=(IMAGE, NGINX), plan=plan("staging", IMAGE, NGINX), objects=5))),
    "no_change": lambda: comment(report(SAME, UNTOUCHED)),
    "only_drift": lambda: comment(report(EnvironmentProposal("staging", "blue", Outcome.PLANNED, drift=(SCALED,), plan=plan("staging", HEALS), objects=11))),
    "invalid": lambda: comment(report(STAGING, INVALID)),
    "cluster_away": lambda: comment(report(AWAY, STAGING)),
    "unpredictable": lambda: comment(report(UNKNOWN)),
    "declaration": lambda: comment(report(problems=(Problem("`environments` is missing", "plumbline.yaml", 1, suggestion="See the README"),))),
    "no_environment": lambda: comment(report()),
    "conflicts": lambda: comment(report(merged="", conflicts=("clusters/production/cart.yaml", "a `b`.yaml"))),
    "fork": lambda: waiting_for_a_maintainer(HEAD, instance="default"),
    "again": lambda: comment(report(STAGING), stale="main moved to 5b1e0aa"),
    "merged_as_predicted": lambda: comment(report(STAGING, PRODUCTION), verdicts=(verdict(Step.CONVERGED), verdict(Step.VERIFIED, environment="staging"))),
    "merged_otherwise": lambda: comment(report(PRODUCTION), verdicts=(verdict(Step.CONVERGED, said="not as predicted: Deployment shop/cart spec.template.metadata.annotations was set by the webhook inject.acme.io"),)),
    "merged_failed": lambda: comment(report(PRODUCTION), verdicts=(verdict(Step.FAILED, "Deployment shop/cart: ImagePullBackOff for 60 s; still serving 1.4.1", said=""),)),
}  # fmt: skip


def main() -> None:
    """Writes every golden file."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for old in GOLDEN.glob("*.md"):
        old.unlink()
    for name, make in SITUATIONS.items():
        (GOLDEN / f"{name}.md").write_text(make())


if __name__ == "__main__":
    main()

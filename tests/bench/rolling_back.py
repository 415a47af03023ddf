"""`/rollback` at a real Gitea: a comment until its receipt, and until the change request is there with its prediction."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from plumbline.local_system import git
from sandbox.processes import wait_until
from tests.bench.forging import CONVERGE, Shop, shop
from tests.bench.ground import Figures, Ground, quantile

ROLLBACKS = 16
NAMESPACE = "returning"


def measure_rollbacks(ground: Ground) -> Figures:
    """Takes a release of one line back again and again, in an environment of 20 objects."""
    with shop(ground, ground.redis_url, NAMESPACE) as made:
        made.pushed("talk", "elsewhere")
        number = int(made.system.ask("POST", "/pulls", {"head": "talk", "base": "main", "title": "Talk"})["number"])
        rows = [_once(made, number, f"v{each}") for each in range(ROLLBACKS + 1)]
    received, predicted = zip(*rows[1:], strict=True)  # the first finds nothing warm, as after a start
    return {
        "receipt_p50": quantile(received, 0.5),
        "receipt_p95": quantile(received, 0.95),
        "rollback_p50": quantile(predicted, 0.5),
        "rollback_p95": quantile(predicted, 0.95),
        "rollback_samples": float(ROLLBACKS),
    }


def _once(made: Shop, number: int, value: str) -> tuple[float, float]:
    """Seconds from the comment to the pair of eyes under it, and to the prediction of the change request that it became."""
    revision = made.pushed("release", value)
    git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=made.clone.folder)
    wait_until(lambda: made.status(revision, CONVERGE) == "success", 60, "the release is converged")
    began = time.perf_counter()
    comment = made.system.ask("POST", f"/issues/{number}/comments", {"body": "/rollback production"})
    with ThreadPoolExecutor(1) as pool:
        receipt = pool.submit(_received, made, int(comment["id"]), began)
        wait_until(lambda: bool(_proposed(made)), 60, "the change request is there")
        (back,) = _proposed(made)
        wait_until(lambda: any("predicts" in each for each in made.comments(back)), 60, "it is predicted")
        predicted = time.perf_counter() - began
        received = receipt.result()
    made.system.ask("PATCH", f"/pulls/{back}", {"state": "closed"})
    return received, predicted


def _received(made: Shop, comment: int, began: float) -> float:
    wait_until(lambda: bool(made.system.ask("GET", f"/issues/comments/{comment}/reactions")), 60, "it is received")
    return time.perf_counter() - began


def _proposed(made: Shop) -> list[int]:
    """The open change requests of rollbacks."""
    found = made.system.ask("GET", "/pulls?state=open")
    return [int(each["number"]) for each in found if str(each["head"]["ref"]).startswith("plumbline/rollback-")]

"""The state of a convergence as one line that a person reads in a list: state, then the fact, then how long. Pure."""

from __future__ import annotations

from typing import Final

from worker.domain.reports import ConvergenceReport, Step

LONGEST: Final = 140
"""GitHub cuts a status's description there; the other forges take more."""


def status_line(report: ConvergenceReport) -> str:
    """At most 140 characters."""
    proof = report.proof or {}
    verdict = f", {proof['verdict']}" if proof.get("verdict") else ""
    match report.step:
        case Step.VERIFIED:
            text = f"Verified in {report.seconds:.1f} s{verdict}; settling for {proof.get('settle', 0):g} s"
        case Step.CONVERGED:
            times = proof.get("times") or {}
            took = float(times.get("verified") or 0) - float(times.get("arrived") or 0)
            text = f"Converged in {took:.1f} s{verdict}; stayed so for {proof.get('settle', 0):g} s"
        case Step.SUPERSEDED:
            text = f"Superseded before it converged: {report.text}"
        case Step.HELD:
            text = f"Held: {report.text}"
        case Step.FAILED:
            text = report.text
        case _:
            text = f"{report.step}: {report.text}"
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"

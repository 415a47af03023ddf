"""Job: what the worker said, made visible: the waiting push, the board, and the result in Git."""

from __future__ import annotations

import logging
from typing import Any, Final

from bot import alerts, divergences, orders, results
from bot.desk import Desk
from bot.queue import CommitReport, CommitRequest
from bot.statuses import is_written, status_line
from worker.domain.divergence import EpisodeReport
from worker.domain.errors import Refused
from worker.domain.hold_reminder import HoldReport
from worker.domain.installation import PLAIN
from worker.domain.orders import OrderReport
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ENDINGS, ConvergenceReport, PreviewReport, Step, report_from_json

WRITTEN_BACK: Final = frozenset({Step.VERIFIED, Step.CONVERGED, Step.FAILED, Step.HELD, Step.SUPERSEDED, Step.LEFT})

WRITTEN: Final = "  written    refs/notes/plumbline ({}: {})"

log = logging.getLogger("plumbline.reports")


def deliver(desk: Desk, message: dict[str, Any]) -> None:
    """Delivers one report; doing it twice, or later than one that came after it, shows the same."""
    report = report_from_json(message)
    if isinstance(report, PreviewReport):
        desk.board.answer(report)
        return
    if isinstance(report, ProposalReport):
        results.put_prediction(desk, report)
        desk.sightings.note_prediction(report.repository, report.number, report.head, report.base_revision)
        return
    if isinstance(report, CommitReport):
        desk.requests.commit(CommitRequest(report))
        return
    if isinstance(report, EpisodeReport):
        divergences.deliver(desk, report)
        return
    if isinstance(report, HoldReport):
        alerts.announce(desk, report)
        return
    if isinstance(report, OrderReport):
        orders.deliver(desk, report)
        return
    repository = desk.settings.installation.repository(report.repository)
    if repository is not None and repository.forge != PLAIN:
        desk.board.record(report)
        results.put_convergence(desk, report)
        alerts.announce(desk, report)
        if report.step is Step.LEFT and not is_written(report):
            desk.board.told(report)  # nothing is written on the commit, which had converged
        return
    ends = report.step in ENDINGS
    if not ends:
        desk.board.record(report)
    log.info(
        "%s repository=%s environment=%s revision=%s: %s",
        report.step, report.repository, report.environment, report.revision, report.text,
    )  # fmt: skip
    if repository is not None:
        alerts.announce(desk, report)
    written = report.step in WRITTEN_BACK and is_written(report) and _write_back(desk, report)
    if ends:
        desk.board.record(report, WRITTEN.format(report.environment, report.step) if written else "")
        desk.board.told(report)


def _write_back(desk: Desk, report: ConvergenceReport) -> bool:
    """Whether anything was written: results that are there already are left alone."""
    repository = desk.settings.installation.repository(report.repository)
    if repository is None:
        return False
    facts = {
        "environment": report.environment,
        "branch": report.branch,
        "revision": report.revision,
        "state": str(report.step),
        "text": report.text,
        "sequence": report.sequence,
        **{
            name: value
            for name, value in (report.proof or {}).items()
            if name not in ("environment", "revision", "state")
        },
    }
    try:
        forge = desk.plain_git(repository)
    except Refused as error:
        log.error("%s", error)
        return False
    written = forge.write_note(report.revision, report.environment, status_line(report), facts)
    if report.step is Step.CONVERGED:
        written = forge.mark_converged(report.environment, report.revision) or written
    return written

"""What the worker found of a divergence after a commit was applied, made visible."""

from __future__ import annotations

import logging

from bot.desk import Desk
from worker.domain.divergence import EpisodeReport

log = logging.getLogger("plumbline.divergences")


def deliver(desk: Desk, report: EpisodeReport) -> None:
    """Delivers one event of one episode; doing it twice, or later than one that came after it, shows the same."""
    desk.board.note_episode(report)
    log.info(
        "%s repository=%s environment=%s revision=%s", report.news.name, report.repository, report.environment,
        report.revision,
    )  # fmt: skip
    desk.board.told_news(report)

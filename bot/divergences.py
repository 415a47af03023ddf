"""What the worker found of a divergence after a commit was applied, made visible: on the commit, to receivers, on the board."""

from __future__ import annotations

import logging

from bot import alerts, results
from bot.desk import Desk
from bot.divergence_statuses import divergence_facts, divergence_line, divergence_state
from worker.domain.divergence import EpisodeReport
from worker.domain.errors import Refused
from worker.domain.installation import PLAIN, Repository

log = logging.getLogger("plumbline.divergences")


def deliver(desk: Desk, report: EpisodeReport) -> None:
    """Delivers one event of one episode; doing it twice, or later than one that came after it, shows the same."""
    desk.board.note_episode(report)
    log.info(
        "%s repository=%s environment=%s revision=%s", report.news.name, report.repository, report.environment,
        report.revision,
    )  # fmt: skip
    repository = desk.settings.installation.repository(report.repository)
    if repository is None:
        log.warning("%s is of %s, which app.yaml does not list", report.news.name, report.repository)
    else:
        alerts.announce(desk, report)
        if _is_overtaken(desk, report):
            log.info("%s is of a commit that another one took over from", report.news.name)
        else:
            _write(desk, repository, report)
    desk.board.told_news(report)


def _is_overtaken(desk: Desk, report: EpisodeReport) -> bool:
    """Whether a later fact is about another commit: then this one's status says how that took over from it."""
    facts = desk.board.history(report.repository, report.environment)
    return any(fact.sequence > report.sequence and fact.revision != report.revision for fact in facts)


def _write(desk: Desk, repository: Repository, report: EpisodeReport) -> None:
    """Puts what the commit is to say where it lasts; on plain Git writes it. Raises Unavailable."""
    if divergence_state(report) is None:
        return
    if repository.forge != PLAIN:
        results.put_divergence(desk, report)
        return
    try:
        forge = desk.plain_git(repository)
    except Refused as error:
        log.error("%s", error)
        return
    forge.write_note(report.revision, report.environment, divergence_line(report), divergence_facts(report))

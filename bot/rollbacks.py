"""Job: a rollback that the worker has proven, made a commit and a change request at the forge.

On a plain Git server it is a commit on a branch of its own that somebody merges, or on the environment's branch itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.announcements import announced
from bot.answers import Origin, answer
from bot.commits import PLAIN_HOST, BareSite, Making, Site, content_of, make_commit
from bot.desk import Desk
from bot.forges.port import FileChange, Forge, NotPermitted
from bot.queue import CommitRequest
from bot.rollback_text import (
    body,
    branch_name,
    branched,
    message,
    proposed,
    pushed,
    refused,
    title,
    why_no_push,
    would,
)
from bot.tickets import CommandOutcome
from worker.domain.errors import Refused
from worker.domain.installation import PLAIN
from worker.domain.rollback import Restored, RollbackReport


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes a rollback, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, RollbackReport)
    if report.request.dry_run:
        _say(desk, report)
        return

    def again() -> None:
        """For the very same target; a branch that moved may have moved by our own commit, whose answer was lost."""
        asked = report.request
        since = (asked.since or report.onto) if asked.push else ""
        attempt = asked.attempt + 1
        desk.requests.rollback(replace(asked, target=report.target, branch=report.branch, attempt=attempt, since=since))

    make_commit(
        desk,
        request,
        Making(
            lambda site: _made(site, report),
            lambda why: refused(report, why),
            again,
            report.refusal,
            lambda site: _committed(desk, site, report),
        ),
    )


def _say(desk: Desk, report: RollbackReport) -> None:
    """Answers a dry run; no forge is asked anything."""
    asked = report.request
    repository = desk.settings.installation.repository(asked.repository)
    is_plain = repository is None or repository.forge == PLAIN
    text = refused(report, report.refusal) if report.refusal else would(report, is_proposed=not is_plain)
    outcome = CommandOutcome.REFUSED if report.refusal else CommandOutcome.DONE
    answer(desk, asked.repository, Origin.from_json(asked.origin), text, outcome)


def _made(site: Site, report: RollbackReport) -> str:
    if report.made:
        return pushed(report, report.made)
    why = why_no_push(report)
    branch, text = site.named(branch_name(report)), message(report, site.host)
    files = [_change(site.forge, report.target, each) for each in report.files]
    if branch not in site.tips and report.request.push and not why:
        try:
            revision = site.push(report.branch, report.onto, text, files)
        except (Refused, NotPermitted) as error:  # a protected branch
            why = str(error)
        else:
            return pushed(report, revision)
    site.put(branch, report.branch, report.onto, text, lambda: files)
    opened = site.forge.open_change_request(branch, report.branch, title(report), body(report))
    return proposed(report, opened.url, why)


def _committed(desk: Desk, site: BareSite, report: RollbackReport) -> str:
    """The same on a plain Git server, whose hooks do not see what the bot commits: so the bot says it itself."""
    if report.made:
        return pushed(report, report.made)
    why = why_no_push(report)
    branch, text = site.named(branch_name(report)), message(report, PLAIN_HOST)
    files = [(each.path, each.mode, each.blob) for each in report.files]
    if branch not in site.tips and report.request.push and not why:
        try:
            revision = site.push(report.branch, report.onto, text, files)
        except Refused as error:
            why = str(error)
        else:
            desk.requests.committed(announced(desk, site.git, site.repository, report.branch, revision))
            return pushed(report, revision)
    site.put(branch, report.branch, report.onto, text, lambda: files)
    return branched(report, branch, why)


def _change(forge: Forge, target: str, file: Restored) -> FileChange:
    """The file as the forge has it at the target. Raises Refused where that is not the blob that the worker proved."""
    if not file.blob:
        return FileChange(file.path, None, was=file.was)
    return FileChange(file.path, content_of(forge, target, file.source, file.blob), file.mode, file.was)

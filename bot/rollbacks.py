"""Job: a rollback that the worker has proven, made a commit and a change request at the forge; and asking for one.

It runs on a queue of its own, in a thread of its own: a forge with our hooks asks the bot for a prediction while it takes the
bot's commit, and that must find somebody who answers.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from bot.answers import Origin, answer
from bot.desk import Desk
from bot.forges.port import FileChange, Forge, NotPermitted
from bot.outbox import WAITS
from bot.queue import CommitRequest
from bot.rollback_text import (
    body,
    branch_name,
    message,
    proposed,
    pushed,
    refused,
    title,
    why_no_push,
)
from worker.domain.errors import Moved, Refused, Unavailable
from worker.domain.installation import PLAIN, Repository
from worker.domain.rollback import Restored, RollbackReport

ATTEMPTS: Final = 5
"""How often the worker is asked anew because the branch moved."""

GIVEN_UP: Final = 12 * 3600.0
"""Seconds after which a rollback that the forge never took is no longer what somebody wants without having said it again."""

log = logging.getLogger("plumbline.rollbacks")


@dataclass(frozen=True, slots=True)
class _Made:
    """Where a rollback is made."""

    repository: Repository
    forge: Forge
    report: RollbackReport
    host: str


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes a rollback, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    name = report.request.repository
    repository = desk.settings.installation.repository(name)
    if repository is None:
        log.warning("a rollback in %s, which app.yaml does not list, is not made", name)
        return
    try:
        text = refused(report, report.refusal) if report.refusal else _made(desk, repository, report)
    except Moved as error:
        text = _again(desk, report, error)
    except Unavailable as error:
        text = _later(desk, request, error)
    except (Refused, NotPermitted) as error:
        text = refused(report, str(error))
    if text:
        answer(desk, name, Origin.from_json(report.request.origin), text)


def _again(desk: Desk, report: RollbackReport, error: Moved) -> str:
    """Has it judged anew on the new tip, for the very same target; what to say where that was done often enough."""
    if report.request.attempt + 1 >= ATTEMPTS:
        return refused(report, f"{error}, {ATTEMPTS} times while it was being made. Ask again in a quieter moment")
    again = replace(report.request, target=report.target, branch=report.branch, attempt=report.request.attempt + 1)
    desk.requests.rollback(again)
    return ""


def _later(desk: Desk, request: CommitRequest, error: Unavailable) -> str:
    """Tries again after a while; what to say where that has been done for too long."""
    report = request.report
    if desk.requests.queue.now() - report.request.at > GIVEN_UP:
        return refused(
            report, f"{error}. It was tried for {GIVEN_UP / 3600:.0f} hours; ask again if it is still wanted"
        )
    wait = max(error.retry_after or 0.0, WAITS[min(request.tries, len(WAITS) - 1)])
    log.warning("the rollback of %s waits %g s for the forge: %s", report.request.environment, wait, error)
    desk.requests.commit(replace(request, tries=request.tries + 1), wait)
    return ""


def _made(desk: Desk, repository: Repository, report: RollbackReport) -> str:
    if repository.forge == PLAIN:
        raise Refused(
            "on a plain Git server there is nobody who could open a change request", "Push the commit yourself"
        )
    declared = desk.settings.installation.forge(repository.forge)
    host = (urlsplit(declared.address).hostname or "localhost") if declared else "localhost"
    made = _Made(repository, desk.forge(repository), report, host.removeprefix("api."))
    tips, branch = made.forge.tips(), branch_name(report)
    why = why_no_push(report)
    if branch not in tips:
        if tips.get(report.branch) != report.onto:
            raise Moved(f"the branch {report.branch}", "at the forge")
        files = [_change(made, each) for each in report.files]
        if report.request.push and not why:
            try:
                revision = made.forge.commit(report.branch, report.onto, message(report, made.host), files)
            except (Refused, NotPermitted) as error:  # a protected branch
                why = str(error)
            else:
                return pushed(report, revision)
        made.forge.commit(branch, report.onto, message(report, made.host), files)
    opened = made.forge.open_change_request(branch, report.branch, title(report), body(report))
    return proposed(report, opened.url, why)


def _change(made: _Made, file: Restored) -> FileChange:
    """The file as the forge has it at the target. Raises Refused where that is not the blob that the worker proved."""
    if not file.blob:
        return FileChange(file.path, None, was=file.was)
    content = made.forge.file(made.report.target, file.source)
    if content is None or _blob_id(content, file.blob) != file.blob:
        raise Refused(
            f"the forge does not give {file.source} of {made.report.target[:7]} as Git has it",
            "Make the rollback by hand, with git",
        )
    return FileChange(file.path, content, file.mode, file.was)


def _blob_id(content: bytes, like: str) -> str:
    """Git's id of a file's content, in the object format that `like` is of."""
    digest = hashlib.sha1(usedforsecurity=False) if len(like) == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % len(content))
    digest.update(content)
    return digest.hexdigest()

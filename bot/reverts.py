"""Job: a merged change request that the worker knows how to take back, as a commit and a change request at the forge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.commits import Making, Site, content_of, make_commit
from bot.desk import Desk
from bot.forges.port import FileChange, Forge
from bot.queue import CommitRequest
from bot.revert_text import body, branch_name, in_conflict, message, proposed, refused, title
from worker.domain.blobs import blob_id
from worker.domain.errors import Refused
from worker.domain.revert import RevertReport
from worker.domain.rollback import Restored
from worker.domain.three_way import put_together


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes the change, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, RevertReport)

    def again() -> None:
        desk.requests.revert(replace(report.request, attempt=report.request.attempt + 1))

    make_commit(
        desk, request, Making(lambda site: _made(site, report), lambda why: refused(report, why), again, report.refusal)
    )


def _made(site: Site, report: RevertReport) -> str:
    conflicts = in_conflict(report)
    if conflicts:
        return conflicts
    branch, base = site.named(branch_name(report)), report.request.branch

    def files() -> list[FileChange]:
        return [_change(site.forge, report, each) for each in report.files]

    site.put(branch, base, report.onto, message(report, site.host), files)
    opened = site.forge.open_change_request(branch, base, title(report), body(report))
    return proposed(report, opened.url)


def _change(forge: Forge, report: RevertReport, file: Restored) -> FileChange:
    """The file with the content that the worker proved. Raises Refused where the forge gives another."""
    if not file.blob:
        return FileChange(file.path, None, was=file.was)
    three = report.merges.get(file.path)
    if three is None:
        return FileChange(file.path, content_of(forge, report.before, file.path, file.blob), file.mode, file.was)
    after, now, before = (
        content_of(forge, revision, file.path, blob)
        for revision, blob in (
            (report.request.merged, three.after),
            (report.onto, three.now),
            (report.before, three.before),
        )
    )
    content = put_together(after, now, before)
    if content is None or blob_id(content, file.blob) != file.blob:
        raise Refused(f"{file.path} does not come out as the worker made it", "Run one version of Plumbline only")
    return FileChange(file.path, content, file.mode, file.was)

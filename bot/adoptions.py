"""Job: drift that the worker found a place for in Git, made a commit and a change request at the forge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.adoption_text import body, branch_name, message, proposed, refused, title
from bot.commits import Making, Site, content_of, make_commit
from bot.desk import Desk
from bot.forges.port import FileChange, Forge
from bot.queue import CommitRequest
from worker.domain.adoption import AdoptedFile, AdoptionReport
from worker.domain.blobs import blob_id
from worker.domain.edits.changes import edited
from worker.domain.errors import Refused


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes the change, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, AdoptionReport)

    def again() -> None:
        desk.requests.adopt(replace(report.request, attempt=report.request.attempt + 1))

    make_commit(
        desk, request, Making(lambda site: _made(site, report), lambda why: refused(report, why), again, report.refusal)
    )


def _made(site: Site, report: AdoptionReport) -> str:
    branch, base = site.named(branch_name(report)), report.request.branch

    def files() -> list[FileChange]:
        return [_change(site.forge, report.onto, each) for each in report.files]

    site.put(branch, base, report.onto, message(report, site.host), files)
    opened = site.forge.open_change_request(branch, base, title(report), body(report))
    return proposed(report, opened.url)


def _change(forge: Forge, revision: str, file: AdoptedFile) -> FileChange:
    """The file with the changes. Raises Refused where they do not come to the very blob that the worker proved."""
    text = edited(content_of(forge, revision, file.path, file.blob), file.changes)
    if blob_id(text, file.made) != file.made:
        raise Refused(f"{file.path} does not become what was proven", "Make the commit by hand, with git")
    return FileChange(file.path, text, file.mode, file.mode)

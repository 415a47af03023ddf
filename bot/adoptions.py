"""Job: drift that the worker found a place for in Git, made a commit and a change request at the forge.

On a plain Git server it is a commit on a branch of its own that somebody merges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.adoption_text import body, branch_name, branched, message, proposed, refused, title
from bot.commits import PLAIN_HOST, BareSite, Making, Site, content_of, make_commit
from bot.desk import Desk
from bot.forges.port import FileChange, Tree
from bot.queue import CommitRequest
from worker.domain.adoption import AdoptedFile, AdoptionReport
from worker.domain.blobs import blob_id
from worker.domain.edits.changes import edited
from worker.domain.errors import Refused
from worker.domain.seals import FileFact


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes the change, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, AdoptionReport)

    def again() -> None:
        desk.requests.adopt(replace(report.request, attempt=report.request.attempt + 1))

    make_commit(
        desk,
        request,
        Making(
            lambda site: _made(site, report),
            lambda why: refused(report, why),
            again,
            report.refusal,
            lambda site: _committed(site, report),
        ),
    )


def _made(site: Site, report: AdoptionReport) -> str:
    branch, base = site.named(branch_name(report)), report.request.branch
    site.put(branch, base, report.onto, message(report, site.host), lambda: _files(site.forge, report))
    opened = site.forge.open_change_request(branch, base, title(report), body(report))
    return proposed(report, opened.url)


def _committed(site: BareSite, report: AdoptionReport) -> str:
    """The same on a plain Git server."""
    branch = site.named(branch_name(report))

    def files() -> list[FileFact]:
        return site.facts(_files(site.git, report))

    site.put(branch, report.request.branch, report.onto, message(report, PLAIN_HOST), files)
    return branched(report, branch)


def _files(tree: Tree, report: AdoptionReport) -> list[FileChange]:
    """The files with the changes. Raises Refused."""
    return [_change(tree, report.onto, each) for each in report.files]


def _change(tree: Tree, revision: str, file: AdoptedFile) -> FileChange:
    """The file with the changes. Raises Refused where they do not come to the very blob that the worker proved."""
    text = edited(content_of(tree, revision, file.path, file.blob), file.changes)
    if blob_id(text, file.made) != file.made:
        raise Refused(f"{file.path} does not become what was proven", "Make the commit by hand, with git")
    return FileChange(file.path, text, file.mode, file.mode)

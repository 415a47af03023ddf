"""Job: an image that somebody asked for, written where the worker found it named, as a commit and a change request.

On a plain Git server it is a commit on a branch of its own that somebody merges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.commits import PLAIN_HOST, BareSite, Making, Site, make_commit
from bot.desk import Desk
from bot.forges.port import FileChange, Tree
from bot.image_text import body, branch_name, branch_prefix, branched, message, proposed, refused, title
from bot.naming import with_image
from bot.queue import CommitRequest
from worker.domain.image_update import ImageReport
from worker.domain.images import read_image
from worker.domain.seals import FileFact


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes the change, once: what is there already is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, ImageReport)

    def again() -> None:
        desk.requests.image(replace(report.request, attempt=report.request.attempt + 1))

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


def _made(site: Site, report: ImageReport) -> str:
    branch, base = site.named(branch_name(report)), report.request.branch
    site.put(branch, base, report.onto, message(report, site.host), lambda: _files(site.forge, report))
    older = _older(site, report)
    opened = site.forge.open_change_request(branch, base, title(report), body(report, older))
    return proposed(report, opened.url, older)


def _committed(site: BareSite, report: ImageReport) -> str:
    """The same on a plain Git server."""
    branch, prefix = site.named(branch_name(report)), branch_prefix(report)

    def files() -> list[FileFact]:
        return site.facts(_files(site.git, report))

    site.put(branch, report.request.branch, report.onto, message(report, PLAIN_HOST), files)
    older = [name for name in site.tips if name.startswith(prefix) and name != branch]
    return branched(report, branch, older)


def _files(tree: Tree, report: ImageReport) -> list[FileChange]:
    """The files with the image in all places. Raises Refused with the file and the line."""
    new = read_image(report.request.image)
    return [with_image(tree, report.onto, each, new) for each in report.files]


def _older(site: Site, report: ImageReport) -> tuple[str, ...]:
    """The addresses of our open change requests for this image in this environment that this one takes the place of."""
    own, prefix = site.named(branch_name(report)), branch_prefix(report)
    heads = {tip for name, tip in site.tips.items() if name.startswith(prefix) and name != own}
    if not heads:
        return ()
    return tuple(
        each.url
        for each in site.forge.open_change_requests()
        if each.head in heads and each.base == report.request.branch and not each.is_from_fork
    )

"""Job: what a policy of images wants, written where the worker found it named: as a commit, or as a change request.

It starts with nothing but what was announced or asked of a registry; no push starts it, so its own commits cannot either.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bot.announcements import announced
from bot.built_images import Outcome
from bot.commits import BareSite, Making, Site, make_commit
from bot.desk import Desk
from bot.forges.port import ChangeRequest, FileChange, NotPermitted, State, Tree
from bot.naming import with_image
from bot.policy_statuses import put_policy_status
from bot.queue import CommitRequest
from bot.update_text import (
    body,
    branch_name,
    branch_prefix,
    branched,
    committed,
    message,
    proposed,
    refused,
    superseded,
    title,
    why_no_commit,
)
from worker.domain.errors import Refused
from worker.domain.image_section import UpdateBy
from worker.domain.images import read_image
from worker.domain.policy_update import UpdateReport

log = logging.getLogger("plumbline.updates")


def commit(desk: Desk, asked: dict[str, Any]) -> None:
    """Makes the update, once: what is open, or was proposed before, is found again. While the forge is away it is tried later."""
    request = CommitRequest.from_json(asked)
    report = request.report
    assert isinstance(report, UpdateReport)
    if report.settled:
        _ended(desk, report, report.settled)
        return

    def again() -> None:
        desk.requests.update(replace(report.request, attempt=report.request.attempt + 1))

    make_commit(
        desk,
        request,
        Making(
            lambda site: _made(desk, site, report),
            lambda why: _refused(desk, report, why),
            again,
            report.refusal,
            lambda site: _committed(desk, site, report),
        ),
    )


def _made(desk: Desk, site: Site, report: UpdateReport) -> str:
    """Raises Moved, Refused, NotPermitted and Unavailable."""
    name, repository = site.named(branch_name(report)), report.request.repository
    if _is_overtaken(desk, report):
        return f"{title(report)}: a later one was made meanwhile"
    ours = _ours(site, report)
    known = next((each for each in ours if each.head == site.tips.get(name)), None)
    others = [each for each in ours if each is not known]
    if known is not None:
        _supersede(desk, site, others, known.url)
        return _ended(desk, report, f"{proposed(report, known.url)} is open already")
    if desk.built_images.was_proposed(repository, name):
        return _ended(desk, report, f"{title(report)}: was proposed before, and is not open any more")
    why, said = why_no_commit(report), message(report, site.seals.word)
    if report.update_by is UpdateBy.COMMIT and not why:
        try:
            revision = site.push(report.request.branch, report.onto, said, _files(site.forge, report))
        except (Refused, NotPermitted) as error:  # a protected branch
            why = str(error)
        else:
            desk.built_images.note_own(repository, revision)
            _supersede(desk, site, others, revision)
            return _ended(desk, report, committed(report, revision))
    site.put(name, report.request.branch, report.onto, said, lambda: _files(site.forge, report))
    text = body(report, [each.url for each in others], why)
    opened = site.forge.open_change_request(name, report.request.branch, title(report), text)
    desk.built_images.note_proposed(repository, name)
    _supersede(desk, site, others, opened.url)
    return _ended(desk, report, proposed(report, opened.url))


def _committed(desk: Desk, site: BareSite, report: UpdateReport) -> str:
    """The same on a plain Git server: a branch of the bot's own stands for the change request.

    Its hooks do not see what the bot commits: so the bot says it itself. Raises Moved, Refused and Unavailable.
    """
    name, base = site.named(branch_name(report)), report.request.branch
    if _is_overtaken(desk, report):
        return f"{title(report)}: a later one was made meanwhile"
    if name in site.tips:
        return _ended(desk, report, f"{branched(report, name)} already")
    if desk.built_images.was_proposed(site.repository, name):
        return _ended(desk, report, f"{title(report)}: was proposed before, and its branch is not there any more")
    why, said = why_no_commit(report), message(report, site.seals.word)
    files = site.facts(_files(site.git, report))
    if report.update_by is UpdateBy.COMMIT and not why:
        try:
            revision = site.push(base, report.onto, said, files)
        except Refused as error:
            why = str(error)
        else:
            desk.built_images.note_own(site.repository, revision)
            desk.requests.committed(announced(desk, site.git, site.repository, base, revision))
            return _ended(desk, report, committed(report, revision))
    site.put(name, base, report.onto, said, lambda: files)
    desk.built_images.note_proposed(site.repository, name)
    text = _ended(desk, report, branched(report, name, why))
    _say(desk, report, State.PENDING, text)
    return text


def _files(tree: Tree, report: UpdateReport) -> list[FileChange]:
    """The files with the image in all places."""
    new = read_image(report.image)
    return [with_image(tree, report.onto, each, new) for each in report.files]


def _ours(site: Site, report: UpdateReport) -> list[ChangeRequest]:
    """The open change requests of this policy that the bot itself made."""
    prefix = branch_prefix(report)
    heads = {tip for name, tip in site.tips.items() if name.startswith(prefix)}
    if not heads:
        return []
    me = site.forge.me().id
    return [
        each
        for each in site.forge.open_change_requests()
        if each.head in heads and each.base == report.request.branch and each.author.id == me and not each.is_from_fork
    ]


def _supersede(desk: Desk, site: Site, older: Iterable[ChangeRequest], by: str) -> None:
    """Closes the older ones, and says on each what takes its place."""
    for each in older:
        marker = f"<!-- plumbline:{desk.settings.installation.instance}:superseded -->"
        site.forge.put_comment(each.number, marker, f"{marker}\n{superseded(by)}")
        site.forge.close_change_request(each.number)


# -- what came of it -------------------------------------------------------------------------------------------------


def _is_overtaken(desk: Desk, report: UpdateReport) -> bool:
    """Whether a later wish of the policy was seen to: this one waited for the forge, and is not wanted any more."""
    asked = report.request
    last = desk.built_images.outcome(asked.repository, asked.branch, asked.policy)
    return last is not None and last.at > asked.at


def _ended(desk: Desk, report: UpdateReport, text: str) -> str:
    """Notes that nothing is left to do, and takes back what a person was asked to see to on this very commit."""
    asked = report.request
    last = desk.built_images.outcome(asked.repository, asked.branch, asked.policy)
    if last is not None and last.is_refused and last.tip == report.onto:
        _say(desk, report, State.SUCCESS, text)
    _note(desk, report, is_refused=False)
    log.info("%s %s policy %s: %s", asked.repository, asked.branch, asked.policy, text)
    return text


def _refused(desk: Desk, report: UpdateReport, why: str) -> str:
    """Says on the branch's tip why the policy cannot have its way; gives it as a sentence."""
    text = refused(report, why)
    if report.onto:
        _say(desk, report, State.FAILURE, text)
    _note(desk, report, is_refused=True)
    return text


def _note(desk: Desk, report: UpdateReport, *, is_refused: bool) -> None:
    asked = report.request
    if report.onto and not _is_overtaken(desk, report):
        outcome = Outcome(report.onto, asked.image, asked.at, is_refused)
        desk.built_images.note_outcome(asked.repository, asked.branch, asked.policy, outcome)


def _say(desk: Desk, report: UpdateReport, state: State, text: str) -> None:
    repository = desk.settings.installation.repository(report.request.repository)
    if repository is not None:
        put_policy_status(desk, repository, report.onto, report.request.policy, state, text)

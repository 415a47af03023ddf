"""Job: what the worker found, written where people look: the change request's comment, the commit's statuses and checks.

Reports put rows into the outbox; one job per repository writes them. It looks at the forge again before it writes, writes
only what differs, and leaves what it could not write for later.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bot.board import Commit, Request
from bot.comments import marker, merged, nothing_to_predict, prediction, waiting_for_a_maintainer
from bot.desk import Desk
from bot.divergence_statuses import diverged, divergence_check, divergence_deployment, divergence_state, same_said
from bot.forges.port import ChangeRequest, Forge, NotPermitted, RequestState, State, Status
from bot.outbox import Row
from bot.queue import WriteRequest
from bot.statuses import (
    converging,
    converging_check,
    deployment,
    environment_page,
    is_written,
    predicted,
    predicted_check,
    predicting,
    proposal_page,
)
from bot.statuses import waiting_for_a_maintainer as waiting_status
from worker.domain.divergence import EpisodeReport
from worker.domain.errors import Refused, Unavailable
from worker.domain.installation import Repository
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ENDINGS, ConvergenceReport, Step

TELLS: Final = frozenset({Step.VERIFIED, Step.CONVERGED, Step.FAILED, Step.HELD})
"""Steps that say how a merge went."""

JUST_SEEN: Final = 2.0
"""Seconds for which a change request counts as it was read, unless it was heard to have moved since."""

log = logging.getLogger("plumbline.results")


# -- into the outbox -------------------------------------------------------------------------------------------------


def announce(desk: Desk, repository: Repository, request: ChangeRequest, at: float, *, stale: str = "") -> None:
    """Says at once that a change request is being predicted, or that a fork's waits for a maintainer.

    `at` is the Unix time of the event; `stale` says why an earlier prediction is no longer current.
    """
    message = {"number": request.number, "head": request.head, "fork": request.is_from_fork, "stale": stale}
    _put(desk, repository.name, f"announcement {request.number}", int(at * 1000), "announcement", message)


def withdraw(desk: Desk, repository: Repository, request: ChangeRequest, why: str, at: float) -> None:
    """Takes back what the comment predicts, where nothing else is predicted instead; `at` is the Unix time of the event."""
    message = {"number": request.number, "base": request.base, "is_draft": request.is_draft, "why": why}
    _put(desk, repository.name, f"withdrawal {request.number}", int(at * 1000), "withdrawal", message)


def put_status(
    desk: Desk,
    repository: str,
    revision: str,
    status: Status,
    at: float,
    *,
    unless_told: bool = False,
    is_first: bool = False,
) -> None:
    """Has a status written on a commit; `at` is the Unix time of what it is about, and later ones come after it.

    `unless_told`: only where the commit's context says nothing yet. `is_first`: it is the first word about this commit, as far
    as is remembered.
    """
    own = {**asdict(status), "state": str(status.state)}
    message = {"revision": revision, "status": own, "unless_told": unless_told, "first": is_first}
    _put(desk, repository, f"status {revision} {status.context}", int(at * 1000), "status", message)


def put_prediction(desk: Desk, report: ProposalReport) -> None:
    """Has a prediction written on its change request; what was announced of it need not be said any more."""
    desk.outbox.drop(report.repository, f"announcement {report.number}")
    # That of an old head, told late, must not take a new one's place.
    name = f"prediction {report.number} {report.head} {report.base}"
    _put(desk, report.repository, name, int(report.at * 1000), "prediction", report.to_json())


def put_convergence(desk: Desk, report: ConvergenceReport) -> None:
    """Has a fact of a convergence written on its commit; steps that pass at once are left out."""
    if is_written(report):
        name = _row("convergence", report)
        _put(desk, report.repository, name, report.sequence, "convergence", report.to_json())


def put_divergence(desk: Desk, report: EpisodeReport) -> None:
    """Has an event of a divergence written on the commit that the cluster is compared with."""
    if divergence_state(report) is not None:
        _put(desk, report.repository, _row("divergence", report), report.sequence, "divergence", report.to_json())


def put_answer(desk: Desk, repository: str, number: int, marker: str, body: str, at: float) -> None:
    """Has a command answered by one comment, found again by its hidden marker; a later answer (`at`) takes its place."""
    message = {"number": number, "marker": marker, "body": body}
    _put(desk, repository, f"answer {number} {marker}", int(at * 1000), "answer", message)


def _row(sort: str, report: ConvergenceReport | EpisodeReport) -> str:
    return f"{sort} {report.revision} {report.environment}"


def _put(desk: Desk, repository: str, name: str, sequence: int, sort: str, message: dict[str, Any]) -> None:
    desk.outbox.put(repository, name, sequence, sort, message)
    desk.requests.write(WriteRequest(repository))


# -- out of it -------------------------------------------------------------------------------------------------------


def write(desk: Desk, message: dict[str, Any]) -> None:
    """Writes every row of a repository, oldest first; while its forge is away, tries again later and loses nothing."""
    request = WriteRequest.from_json(message)
    repository = desk.settings.installation.repository(request.repository)
    if repository is None:
        log.warning("results of %s, which app.yaml does not list, are not written", request.repository)
        return
    if quiet := desk.outbox.quiet(repository.name):
        desk.requests.write(request, quiet)
        return
    with desk.outbox.writing(repository.name) as is_same_writer:
        rows = desk.outbox.rows(repository.name)
        if not rows:
            return
        try:
            forge = desk.forge(repository)
            if not is_same_writer:
                forge.forget()
            writer = _Writer(desk, repository, forge)
            for row in rows:
                try:
                    writer.write(row)
                except Refused as error:  # of one row: the others are not held up by it
                    log.error("%s: %s is not written: %s", repository.name, row.name, error)
                desk.outbox.done(repository.name, row)
        except (Unavailable, NotPermitted) as error:
            wait = desk.outbox.failed(repository.name, error.retry_after if isinstance(error, Unavailable) else None)
            log.warning("the forge of %s cannot be asked, trying again in %g s: %s", repository.name, wait, error)
            desk.requests.write(request, wait)
            return
        desk.outbox.succeeded(repository.name)


def is_current(report: ProposalReport, request: ChangeRequest) -> bool:
    """Whether a prediction is still about what would be merged, and may still be."""
    still_open = request.state is RequestState.OPEN
    return still_open and (request.head, request.base) == (report.head, report.base)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes rows to one repository's forge."""

    desk: Desk
    repository: Repository
    forge: Forge

    def write(self, row: Row) -> None:
        """Writes what a row says; what the forge does not permit is left out, and said in the log."""
        match row.sort:
            case "status":
                own, how = row.message["status"], row.message
                status = Status(**{**own, "state": State(own["state"])})
                self._status(how["revision"], status, is_first=how["first"], unless_told=how["unless_told"])
            case "announcement":
                self._announcement(row.message["number"], row.message["head"], row.message)
            case "withdrawal":
                self._withdrawal(row.message["number"], row.message)
            case "prediction":
                self._prediction(ProposalReport.from_json(row.message))
            case "convergence":
                self._convergence(ConvergenceReport.from_json(row.message))
            case "divergence":
                self._divergence(EpisodeReport.from_json(row.message))
            case "answer":
                how = row.message
                self._try("answer", lambda: self.forge.put_comment(how["number"], how["marker"], how["body"]))

    def _announcement(self, number: int, head: str, message: Any) -> None:
        instance = self._instance
        if message["fork"]:
            self._status(head, waiting_status(instance))
            body = waiting_for_a_maintainer(head, instance=instance)
            self._try("comment", lambda: self.forge.put_comment(number, marker(instance), body))
            return
        self._status(head, predicting(instance, self._page_of(number), message["stale"]))
        known = self.desk.board.proposal(self.repository.name, number) if message["stale"] else None
        if known:
            self._comment(known[0], stale=message["stale"])

    def _withdrawal(self, number: int, message: Any) -> None:
        request = self.forge.change_request(number)
        if request is None or (request.base, request.is_draft) != (message["base"], message["is_draft"]):
            return
        body = nothing_to_predict(message["why"], instance=self._instance)
        self._try("comment", lambda: self.forge.put_comment(number, marker(self._instance), body))

    def _prediction(self, report: ProposalReport) -> None:
        link = self._page_of(report.number)
        if report.number:
            known = self.desk.sightings.change_request(report.repository, report.number)
            is_as_seen = known is not None and (known.head, known.base) == (report.head, report.base)
            request = self.forge.change_request(report.number, within=JUST_SEEN if is_as_seen else 0.0)
            if request is None or not is_current(report, request):
                log.info("prediction of %s#%d at %s is out of date", report.repository, report.number, report.head[:7])
                return
            self.desk.board.propose(report, Request(request.title, request.author.login, request.url))
            self._comment(report)
        for status in predicted(report, self._instance, link):
            self._status(report.head, status)
        if self.forge.limits.checks:
            check = predicted_check(report, self._instance, link)
            self._try("check", lambda: self.forge.put_check(report.head, check))

    def _convergence(self, report: ConvergenceReport) -> None:
        installation = self.desk.settings.installation
        link = environment_page(installation.address, report.repository, report.environment)
        is_newest = report.sequence >= self.desk.outbox.said(self.repository.name, _row("divergence", report))
        if is_newest:
            self._status(report.revision, converging(report, self._instance, link))
        if is_newest and self.forge.limits.deployments:
            self._try("deployment", lambda: self.forge.put_deployment(deployment(report, link)))
        request = self.forge.merged_as(report.revision) if report.step in TELLS else None
        known = self.desk.board.proposal(report.repository, request.number) if request else None
        if is_newest and self.forge.limits.checks:
            plans = [
                each.plan for each in (known[0].environments if known else ()) if each.environment == report.environment
            ]
            check = converging_check(report, plans[0] if plans else None, self._instance, link)
            self._try("check", lambda: self.forge.put_check(report.revision, check))
        if request:
            words = Commit(request.title, request.author.login)
            self.desk.board.describe(report.repository, report.revision, words)
            self._verdict(request.number, known[0] if known else None, self.desk.board.conclude(request.number, report))
        if report.step in ENDINGS:
            self.desk.board.told(report)

    def _verdict(self, number: int, known: ProposalReport | None, verdicts: Sequence[ConvergenceReport]) -> None:
        """How the merge went, over the prediction: over what the comment says of it, where Redis lost it."""
        if known is not None:
            self._comment(known, verdicts=verdicts)
            return
        own, limit = marker(self._instance), self.forge.limits.comment

        def write_it() -> bool:
            there = self.forge.our_comment(number, own)
            return bool(there) and self.forge.put_comment(number, own, merged(there, verdicts, own, limit))

        self._try("comment", write_it)

    def _divergence(self, report: EpisodeReport) -> None:
        """On the same status, check and deployment as the commit's convergence: whichever was said later stands there."""
        installation = self.desk.settings.installation
        link = environment_page(installation.address, report.repository, report.environment)
        status = diverged(report, self._instance, link)
        if status is None or report.sequence < self.desk.outbox.said(self.repository.name, _row("convergence", report)):
            log.info("%s of %s/%s came late", report.news.name, report.repository, report.environment)
            return
        if not self._status(report.revision, status, same_said(report)):
            return
        if self.forge.limits.deployments:
            made = divergence_deployment(report, status.state, link)
            self._try("deployment", lambda: self.forge.put_deployment(made))
        if self.forge.limits.checks:
            check = divergence_check(report, status.state, self._instance, link)
            self._try("check", lambda: self.forge.put_check(report.revision, check))

    def _comment(self, report: ProposalReport, **how: Any) -> None:
        body = prediction(
            report,
            instance=self._instance,
            limit=self.forge.limits.comment,
            link=self._page_of(report.number),
            **how,
        )
        self._try("comment", lambda: self.forge.put_comment(report.number, marker(self._instance), body))

    def _status(
        self, revision: str, status: Status, said: str = "", *, is_first: bool = False, unless_told: bool = False
    ) -> bool:
        """A status is not even asked for when it is what was written last; whether it is something else.

        `said` is what decides that instead of the text, where that says how long something lasts: a commit's statuses are
        numbered (GitHub: 1,000 of a context).
        """
        name = f"{revision} {status.context}"
        digest = hashlib.sha256("\0".join((status.state, said or status.text, status.link)).encode()).hexdigest()
        last = self.desk.outbox.written(self.repository.name, name)
        if last == digest:
            return False
        if is_first and not last:
            self.forge.presume_nothing(revision)
        what = f"status {status.context}"
        is_said = self._try(what, lambda: self.forge.put_status(revision, status, unless_told=unless_told))
        if is_said and not unless_told:
            self.desk.outbox.wrote(self.repository.name, name, digest)
        return True

    def _try(self, what: str, write_it: Callable[[], bool]) -> bool:
        """Whether it could be written; what the forge does not permit or take does not keep the rest from being said."""
        try:
            wrote = write_it()
        except (NotPermitted, Refused) as error:
            log.error("%s: the %s is not written: %s", self.repository.name, what, error)
            return False
        log.info("%s: %s %s", self.repository.name, what, "written" if wrote else "is there already")
        return True

    @property
    def _instance(self) -> str:
        return self.desk.settings.installation.instance

    def _page_of(self, number: int) -> str:
        return proposal_page(self.desk.settings.installation.address, self.repository.name, number) if number else ""

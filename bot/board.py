"""What people are shown, in Redis: the last fact of every environment, and the facts of a push as a stream.

A read model that is rebuilt by the next facts; nothing here is authority.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from worker.domain.messages import KEYS, told_key
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ConvergenceReport, PreviewReport
from worker.signed_queue import redis_failed

STREAM_SECONDS: Final = 24 * 3600
TICKET_SECONDS: Final = 120
LONGEST_STREAM: Final = 2000
LONGEST_BLOCK: Final = 1.0
"""Seconds of one blocking read; shorter than Redis has for an answer, so that one that is away is noticed."""

TOLD_SECONDS: Final = 90 * 24 * 3600

PROPOSAL_SECONDS: Final = 30 * 24 * 3600
"""How long the last prediction of a change request, and how merging it went, can be shown."""


@dataclass(frozen=True, slots=True)
class Request:
    """What people call a change request; `url` is its address at the forge."""

    title: str = ""
    author: str = ""
    url: str = ""


class Board:
    """Facts by repository, revision and environment."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    # -- previews ------------------------------------------------------------------------------------------------

    def answer(self, report: PreviewReport) -> None:
        """Gives the waiting push its prediction."""
        key = _ticket(report.ticket)
        pipeline = self._connection.pipeline()
        pipeline.lpush(key, json.dumps(report.to_json()))
        pipeline.expire(key, TICKET_SECONDS)
        _run(pipeline)

    def wait(self, ticket: str, seconds: float) -> PreviewReport | None:
        """The prediction that a push waits for; None when it did not come in time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                found = self._connection.blpop([_ticket(ticket)], timeout=max(min(left, LONGEST_BLOCK), 0.01))
            except redis.RedisError as error:
                raise redis_failed(error) from None
            if isinstance(found, list | tuple) and len(found) == 2:
                return PreviewReport.from_json(json.loads(found[1]))
        return None

    # -- convergences --------------------------------------------------------------------------------------------

    def record(self, report: ConvergenceReport, line: str = "") -> None:
        """Adds a fact to the revision's stream (with a line of the bot's own after it), and makes it the environment's last."""
        body = json.dumps(report.to_json())
        stream = _stream(report.repository, report.revision)
        pipeline = self._connection.pipeline()
        pipeline.xadd(stream, {"report": body}, maxlen=LONGEST_STREAM)
        if line:
            pipeline.xadd(stream, {"line": line}, maxlen=LONGEST_STREAM)
        pipeline.expire(stream, STREAM_SECONDS)
        pipeline.hset(f"{KEYS}:board:{report.repository}", report.environment, body)
        _run(pipeline)

    def told(self, report: ConvergenceReport) -> None:
        """Notes that an ending was written back."""
        pipeline = self._connection.pipeline()
        pipeline.set(told_key(report.repository, report.environment), report.ending, ex=TOLD_SECONDS)
        _run(pipeline)

    def expect(self, repository: str, revision: str, environments: Sequence[str]) -> None:
        """Says which environments a revision will be converged in; none means that nobody has to wait."""
        stream = _stream(repository, revision)
        pipeline = self._connection.pipeline()
        pipeline.xadd(stream, {"expects": json.dumps(list(environments))}, maxlen=LONGEST_STREAM)
        pipeline.expire(stream, STREAM_SECONDS)
        _run(pipeline)

    def head(self, repository: str, environment: str, revision: str) -> None:
        """Hints that a newer revision is wanted, so that older work stops at its next step."""
        try:
            self._connection.set(f"{KEYS}:head:{repository}:{environment}", revision, ex=STREAM_SECONDS)
        except redis.RedisError as error:
            raise redis_failed(error) from None

    def cursor(self, repository: str, revisions: Sequence[str]) -> dict[str, str]:
        """Where each revision's stream ends now: what comes later is read from here."""
        ends: dict[str, str] = {}
        try:
            for revision in revisions:
                last: Any = self._connection.xrevrange(_stream(repository, revision), count=1)
                ends[revision] = last[0][0].decode() if last else "0"
        except redis.RedisError as error:
            raise redis_failed(error) from None
        return ends

    def read(self, repository: str, cursor: dict[str, str], milliseconds: int) -> list[tuple[str, str, dict[str, Any]]]:
        """What came after the cursor: (revision, id, entry) in order; waits up to `milliseconds` for the first."""
        streams: dict[Any, Any] = {_stream(repository, revision): last for revision, last in cursor.items()}
        try:
            found: Any = self._connection.xread(streams, count=200, block=milliseconds)
        except redis.RedisError as error:
            raise redis_failed(error) from None
        entries: list[tuple[str, str, dict[str, Any]]] = []
        rows = found.items() if isinstance(found, dict) else found or []
        for name, items in rows:
            revision = name.decode().rpartition(":")[2]
            flat = items[0] if items and isinstance(items[0], list) else items
            for entry_id, fields in flat:
                values = {key.decode(): value.decode() for key, value in fields.items()}
                entries.append((revision, entry_id.decode(), values))
        return sorted(entries, key=lambda entry: [int(part) for part in entry[1].split("-")])

    # -- change requests -----------------------------------------------------------------------------------------

    def propose(self, report: ProposalReport, request: Request) -> None:
        """Keeps the prediction of a change request in place of an older one; one that comes late changes nothing."""
        known = self.proposal(report.repository, report.number)
        if known is not None and known[0].at > report.at:
            return
        body = json.dumps({"report": report.to_json(), "request": asdict(request)})
        pipeline = self._connection.pipeline()
        pipeline.set(_proposal(report.repository, report.number), body, ex=PROPOSAL_SECONDS)
        _run(pipeline)

    def proposal(self, repository: str, number: int) -> tuple[ProposalReport, Request] | None:
        """The newest prediction of a change request, None where it has none."""
        pipeline = self._connection.pipeline()
        pipeline.get(_proposal(repository, number))
        found = _run(pipeline)[0]
        if not found:
            return None
        value = json.loads(found)
        return ProposalReport.from_json(value["report"]), Request(**value["request"])

    def conclude(self, number: int, report: ConvergenceReport) -> tuple[ConvergenceReport, ...]:
        """Keeps how the merge of a change request went in one environment; what is known of all of them, by name."""
        key = f"{_proposal(report.repository, number)}:merged"
        pipeline = self._connection.pipeline()
        pipeline.hset(key, report.environment, json.dumps(report.to_json()))
        pipeline.expire(key, PROPOSAL_SECONDS)
        pipeline.hgetall(key)
        found = _run(pipeline)[2]
        reports = [ConvergenceReport.from_json(json.loads(body)) for body in found.values()]
        return tuple(sorted(reports, key=lambda each: each.environment))


def _proposal(repository: str, number: int) -> str:
    return f"{KEYS}:proposal:{repository}:{number}"


def _stream(repository: str, revision: str) -> str:
    return f"{KEYS}:stream:{repository}:{revision}"


def _ticket(ticket: str) -> str:
    return f"{KEYS}:ticket:{ticket}"


def _run(pipeline: Any) -> list[Any]:
    try:
        answers: list[Any] = pipeline.execute()
        return answers
    except redis.RedisError as error:
        raise redis_failed(error) from None

"""What people are shown, in Redis: the last fact of every environment, and the facts of a push as a stream.

A read model that is rebuilt by the next facts; nothing here is authority.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from worker.domain.divergence import EpisodeReport, told_news_key
from worker.domain.locks import Holding
from worker.domain.messages import KEYS, shown_key, told_key
from worker.domain.proposals import ProposalReport
from worker.domain.reports import ConvergenceReport, PreviewReport
from worker.signed_queue import redis_answering

STREAM_SECONDS: Final = 24 * 3600
TICKET_SECONDS: Final = 120
LONGEST_STREAM: Final = 2000
LONGEST_BLOCK: Final = 0.5
"""Seconds of one blocking read; shorter than Redis has for an answer, so that one that is away is noticed."""

TOLD_SECONDS: Final = 90 * 24 * 3600

HISTORY: Final = 200
"""Facts that are kept of each environment, the newest ones."""

PLAN_SECONDS: Final = 7 * 24 * 3600
"""How long the plan of a push can be looked at; nothing but the terminal that it was printed in leads to it."""

SHOWN_SECONDS: Final = 90 * 24 * 3600
"""How long predictions of change requests and the words of commits are kept."""

PROPOSALS: Final = 30
"""Predictions that are listed of each repository."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What people call a commit: the first line of its message, or its change request's title; and who wrote it."""

    subject: str
    author: str


@dataclass(frozen=True, slots=True)
class Request:
    """What people call a change request; `url` is its address at the forge."""

    title: str = ""
    author: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """Where the plan of a commit is shown: of the push by `ticket`, or of the change request by `number`."""

    ticket: str = ""
    number: int = 0


class Board:
    """Facts by repository, revision and environment."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    # -- previews ------------------------------------------------------------------------------------------------

    def answer(self, report: PreviewReport) -> None:
        """Gives the waiting push its prediction, and keeps it to be looked at."""
        key, body = _ticket(report.ticket), json.dumps(report.to_json())
        pipeline = self._connection.pipeline()
        pipeline.lpush(key, body)
        pipeline.expire(key, TICKET_SECONDS)
        pipeline.set(_plan(report.ticket), body, ex=PLAN_SECONDS)
        planned = json.dumps(asdict(Planned(ticket=report.ticket)))
        for each in report.environments:
            if each.plan is not None:
                name = _planned(report.repository, each.environment, each.plan.revision)
                pipeline.set(name, planned, ex=PLAN_SECONDS)
        _run(pipeline)

    def wait(self, ticket: str, seconds: float) -> PreviewReport | None:
        """The prediction that a push waits for; None when it did not come in time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with redis_answering():
                found = self._connection.blpop([_ticket(ticket)], timeout=max(min(left, LONGEST_BLOCK), 0.01))
            if isinstance(found, list | tuple) and len(found) == 2:
                return PreviewReport.from_json(json.loads(found[1]))
        return None

    # -- convergences --------------------------------------------------------------------------------------------

    def record(self, report: ConvergenceReport, line: str = "") -> None:
        """Adds a fact to the revision's stream (with a line of the bot's own after it), and to the environment's history.

        The history is in the order of the facts, whatever order they come in; the same one twice is there once.
        """
        body = json.dumps(report.to_json())
        stream = _stream(report.repository, report.revision)
        pipeline = self._connection.pipeline()
        pipeline.xadd(stream, {"report": body}, maxlen=LONGEST_STREAM)
        if line:
            pipeline.xadd(stream, {"line": line}, maxlen=LONGEST_STREAM)
        pipeline.expire(stream, STREAM_SECONDS)
        history = _history(report.repository, report.environment)
        pipeline.zadd(history, {body: report.sequence})
        pipeline.zremrangebyrank(history, 0, -HISTORY - 1)
        pipeline.sadd(_environments(report.repository), report.environment)
        _run(pipeline)

    def note_episode(self, report: EpisodeReport) -> None:
        """Keeps an event of an episode, the newest HISTORY of each environment; the same one twice is there once."""
        key = _episodes(report.repository, report.environment)
        pipeline = self._connection.pipeline()
        pipeline.zadd(key, {json.dumps(report.to_json()): report.sequence})
        pipeline.zremrangebyrank(key, 0, -HISTORY - 1)
        pipeline.sadd(_environments(report.repository), report.environment)
        _run(pipeline)

    def episodes(self, repository: str, environment: str) -> tuple[EpisodeReport, ...]:
        """What was said of an environment's episodes, oldest first."""
        pipeline = self._connection.pipeline()
        pipeline.zrange(_episodes(repository, environment), 0, -1)
        return _episode_reports(_run(pipeline)[0])

    def told_news(self, report: EpisodeReport) -> None:
        """Notes that news of an episode were delivered."""
        pipeline = self._connection.pipeline()
        pipeline.set(told_news_key(report.repository, report.environment), report.news.name, ex=TOLD_SECONDS)
        _run(pipeline)

    def shown(self, repository: str, environment: str) -> tuple[tuple[Holding, ...], tuple[str, ...]]:
        """What holds an environment, and what lies beside Git there, as the worker last showed it."""
        return _shown(self._get(shown_key(repository, environment)))

    def held(self, environments: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[Holding, ...]]:
        """What holds each environment (repository, name) until people end it, as the worker last showed it."""
        pairs, pipeline = list(environments), self._connection.pipeline()
        for each in pairs:
            pipeline.get(shown_key(*each))
        shown = zip(pairs, _run(pipeline), strict=True)
        return {each: tuple(held for held in _shown(body)[0] if held.is_peoples) for each, body in shown}

    def note_answers(
        self, repository: str, asked: str, answers: Mapping[str, str], waits: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Keeps answers to what was asked, by environment, and gives all that came so far, also from other clusters.

        What is said first of an environment stays: who asks again hears no more than that it is so already. `waits` is what is
        said of those that have not answered yet.
        """
        key = f"{KEYS}:answers:{repository}:{asked}"
        pipeline = self._connection.pipeline()
        for environment, text in answers.items():
            pipeline.hsetnx(key, environment, text)
        for environment, text in waits.items():
            pipeline.hset(f"{key}:waits", environment, text)
        for name in (key, f"{key}:waits"):
            pipeline.expire(name, SHOWN_SECONDS)
        pipeline.hgetall(f"{key}:waits")
        pipeline.hgetall(key)
        found: Mapping[bytes, bytes] = {**(said := _run(pipeline))[-2], **said[-1]}
        return {name.decode(): text.decode() for name, text in found.items()}

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

    def say(self, repository: str, revision: str, lines: Sequence[str]) -> None:
        """Says lines to whoever watches a revision from a push's terminal."""
        stream = _stream(repository, revision)
        pipeline = self._connection.pipeline()
        for line in lines:
            pipeline.xadd(stream, {"line": line}, maxlen=LONGEST_STREAM)
        pipeline.expire(stream, STREAM_SECONDS)
        _run(pipeline)

    def head(self, repository: str, environment: str, revision: str) -> None:
        """Hints that a newer revision is wanted, so that older work stops at its next step."""
        with redis_answering():
            self._connection.set(f"{KEYS}:head:{repository}:{environment}", revision, ex=STREAM_SECONDS)

    def cursor(self, repository: str, revisions: Sequence[str]) -> dict[str, str]:
        """Where each revision's stream ends now: what comes later is read from here."""
        ends: dict[str, str] = {}
        with redis_answering():
            for revision in revisions:
                last: Any = self._connection.xrevrange(_stream(repository, revision), count=1)
                ends[revision] = last[0][0].decode() if last else "0"
        return ends

    def read(self, repository: str, cursor: dict[str, str], milliseconds: int) -> list[tuple[str, str, dict[str, Any]]]:
        """What came after the cursor: (revision, id, entry) in order; waits up to `milliseconds` for the first."""
        streams: dict[Any, Any] = {_stream(repository, revision): last for revision, last in cursor.items()}
        with redis_answering():
            found: Any = self._connection.xread(streams, count=200, block=milliseconds)
        entries: list[tuple[str, str, dict[str, Any]]] = []
        rows = found.items() if isinstance(found, dict) else found or []
        for name, items in rows:
            revision = name.decode().rpartition(":")[2]
            flat = items[0] if items and isinstance(items[0], list) else items
            for entry_id, fields in flat:
                values = {key.decode(): value.decode() for key, value in fields.items()}
                entries.append((revision, entry_id.decode(), values))
        return sorted(entries, key=lambda entry: [int(part) for part in entry[1].split("-")])

    # -- what the pages show -------------------------------------------------------------------------------------

    def describe(self, repository: str, revision: str, commit: Commit) -> None:
        """Notes what people call a commit."""
        pipeline = self._connection.pipeline()
        pipeline.set(_commit(repository, revision), json.dumps(asdict(commit)), ex=SHOWN_SECONDS)
        _run(pipeline)

    def commits(self, named: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Commit]:
        """What is known of commits, each named by repository and revision."""
        asked = list(dict.fromkeys(named))
        if not asked:
            return {}
        pipeline = self._connection.pipeline()
        for repository, revision in asked:
            pipeline.get(_commit(repository, revision))
        return {each: Commit(**json.loads(body)) for each, body in zip(asked, _run(pipeline), strict=True) if body}

    def environments(
        self, repositories: Sequence[str]
    ) -> list[tuple[tuple[ConvergenceReport, ...], tuple[EpisodeReport, ...]]]:
        """The facts of every environment that has any, and what was said of its episodes, each oldest first."""
        pipeline = self._connection.pipeline()
        for repository in repositories:
            pipeline.smembers(_environments(repository))
        pairs = [
            (repository, name.decode())
            for repository, names in zip(repositories, _run(pipeline), strict=True)
            for name in sorted(names)
        ]
        for repository, name in pairs:
            pipeline.zrange(_history(repository, name), 0, -1)
            pipeline.zrange(_episodes(repository, name), 0, -1)
        answers = _run(pipeline)
        pairs_found = zip(answers[::2], answers[1::2], strict=True)
        return [(found, _episode_reports(told)) for facts, told in pairs_found if (found := _reports(facts))]

    def history(self, repository: str, environment: str) -> tuple[ConvergenceReport, ...]:
        """The facts of one environment, oldest first; none where it was never heard of."""
        pipeline = self._connection.pipeline()
        pipeline.zrange(_history(repository, environment), 0, -1)
        return _reports(_run(pipeline)[0])

    def planned(self, repository: str, environment: str, revisions: Iterable[str]) -> Mapping[str, Planned]:
        """Where the plan of each commit in an environment is shown, by revision; what is not kept (any more) is left out."""
        asked = list(dict.fromkeys(revisions))
        pipeline = self._connection.pipeline()
        for revision in asked:
            pipeline.get(_planned(repository, environment, revision))
        found = zip(asked, _run(pipeline), strict=True)
        return {revision: Planned(**json.loads(body)) for revision, body in found if body}

    def plan(self, ticket: str) -> PreviewReport | None:
        """The prediction of a push, None where it is not kept (any more)."""
        body = self._get(_plan(ticket))
        return PreviewReport.from_json(json.loads(body)) if body else None

    def propose(self, report: ProposalReport, request: Request) -> None:
        """Keeps the prediction of a change request in place of an older one; one that comes late changes nothing."""
        known = self.proposal(report.repository, report.number)
        if known is not None and known[0].at > report.at:
            return
        body = json.dumps({"report": report.to_json(), "request": asdict(request)})
        listed = f"{KEYS}:proposals:{report.repository}"
        pipeline = self._connection.pipeline()
        pipeline.set(_proposal(report.repository, report.number), body, ex=SHOWN_SECONDS)
        pipeline.zadd(listed, {str(report.number): report.at})
        pipeline.zremrangebyrank(listed, 0, -PROPOSALS - 1)
        pipeline.expire(listed, SHOWN_SECONDS)
        _run(pipeline)

    def proposal(self, repository: str, number: int) -> tuple[ProposalReport, Request] | None:
        """The newest prediction of a change request, None where it has none."""
        body = self._get(_proposal(repository, number))
        return _proposed(body) if body else None

    def conclude(self, number: int, report: ConvergenceReport) -> tuple[ConvergenceReport, ...]:
        """Keeps how the merge of a change request went in one environment; what is known of all of them, by name."""
        key = f"{_proposal(report.repository, number)}:merged"
        pipeline = self._connection.pipeline()
        planned = _planned(report.repository, report.environment, report.revision)
        pipeline.hset(key, report.environment, json.dumps(report.to_json()))
        pipeline.expire(key, SHOWN_SECONDS)
        pipeline.hgetall(key)
        pipeline.set(planned, json.dumps(asdict(Planned(number=number))), ex=SHOWN_SECONDS)
        found = _run(pipeline)[2]
        reports = [ConvergenceReport.from_json(json.loads(body)) for body in found.values()]
        return tuple(sorted(reports, key=lambda each: each.environment))

    def proposals(self, repository: str, most: int = PROPOSALS) -> list[tuple[ProposalReport, Request]]:
        """The newest predictions of a repository's change requests, newest first."""
        pipeline = self._connection.pipeline()
        pipeline.zrange(f"{KEYS}:proposals:{repository}", 0, most - 1, desc=True)
        for number in _run(pipeline)[0]:
            pipeline.get(_proposal(repository, int(number)))
        return [_proposed(body) for body in _run(pipeline) if body]

    def _get(self, key: str) -> bytes | None:
        pipeline = self._connection.pipeline()
        pipeline.get(key)
        found: bytes | None = _run(pipeline)[0]
        return found


def _shown(body: Any) -> tuple[tuple[Holding, ...], tuple[str, ...]]:
    try:
        found = json.loads(body or '{"held": [], "beside": []}')
        return tuple(Holding(**each) for each in found["held"]), tuple(map(str, found["beside"]))
    except (ValueError, TypeError, KeyError):
        return (), ()


def _reports(bodies: Iterable[bytes]) -> tuple[ConvergenceReport, ...]:
    return tuple(ConvergenceReport.from_json(json.loads(body)) for body in bodies)


def _episode_reports(bodies: Iterable[bytes]) -> tuple[EpisodeReport, ...]:
    return tuple(EpisodeReport.from_json(json.loads(body)) for body in bodies)


def _proposed(body: bytes) -> tuple[ProposalReport, Request]:
    value = json.loads(body)
    return ProposalReport.from_json(value["report"]), Request(**value["request"])


def _environments(repository: str) -> str:
    return f"{KEYS}:environments:{repository}"


def _history(repository: str, environment: str) -> str:
    return f"{KEYS}:history:{repository}:{environment}"


def _episodes(repository: str, environment: str) -> str:
    return f"{KEYS}:episodes:{repository}:{environment}"


def _commit(repository: str, revision: str) -> str:
    return f"{KEYS}:commit:{repository}:{revision}"


def _proposal(repository: str, number: int) -> str:
    return f"{KEYS}:proposal:{repository}:{number}"


def _planned(repository: str, environment: str, revision: str) -> str:
    return f"{KEYS}:planned:{repository}:{environment}:{revision}"


def _plan(ticket: str) -> str:
    return f"{KEYS}:plan:{ticket}"


def _stream(repository: str, revision: str) -> str:
    return f"{KEYS}:stream:{repository}:{revision}"


def _ticket(ticket: str) -> str:
    return f"{KEYS}:ticket:{ticket}"


def _run(pipeline: Any) -> list[Any]:
    with redis_answering():
        answers: list[Any] = pipeline.execute()
        return answers

"""What happened as a CloudEvent (1.0, docs/events has the schemas) and as a line for people. Pure.

An event's id is made of what it is about, never of when it is said: the same news twice is the same event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from bot.divergence_statuses import divergence_line
from bot.markdown import flat
from bot.statuses import LONGEST, environment_page, status_line
from worker.domain.alerting import AlertType, Severity
from worker.domain.divergence import EpisodeReport
from worker.domain.environment import Mode
from worker.domain.episode_text import lasted
from worker.domain.episodes import Cause, Episode, Event
from worker.domain.hold_reminder import HoldReport
from worker.domain.messages import job_name
from worker.domain.proposals import Drift
from worker.domain.reports import ConvergenceReport, Step

PREFIX: Final = "io.plumbline."
SCHEMA: Final = "urn:plumbline:events:{}:1"

LONGEST_VALUE: Final = 2000
"""Characters of a field's value in an event, as JSON; of a longer one the beginning is told."""

LONGEST_LINE: Final = 300

_COMMITS: Final = {
    Step.CONVERGING: (AlertType.CHANGE_COMMITTED, Severity.INFO),
    Step.CONVERGED: (AlertType.CONVERGED, Severity.INFO),
    Step.FAILED: (AlertType.FAILED, Severity.ERROR),
    Step.LEFT: (AlertType.LEFT, Severity.WARNING),
}

_MENTION: Final = str.maketrans({"@": "@\u200b", "<": "‹", ">": "›", "&": "+", "`": "ˋ", "*": "∗", "[": "⟦", "]": "⟧"})
"""What chats take for a mention, a link or markup."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One event, and what decides who is told of it; `text` is one line and a link, for a chat or a mail."""

    alert_type: AlertType
    severity: Severity
    repository: str
    environment: str
    event: Mapping[str, Any]
    text: str


def alert_of(report: ConvergenceReport | EpisodeReport | HoldReport, instance: str, address: str) -> Alert | None:
    """The alert that a report is, None where it is none: a step on the way, or an environment that is only observed."""
    if isinstance(report, ConvergenceReport):
        return _of_commit(report, instance, address)
    if isinstance(report, HoldReport):
        return _of_hold(report, instance, address)
    return _of_episode(report, instance, address) if report.mode is not Mode.OBSERVE else None


def _of_commit(report: ConvergenceReport, instance: str, address: str) -> Alert | None:
    if report.step not in _COMMITS:
        return None
    alert_type, severity = _COMMITS[report.step]
    said = report.at + report.seconds
    facts: dict[str, Any] = {"committed": _stamp(report.at)}
    if alert_type is AlertType.CONVERGED:
        facts |= {"after": round(report.seconds, 3), "proof": _proof(report.proof)}
    elif alert_type is AlertType.FAILED:
        facts |= {"cause": str(Cause.FAILURE), "since": _stamp(said), "objects": [], "more": 0}
    elif alert_type is AlertType.LEFT:
        facts |= {"after": round(report.seconds, 3), **_ended(report)}
    name = f"{report.revision} {int(report.at * 1000)}"
    return _alert(report, instance, address, alert_type, severity, name, said, status_line(report), facts)


def _ended(report: ConvergenceReport) -> dict[str, Any]:
    """The divergence that ends because its environment is left; nothing where none was alerted."""
    episode = (report.proof or {}).get("episode")
    return {"episode": episode} if episode else {}


def _of_episode(report: EpisodeReport, instance: str, address: str) -> Alert | None:
    news, episode = report.news, report.news.episode
    is_failure = episode.cause is Cause.FAILURE
    facts: dict[str, Any] = {"episode": episode.id, "cause": str(episode.cause), "since": _stamp(episode.since)}
    name, line = f"episode {episode.id}", divergence_line(report)
    if news.event is Event.CONVERGED:
        if episode.of_operation:
            return None  # a commit's failure opened it, and that commit's end, or a later one's, is said by itself
        facts |= {"after": round(report.seconds, 3), "proof": _proof(news.proof)}
        return _alert(report, instance, address, AlertType.CONVERGED, Severity.INFO, name, news.at, line, facts)
    facts |= {
        "mode": str(report.mode),
        "next": _next(report),
        "objects": _objects(episode),
        "more": episode.more + episode.more_troubles,
    }
    match news.event:
        case Event.OPENED | Event.REMINDER:
            alert_type = AlertType.FAILED if is_failure else AlertType.DIFF
            severity = Severity.ERROR if is_failure else Severity.WARNING
        case Event.FIGHT:
            alert_type, severity = AlertType.FIGHT, Severity.ERROR
            facts["quarrel"] = episode.quarrel
        case _:
            return None
    reminder = int(episode.reminded * 1000) if news.event is Event.REMINDER else 0
    return _alert(report, instance, address, alert_type, severity, name, news.at, line, facts, reminder=reminder)


def _of_hold(report: HoldReport, instance: str, address: str) -> Alert:
    held = report.holding
    facts = {
        "what": held.what, "by": held.who, "since": _stamp(held.since), "reason": _bounded(held.why),
        "release": held.release, "times": report.times,
    }  # fmt: skip
    return _alert(
        report, instance, address, AlertType.HELD, Severity.WARNING, f"hold {report.subject}", report.at,
        _hold_line(report), facts, reminder=report.times,
    )  # fmt: skip


def _hold_line(report: HoldReport) -> str:
    """At most 140 characters; what ends it is never what is cut off for the reason's sake."""
    held, ends = report.holding, f" ({report.holding.release})"
    who = f" by {held.who}" if held.who else ""
    why = f": {held.why}" if held.why else ""
    head = f"{held.what[:1].upper()}{held.what[1:]}{who} for {lasted(report.times * report.period)}{why}"
    return flat(flat(head, max(LONGEST - len(ends), LONGEST // 3)) + ends, LONGEST)


def _alert(
    report: ConvergenceReport | EpisodeReport | HoldReport,
    instance: str,
    address: str,
    alert_type: AlertType,
    severity: Severity,
    name: str,
    at: float,
    line: str,
    facts: Mapping[str, Any],
    *,
    reminder: int = 0,
) -> Alert:
    """`name` tells the subject from all others of the environment, `reminder` the times that it is said again (0: the first)."""
    link = environment_page(address, report.repository, report.environment)
    event_id = f"{alert_type}-{job_name(instance, report.repository, report.environment, name)}"
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{event_id}-reminder-{reminder}" if reminder else event_id,
        "source": link,
        "type": f"{PREFIX}{alert_type}",
        "time": datetime.fromtimestamp(at, UTC),
        "subject": f"{report.repository}/{report.environment}",
        "datacontenttype": "application/json",
        "dataschema": SCHEMA.format(alert_type),
        "severity": str(severity),
    }
    if reminder:
        attributes["reminder"] = True
    data = {
        "repository": report.repository,
        "environment": report.environment,
        "branch": report.branch,
        "revision": report.revision,
        **facts,
        "text": line,
        "link": link,
    }
    event: dict[str, Any] = json.loads(JSONFormat().write(CloudEvent(attributes, data)))
    again = "still: " if reminder else ""
    words = flat(f"{report.repository}/{report.environment}: {again}{line}", LONGEST_LINE).translate(_MENTION)
    return Alert(alert_type, severity, report.repository, report.environment, event, f"{words}\n{link}")


def _objects(episode: Episode) -> list[dict[str, Any]]:
    """What differs, object by object, in the order in which the episode names them."""
    found: list[dict[str, Any]] = []
    for key in episode.keys:
        fields = [_field(each) for each in episode.drift if each.key == key]
        entry: dict[str, Any] = {"key": key.to_json(), "fields": fields}
        for each in episode.troubles:
            if each.key == key:
                entry |= {"health": each.health, "text": _bounded(each.text)}
        found.append(entry)
    return found


def _field(drift: Drift) -> dict[str, Any]:
    desired, observed = drift.field.shown()
    return {
        "path": drift.field.path,
        "desired": _bounded(desired),
        "observed": _bounded(observed),
        "manager": drift.manager,
        "operation": drift.operation,
        "time": drift.at,
    }


def _bounded(value: Any) -> Any:
    """A value as it is, or the beginning of a long one and how long it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"


def _next(report: EpisodeReport) -> str:
    """What happens by itself, and when: `heals in 5 s`, `reminds in 1 h`; empty where nothing does."""
    episode = report.news.episode
    if report.next_at <= 0 and report.mode is not Mode.HEAL:
        return ""
    heals = report.mode is Mode.HEAL and bool(episode.drift) and not episode.quarrel
    wait = report.next_at - report.news.at
    when = "now" if wait < 1 else f"in {lasted(wait)}"
    return f"{'heals' if heals else 'reminds'} {when}"


def _proof(proof: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(proof) if proof is not None else None


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""An environment as pages show it, told from what was reported of it, and how a time is said. Pure.

How it stands is judged by `worker.domain.axes`; here it is put beside its sentence, its times and its timeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from bot.statuses import LONGEST, status_line
from worker.domain.axes import PHASES, Known, Plumb, Standing, Word, open_news, standing, told
from worker.domain.convergence import Phase, Sync
from worker.domain.divergence import EpisodeReport
from worker.domain.episode_text import Next, headline, lasted, what_next
from worker.domain.episodes import Episode, Event, Stage
from worker.domain.field_text import shortened
from worker.domain.health import Health
from worker.domain.proposals import Drift
from worker.domain.reports import FINAL_STEPS, ConvergenceReport, Step


@dataclass(frozen=True, slots=True)
class Axis:
    """One of the three axes as it is shown: its name, its word, and how that hangs."""

    name: str
    word: str
    plumb: Plumb


@dataclass(frozen=True, slots=True)
class Run:
    """What was reported of one revision, oldest first."""

    revision: str
    branch: str
    facts: tuple[ConvergenceReport, ...]

    @property
    def key(self) -> str:
        """What tells it from every other of its environment, however often the page is made."""
        return f"{self.revision} {self.facts[0].sequence}"

    @property
    def last(self) -> ConvergenceReport:
        """The newest fact."""
        return self.facts[-1]

    @property
    def at(self) -> float:
        """When the newest fact was, a Unix time."""
        return said_at(self.last)

    @property
    def mark(self) -> Plumb | None:
        """How it ended or goes; None where another revision took over."""
        return None if self.last.step is Step.SUPERSEDED else _judged(self.last).plumb

    @property
    def word(self) -> Word:
        """How it ended or goes, in a word."""
        return _judged(self.last).word


@dataclass(frozen=True, slots=True)
class Divergence:
    """What was said of one episode, oldest first; `is_open` where it goes on, `is_left` where its environment was left in it."""

    reports: tuple[EpisodeReport, ...]
    is_open: bool
    is_left: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other of its environment, however often the page is made."""
        return f"{self.reports[0].news.episode.id} {self.reports[0].sequence}"

    @property
    def at(self) -> float:
        """When its newest event was, a Unix time."""
        return self.reports[-1].news.at

    @property
    def widest(self) -> Episode:
        """The episode as it was when something differed last: once it closes it names nothing any more.

        Of one that is over it is the drift, where there was some: what its healing took a moment for was not the cause.
        """
        found = [each.news.episode for each in self.reports if each.news.episode.keys]
        drifted = [] if self.is_open else [each for each in found if each.drift]
        return (drifted or found or [self.reports[-1].news.episode])[-1]

    @property
    def mark(self) -> Plumb | None:
        """Out of true while it is open; what is over hangs no more."""
        if not self.is_open:
            return None
        return Plumb.MOVING if self.reports[-1].news.episode.stage is Stage.CLOSING else Plumb.TILTED

    @property
    def word(self) -> str:
        """How it ended or goes, in a word."""
        events = [each.news.event for each in self.reports]
        if self.is_left:
            return "left"
        if not self.is_open:
            return "gone" if Event.GONE in events else "healed" if Event.HEALED in events else "closed"
        return "fight" if self.reports[-1].news.episode.quarrel else str(self.reports[-1].news.episode.stage)


@dataclass(frozen=True, slots=True)
class View:
    """One environment now: how it stands, the state in a sentence, and since when (Unix time) that is so.

    `news` is the last that was said of the open divergence (None: there is none), `verdict` how the last prediction compared
    with what happened.
    """

    last: ConvergenceReport
    standing: Standing
    sentence: str
    since: float
    news: EpisodeReport | None = None
    verdict: str = ""

    @property
    def urgency(self) -> tuple[int, float]:
        """Sorts worst first, and what has just become so before what has been so for long."""
        return list(Word).index(self.standing.word), -self.since

    @property
    def episode(self) -> Episode | None:
        """The open divergence."""
        return self.news.news.episode if self.news is not None else None

    @property
    def next(self) -> tuple[Next, ...]:
        """What happens by itself of the open divergence."""
        return what_next(self.news.news.episode, self.news.mode, self.news.next_at) if self.news is not None else ()

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """The three axes, each with how it hangs."""
        axes = self.standing.axes
        return (
            Axis("sync", axes.sync.value, self.standing.plumb if axes.sync is Sync.DIVERGED else _SYNC[axes.sync]),
            Axis("health", axes.health.value, _HEALTH.get(axes.health, Plumb.TILTED)),
            Axis("operation", axes.operation.value, _OPERATION.get(axes.operation, Plumb.MOVING)),
        )


_SYNC: Final = {Sync.IN_SYNC: Plumb.STRAIGHT, Sync.UNKNOWN: Plumb.MOVING}
_HEALTH: Final = {
    Health.HEALTHY: Plumb.STRAIGHT,
    Health.SUSPENDED: Plumb.STRAIGHT,
    Health.PROGRESSING: Plumb.MOVING,
    Health.UNKNOWN: Plumb.MOVING,
}
_OPERATION: Final = {Phase.SUCCEEDED: Plumb.STRAIGHT, Phase.FAILED: Plumb.TILTED, Phase.HELD: Plumb.TILTED}

_NAMED: Final = {
    Word.DRIFTED: "Drifted: ",
    Word.CONFLICTING: "In conflict: ",
    Word.UNHEALTHY: "",
    Word.PROGRESSING: "",
}
"""Words that an open divergence gives an environment, and how its sentence begins then."""


def said_at(fact: ConvergenceReport) -> float:
    """When a fact became one, as a Unix time."""
    return fact.sequence / 1000


def _judged(fact: ConvergenceReport) -> Standing:
    """How an environment stood by one fact alone."""
    return standing(Known(PHASES[fact.step], fact.revision, None, is_troubled=fact.step is Step.DEGRADED))


def view(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport] = ()) -> View:
    """An environment by its facts and what was said of its episodes, both oldest first; `history` is not empty."""
    last, news = history[-1], open_news(history, episodes)
    found = standing(told(history, episodes))
    verdict = next(
        (each.proof["verdict"] for each in reversed(history) if each.proof and each.proof.get("verdict")), ""
    )
    if news is not None and found.word in _NAMED:
        sentence = shortened(f"{_NAMED[found.word]}{headline(news.news.episode)}", LONGEST)
        return View(last, found, sentence, news.news.episode.since, news, verdict)
    if news is not None and news.news.episode.stage is Stage.CLOSING and last.step is Step.CONVERGED:
        return View(last, found, "Nothing differs any more", news.news.episode.clear, news, verdict)
    since = said_at(last)
    for fact in reversed(history):
        if fact.revision != last.revision or _judged(fact).word is not _judged(last).word:
            break
        since = said_at(fact)
    return View(last, found, status_line(last), since, news, verdict)


def timeline(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport] = ()) -> list[Run | Divergence]:
    """What happened, newest first: the commits with their facts, and the divergences with their events."""
    is_open = open_news(history, episodes)
    grouped: dict[str, list[EpisodeReport]] = {}
    for report in episodes:
        grouped.setdefault(report.news.episode.id, []).append(report)
    ended = {(each.proof or {}).get("episode") for each in history if each.step is Step.LEFT}
    found: list[Run | Divergence] = [
        Divergence(tuple(reports), is_open is not None and reports[-1] is is_open, episode in ended)
        for episode, reports in grouped.items()
    ]
    return sorted([*found, *runs(history)], key=lambda each: each.at, reverse=True)


def runs(history: Sequence[ConvergenceReport]) -> list[Run]:
    """The history by revision, newest first."""
    grouped = [(key, tuple(facts)) for key, facts in groupby(history, key=lambda fact: (fact.revision, fact.branch))]
    return [Run(revision, branch, facts) for (revision, branch), facts in reversed(grouped)]


def proof(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport] = ()) -> Mapping[str, Any] | None:
    """The newest proof that an environment was what a commit says; None where there is none."""
    said = [(each.sequence, each.proof, each.revision) for each in history]
    said += [(each.sequence, each.news.proof, each.revision) for each in episodes]
    found = [(at, {"revision": revision, **shown}) for at, shown, revision in said if shown and "objects" in shown]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def by_object(drift: Sequence[Drift]) -> list[tuple[Any, list[Drift]]]:
    """The fields that differ, under the object that they are of."""
    return [(key, list(found)) for key, found in groupby(drift, key=lambda each: each.key)]


def is_working(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport] = ()) -> bool:
    """Whether something more is to come soon."""
    news = open_news(history, episodes) if history else None
    passes = news is not None and news.news.episode.stage is not Stage.OPEN
    return bool(history) and (history[-1].step not in FINAL_STEPS or passes)


def distance(seconds: float) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, `2 days ago` for what was; `in 5 s` for what comes."""
    for size, word in ((86400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        if abs(seconds) >= (2 * size if word == "day" else size):
            count = int(abs(seconds) // size)
            said = f"{count} {word}{'s' if word == 'day' else ''}"
            return f"{said} ago" if seconds > 0 else f"in {said}"
    return "just now"


def took(seconds: float) -> str:
    """`4.1 s`; from 100 s on in the largest unit, `3 m`."""
    return f"{seconds:.1f} s" if seconds < 100 else lasted(seconds)


def stamp(at: float) -> str:
    """A Unix time as people read it, to the second, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_stamp(at: float) -> str:
    """A Unix time in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def cluster_time(text: str) -> float | None:
    """A time as the cluster says it (RFC 3339), as a Unix time; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None

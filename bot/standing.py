"""How an environment stands, told from the facts that were reported of it, and how a time is said. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from bot.statuses import LONGEST, status_line
from worker.domain.field_text import shortened, words
from worker.domain.proposals import Drift, ProposalReport
from worker.domain.reports import FINAL_STEPS, ConvergenceReport, Step


class Mark(enum.StrEnum):
    """The plumb mark: how the line hangs. The order is worst first."""

    TILTED = "tilted"
    MOVING = "moving"
    STRAIGHT = "straight"


_WORDS: Final = {
    Step.CONVERGED: (Mark.STRAIGHT, "converged"),
    Step.FAILED: (Mark.TILTED, "failed"),
    Step.HELD: (Mark.TILTED, "held"),
    Step.DEGRADED: (Mark.MOVING, "degraded"),
    Step.SUPERSEDED: (Mark.MOVING, "superseded"),
    Step.VERIFIED: (Mark.MOVING, "settling"),
    Step.SETTLING: (Mark.MOVING, "settling"),
    Step.RETRYING: (Mark.MOVING, "retrying"),
}
_URGENCY: Final = (
    "failed", "held", "drifted", "degraded", "retrying", "superseded", "converging", "settling", "converged",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """What was reported of one revision, oldest first; `is_over` where nothing more comes."""

    revision: str
    branch: str
    facts: tuple[ConvergenceReport, ...]

    @property
    def last(self) -> ConvergenceReport:
        """The newest fact."""
        return self.facts[-1]

    @property
    def mark(self) -> Mark | None:
        """How it ended or goes; None where another revision took over."""
        return None if self.last.step is Step.SUPERSEDED else _judged(self.last)[0]

    @property
    def word(self) -> str:
        """How it ended or goes, in a word."""
        return _judged(self.last)[1]


@dataclass(frozen=True, slots=True)
class Standing:
    """One environment now: the mark, the state in a word and a sentence, and since when (Unix time) that is so.

    `drift` is what the prediction of a change request saw after the last convergence; `since` is then when it saw it.
    """

    last: ConvergenceReport
    mark: Mark
    word: str
    sentence: str
    since: float
    drift: tuple[Drift, ...] = ()

    @property
    def urgency(self) -> tuple[int, float]:
        """Sorts worst first, and what has just become so before what has been so for long."""
        return _URGENCY.index(self.word), -self.since


def said_at(fact: ConvergenceReport) -> float:
    """When a fact became one, as a Unix time."""
    return fact.sequence / 1000


def _judged(fact: ConvergenceReport) -> tuple[Mark, str]:
    return _WORDS.get(fact.step, (Mark.MOVING, "converging"))


def standing(history: Sequence[ConvergenceReport], proposals: Sequence[ProposalReport] = ()) -> Standing:
    """How an environment stands by its history (oldest first, not empty) and its repository's predictions."""
    last = history[-1]
    mark, word = _judged(last)
    since = said_at(last)
    for fact in reversed(history):
        if fact.revision != last.revision or _judged(fact) != (mark, word):
            break
        since = said_at(fact)
    seen, drift = _drift(last, proposals) if last.step is Step.CONVERGED else (0.0, ())
    if drift:
        return Standing(last, Mark.TILTED, "drifted", _drifted(drift), seen, drift)
    return Standing(last, mark, word, status_line(last), since)


def _drifted(drift: Sequence[Drift]) -> str:
    """What differs and who wrote it, of the first field; how many more."""
    first = drift[0]
    old, new = (words(value) for value in first.field.shown())
    by = f" ({first.manager})" if first.manager else ""
    more = f", and {len(drift) - 1} more" if len(drift) > 1 else ""
    return shortened(f"Drifted: {first.key} {first.field.path} is {new}, Git says {old}{by}{more}", LONGEST)


def _drift(last: ConvergenceReport, proposals: Sequence[ProposalReport]) -> tuple[float, tuple[Drift, ...]]:
    """What the newest prediction that looked at the environment saw to differ, and when, if after the last fact."""
    looked = [
        (report.at, each.drift)
        for report in proposals
        for each in report.environments
        if each.environment == last.environment
        and each.touched
        and report.base == last.branch
        and report.at > said_at(last)
    ]
    return max(looked, key=lambda pair: pair[0]) if looked else (0.0, ())


def runs(history: Sequence[ConvergenceReport]) -> list[Run]:
    """The history by revision, newest first."""
    grouped = [(key, tuple(facts)) for key, facts in groupby(history, key=lambda fact: (fact.revision, fact.branch))]
    return [Run(revision, branch, facts) for (revision, branch), facts in reversed(grouped)]


def is_working(history: Sequence[ConvergenceReport]) -> bool:
    """Whether something more is to come soon."""
    return bool(history) and history[-1].step not in FINAL_STEPS


def ago(seconds: float) -> str:
    """`12 s ago`, `3 min ago`, `5 h ago`, `2 days ago`; a moment where a clock runs ahead."""
    for size, word in ((86400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= (2 * size if word == "day" else size):
            count = int(seconds // size)
            return f"{count} {word}{'s' if word == 'day' else ''} ago"
    return "just now"


def stamp(at: float) -> str:
    """A Unix time as people read it, to the second, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_stamp(at: float) -> str:
    """A Unix time in ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")

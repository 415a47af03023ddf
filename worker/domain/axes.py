"""How an environment stands: three axes, why it is not as Git says, and how its plumb line hangs. Nothing else decides that.

Two things are told from: the record in the cluster (`recorded`), and what the bot was told (`told`). Both come to the same
`Known`, and everything said of an environment, on pages and in terminals, is judged from that.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.domain.convergence import EnvironmentState, Phase, Sync
from worker.domain.divergence import EpisodeReport
from worker.domain.episode_text import is_vanished
from worker.domain.episodes import Cause, Episode, Event, Stage
from worker.domain.health import Health, worst
from worker.domain.reports import ConvergenceReport, Step

PHASES: Final = {
    Step.CONVERGING: Phase.PLANNING,
    Step.APPLYING: Phase.APPLYING,
    Step.APPLIED: Phase.WAITING,
    Step.WAITING: Phase.WAITING,
    Step.DEGRADED: Phase.WAITING,
    Step.HEALTHY: Phase.WAITING,
    Step.PRUNED: Phase.WAITING,
    Step.VERIFIED: Phase.SETTLING,
    Step.SETTLING: Phase.SETTLING,
    Step.CONVERGED: Phase.SUCCEEDED,
    Step.FAILED: Phase.FAILED,
    Step.HELD: Phase.HELD,
    Step.RETRYING: Phase.QUEUED,
    Step.SUPERSEDED: Phase.SUPERSEDED,
    Step.LEFT: Phase.LEFT,
}
"""Where an operation is once a fact of it was said."""


class Plumb(enum.StrEnum):
    """How the plumb line hangs; the order is worst first."""

    TILTED = "tilted"
    MOVING = "moving"
    STRAIGHT = "straight"


class Word(enum.StrEnum):
    """How an environment stands, in a word; the order is worst first."""

    FAILED = "failed"
    HELD = "held"
    CONFLICTING = "in conflict"
    DRIFTED = "drifted"
    UNHEALTHY = "not healthy"
    DEGRADED = "degraded"
    PROGRESSING = "progressing"
    RETRYING = "retrying"
    SUPERSEDED = "superseded"
    CONVERGING = "converging"
    SETTLING = "settling"
    CONVERGED = "converged"
    LEFT = "no longer declared"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an environment, wherever it is known from.

    `is_verified` says whether `revision`, the newest one, was ever verified (None: no revision was). `is_troubled`: an object
    is degraded while it is waited for. `health` is that of the last look at everything, `episode` the open divergence.
    """

    phase: Phase
    revision: str
    is_verified: bool | None
    is_troubled: bool = False
    health: Health | None = None
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class Axes:
    """The three axes; who waits for health is still applying, so `operation` is never WAITING."""

    sync: Sync
    health: Health
    operation: Phase


@dataclass(frozen=True, slots=True)
class Standing:
    """How an environment stands: the axes, the cause where it is not what Git says (else None), the mark and the word."""

    axes: Axes
    cause: Cause | None
    plumb: Plumb
    word: Word


# -- where it is known from ------------------------------------------------------------------------------------------


def recorded(state: EnvironmentState) -> Known | None:
    """What a record knows; None where nothing was ever begun."""
    operation = state.operation
    if operation is None:
        return None
    verified = state.verified
    known = Known(
        phase=operation.phase,
        revision=operation.revision,
        is_verified=verified.revision == operation.revision if verified else None,
        is_troubled=operation.troubled > 0,
        health=_health_named(state.health),
        episode=state.episode,
    )
    return _without_overtaken(known)


def told(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport] = ()) -> Known:
    """What the bot was told; both oldest first, `history` not empty."""
    last = history[-1]
    verified = [each for each in history if each.step in (Step.VERIFIED, Step.CONVERGED)]
    news = open_news(history, episodes)
    known = Known(
        phase=PHASES[last.step],
        revision=last.revision,
        is_verified=any(each.revision == last.revision for each in verified) if verified else None,
        is_troubled=_is_troubled(history),
        health=_health_told(history, episodes),
        episode=news.news.episode if news is not None else None,
    )
    return _without_overtaken(known)


def open_news(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport]) -> EpisodeReport | None:
    """The last news of the divergence that is open; None where it was closed, or all of it was verified or left since."""
    if not episodes or episodes[-1].news.event in (Event.CONVERGED, Event.GONE):
        return None
    proven = max((each.sequence for each in history if each.step in _OVER), default=-1)
    return episodes[-1] if episodes[-1].sequence > proven else None


_OVER: Final = frozenset({Step.VERIFIED, Step.CONVERGED, Step.LEFT})
"""Facts after which no divergence from before is open."""


def _without_overtaken(known: Known) -> Known:
    """Without what was before all of it was verified, and without anything where nobody looks any more."""
    if known.phase is Phase.LEFT:
        return replace(known, episode=None, health=None)
    return replace(known, episode=None) if known.phase is Phase.SETTLING else known


def _is_troubled(history: Sequence[ConvergenceReport]) -> bool:
    """Whether the last that was said of the newest revision's health is that something is degraded."""
    for fact in reversed(history):
        if fact.revision != history[-1].revision or fact.step in (Step.WAITING, Step.HEALTHY, Step.CONVERGING):
            return False
        if fact.step is Step.DEGRADED:
            return True
    return False


def _health_told(history: Sequence[ConvergenceReport], episodes: Sequence[EpisodeReport]) -> Health | None:
    """The worst health of the last proof; None where none was said."""
    proofs = [(each.sequence, each.proof) for each in history] + [(each.sequence, each.news.proof) for each in episodes]
    counted = [(at, proof["health"]) for at, proof in proofs if proof and proof.get("health")]
    if not counted:
        return None
    named = [_health_named(word) for word in max(counted, key=lambda pair: pair[0])[1]]
    return worst(each or Health.UNKNOWN for each in named)


def _health_named(word: str) -> Health | None:
    return next((each for each in Health if each.value == word), None)


# -- the judgement ---------------------------------------------------------------------------------------------------


def standing(known: Known) -> Standing:
    """How an environment stands by what is known of it."""
    axes = axes_of(known)
    word = _word(known, axes)
    return Standing(axes, cause_of(known, axes), _PLUMB.get(word, Plumb.TILTED), word)


def axes_of(known: Known) -> Axes:
    """The three axes. In sync is said only where every specified field was seen to be as specified."""
    operation = Phase.APPLYING if known.phase is Phase.WAITING else known.phase
    return Axes(_sync(known), _health(known), operation)


def cause_of(known: Known, axes: Axes) -> Cause | None:
    """Why the cluster is not what the newest commit says, or does not work; None where nothing is amiss."""
    if known.phase.is_open or known.phase is Phase.HELD:
        return None if axes.sync is Sync.IN_SYNC and axes.health.is_good else Cause.COMMITTED
    if known.episode is not None and known.episode.stage is not Stage.CLOSING:
        return known.episode.cause
    return Cause.FAILURE if known.phase is Phase.FAILED else None


def _sync(known: Known) -> Sync:
    drifts = known.episode is not None and bool(known.episode.drift or known.episode.more)
    match known.phase:
        case Phase.SETTLING | Phase.SUCCEEDED:
            return Sync.DIVERGED if drifts else Sync.IN_SYNC
        case Phase.APPLYING | Phase.WAITING | Phase.HELD:
            return Sync.DIVERGED
        case Phase.LEFT:
            return Sync.UNKNOWN
        case Phase.FAILED:
            if not drifts and _is_seen(known):
                return Sync.IN_SYNC
            if not drifts and known.is_verified is not False:
                return Sync.UNKNOWN
            return Sync.DIVERGED
    if known.is_verified is None:
        return Sync.UNKNOWN
    return Sync.IN_SYNC if known.is_verified and not drifts else Sync.DIVERGED


def _is_seen(known: Known) -> bool:
    """Whether a look at the newest revision came after the operation's end; an episode that names nothing is from before."""
    episode = known.episode
    if episode is None or episode.revision != known.revision:
        return False
    return episode.stage is Stage.CLOSING or bool(episode.keys or episode.more)


def _health(known: Known) -> Health:
    if known.phase in (Phase.APPLYING, Phase.WAITING):
        return Health.DEGRADED if known.is_troubled else Health.PROGRESSING
    found = _health_of_episode(known.episode)
    if found is not None:
        return found
    if known.phase in (Phase.SETTLING, Phase.SUCCEEDED):
        return known.health or Health.HEALTHY
    if known.phase is Phase.FAILED and not _is_seen(known):
        if known.is_troubled:
            return Health.DEGRADED
        return Health.UNKNOWN if known.is_verified else known.health or Health.UNKNOWN
    return known.health or Health.UNKNOWN


def _health_of_episode(episode: Episode | None) -> Health | None:
    """The worst that an episode names, None where everything that it names works."""
    if episode is None:
        return None
    named = [_health_named(each.health) or Health.UNKNOWN for each in episode.troubles]
    named += [Health.MISSING for each in episode.drift if is_vanished(each)]
    return worst(named) if named else None


_PLUMB: Final = {
    Word.CONVERGED: Plumb.STRAIGHT,
    Word.SETTLING: Plumb.MOVING,
    Word.CONVERGING: Plumb.MOVING,
    Word.SUPERSEDED: Plumb.MOVING,
    Word.RETRYING: Plumb.MOVING,
    Word.PROGRESSING: Plumb.MOVING,
    Word.DEGRADED: Plumb.MOVING,
    Word.LEFT: Plumb.MOVING,
}
"""Every other word is out of true."""

_WORDS: Final = {
    Phase.FAILED: Word.FAILED,
    Phase.HELD: Word.HELD,
    Phase.SUPERSEDED: Word.SUPERSEDED,
    Phase.LEFT: Word.LEFT,
    Phase.SETTLING: Word.SETTLING,
    Phase.QUEUED: Word.RETRYING,
    Phase.PLANNING: Word.CONVERGING,
}


def _word(known: Known, axes: Axes) -> Word:
    episode = known.episode
    if axes.operation is Phase.APPLYING:
        return Word.DEGRADED if known.is_troubled else Word.CONVERGING
    if known.phase is not Phase.SUCCEEDED:
        return _WORDS[known.phase]
    if episode is None:
        return Word.CONVERGED if axes.health.is_good else Word.UNHEALTHY
    if episode.stage is Stage.CLOSING:
        return Word.SETTLING
    if axes.sync is Sync.DIVERGED:
        return Word.CONFLICTING if episode.cause is Cause.CONFLICT else Word.DRIFTED
    return Word.PROGRESSING if axes.health is Health.PROGRESSING else Word.UNHEALTHY

"""A divergence beside its commit: status, check, deployment and a note's facts; state, then the fact, then how long. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bot.forges.port import Check, Deployment, State, Status
from bot.markdown import fence, flat
from bot.statuses import LONGEST, check_name, converge_context
from worker.domain.divergence import EpisodeReport
from worker.domain.episode_text import difference, headline, lasted, trouble
from worker.domain.episodes import Cause, Episode, Event

_STATES: Final[Mapping[Event, State]] = {
    Event.OPENED: State.FAILURE,
    Event.CHANGED: State.FAILURE,
    Event.FIGHT: State.FAILURE,
    Event.HEALED: State.PENDING,
    Event.CLOSING: State.PENDING,
    Event.CONVERGED: State.SUCCESS,
}
"""What is only noticed is not said yet, and a reminder says what stands there already."""

AUTHOR: Final = 40
"""Characters of whoever made the difference."""


def diverged(report: EpisodeReport, instance: str, link: str) -> Status | None:
    """The status of an event of an episode, None where it is not one of a commit's."""
    state = divergence_state(report)
    if state is None:
        return None
    return Status(converge_context(instance, report.environment), state, divergence_line(report), link)


def divergence_state(report: EpisodeReport) -> State | None:
    """The event as a state, None where nothing is written on the commit.

    An episode without a proof was ended by a newer commit, whose own convergence says how it stands.
    """
    news = report.news
    if news.event is Event.CONVERGED and news.proof is None:
        return None
    if news.event is Event.CHANGED and _rolls_out(news.episode):
        return State.PENDING
    return _STATES.get(news.event)


def _rolls_out(episode: Episode) -> bool:
    """Whether all that is left of what was healed is that it takes its time."""
    works = all(each.health == "progressing" for each in episode.troubles)
    return episode.heals > 0 and not episode.drift and not episode.more and works


def same_said(report: EpisodeReport) -> str:
    """What is said apart from how long: where it is the same, nothing has to be written anew."""
    return f"{divergence_state(report)} {_word(report.news.episode)} {_fact(report.news.episode)}"


def divergence_line(report: EpisodeReport) -> str:
    """At most 140 characters; the author and how long are never what is cut off."""
    episode, age = report.news.episode, lasted(report.seconds)
    match report.news.event:
        case Event.HEALED:
            return flat(f"Healed, settling: {_object(episode)} is set back after {age}", LONGEST)
        case Event.CLOSING:
            window = max(0.0, report.next_at - report.news.at)
            return flat(f"Settling for {lasted(window)}: nothing differs any more, after {age}", LONGEST)
        case Event.CONVERGED:
            proof = report.news.proof or {}
            stayed = f"; stayed so for {lasted(float(proof['settle']))}" if "settle" in proof else ""
            return flat(f"Back to what Git says after {age}{stayed}", LONGEST)
    if not episode.drift:
        return _fitted(f"{_word(episode)}: {_fact(episode)}", f" ({age})")
    head, _, author = difference(episode.drift[0]).removesuffix(")").rpartition(" (")
    return _fitted(f"{_word(episode)}: {head}", f" ({flat(author, AUTHOR)}, {age}){_more(episode)}")


def divergence_check(report: EpisodeReport, state: State, instance: str, link: str) -> Check:
    """The same as a check: every field and object that differs."""
    episode = report.news.episode
    lines = [difference(each) for each in episode.drift] + [trouble(each) for each in episode.troubles]
    left = episode.more + episode.more_troubles
    more = [f"and {left} more"] if left else []
    facts = [f"revision: {report.revision}", f"episode: {episode.id}", f"mode: {report.mode}", *lines, *more]
    return Check(check_name(instance, report.environment), state, divergence_line(report), fence(facts, "text"), link)


def divergence_deployment(report: EpisodeReport, state: State, link: str) -> Deployment:
    """The same where the forge shows deployments."""
    return Deployment(report.environment, report.revision, report.branch, state, divergence_line(report), link)


def divergence_facts(report: EpisodeReport) -> dict[str, Any]:
    """What a note says to machines; of what converged again the proof too."""
    episode = report.news.episode
    proof = {
        name: value
        for name, value in (report.news.proof or {}).items()
        if name not in ("environment", "revision", "state")
    }
    return {
        **proof,
        "environment": report.environment,
        "branch": report.branch,
        "revision": report.revision,
        "state": "converged" if report.news.event is Event.CONVERGED else "diverged",
        "text": headline(episode),
        "sequence": report.sequence,
        "episode": episode.id,
        "cause": str(episode.cause),
        "since": episode.since,
    }


def _word(episode: Episode) -> str:
    if episode.cause is Cause.FAILURE:
        return episode.troubles[0].health.capitalize() if episode.troubles else "Degraded"
    if episode.cause is Cause.CONFLICT:
        return "Conflict"
    return "Drifted, healing stopped" if episode.quarrel else "Drifted"


def _fact(episode: Episode) -> str:
    """What differs first, without how long; of what does not work, the word stands before it already."""
    if episode.drift or not episode.troubles:
        return headline(episode)
    return f"{episode.troubles[0].key}: {episode.troubles[0].text}{_more(episode)}"


def _more(episode: Episode) -> str:
    more = episode.count - 1
    return f" and {more} more" if more > 0 else ""


def _object(episode: Episode) -> str:
    keys = episode.keys
    if not keys:
        return "what differed"
    return f"{keys[0]} and {len(keys) - 1} more" if len(keys) > 1 else str(keys[0])


def _fitted(head: str, tail: str) -> str:
    return f"{flat(head, LONGEST - len(tail))}{tail}"

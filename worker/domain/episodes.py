"""A divergence after a commit was applied, from when it is noticed until it is gone: one episode, one alert that opens it.

Everything that is decided about an episode is decided by `step`, by one table (`TABLE`): where the episode is, and what a look
saw. Times are Unix seconds given by the caller.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from worker.domain.brevity import BESIDE_ROOM, LISTED, TROUBLE_ROOM, brief, brief_text, written_by
from worker.domain.environment import Mode, Policy
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey

FIRST_HEAL_WAIT, HEAL_FACTOR, LONGEST_HEAL_WAIT = 2.0, 3.0, 300.0
"""Seconds between two heals of one episode: 2, 6, 18, … up to five minutes."""

FIGHT_AFTER: Final = 3
"""Heals that the same manager undid, after which healing stops: a fourth would not convince it either."""

REMEMBERED: Final = 600.0
"""Seconds after an episode's end in which the same manager's next one goes on counting heals."""


class Cause(enum.StrEnum):
    """Why an environment is not what Git says. No episode is COMMITTED: a newer commit on its way is an operation."""

    COMMITTED = "committed"
    DRIFT = "drift"
    CONFLICT = "conflict"
    FAILURE = "failure"


class Stage(enum.StrEnum):
    """Where an episode is: noticed and not yet alerted, alerted, or gone and not yet for long enough."""

    NOTICED = "noticed"
    OPEN = "open"
    CLOSING = "closing"


class Sight(enum.StrEnum):
    """What a look saw."""

    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class Event(enum.StrEnum):
    """What is said of an episode. OPENED and CONVERGED are said once, under the episode's id; GONE ends one that was never
    alerted."""

    NOTICED = "noticed"
    GONE = "gone"
    OPENED = "opened"
    CHANGED = "changed"
    REMINDER = "reminder"
    HEALED = "healed"
    FIGHT = "fight"
    CLOSING = "closing"
    CONVERGED = "converged"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An object that does not work: how it is (a word of `Health`), and why, as a sentence."""

    key: ResourceKey
    health: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {"key": self.key.to_json(), "health": self.health, "text": self.text}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Trouble:
        """The inverse of `to_json`."""
        return Trouble(ResourceKey.from_json(value["key"]), value["health"], value["text"])


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the cluster saw, compared with `revision`.

    `keys` are the objects that were looked at; None for all of them. `reason` says why nothing is known (UNKNOWN). `additions`
    are what people's tools added beside Git (the `old` of their fields is ABSENT), `lost` the fields that are as Git says and
    belong to somebody else now; neither is a difference.
    """

    revision: str
    drift: tuple[Drift, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    keys: frozenset[ResourceKey] | None = None
    reason: str = ""
    additions: tuple[Drift, ...] = ()
    lost: tuple[Drift, ...] = ()

    def beside(self, before: tuple[Drift, ...], now: tuple[Drift, ...]) -> tuple[Drift, ...]:
        """What is known after the look of what is beside Git: of what it did not look at, what was known `before`."""
        if self.reason:
            return before
        kept = before if self.keys is not None else ()
        found = (*(each for each in kept if each.key not in (self.keys or ())), *now)
        return brief(sorted(found, key=lambda each: (each.key, each.field.path)), BESIDE_ROOM)


@dataclass(frozen=True, slots=True)
class Episode:
    """One divergence. `id` names it in every alert; `since` is when it was first seen, `alerted` when the alert went out (0:
    not yet), `reminded` when the last reminder did, `clear` since when nothing differs (0: something does).

    `drift` names at most LISTED fields, `more` counts the others; `troubles` are objects that do not work, `more_troubles` counts
    those that are not named. `heals` counts what
    was done about it, `heal_at` is when the next may be, `quarrel` names who keeps undoing it (empty where nobody does). `by` is
    who made the last difference that was seen, also when it is gone. `of_operation` is one that an operation's failure has
    opened: its end is said as the end of that operation. `additions` are what people's tools added beside Git meanwhile; they are
    told, and no difference.
    """

    id: str
    revision: str
    cause: Cause
    stage: Stage
    since: float
    drift: tuple[Drift, ...] = ()
    more: int = 0
    troubles: tuple[Trouble, ...] = ()
    alerted: float = 0.0
    reminded: float = 0.0
    clear: float = 0.0
    heals: int = 0
    heal_at: float = 0.0
    quarrel: str = ""
    by: str = ""
    of_operation: bool = False
    additions: tuple[Drift, ...] = ()
    more_troubles: int = 0

    @property
    def count(self) -> int:
        """Fields that differ and objects that do not work, named or not."""
        return len(self.drift) + len(self.troubles) + self.more + self.more_troubles

    @property
    def keys(self) -> tuple[ResourceKey, ...]:
        """The objects that it is about, each once."""
        found = [each.key for each in self.drift] + [each.key for each in self.troubles]
        return tuple(dict.fromkeys(found))

    def due(self, policy: Policy) -> float:
        """When the next look is due at the latest, a Unix time."""
        if self.stage is Stage.NOTICED:
            return self.since + _patience(self, policy)
        if self.stage is Stage.CLOSING:
            return self.clear + policy.settle
        reminder = max(self.alerted, self.reminded) + policy.remind
        heals = policy.mode is Mode.HEAL and not self.quarrel and bool(self.drift)
        return min(reminder, self.heal_at) if heals else reminder

    def to_json(self) -> dict[str, Any]:
        """JSON types; secrets are masked."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **plain,
            "cause": str(self.cause),
            "stage": str(self.stage),
            "drift": [each.to_json() for each in self.drift],
            "troubles": [each.to_json() for each in self.troubles],
            "additions": [each.to_json() for each in self.additions],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Episode:
        """An episode as it was shown (masks stay masks)."""
        return Episode(**{
            **value,
            "cause": Cause(value["cause"]),
            "stage": Stage(value["stage"]),
            "drift": tuple(Drift.from_json(each) for each in value["drift"]),
            "troubles": tuple(Trouble.from_json(each) for each in value["troubles"]),
            "additions": tuple(Drift.from_json(each) for each in value.get("additions", ())),
        })  # fmt: skip


@dataclass(frozen=True, slots=True)
class Healed:
    """What is remembered of an episode that was healed: by whom it was made, how often it was healed, when it ended."""

    by: str
    heals: int
    at: float


@dataclass(frozen=True, slots=True)
class News:
    """Something that was said of an episode: the event, the episode as it was then, when, and the proof where it converged."""

    event: Event
    episode: Episode
    at: float
    proof: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What tells it from everything else that is said; OPENED and CONVERGED are said once of an episode."""
        once = self.event in (Event.OPENED, Event.CONVERGED)
        return f"{self.episode.id} {self.event}" if once else f"{self.episode.id} {self.event} {int(self.at * 1000)}"

    def to_json(self) -> dict[str, Any]:
        """JSON types; secrets are masked."""
        proof = dict(self.proof) if self.proof is not None else None
        return {"event": str(self.event), "episode": self.episode.to_json(), "at": self.at, "proof": proof}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> News:
        """The inverse of `to_json`."""
        return News(Event(value["event"]), Episode.from_json(value["episode"]), value["at"], value["proof"])


@dataclass(frozen=True, slots=True)
class Stepped:
    """An episode after a look (None: there is none), what is to be said, and whether it is to be healed now."""

    episode: Episode | None
    events: tuple[Event, ...] = ()
    heals: bool = False
    healed: Healed | None = None


TABLE: Final[Mapping[tuple[Stage | None, Sight], str]] = {
    (None, Sight.SAME): "nothing",
    (None, Sight.UNKNOWN): "nothing",
    (None, Sight.DIFFERS): "notice",
    (Stage.NOTICED, Sight.SAME): "forget",
    (Stage.NOTICED, Sight.UNKNOWN): "keep",
    (Stage.NOTICED, Sight.DIFFERS): "open when it lasts",
    (Stage.OPEN, Sight.SAME): "settle",
    (Stage.OPEN, Sight.UNKNOWN): "keep",
    (Stage.OPEN, Sight.DIFFERS): "insist",
    (Stage.CLOSING, Sight.SAME): "close when settled",
    (Stage.CLOSING, Sight.UNKNOWN): "unsettle",
    (Stage.CLOSING, Sight.DIFFERS): "reopen",
}
"""What is done with an episode, by where it is (None: there is none) and what a look saw.

What is not known neither opens nor closes anything, and does not count towards settling.
"""


def step(
    episode: Episode | None, look: Look, policy: Policy, now: float, new_id: str, healed: Healed | None = None
) -> Stepped:
    """The episode after a look. `new_id` names one that begins now; `healed` is what is remembered of the last one."""
    sight, drift, troubles = _seen(episode, look)
    action = TABLE[episode.stage if episode else None, sight]
    if action == "nothing":
        return Stepped(None, healed=_remembered(healed, now))
    if action == "notice":
        begun = Episode(new_id, look.revision, Cause.DRIFT, Stage.NOTICED, now)
        begun = _following(_with(begun, look, drift, troubles), healed, now)
        opened = _opened_when_lasting(begun, policy, now)
        return replace(opened, events=opened.events or (Event.NOTICED,))
    assert episode is not None
    if action == "keep":
        return Stepped(episode)
    if action == "forget":
        return Stepped(None, (Event.GONE,), healed=_remembered(healed, now))
    if action == "open when it lasts":
        return _opened_when_lasting(_with(episode, look, drift, troubles), policy, now)
    if action == "settle":
        closing = replace(episode, stage=Stage.CLOSING, clear=now, drift=(), more=0, troubles=(), more_troubles=0)
        if policy.settle > 0 or look.keys is not None:
            return Stepped(closing, (Event.CLOSING,))
        return _closed(closing, now)
    if action == "close when settled":
        if look.keys is not None or now < episode.clear + policy.settle:
            return Stepped(episode)
        return _closed(episode, now)
    if action == "unsettle":
        return Stepped(replace(episode, clear=now))
    found = _with(episode, look, drift, troubles)
    if action == "reopen":
        found = replace(found, stage=Stage.OPEN, clear=0.0)
    return _insisted(episode, found, policy, now)


def after_heal(episode: Episode, now: float) -> Episode:
    """The episode after something was done about it: the next heal waits three times as long as this one did."""
    wait = min(LONGEST_HEAL_WAIT, FIRST_HEAL_WAIT * HEAL_FACTOR**episode.heals)
    return replace(episode, heals=episode.heals + 1, heal_at=now + wait)


def _seen(episode: Episode | None, look: Look) -> tuple[Sight, tuple[Drift, ...], tuple[Trouble, ...]]:
    """What differs after the look: what it did not look at is as it was."""
    if look.reason:
        return Sight.UNKNOWN, (), ()
    drift, troubles = look.drift, look.troubles
    if episode is not None and look.keys is not None:
        drift = (*(each for each in episode.drift if each.key not in look.keys), *drift)
        troubles = (*(each for each in episode.troubles if each.key not in look.keys), *troubles)
    is_left = episode is not None and look.keys is not None and episode.more + episode.more_troubles > 0
    return (Sight.DIFFERS if drift or troubles or is_left else Sight.SAME), drift, troubles


def _with(episode: Episode, look: Look, drift: tuple[Drift, ...], troubles: tuple[Trouble, ...]) -> Episode:
    drift = tuple(sorted(drift, key=lambda each: (each.key, each.field.path)))
    troubles = tuple(sorted(troubles, key=lambda each: each.key))
    named, works_not = brief(drift), _named(troubles)
    is_partial = look.keys is not None
    return replace(
        episode,
        by=written_by(drift) or episode.by,
        revision=look.revision,
        cause=_cause(drift),
        drift=named,
        more=len(drift) - len(named) + (episode.more if is_partial else 0),
        troubles=works_not,
        more_troubles=len(troubles) - len(works_not) + (episode.more_troubles if is_partial else 0),
        additions=look.beside(episode.additions, look.additions),
    )


def _named(troubles: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
    """The first of some objects that do not work, so many as a record has room for."""
    kept, room = [], TROUBLE_ROOM
    for each in troubles[:LISTED]:
        short = replace(each, text=brief_text(each.text))
        room -= len(json.dumps(short.to_json()))
        if room < 0:
            break
        kept.append(short)
    return tuple(kept)


def _cause(drift: Iterable[Drift]) -> Cause:
    """Drift where anything drifted; a conflict where all of it is another applier's; else what does not work."""
    operations = [each.operation for each in drift]
    if not operations:
        return Cause.FAILURE
    return Cause.CONFLICT if all(each == "Apply" for each in operations) else Cause.DRIFT


def _patience(episode: Episode, policy: Policy) -> float:
    """How long it must last before it is alerted: what only takes its time has as long as a rollout has."""
    works_on = not episode.drift and all(each.health == "progressing" for each in episode.troubles)
    return policy.health_timeout if works_on else policy.diff_after


def _following(episode: Episode, healed: Healed | None, now: float) -> Episode:
    known = _remembered(healed, now)
    if known is None or not episode.by or known.by != episode.by:
        return episode
    wait = min(LONGEST_HEAL_WAIT, FIRST_HEAL_WAIT * HEAL_FACTOR ** (known.heals - 1))
    return replace(episode, heals=known.heals, heal_at=known.at + wait)


def _remembered(healed: Healed | None, now: float) -> Healed | None:
    return healed if healed is not None and now - healed.at <= REMEMBERED else None


def _opened_when_lasting(episode: Episode, policy: Policy, now: float) -> Stepped:
    if now < episode.since + _patience(episode, policy):
        return Stepped(episode)
    opened = replace(episode, stage=Stage.OPEN, alerted=now)
    rest = _insisted(opened, opened, policy, now)
    return replace(rest, events=(Event.OPENED, *rest.events))


def _insisted(before: Episode, episode: Episode, policy: Policy, now: float) -> Stepped:
    """An open episode that still differs: healed, fought over, reminded of, or as it was."""
    events: list[Event] = []
    if _facts(before) != _facts(episode):
        events.append(Event.CHANGED)
    if now >= max(episode.alerted, episode.reminded) + policy.remind:
        events.append(Event.REMINDER)
        episode = replace(episode, reminded=now)
    if policy.mode is not Mode.HEAL or not episode.drift or episode.quarrel:
        return Stepped(episode, tuple(events))
    if episode.heals >= FIGHT_AFTER and episode.by:
        return Stepped(replace(episode, quarrel=episode.by), (*events, Event.FIGHT))
    return Stepped(episode, tuple(events), heals=now >= episode.heal_at)


def _facts(episode: Episode) -> tuple[Any, ...]:
    """What people are told of an episode, without times."""
    fields = [(each.key, each.field.path, each.field.shown()[1], each.manager) for each in episode.drift]
    return fields, episode.more, [(each.key, each.health) for each in episode.troubles], episode.more_troubles


def _closed(episode: Episode, now: float) -> Stepped:
    remembered = Healed(episode.by, episode.heals, now) if episode.heals else None
    return Stepped(None, (Event.CONVERGED,), healed=remembered)

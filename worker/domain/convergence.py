"""What is known of an environment: its last revisions, the open operation, and how one follows another.

Everything here is a value; times are Unix seconds given by the caller. How an environment stands by it: `axes`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from worker.domain.environment import Converge
from worker.domain.episodes import Cause, Episode, Event, Healed, Look, News, Stage
from worker.domain.field_text import shortened
from worker.domain.locks import Awaited, Locks, lacking
from worker.domain.proposals import Drift

NEWS: Final = 4
"""Things said of episodes that are kept, so that they are said even if the first saying got lost: what is older is overtaken."""

HISTORY: Final = 50
"""Revisions that the state object remembers, newest last; about 10 KiB."""

LINE: Final = 200
"""Characters of what is remembered of each."""


def short(revision: str) -> str:
    """A revision as people read it: 7 characters of the id, after `worktree:` where it is no commit."""
    kind, colon, name = revision.rpartition(":")
    return f"{kind}{colon}{name[:7]}"


class Sync(enum.StrEnum):
    """Whether the cluster holds what Git says."""

    IN_SYNC = "in sync"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


class Phase(enum.StrEnum):
    """Where the operation of one revision is; LEFT where its environment is not declared any more, and nobody looks at it."""

    QUEUED = "queued"
    PLANNING = "planning"
    APPLYING = "applying"
    WAITING = "waiting"
    SETTLING = "settling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    HELD = "held"
    LEFT = "left"

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done or to be waited for."""
        return self in _OPEN


_OPEN: Final = frozenset({Phase.QUEUED, Phase.PLANNING, Phase.APPLYING, Phase.WAITING, Phase.SETTLING})

TRANSITIONS: Final[Mapping[Phase, frozenset[Phase]]] = {
    Phase.QUEUED: frozenset({Phase.PLANNING, Phase.SUPERSEDED, Phase.FAILED, Phase.HELD, Phase.LEFT}),
    Phase.PLANNING: frozenset({Phase.APPLYING, Phase.WAITING, Phase.FAILED, Phase.HELD, Phase.SUPERSEDED, Phase.LEFT}),
    Phase.APPLYING: frozenset({Phase.WAITING, Phase.PLANNING, Phase.FAILED, Phase.HELD, Phase.SUPERSEDED, Phase.LEFT}),
    Phase.WAITING: frozenset(
        {
            Phase.SETTLING,
            Phase.SUCCEEDED,
            Phase.FAILED,
            Phase.SUPERSEDED,
            Phase.PLANNING,
            Phase.APPLYING,
            Phase.HELD,
            Phase.LEFT,
        }
    ),
    Phase.SETTLING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.SUPERSEDED, Phase.PLANNING, Phase.LEFT}),
    Phase.SUCCEEDED: frozenset({Phase.PLANNING, Phase.LEFT}),
    Phase.FAILED: frozenset({Phase.PLANNING, Phase.WAITING, Phase.LEFT}),
    Phase.HELD: frozenset({Phase.PLANNING, Phase.SUPERSEDED, Phase.LEFT}),
    Phase.SUPERSEDED: frozenset({Phase.PLANNING, Phase.LEFT}),
    Phase.LEFT: frozenset({Phase.PLANNING}),
}
"""From each phase, the ones that may follow; a failed operation may still turn out well (the image appears).

LEFT is an operation of an environment that no branch declares any more; declared again, it begins anew.
"""


class ImpossibleTransition(Exception):
    """A phase that cannot follow: a fault of ours, never of a person."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A revision and when something became true of it."""

    revision: str
    at: float


@dataclass(frozen=True, slots=True)
class Operation:
    """The convergence of one revision as it stands.

    `arrived` is when the commit arrived, `deadline` until when it must be healthy, `settles` when it counts as
    converged if nothing differs until then (0 while unknown). `said` is the last
    sentence about its health, `troubled` since when an object is degraded (0 if none is). `verdict` is how predicted
    and actual changes compare; `fingerprint` that of the plan that was applied. `stage` is the one that was applied last,
    from 0, of `stages`. `unanswered` names the API groups that did not answer when it was planned: nothing is pruned by it.
    `prunes` are the uids of what was planned to go, and so was within the budget or confirmed: nothing else is pruned by it.
    """

    revision: str
    branch: str
    phase: Phase
    arrived: float
    started: float
    applied: float = 0.0
    verified: float = 0.0
    deadline: float = 0.0
    settles: float = 0.0
    troubled: float = 0.0
    said: str = ""
    verdict: str = ""
    fingerprint: str = ""
    summary: Mapping[str, int] = field(default_factory=dict)
    stage: int = 0
    stages: int = 1
    unanswered: str = ""
    prunes: tuple[str, ...] = ()

    def to(self, phase: Phase, **changes: Any) -> Operation:
        """The operation in its next phase. Raises ImpossibleTransition where the table has no such step."""
        if phase is not self.phase and phase not in TRANSITIONS[self.phase]:
            raise ImpossibleTransition(f"{self.phase} -> {phase}")
        return replace(self, phase=phase, **changes)


@dataclass(frozen=True, slots=True)
class EnvironmentState:
    """Everything durable about one environment but its inventory; kept in the cluster, signed.

    `episode` is the divergence that is open since the last commit was applied, `healed` what is remembered of the one before,
    `news` the last things that were said of episodes, newest last. `health` is the worst word of the last look at everything.
    `mode` is what is done about the episode, `next_at` when that is next (a Unix time; 0 where there is no episode).
    `additions` are what people's tools added beside Git, `lost` the fields that are as Git says and belong to somebody else now.
    `finished` has the manifest's hash of each Job and removed hook that has run to its end, by the object's name in words.
    `converge` is when commits were to be converged as the applied one said it.
    `ending` is the fact that ended the operation, as it was or will be said: step, text, at (Unix time), proof. It is kept
    with the state, so a worker that dies between the two leaves nothing unsaid. `locks` is what people ordered and approved.
    """

    environment: str
    cluster_uid: str
    operation: Operation | None = None
    applied: Mark | None = None
    verified: Mark | None = None
    converged: Mark | None = None
    inputs: str = ""
    place: str = ""
    finished: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    ending: Mapping[str, Any] = field(default_factory=dict)
    episode: Episode | None = None
    healed: Healed | None = None
    news: tuple[News, ...] = ()
    health: str = ""
    mode: str = ""
    next_at: float = 0.0
    additions: tuple[Drift, ...] = ()
    lost: tuple[Drift, ...] = ()
    converge: str = Converge.AUTOMATIC
    locks: Locks = field(default_factory=Locks)

    @property
    def awaited(self) -> Awaited | None:
        """The plan that waits for people now; None where the open operation is another one, or is not held."""
        awaited, operation = self.locks.awaited, self.operation
        is_held = operation is not None and operation.phase is Phase.HELD
        return awaited if awaited and is_held and operation and operation.revision == awaited.revision else None

    def telling(self, news: News) -> EnvironmentState:
        """The state with one more thing said, the oldest forgotten."""
        return replace(self, news=(*self.news, news)[-NEWS:])

    def remembering(self, entry: Mapping[str, Any]) -> EnvironmentState:
        """The state with one more line of history (revision, outcome, at, a short text), the oldest forgotten."""
        if "text" in entry:
            entry = {**entry, "text": shortened(str(entry["text"]), LINE)}
        return replace(self, history=(*self.history, entry)[-HISTORY:])

    def to_json(self) -> dict[str, Any]:
        """JSON types, with a schema number."""
        marks = {name: asdict(mark) if mark else None for name, mark in self._marks().items()}
        return {
            "schema": 1,
            "environment": self.environment,
            "cluster_uid": self.cluster_uid,
            "operation": asdict(self.operation) if self.operation else None,
            **marks,
            "inputs": self.inputs,
            "place": self.place,
            "finished": dict(self.finished),
            "history": [dict(entry) for entry in self.history],
            "ending": dict(self.ending),
            "episode": self.episode.to_json() if self.episode else None,
            "healed": asdict(self.healed) if self.healed else None,
            "news": [each.to_json() for each in self.news],
            "health": self.health,
            "mode": self.mode,
            "next_at": self.next_at,
            "additions": [each.to_json() for each in self.additions],
            "lost": [each.to_json() for each in self.lost],
            "converge": str(self.converge),
            "locks": self.locks.to_json(),
        }

    def _marks(self) -> Mapping[str, Mark | None]:
        return {"applied": self.applied, "verified": self.verified, "converged": self.converged}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> EnvironmentState:
        """The inverse of `to_json`; members that this version does not know are left out.

        Raises ValueError for another schema.
        """
        if value.get("schema") != 1:
            raise ValueError(f"state schema {value.get('schema')!r}, this version reads 1")
        operation = value["operation"]
        known = {each.name for each in fields(Operation)}
        return EnvironmentState(
            environment=value["environment"],
            cluster_uid=value["cluster_uid"],
            operation=Operation(
                **{name: member for name, member in operation.items() if name in known - {"phase", "prunes"}},
                phase=Phase(operation["phase"]),
                prunes=tuple(operation.get("prunes", ())),
            )
            if operation
            else None,
            applied=_mark(value["applied"]),
            verified=_mark(value["verified"]),
            converged=_mark(value["converged"]),
            inputs=value["inputs"],
            place=value.get("place", ""),
            finished=value.get("finished", {}),
            history=tuple(value["history"]),
            ending=value.get("ending", {}),
            episode=Episode.from_json(value["episode"]) if value.get("episode") else None,
            healed=Healed(**value["healed"]) if value.get("healed") else None,
            news=tuple(News.from_json(each) for each in value.get("news", ())),
            health=value.get("health", ""),
            mode=value.get("mode", ""),
            next_at=value.get("next_at", 0.0),
            additions=tuple(Drift.from_json(each) for each in value.get("additions", ())),
            lost=tuple(Drift.from_json(each) for each in value.get("lost", ())),
            converge=value.get("converge", Converge.AUTOMATIC),
            locks=Locks.from_json(value["locks"]) if value.get("locks") else Locks(),
        )


def seeing(state: EnvironmentState, look: Look) -> EnvironmentState:
    """The state with what a look saw beside Git; the same where that is nothing new."""
    additions, lost = look.beside(state.additions, look.additions), look.beside(state.lost, look.lost)
    known = [[each.to_json() for each in found] for found in (state.additions, state.lost)]
    if [[each.to_json() for each in found] for found in (additions, lost)] == known:
        return state
    return replace(state, additions=additions, lost=lost)


def released(state: EnvironmentState, now: float) -> bool:
    """Whether a held operation may go on by what is recorded: the asking for it was lost (or is under way)."""
    if state.operation is None or state.operation.phase is not Phase.HELD or state.locks.closed is not None:
        return False
    return state.awaited is None or not lacking(state.locks, state.awaited, (), now)


def closing(state: EnvironmentState, now: float) -> EnvironmentState:
    """The state without the divergence that was open before the commit: what converged has none.

    Only the end of what was alerted is said.
    """
    episode = state.episode
    if episode is None:
        return state
    state = replace(state, episode=None, healed=None, next_at=0.0)
    return state.telling(News(Event.CONVERGED, episode, now)) if episode.alerted else state


def diverging(state: EnvironmentState, failed: Operation, now: float) -> EnvironmentState:
    """The state with an episode that what failed has opened by saying so: it may turn out well, and then that is said.

    Where the commit was not applied as a whole there is none: nothing but another try makes that good.
    """
    if state.episode is not None or state.applied is None or state.applied.revision != failed.revision:
        return state
    name = hashlib.sha256(f"{failed.revision} {failed.started}".encode()).hexdigest()[:16]
    return replace(
        state, episode=Episode(name, failed.revision, Cause.FAILURE, Stage.OPEN, now, alerted=now, of_operation=True)
    )


def _mark(value: Mapping[str, Any] | None) -> Mark | None:
    return Mark(value["revision"], value["at"]) if value else None

"""Job: is an environment still what its applied commit says; its episode goes on, and what drifted is healed.

Nothing is written, not even the lease, where nothing is new.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.adapters.inventory import Recorded, StateStore
from worker.adapters.lease import Lease, held
from worker.domain.convergence import EnvironmentState, Phase, seeing
from worker.domain.divergence import ObserveRequest
from worker.domain.environment import Environment, Mode, Policy
from worker.domain.episode_text import headline
from worker.domain.episodes import Episode, Event, News, Stepped, after_heal, step
from worker.domain.errors import DesiredStateError, LeaseLost, Moved, Stopping, Unavailable
from worker.domain.installation import Repository
from worker.domain.resource import ResourceKey
from worker.operations.advancing import ending_of
from worker.operations.observing import Applied, Observed, heal, look_at, recovered
from worker.operations.preparing import Target, prepare
from worker.speaking import Speaker, tell
from worker.workbench import Workbench, shortage

MANY: Final = 50
"""From so many moved objects on, everything is looked at: that is one LIST a kind."""

log = logging.getLogger("plumbline.observing")

REMEMBERED: Final = {Event.OPENED: "diverged", Event.FIGHT: "fight", Event.CONVERGED: "converged"}
"""Events that the history keeps, and the word that it keeps them under."""


def observe(bench: Workbench, message: dict[str, Any]) -> None:
    """Looks once at what was applied: at the objects that are noted as moved, or at everything.

    Does nothing while an operation is open: its own looks see to that. Raises Unavailable.
    """
    request = ObserveRequest.from_json(message)
    repository = bench.repository(request.repository)
    states = bench.bench(request.cluster).states
    recorded = states.find(request.repository, request.environment, bench.installation.instance)
    if not is_watched(recorded):
        return
    assert recorded.state.applied is not None
    slug, revision = recorded.state.environment, recorded.state.applied.revision
    moved = bench.store.take_moved(slug)
    try:
        watching = _watching(bench, repository, states, request, recorded.state, revision)
        if watching is not None:
            watching.look(recorded, None if moved is None or len(moved) > MANY else moved)
    except (LeaseLost, Moved):
        bench.store.note_moved(slug, moved or ())
    except DesiredStateError as error:
        raise Unavailable(f"what was applied to {slug} cannot be read any more: {error}") from None
    except (OSError, MemoryError) as error:
        raise shortage(error) from None


def is_watched(recorded: Recorded) -> bool:
    """Whether something is applied that no open operation looks after, from a branch that declares it still."""
    state = recorded.state
    operation = state.operation
    ended = operation is not None and not operation.phase.is_open and operation.phase is not Phase.LEFT
    followed = operation is not None and bool(operation.branch)
    return recorded.trusted and state.applied is not None and ended and followed


def _watching(
    bench: Workbench,
    repository: Repository,
    states: StateStore,
    request: ObserveRequest,
    state: EnvironmentState,
    revision: str,
) -> Watching | None:
    """What was applied, read again from its commit; None where the environment is not declared there as it is asked for."""
    assert state.operation is not None
    branch = state.operation.branch
    checkout = bench.checkout(repository)
    checkout.fetch(revision, branch)
    environment = bench.declaration(checkout, repository, revision, branch).environment(request.environment)
    if environment is None or environment.cluster != request.cluster:
        return None
    target, capabilities = bench.target(environment, repository), bench.bench(environment.cluster).capabilities()
    rendered = bench.renderer.render_revision(checkout, revision, environment, capabilities).resources
    applied = bench.applied(environment, rendered, lambda: prepare(target, rendered))
    return Watching(bench, target, states, applied, revision, branch)


@dataclass(frozen=True, slots=True)
class Watching:
    """One applied revision of one environment, and how it is looked at."""

    bench: Workbench
    target: Target
    states: StateStore
    applied: Applied
    revision: str
    branch: str

    @property
    def environment(self) -> Environment:
        """What is looked at."""
        return self.target.environment

    def look(self, recorded: Recorded, keys: frozenset[ResourceKey] | None) -> None:
        """Looks at `keys` (None: everything); what is new is recorded under the lease, said, and healed where that is wanted."""
        episode = recorded.state.episode
        asked = None if episode is not None and episode.clear > 0 else keys
        observed = look_at(self.target, self.applied, recorded, self.revision, asked)
        if not self._is_new(recorded.state, observed):
            return
        with held(self.states.records, self.environment.state_name, self.environment.name, self.bench.holder) as lease:
            fresh = self.states.read(self.environment)
            if not is_watched(fresh) or fresh.state.applied != recorded.state.applied:
                raise Moved(f"the record of {self.environment.name}")
            stepped = self._stepped(fresh.state, observed)
            stored = self._keep(fresh, stepped, observed)
            if stepped.heals:
                self._heal(stored, observed, lease)

    def _policy(self, state: EnvironmentState) -> Policy:
        """What is done about a difference: where a person holds the environment it is alerted, and not healed."""
        policy = self.environment.policy
        is_closed = state.locks.closed is not None and policy.mode is Mode.HEAL
        return replace(policy, mode=Mode.ALERT) if is_closed else policy

    def _stepped(self, state: EnvironmentState, observed: Observed) -> Stepped:
        now, policy = self.bench.queue.now(), self._policy(state)
        return step(state.episode, observed.look, policy, now, secrets.token_hex(8), state.healed)

    def _is_new(self, state: EnvironmentState, observed: Observed) -> bool:
        """Whether a look came to anything that is not recorded; what is not known again is nothing new."""
        stepped = self._stepped(state, observed)
        is_whole = observed.look.keys is None and not observed.look.reason
        is_beside_new = seeing(state, observed.look) is not state
        is_health_new = is_whole and observed.health.value != state.health
        return bool(
            stepped.events
            or stepped.heals
            or is_health_new
            or is_beside_new
            or _shown(stepped.episode) != _shown(state.episode)
        )

    def _keep(self, recorded: Recorded, stepped: Stepped, observed: Observed) -> Recorded:
        """Records what a look came to, then says it: nothing is said that is not kept."""
        now, before = self.bench.queue.now(), recorded.state.episode
        state = seeing(replace(recorded.state, episode=stepped.episode, healed=stepped.healed), observed.look)
        if observed.look.keys is None and not observed.look.reason:
            state = replace(state, health=observed.health.value)
        proof = None
        if Event.CONVERGED in stepped.events:
            state, proof = recovered(self.target, state, recorded.inventory, observed, now)
        subject = stepped.episode or before
        news = [
            News(event, subject, now, proof if event is Event.CONVERGED else None)
            for event in stepped.events
            if subject
        ]
        for each in news:
            state = self._with(state, each)
        state = self._expecting(state)
        stored = self.states.write(self.environment, recorded, state, recorded.inventory)
        for each in news:
            self._say(each)
        if ending_of(state) != ending_of(recorded.state):
            self._say_ending(state)
        return stored

    def _with(self, state: EnvironmentState, news: News) -> EnvironmentState:
        word = REMEMBERED.get(news.event)
        if word is None:
            return state.telling(news)
        entry = {"revision": self.revision, "outcome": word, "at": news.at, "text": headline(news.episode)}
        return state.telling(news).remembering(entry)

    def _expecting(self, state: EnvironmentState) -> EnvironmentState:
        """The state with what comes next of its episode, for who reads it without the environment's policy."""
        policy, episode = self._policy(state), state.episode
        return replace(state, mode=policy.mode.value, next_at=episode.due(policy) if episode is not None else 0.0)

    def _heal(self, recorded: Recorded, observed: Observed, lease: Lease) -> None:
        """Applies again what drifted, and looks at it again at once; what is refused waits for the next try."""

        def checkpoint() -> None:
            if self.bench.stop.asked.is_set():
                raise Stopping
            lease.check()

        outcome = heal(self.target, self.applied.desired, observed, self.revision, self.states.key(), checkpoint)
        for key, error in outcome.failed:
            log.warning("%s: %s is not healed: %s", self.environment.slug, key, error)
        now, episode = self.bench.queue.now(), recorded.state.episode
        assert episode is not None
        episode = after_heal(episode, now)
        state = replace(recorded.state, episode=episode)
        if outcome.actual:
            news = News(Event.HEALED, episode, now)
            state = self._with(state, news)
        state = self._expecting(state)
        stored = self.states.write(self.environment, recorded, state, recorded.inventory)
        if outcome.actual:
            self._say(news)
            keys = frozenset(change.key for change in outcome.actual)
            again = look_at(self.target, self.applied, stored, self.revision, keys)
            self._keep(stored, self._stepped(stored.state, again), again)

    def _say(self, news: News) -> None:
        tell(self.bench, self.environment, self.branch, self.revision, news)

    def _say_ending(self, state: EnvironmentState) -> None:
        """The commit's own end turned out otherwise than was said: what had failed works now."""
        ending, operation = ending_of(state), state.operation
        if ending is None or operation is None:
            return
        environment = self.environment
        Speaker(self.bench, environment.repository, environment.name, operation.branch, operation.arrived).say(
            operation, ending
        )


def _shown(episode: Episode | None) -> dict[str, Any] | None:
    """An episode as it is kept: what was read from a record has no secret values to be compared."""
    return episode.to_json() if episode is not None else None

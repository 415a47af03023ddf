"""The worker's operations in this process, on a real cluster: what a test converges, and what was said of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.adapters.cluster import Cluster, Records, connect
from worker.adapters.inventory import Recorded, StateStore
from worker.adapters.lease import held
from worker.domain.convergence import Operation, seeing
from worker.domain.environment import Ceiling, Environment, Policy
from worker.domain.episodes import Look
from worker.domain.errors import DesiredStateError
from worker.domain.plan import Plan
from worker.domain.reports import Step
from worker.domain.resource import Resource, ResourceKey, Source, resource_of
from worker.domain.yaml_text import read_documents
from worker.operations.advancing import Fact
from worker.operations.applying import Written
from worker.operations.converging import Run, converge, look
from worker.operations.observing import Applied, Observed, heal, look_at
from worker.operations.predicting import Prediction, predict
from worker.operations.preparing import Target, prepare

_REVISIONS = (f"{number:040x}" for number in itertools.count(1))


def resources(text: str, file: str = "app.yaml") -> tuple[Resource, ...]:
    """The objects of a YAML text."""
    return tuple(resource_of(document.value, Source(file, document.line)) for document in read_documents(text, file))


@dataclass
class World:
    """One environment in one namespace of a cluster."""

    kubeconfig: Path
    namespace: str
    name: str = "test"
    policy: Policy = field(default_factory=lambda: Policy(settle=0, health_timeout=20))
    ceiling: Ceiling = field(default_factory=Ceiling)
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = Cluster(connect(self.kubeconfig))
        self.environment = Environment(
            f"repo-{self.namespace}", self.name, "main", ".", "sandbox", self.namespace, policy=self.policy
        )
        self.state_namespace = f"state-{self.namespace}"
        self.target = Target(self.cluster, self.environment, self.ceiling, self.state_namespace)
        self.states = StateStore(Records(self.cluster.connection, self.state_namespace), self.cluster.uid)

    def plan(self, text: str, *, prune: bool = True) -> Plan:
        """The plan of a YAML text."""
        return self.predict(text, prune=prune).plan

    def predict(self, text: str, *, prune: bool = True) -> Prediction:
        """The whole prediction of a YAML text."""
        return self.predict_rendered(resources(text), prune=prune)

    def predict_rendered(self, rendered: tuple[Resource, ...], *, prune: bool = True) -> Prediction:
        """The whole prediction of rendered objects."""
        recorded = self.states.read(self.environment)
        return predict(self.target, "r", rendered, recorded, self.states.key(), prune=prune)

    def converge(
        self,
        text: str,
        *,
        revision: str = "",
        approvals: tuple[str, ...] = (),
        before_write: Callable[[], None] = lambda: None,
        between_looks: Callable[[], None] = lambda: None,
        holder: str = "test",
        wait: bool = True,
        same_as: str = "",
    ) -> Recorded:
        """Applies a YAML text, and looks until the operation is over (unless `wait` is false)."""
        found = resources(text)
        self.facts = []
        with held(self.states.records, self.environment.state_name, self.environment.name, holder) as lease:
            recorded = self.states.read(self.environment)

            def checkpoint() -> None:
                before_write()
                lease.check()

            def say(_: Operation, fact: Fact) -> None:
                self.facts.append(fact)

            running = Run(
                self.target, self.states, revision or next(_REVISIONS), "main", time.time(), time.time, say, checkpoint,
                same_as=lambda: same_as,
            )  # fmt: skip
            recorded = converge(running, recorded, lambda: found, approvals)
            while wait and recorded.state.operation is not None and recorded.state.operation.phase.is_open:
                between_looks()
                recorded = look(running, recorded, lambda: found)
                time.sleep(0.05)
        return recorded

    def look(self, text: str, keys: frozenset[ResourceKey] | None = None) -> Observed:
        """One look at what a YAML text had applied."""
        desired = prepare(self.target, resources(text))
        return look_at(self.target, Applied(desired), self.states.read(self.environment), "r", keys)

    def heal(self, text: str) -> Written:
        """What a look at a YAML text finds is healed."""
        desired = prepare(self.target, resources(text))
        observed = look_at(self.target, Applied(desired), self.states.read(self.environment), "r")
        return heal(self.target, desired, observed, "r", self.states.key(), lambda: None)

    def remember(self, seen: Look) -> None:
        """Records what a look saw beside Git, as the worker does."""
        recorded = self.states.read(self.environment)
        self.states.write(self.environment, recorded, seeing(recorded.state, seen), recorded.inventory)

    def said(self, step: Step) -> str:
        """The last sentence of a step, empty where it was not said."""
        return next((fact.text for fact in reversed(self.facts) if fact.step is step), "")

    def problems(self, text: str) -> str:
        """What is wrong with a YAML text, as one text; empty where nothing is."""
        try:
            self.predict(text)
        except DesiredStateError as error:
            return str(error)
        return ""

    def with_policy(self, **changes: object) -> World:
        """The same environment with another policy."""
        return World(self.kubeconfig, self.namespace, self.name, replace(self.policy, **changes), self.ceiling)  # type: ignore[arg-type]

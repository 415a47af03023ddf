"""The poller tells of what people hold, on a real repository and a real API server: once a period, and not once it is free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest

from plumbline.local_system import Clone, LocalSystem
from tests.conftest import config_map
from tests.invariants import recorded_of, wait_converged
from worker.adapters.outbox import Outbox, Report
from worker.domain.hold_reminder import HoldReport
from worker.domain.locks import Lock, Locks
from worker.settings import Settings
from worker.watch import Poller
from worker.workbench import Workbench

PERIOD: Final = 3600.0


class Heard(Outbox):
    """Keeps what is said of holds."""

    def __init__(self) -> None:
        self.holds: list[HoldReport] = []

    def report(self, message: Report) -> None:
        """Keeps one report."""
        if isinstance(message, HoldReport):
            self.holds.append(message)


@pytest.fixture
def bench(system: LocalSystem) -> Iterator[Workbench]:
    """What a process of the worker's works with, speaking to nobody."""
    made = Workbench.of(Settings.load(system.environ))
    yield made
    made.checkout(made.installation.repositories[0]).close()
    for cluster in made.installation.clusters:
        made.bench(cluster.name).cluster.close()


def heard_in(bench: Workbench) -> Callable[[], list[HoldReport]]:
    """A poller that has read the branches; what it says of holds in one more round."""
    poller = Poller(bench)
    poller.poll()

    def told() -> list[HoldReport]:
        bench.outbox = heard = Heard()
        poller.poll()
        return heard.holds

    return told


def test_a_hold_is_told_once_a_period_by_whoever_looks_and_not_once_it_is_released(
    system: LocalSystem, clone: Clone, bench: Workbench
) -> None:
    clone.write("app/a.yaml", config_map("a", n="1"))
    revision = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, revision)
    repository = bench.installation.repositories[0]
    checkout = bench.checkout(repository)
    checkout.fetch(revision, "main")
    environment = bench.declaration(checkout, repository, revision, "main").environment("production")
    assert environment is not None
    assert environment.policy.remind == PERIOD, "the default"

    def lock(found: Lock | None) -> None:
        recorded, states = recorded_of(system), bench.bench(environment.cluster).states
        states.write(environment, recorded, replace(recorded.state, locks=Locks(hold=found)), recorded.inventory)

    told = heard_in(bench)
    assert told() == []
    since = bench.queue.now() - 0.5 * PERIOD
    lock(Lock("bob", since, "the migration runs"))
    assert told() == [], "it began not long ago"
    lock(Lock("bob", since - 2 * PERIOD, "the migration runs"))
    (found,) = told()
    assert (found.environment, found.branch, found.revision, found.times) == ("production", "main", revision, 2)
    assert (found.holding.who, found.holding.why, found.holding.release) == (
        "bob",
        "the migration runs",
        "/unhold production",
    )
    assert told() == [], "once a period"
    assert heard_in(bench)() == [found], "whoever else looks says the same"
    lock(Lock("bob", since - 3 * PERIOD, "the migration runs"))
    assert [each.times for each in told()] == [3]
    lock(None)
    assert told() == []

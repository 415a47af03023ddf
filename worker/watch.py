"""`python -m worker.watch`: the level-triggered net. Looks at branches and at open operations, and asks for jobs.

It holds no state of its own: a second one may run, and one that was restarted finds everything again in Git and in the
clusters. Jobs are asked for by ids that exist once, so nothing doubles.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import redis

from worker.adapters.inventory import OPEN_LABEL, RECORD_LABEL
from worker.domain.convergence import Phase
from worker.domain.errors import DesiredStateError, PlumblineError
from worker.domain.installation import Repository
from worker.domain.messages import CHECK, CONVERGE, CheckRequest, ConvergeRequest, applies_queue
from worker.settings import Settings
from worker.workbench import Workbench

LOOK_SECONDS: Final = 0.4
"""Between two looks at an open operation: a rollout that takes a second is said to be healthy within 1.4 s."""

SETTLING_SECONDS: Final = 2.0
STUCK_SECONDS: Final = 30.0
"""An operation that is planning or applying this long without a new record has lost its job (the queue was emptied)."""

log = logging.getLogger("plumbline.watch")


def main() -> int:
    """Runs until SIGTERM; 1 where the settings cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.load(os.environ)
        bench = Workbench.of(settings)
    except PlumblineError as error:
        print(f"plumbline watch: {error}", file=sys.stderr)  # noqa: T201
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    poller = threading.Thread(
        target=_repeat, args=(stop, lambda: poll(bench), settings.installation.poll_seconds), daemon=True
    )
    poller.start()
    _repeat(stop, Looker(bench).look, LOOK_SECONDS)
    return 0


def _repeat(stop: threading.Event, task: Callable[[], None], seconds: float) -> None:
    while not stop.is_set():
        try:
            task()
        except (PlumblineError, redis.RedisError) as error:
            log.warning("looked in vain, trying again: %s", error)
        stop.wait(seconds)


def poll(bench: Workbench) -> None:
    """Asks for a convergence of every branch whose tip is not what its environments have recorded."""
    for repository in bench.installation.repositories:
        try:
            poll_repository(bench, repository)
        except PlumblineError as error:
            log.warning("repository %s: %s", repository.name, error)


def poll_repository(bench: Workbench, repository: Repository) -> None:
    """Compares the branches of one repository with what is recorded, and asks for what is missing."""
    checkout = bench.checkout(repository)
    for branch, tip in checkout.tips().items():
        if not repository.follows(branch):
            continue
        checkout.fetch(tip, branch)
        try:
            declaration = bench.declaration(checkout, repository, tip, branch)
        except DesiredStateError as error:
            log.warning("repository %s, branch %s at %s: %s", repository.name, branch, tip[:7], error)
            continue
        for environment in declaration.environments:
            recorded = bench.bench(environment.cluster).states.read(environment)
            operation = recorded.state.operation
            if (
                operation is not None
                and operation.revision == tip
                and not _is_stuck(operation.phase, operation.started)
            ):
                continue
            request = ConvergeRequest(repository.name, environment.name, branch, tip, environment.cluster, time.time())
            if bench.queue.enqueue(
                applies_queue(environment.cluster),
                CONVERGE,
                request.to_json(),
                job_id=request.job_id,
                timeout=600,
            ):
                log.info("found %s of %s/%s without an alert", tip[:7], repository.name, environment.name)


def _is_stuck(phase: Phase, started: float) -> bool:
    return phase in (Phase.PLANNING, Phase.APPLYING, Phase.QUEUED) and time.time() - started > STUCK_SECONDS


class Looker:
    """Asks for a look at every open operation, soon while it waits for health, seldom while it settles."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._next: dict[str, float] = {}

    def look(self) -> None:
        """One round over all clusters."""
        for cluster in self._bench.installation.clusters:
            states = self._bench.bench(cluster.name).states
            records, _ = states.records.list("ConfigMap", f"{RECORD_LABEL}=state,{OPEN_LABEL}=open")
            for record in records:
                recorded = states.opened(record)
                operation = recorded.state.operation
                if operation is None or not recorded.trusted or not operation.branch:
                    continue
                slug = recorded.state.environment
                now = time.monotonic()
                if now < self._next.get(slug, 0.0):
                    continue
                wait = LOOK_SECONDS
                if operation.phase is Phase.SETTLING:
                    wait = max(0.0, min(SETTLING_SECONDS, operation.settles - time.time()))
                self._next[slug] = now + wait
                repository, _, environment = slug.rpartition(":")[2].rpartition("/")
                request = CheckRequest(repository, environment, cluster.name)
                self._bench.queue.enqueue(
                    applies_queue(cluster.name), CHECK, request.to_json(), job_id=request.job_id, timeout=60
                )


if __name__ == "__main__":
    sys.exit(main())

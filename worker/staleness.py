"""Notices that a prediction went stale because the cluster moved, and asks for it again; `watch` calls it.

At its end the job `propose` leaves a signed line in Redis per change request: the request itself, the objects that each
environment's prediction rests on, and what stood for them then (uid and resourceVersion; where an object has a generation,
that and its writers, so that a status alone moves nothing). Each round reads those lines, asks the API server's cache for
the objects' metadata, once per environment however many change requests there are, and enqueues the request of any that
moved, under its usual job id, of which only one waits and predicts the newest head. What went wrong because nothing answered
counts as moved. An object that moves all the time is asked about ever less often. A lost line costs a look at the forge: the
bot asks again, the line is there again; it expires after a week, and the bot drops it when the change request is closed.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Final

from worker.adapters.store import OpenProposal, Standing
from worker.domain.environment import Environment
from worker.domain.errors import PlumblineError
from worker.domain.messages import PROPOSALS_QUEUE, PROPOSE, PROPOSE_SECONDS
from worker.domain.resource import Resource, ResourceKey
from worker.planning.causes import seen_of
from worker.workbench import Workbench

STALE_SECONDS: Final = 1.0
"""Between two rounds."""

FIRST_WAIT, LONGEST_WAIT = 2.0, 300.0
"""Seconds between asking for the same prediction twice; doubled while it keeps being stale."""

log = logging.getLogger("plumbline.watch")


class Staleness:
    """Asks for the predictions again whose objects moved."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._waits: dict[tuple[str, int], tuple[float, float]] = {}

    def look(self) -> None:
        """One round over all open proposals."""
        proposals = self._bench.store.open_proposals(self._bench.queue.now())
        live: dict[tuple[str, str, str], dict[ResourceKey, Resource]] = {}
        for proposal in proposals:
            name = (proposal.request.repository, proposal.request.number)
            if not (proposal.failed or any(self._moved(proposal, each, proposals, live) for each in proposal.standing)):
                self._waits.pop(name, None)
            elif time.monotonic() >= self._waits.get(name, (0.0, 0.0))[0]:
                wait = min(LONGEST_WAIT, 2 * self._waits[name][1]) if name in self._waits else FIRST_WAIT
                self._waits[name] = (time.monotonic() + wait, wait)
                self._ask(proposal)

    def _ask(self, proposal: OpenProposal) -> None:
        queue = self._bench.queue
        request = replace(proposal.request, at=queue.now())
        ids = request.job_ids
        if any(
            queue.enqueue(PROPOSALS_QUEUE, PROPOSE, request.to_json(), job_id=each, timeout=PROPOSE_SECONDS)
            for each in ids
        ):
            log.info("asks again for %s#%s, because the cluster moved", request.repository, request.number)

    def _moved(
        self,
        proposal: OpenProposal,
        standing: Standing,
        proposals: tuple[OpenProposal, ...],
        live: dict[tuple[str, str, str], dict[ResourceKey, Resource]],
    ) -> bool:
        """Whether what a prediction rests on is not what it was; a cluster that does not answer has not moved."""
        repository = proposal.request.repository
        place = (repository, standing.environment, standing.cluster)
        if place not in live:
            keys: dict[ResourceKey, str] = {}
            for other in proposals:
                if other.request.repository == repository:
                    for each in other.standing:
                        keys |= each.keys if (each.environment, each.cluster) == place[1:] else {}
            try:
                live[place] = self._read(repository, standing, keys)
            except PlumblineError as error:
                log.warning("repository %s, %s: %s", repository, standing.environment, error)
                return False
        found = live[place]
        return seen_of({key: found[key] for key in standing.keys if key in found}) != standing.seen

    def _read(self, repository: str, standing: Standing, keys: dict[ResourceKey, str]) -> dict[ResourceKey, Resource]:
        declared = self._bench.repository(repository)
        instance = self._bench.installation.instance
        environment = Environment(
            repository, standing.environment, "", "", standing.cluster, standing.namespace, instance=instance
        )
        return self._bench.target(environment, declared).cluster.metadata(keys)

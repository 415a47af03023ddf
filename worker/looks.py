"""Asking for a look at what was applied, for its leaving, and for a convergence: who notices something asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.domain.divergence import LeaveRequest, ObserveRequest
from worker.domain.messages import CONVERGE, LEAVE, OBSERVE, ConvergeRequest, applies_queue, looks_queue
from worker.domain.resource import ResourceKey
from worker.workbench import Workbench

LOOK_SECONDS: Final = 120
"""How long one look may take."""

CONVERGE_SECONDS: Final = 600
"""How long one convergence may take to write; none waits for health."""


def ask_for_look(bench: Workbench, slug: str, cluster: str, keys: Iterable[ResourceKey] = ()) -> None:
    """Has objects of an environment (none: all of them) looked at; a look that waits already will see them too."""
    bench.store.note_moved(slug, keys)
    request = ObserveRequest(*named(slug), cluster)
    for job_id in request.job_ids:
        if bench.queue.enqueue(
            looks_queue(cluster), OBSERVE, request.to_json(), job_id=job_id, timeout=LOOK_SECONDS
        ) or bench.queue.standing(job_id)[0] in ("queued", "scheduled"):
            return


def ask_for_leaving(bench: Workbench, slug: str, cluster: str) -> None:
    """Has an environment of a cluster left, that no branch seems to declare any more."""
    request = LeaveRequest(*named(slug), cluster)
    bench.queue.enqueue(looks_queue(cluster), LEAVE, request.to_json(), job_id=request.job_id, timeout=LOOK_SECONDS)


def ask_for_convergence(bench: Workbench, request: ConvergeRequest, job_id: str = "") -> bool:
    """Asks for one environment's convergence; whether it was not asked for already. `job_id`: instead of the request's own."""
    queue, job_id = applies_queue(request.cluster), job_id or request.job_id
    return bench.queue.enqueue(queue, CONVERGE, request.to_json(), job_id=job_id, timeout=CONVERGE_SECONDS)


def named(slug: str) -> tuple[str, str]:
    """The repository and the environment that a slug names."""
    repository, _, environment = slug.rpartition(":")[2].rpartition("/")
    return repository, environment

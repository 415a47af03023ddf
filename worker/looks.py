"""Asking for a look at what was applied: who notices something asks, and a look that waits already is enough."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.domain.divergence import ObserveRequest
from worker.domain.messages import OBSERVE, looks_queue
from worker.domain.resource import ResourceKey
from worker.workbench import Workbench

LOOK_SECONDS: Final = 120
"""How long one look may take."""


def ask_for_look(bench: Workbench, slug: str, cluster: str, keys: Iterable[ResourceKey] = ()) -> None:
    """Has objects of an environment (none: all of them) looked at; a look that waits already will see them too."""
    bench.store.note_moved(slug, keys)
    request = ObserveRequest(*named(slug), cluster)
    for job_id in request.job_ids:
        if bench.queue.enqueue(
            looks_queue(cluster), OBSERVE, request.to_json(), job_id=job_id, timeout=LOOK_SECONDS
        ) or bench.queue.standing(job_id)[0] in ("queued", "scheduled"):
            return


def named(slug: str) -> tuple[str, str]:
    """The repository and the environment that a slug names."""
    repository, _, environment = slug.rpartition(":")[2].rpartition("/")
    return repository, environment

"""`python -m worker`: works on previews and on the applies of every cluster that this process holds credentials for."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial

from worker import (
    adoptions,
    images,
    jobs,
    leaving,
    observing,
    orders,
    previews,
    proposals,
    reverts,
    rollbacks,
    updates,
)
from worker.adapters.renderer import RenderTools, jail
from worker.domain.errors import PlumblineError
from worker.domain.messages import (
    ADOPT,
    CHECK,
    CONVERGE,
    GIVE_UP,
    IMAGE,
    LEAVE,
    OBSERVE,
    ORDER,
    PREVIEW,
    PREVIEWS_QUEUE,
    PROPOSALS_QUEUE,
    PROPOSE,
    REVERT,
    ROLLBACK,
    UPDATE,
    applies_queue,
    looks_queue,
)
from worker.garbage import relax_collector
from worker.log_lines import log_to_stderr
from worker.queue_worker import run_worker
from worker.settings import Settings
from worker.workbench import Workbench

log = logging.getLogger("plumbline.worker")


def main() -> int:
    """Runs until SIGTERM; 1 where the settings cannot be used."""
    log_to_stderr()
    try:
        bench = Workbench.of(Settings.load(os.environ))
    except PlumblineError as error:
        print(f"plumbline worker: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for shortfall in jail.shortfalls():
        log.warning("rendering is confined less than it could be: %s by this machine's kernel", shortfall)
    applies = [applies_queue(cluster.name) for cluster in bench.installation.clusters]
    looks = [looks_queue(cluster.name) for cluster in bench.installation.clusters]
    queues = [PREVIEWS_QUEUE, *applies, *looks, PROPOSALS_QUEUE]  # a base that moved may ask for hundreds of proposals
    table = {
        PREVIEW: partial(previews.preview, bench),
        PROPOSE: partial(proposals.propose, bench),
        ROLLBACK: partial(rollbacks.rollback, bench),
        REVERT: partial(reverts.revert, bench),
        IMAGE: partial(images.image, bench),
        ADOPT: partial(adoptions.adopt, bench),
        UPDATE: partial(updates.update, bench),
        CONVERGE: partial(jobs.converge, bench),
        CHECK: partial(jobs.check, bench),
        OBSERVE: partial(observing.observe, bench),
        LEAVE: partial(leaving.leave, bench),
        ORDER: partial(orders.order, bench),
        GIVE_UP: partial(jobs.give_up, bench),
    }
    for missing in RenderTools(bench.settings.tools).missing():
        log.warning("%s", missing)
    serves = "clusters " + ", ".join(cluster.name for cluster in bench.installation.clusters)
    relax_collector()
    try:
        run_worker(bench.queue, queues, table, name="worker", serves=serves, stop=bench.stop)
    except PlumblineError as error:
        print(f"plumbline worker: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

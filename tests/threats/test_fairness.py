"""One repository makes much noise, and the others do not wait for it."""

from __future__ import annotations

import time

import pytest
import redis

from plumbline.local_system import REPOSITORY, Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
from tests.invariants import wait_converged
from worker.domain.messages import PROPOSALS_QUEUE, PROPOSE, PROPOSE_SECONDS, ProposalRequest
from worker.settings import Settings
from worker.workbench import Workbench

NOISE = 500


@pytest.mark.timed
def test_f51_five_hundred_change_requests_are_predicted_anew_and_a_push_is_applied_before_them(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/a.yaml", config_map("a", n="0"))
    first = clone.commit("0")
    assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(system, first)
    git("checkout", "--quiet", "-b", "proposal", at=clone.folder)
    clone.write("app/a.yaml", config_map("a", n="from the change request"))
    head = clone.commit("proposed")
    assert clone.push("origin", "proposal:refs/pull/1/head").returncode == 0
    git("checkout", "--quiet", "main", at=clone.folder)

    queue = Workbench.of(Settings.load(system.environ)).queue
    for number in range(1, NOISE + 1):
        request = ProposalRequest(REPOSITORY, number, head, "refs/pull/1/head", "main", queue.now())
        assert queue.enqueue(
            PROPOSALS_QUEUE, PROPOSE, request.to_json(), job_id=request.job_ids[0], timeout=PROPOSE_SECONDS
        )
    with redis.Redis.from_url(system.redis_url) as connection:
        waiting = f"rq:queue:{PROPOSALS_QUEUE}"
        wait_until(lambda: connection.llen(waiting) < NOISE, 20, "the worker is at it")
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        began = time.monotonic()
        assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0

        def is_live() -> bool:
            return kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.data.n}").stdout == "1"

        wait_until(is_live, 15, "the push is applied")
        assert time.monotonic() - began < 5
        assert connection.llen(waiting) > NOISE / 2, "it did not wait for the noise"
        connection.delete(waiting)
    queue.connection.close()

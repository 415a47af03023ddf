"""Job: an environment that no branch declares any more is left: its objects stay, nobody looks at them, and that is said once.

It reads as its phases: gather (the branches' tips and what they declare, the record), judge (`why_left`), act (the record, under
the lease), report.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from worker.adapters.lease import held
from worker.domain.convergence import EnvironmentState, Phase
from worker.domain.divergence import LeaveRequest
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, LeaseLost, Moved, Unavailable
from worker.domain.installation import Repository
from worker.domain.reports import Step
from worker.operations.advancing import Fact, ending_of
from worker.speaking import Speaker
from worker.workbench import Workbench

log = logging.getLogger("plumbline.leaving")


def leave(bench: Workbench, message: dict[str, Any]) -> None:
    """Records that an environment is left, or says again that it was; nothing where a branch declares it. Raises Unavailable."""
    request = LeaveRequest.from_json(message)
    repository = bench.repository(request.repository)
    states = bench.bench(request.cluster).states
    name = Environment(request.repository, request.environment, "", "", "", "", instance=bench.installation.instance)
    recorded = states.read(name)
    operation = recorded.state.operation
    if not recorded.trusted or operation is None or not operation.branch:
        return
    text = why_left(bench, repository, request, operation.branch)
    if not text:
        return
    if operation.phase is not Phase.LEFT:
        try:
            with held(states.records, name.state_name, name.name, bench.holder):
                recorded = states.read(name)
                if not recorded.trusted or recorded.state.operation is None:
                    return
                state = left(recorded.state, text, bench.queue.now())
                recorded = states.write(name, recorded, state, recorded.inventory)
        except (LeaseLost, Moved) as error:
            raise Unavailable(str(error), retry_after=1) from None
        log.info("%s is left: %s", recorded.state.environment, text)
    operation, ending = recorded.state.operation, ending_of(recorded.state)
    if operation is not None and ending is not None:
        bench.store.telling(request.repository, request.environment, f"{operation.revision} {ending.step}")
        Speaker(bench, request.repository, request.environment, operation.branch, operation.arrived).say(
            operation, ending
        )


def why_left(bench: Workbench, repository: Repository, request: LeaveRequest, branch: str) -> str:
    """Why nobody looks after an environment, as a sentence; empty where a branch declares it for this cluster, or may do.

    `branch` is the one that it followed. Raises Unavailable.
    """
    checkout = bench.checkout(repository)
    tips = checkout.tips()
    for each, tip in tips.items():
        if not repository.follows(each):
            continue
        checkout.fetch(tip, each)
        try:
            targets = bench.declaration(checkout, repository, tip, each).targets()
        except DesiredStateError:
            return ""  # what cannot be read may declare it
        if (request.environment, request.cluster) in targets:
            return ""
    if branch not in tips:
        why = f"its branch {branch} is gone"
    elif not repository.follows(branch):
        why = f"app.yaml lets no environment follow {branch} any more"
    else:
        why = f"no longer declared in {tips[branch][:7]}"
    return f"{why}: its objects stay as they are, and are not looked at any more"


def left(state: EnvironmentState, text: str, now: float) -> EnvironmentState:
    """The state of an environment that is left for a reason: what was open of it ends, neither converged nor gone. Pure."""
    operation, episode = state.operation, state.episode
    assert operation is not None
    was = "diverged" if episode is not None and episode.alerted else str(operation.phase)
    proof = {
        "revision": operation.revision,
        "state": "left",
        "reason": text,
        "was": "converged" if was == Phase.SUCCEEDED else was,
        "episode": episode.id if episode is not None and episode.alerted else "",
    }
    ending = Fact(Step.LEFT, text, proof, now)
    entry = {"revision": operation.revision, "outcome": "left", "at": now, "text": text}
    return replace(
        state, operation=operation.to(Phase.LEFT, said=text, troubled=0.0), ending=ending.kept(), episode=None, healed=None,
        next_at=0.0, health="", additions=(), lost=(),
    ).remembering(entry)  # fmt: skip

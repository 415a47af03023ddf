"""`converge: on-approval`: a commit gets in and waits for a person, and what is applied is looked after meanwhile."""

from __future__ import annotations

import re

from plumbline.local_system import Clone, LocalSystem
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
from tests.invariants import note_of, recorded_of, wait_converged
from tests.journeys.test_drift import edit, value_of, with_policy
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.environment import Converge
from worker.domain.plan import code
from worker.domain.reports import Step

POLICY = "converge: on-approval, mode: heal, diff-after: 0s, settle: 1s"
QUOTED = re.compile(r"with the code ([0-9a-z]{8})")


def one_line(text: str) -> str:
    """What git shows of a hook's words, without its line ends."""
    return " ".join(text.replace("remote:", " ").split())


def test_a_commit_is_held_until_exactly_its_plan_is_approved_and_drift_is_healed_meanwhile(
    system: LocalSystem, clone: Clone, kubectl: Kubectl, namespace: str
) -> None:
    clone.write("plumbline.yaml", with_policy(namespace, POLICY))
    clone.write("app/a.yaml", config_map("a", n="1"))
    held = clone.commit("first")
    pushed = clone.push("origin", "main")
    assert pushed.returncode == 0, "it may be merged all the same"
    assert "It is converged on approval only" in one_line(pushed.stderr)
    wait_until(lambda: note_of(system, held).get("state") == "held", 30, "it is held")
    assert value_of(kubectl, namespace) == ""
    (quoted,) = set(QUOTED.findall(one_line(pushed.stderr)))
    clone.write("note.txt", "approved")
    first = clone.commit("the same plan")
    approved = clone.push("-o", f"plumbline.approve={quoted}", "origin", "main")
    assert approved.returncode == 0, approved.stderr
    wait_converged(system, first)
    assert value_of(kubectl, namespace) == "1"

    clone.write("app/a.yaml", config_map("a", n="2"))
    second = clone.commit("second")
    pushed = clone.push("-o", f"plumbline.approve={quoted}", "origin", "main")
    assert pushed.returncode == 0, pushed.stderr
    wait_until(lambda: note_of(system, second).get("state") == "held", 30, "the code of another plan is none of its")
    state = recorded_of(system).state
    assert state.operation is not None
    assert state.operation.phase is Phase.HELD
    edit(kubectl, namespace, "9")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 20, "drift is healed to what is applied")
    assert note_of(system, second).get("state") == "held"
    state = recorded_of(system).state
    assert state.applied is not None
    assert state.applied.revision == first


def test_taking_approval_away_needs_it_once_more_and_what_changes_nothing_needs_none(world: World) -> None:
    asking = world.with_policy(converge=Converge.ON_APPROVAL)
    one, two = config_map("one", a="1"), config_map("one", a="2")
    prediction = asking.predict(one)
    assert prediction.hold is None, "it may be merged"
    assert "converged on approval only" in prediction.plan.warnings[-1]
    given = (code(prediction.plan.fingerprint),)
    assert given[0] in prediction.plan.warnings[-1]
    asking.converge(one)
    assert "on approval only" in asking.said(Step.HELD)
    assert not asking.said(Step.APPLIED)
    asking.converge(one, approvals=("00000000",))
    assert not asking.said(Step.APPLIED)
    asking.converge(one, approvals=given)
    assert asking.said(Step.VERIFIED)
    asking.converge(one)
    assert not asking.said(Step.HELD), "nothing to do is nothing to approve"
    recorded = asking.converge(one, same_as=asking.states.read(asking.environment).state.applied.revision)  # type: ignore[union-attr]
    assert recorded.state.operation is not None
    assert not asking.said(Step.HELD), "what is applied was approved"
    world.converge(two)
    assert "on approval only" in world.said(Step.HELD), "the commit that takes it away is under it still"
    world.converge(two, approvals=(code(world.predict(two).plan.fingerprint),))
    assert world.said(Step.VERIFIED)
    world.converge(one)
    assert world.said(Step.VERIFIED)

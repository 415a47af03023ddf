"""A commit that is asked for once more: applied once more, or only looked at, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.domain.asked_again import is_only_looked_at
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase
from worker.domain.environment import Environment, Mode, Policy
from worker.domain.health import Health
from worker.domain.plan import Action, Change, Plan
from worker.domain.resource import ResourceKey

THIS, OTHER = "a" * 40, "b" * 40
ENVIRONMENT = Environment("shop", "production", "main", ".", "sandbox", "shop")
OPERATION = Operation(THIS, "main", Phase.SUCCEEDED, 1.0, 2.0)
STATE = EnvironmentState(ENVIRONMENT.slug, "uid", OPERATION, Mark(THIS, 3.0), place=ENVIRONMENT.place)


def looked_at(
    mode: Mode = Mode.ALERT,
    state: EnvironmentState = STATE,
    actions: tuple[Action, ...] = (Action.CONFIGURE,),
    health: Health = Health.HEALTHY,
) -> bool:
    changes = tuple(Change(ResourceKey("", "ConfigMap", "shop", f"c{n}"), "v1", each) for n, each in enumerate(actions))
    environment = replace(ENVIRONMENT, policy=Policy(mode=mode))
    plan = Plan(ENVIRONMENT.slug, THIS, changes)
    return is_only_looked_at(state, environment, THIS, plan, [Health.HEALTHY, health])


@pytest.mark.parametrize(("mode", "expected"), [(Mode.OBSERVE, True), (Mode.ALERT, True), (Mode.HEAL, False)])
def test_only_the_mode_that_heals_undoes_drift_because_a_commit_is_asked_for_again(mode: Mode, expected: bool) -> None:
    assert looked_at(mode) is expected


@pytest.mark.parametrize("phase", Phase)
def test_what_did_not_succeed_is_tried_again(phase: Phase) -> None:
    assert looked_at(state=replace(STATE, operation=replace(OPERATION, phase=phase))) is (phase is Phase.SUCCEEDED)


@pytest.mark.parametrize(
    "state",
    [
        replace(STATE, applied=None),
        replace(STATE, operation=None),
        replace(STATE, applied=Mark(OTHER, 3.0)),
        replace(STATE, operation=replace(OPERATION, revision=OTHER)),
        replace(STATE, place="another cluster, another namespace"),
    ],
    ids=["nothing applied", "no operation", "another applied", "another's operation", "moved"],
)
def test_what_is_not_applied_here_is_applied(state: EnvironmentState) -> None:
    assert not looked_at(state=state)


@pytest.mark.parametrize("health", Health)
def test_a_commit_whose_objects_are_not_well_is_tried_again(health: Health) -> None:
    assert looked_at(health=health) is health.is_good


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ((Action.UNCHANGED,), False),
        ((Action.CREATE,), True),
        ((Action.UNCHANGED, Action.CONFIGURE), True),
        ((Action.RECREATE,), True),
        ((Action.PRUNE,), False),
        ((Action.CONFIGURE, Action.PRUNE), False),
    ],
)
def test_drift_is_looked_at_and_what_is_to_be_pruned_still_is_pruned(
    actions: tuple[Action, ...], expected: bool
) -> None:
    assert looked_at(actions=actions) is expected

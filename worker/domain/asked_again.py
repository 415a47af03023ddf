"""Whether a commit that is asked for once more is applied once more, or only looked at."""

from __future__ import annotations

from collections.abc import Iterable

from worker.domain.convergence import EnvironmentState, Phase
from worker.domain.environment import Environment, Mode
from worker.domain.health import Health
from worker.domain.plan import Action, Plan


def is_only_looked_at(
    state: EnvironmentState, environment: Environment, revision: str, plan: Plan, healths: Iterable[Health]
) -> bool:
    """Whether the plan of a commit that was asked for again is drift alone, which the environment's mode does not heal.

    It is where exactly this commit is applied and has succeeded at this place: then Git cannot be what made the difference.
    What is to be pruned still is no drift; and where one of `healths`, those of what lives, is bad, the commit is tried again.
    """
    applied, operation = state.applied, state.operation
    return (
        environment.policy.mode is not Mode.HEAL
        and applied is not None
        and operation is not None
        and applied.revision == operation.revision == revision
        and operation.phase is Phase.SUCCEEDED
        and state.place in ("", environment.place)
        and all(health.is_good for health in healths)
        and not plan.is_empty
        and all(change.action is not Action.PRUNE for change in plan.changes)
    )

"""Whether a plan may be applied by what people confirmed of it, and what it waits for where it may not."""

from __future__ import annotations

from dataclasses import replace

from worker.adapters.inventory import Recorded
from worker.domain.convergence import Operation, Phase
from worker.domain.environment import Approvers, Policy
from worker.domain.errors import Held
from worker.domain.locks import Awaited, lacking
from worker.domain.plan import code
from worker.operations.predicting import Prediction


class Waits(Held):
    """A plan that waits for people; `awaited` is what is kept of it, by its whole fingerprint."""

    def __init__(self, awaited: Awaited, left: str) -> None:
        self.awaited = awaited
        several = f" (it waits for {left})" if awaited.approvals > 1 else ""
        super().__init__(f"{awaited.reason}{several}", code(awaited.fingerprint))


def confirm(
    prediction: Prediction,
    recorded: Recorded,
    policy: Policy,
    now: float,
    *,
    codes: tuple[str, ...] = (),
    hold: Held | None = None,
    approval: Held | None = None,
) -> None:
    """Raises what the prediction was refused with, and Waits where people have to say something that they did not say.

    `hold` is a reason of the caller's (a rewritten branch), which is approved like a plan that is converged on approval; the
    codes in `codes` came with the push.
    """
    if prediction.hold is not None and not isinstance(prediction.hold, Held):
        raise prediction.hold
    reasons = [each.reason for each in (hold, prediction.hold, approval) if each is not None]
    if not reasons:
        return
    before = recorded.state.awaited
    known = before if before is not None and before.fingerprint == prediction.plan.fingerprint else None
    locks, is_new = recorded.state.locks, recorded.state.applied is None
    strict = policy.approvers == Approvers.OTHERS or (locks.people == Approvers.OTHERS and not is_new)
    needed = policy.approvals if is_new else max(policy.approvals, locks.needed)
    awaited = Awaited(
        prediction.plan.revision,
        prediction.plan.fingerprint,
        known.since if known is not None else now,  # what is asked again does not begin to wait anew
        "; and ".join(reasons),
        approvals=needed if approval is not None else int(hold is not None),
        confirmation=prediction.hold is not None,
        people=Approvers.OTHERS if strict else Approvers.ANYONE,
        first=known.began if known is not None else prediction.plan.revision,
    )
    if left := lacking(locks, awaited, codes, now):
        raise Waits(awaited, left)


def was_approved(before: Operation | None, revision: str) -> bool:
    """Whether this commit's writes had begun: then it was approved, and goes on where it had got to."""
    begun = before is not None and (before.phase.is_open or before.phase is Phase.HELD)
    return begun and before is not None and before.revision == revision and bool(before.fingerprint)


def awaiting(recorded: Recorded, awaited: Awaited | None) -> Recorded:
    """What is recorded, with the plan that waits for people now."""
    state = recorded.state
    return replace(recorded, state=replace(state, locks=replace(state.locks, awaited=awaited)))

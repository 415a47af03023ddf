"""`/revert`: asks the worker how the change request that was commented on is taken back."""

from __future__ import annotations

from bot.desk import Desk
from bot.forges.port import RequestState
from bot.given import Given, refusal
from bot.markdown import code
from bot.tickets import Said
from worker.domain.revert import RevertRequest


def revert(desk: Desk, given: Given) -> Said | None:
    """Has the worker find the way back of a merged change request; of any other, says what to do."""
    request = given.change_request
    if request is None:
        return refusal("this is said in a comment on the change request that is to be taken back.")
    if request.state is RequestState.OPEN:
        return refusal(
            f"this is still open: nothing of it is on {code(request.base)}. Close it, or push what it should be instead; "
            f"once it is merged, {code('/revert')} takes it back."
        )
    if request.state is not RequestState.MERGED or not request.merged_as:
        return refusal(f"this was closed without being merged: nothing of it is on {code(request.base)}.")
    desk.requests.revert(
        RevertRequest(
            given.repository.name,
            request.number,
            request.title,
            request.merged_as,
            request.head,
            request.head_ref,
            request.began,
            request.base,
            origin=given.origin.to_json(),
            at=desk.requests.queue.now(),
        )
    )
    return None

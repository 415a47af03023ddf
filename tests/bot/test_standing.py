"""How a divergence is named on pages and in histories."""

from __future__ import annotations

import pytest

from bot.standing import Divergence
from tests.bot.divergences import CHECKOUT, PULL, SCALED, said
from worker.domain.divergence import EpisodeReport
from worker.domain.episodes import Cause, Event, Trouble

ROLLS = Trouble(CHECKOUT, "progressing", "1 of 3 replicas updated")
OPENED, HEALED = said(Event.OPENED, SCALED, after=1), said(Event.HEALED, SCALED, after=2)
ROLLING, CLOSED = said(Event.CHANGED, ROLLS, after=3), said(Event.CONVERGED, after=9)
PULLING = said(Event.OPENED, PULL, after=1)


@pytest.mark.parametrize(
    ("reports", "is_open", "cause", "first"),
    [
        ([OPENED], True, Cause.DRIFT, SCALED),
        ([OPENED, HEALED, ROLLING], True, Cause.FAILURE, ROLLS),
        ([OPENED, HEALED, ROLLING, CLOSED], False, Cause.DRIFT, SCALED),
        ([PULLING, CLOSED], False, Cause.FAILURE, PULL),
    ],
)
def test_a_divergence_is_named_by_what_differs_and_once_it_is_over_by_what_it_began_with(
    reports: list[EpisodeReport], is_open: bool, cause: Cause, first: object
) -> None:
    widest = Divergence(tuple(reports), is_open).widest
    assert widest.cause is cause
    assert (*widest.drift, *widest.troubles) == (first,)

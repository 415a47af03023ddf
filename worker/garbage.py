"""Python's cycle collector, told what this program is like."""

from __future__ import annotations

import gc


def relax_collector() -> None:
    """Lets the cycle collector look seldom: a LIST of 1,500 objects makes half a million values and not one cycle.

    Measured: collections were a third of the time of such a plan. What is there at start-up is never looked at again.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)

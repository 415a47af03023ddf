"""Whether somebody approves the own change: what the commits of the change request say of who asked for it."""

from __future__ import annotations

from typing import Final

from worker.adapters.ancestry import changes, messages, parents
from worker.adapters.checkout import Checkout
from worker.domain.authorship import CommitFacts, why_own
from worker.domain.orders import Order, Verb
from worker.domain.seals import Seals

CONFIRMS: Final = frozenset({Verb.APPROVE, Verb.CONFIRM_PRUNE})

MOST: Final = 250
"""Commits of a change request that are read, the newest first."""


def why_own_change(checkout: Checkout, order: Order, tip: str, seals: Seals) -> str:
    """Why it is the own change, as a sentence; empty where it is another's, or where the order confirms nothing.

    `tip` is the base branch's. Raises Unavailable, and DesiredStateError for a head that lies nowhere.
    """
    if order.verb not in CONFIRMS or not order.head:
        return ""
    checkout.fetch_proposed(order.head, order.head_ref)
    base = tip
    if order.revision:
        checkout.fetch(order.revision)
        base = next(iter(parents(checkout, order.revision)), "")
    before = parents(checkout, order.head)
    files = changes(checkout, before[0], order.head) if before else ()
    head = CommitFacts(
        before, "".join(messages(checkout, order.head, "", 1)), tuple((each.path, *each.after) for each in files)
    )
    others = messages(checkout, order.head, base, MOST)
    return why_own(order.repository, order.by, head, others, seals, by_bot=order.by_bot)

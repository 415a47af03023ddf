"""A delivery only says where to look: doubled, late, replayed and out of order it changes nothing but when one looks."""

from __future__ import annotations

import itertools
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import pytest

from bot.forges.port import State
from tests.doubles.forge_rig import Delivery
from tests.doubles.recording_relay import RecordingRelay
from tests.journeys.shop import PREDICT, Proposal, Shop, manifest

IDENTITIES: Final = ("x-github-delivery", "x-gitea-delivery", "x-gogs-delivery", "idempotency-key", "webhook-id")
"""What tells one delivery from another; a signature of the body alone does not cover it."""


def post(shop: Shop, headers: Mapping[str, str], body: bytes) -> int:
    """Sends a delivery to the door, whoever sends it; the answer's code."""
    address = f"{shop.system.address}/webhooks/{shop.rig.declared.name}"
    kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body, kept), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def renamed(delivery: Delivery) -> dict[str, str]:
    identity = str(uuid.uuid4())
    return {name: identity if name.lower() in IDENTITIES else value for name, value in delivery.headers.items()}


def told(shop: Shop, *revisions: str) -> list[object]:
    return [shop.rig.history(each) for each in revisions]


def test_a05_what_was_delivered_once_changes_nothing_when_it_is_replayed_under_new_ids(shop: Shop) -> None:
    begun = len(shop.rig.deliveries())
    first = shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    shop.comment(proposal.number, "Merged: converged as predicted")
    newest = shop.rig.push(shop.branch, manifest("flags", a="3"))
    shop.status(newest, shop.converge, State.SUCCESS)
    shop.status(first, shop.converge, State.SUCCESS) if shop.history(first, shop.converge)[
        -1
    ] is State.PENDING else None
    recorded = shop.rig.deliveries()[begun:]
    assert any(merged.encode() in each.body for each in recorded)
    before, versions = told(shop, first, proposal.head, merged, newest), shop.versions()
    writings = shop.writings(proposal.number)

    codes = {post(shop, renamed(each), each.body) for each in recorded}
    assert codes <= ({401} if shop.rig.declared.signing_key else {200, 202}), "the id is under GitLab's signature"
    shop.all_is_done()
    assert shop.value("flags") == "3", "an old commit was applied again"
    assert shop.versions() == versions
    assert told(shop, first, proposal.head, merged, newest) == before
    assert shop.writings(proposal.number) == writings


def test_f01_a_delivery_that_comes_a_hundred_times_is_one_job(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.status(proposal.head, shop.predict, State.SUCCESS)
    writings, statuses = shop.writings(proposal.number), shop.rig.status_count(proposal.head)
    last = shop.rig.deliveries()[-1]
    codes = [post(shop, last.headers, last.body) for _ in range(100)]
    assert set(codes) == {200}, "the same delivery is known"
    shop.all_is_done()
    assert (shop.writings(proposal.number), shop.rig.status_count(proposal.head)) == (writings, statuses)


ORDERS: Final[Mapping[str, Callable[[Sequence[Delivery]], list[Delivery]]]] = {
    "reversed": lambda found: list(reversed(found)),
    "odd ones first": lambda found: [*found[1::2], *found[::2]],
    "each twice": lambda found: list(itertools.chain.from_iterable((each, each) for each in found)),
    "only the opening": lambda found: [each for each in found if b'"action": "opened"' in each.body],
}


def held_back(shop: Shop, act: Callable[[], Proposal]) -> tuple[Proposal, list[Delivery]]:
    """What people do while nothing is delivered, and what would have been."""
    sink = RecordingRelay()
    shop.rig.listen(sink.address)
    try:
        done = act()
        shop.rig.deliveries()
    finally:
        shop.rig.listen(f"{shop.system.address}/webhooks/{shop.rig.declared.name}")
        sink.close()
    return done, [Delivery(each.headers, each.body, 0) for each in sink.exchanges]


@pytest.mark.parametrize("forge", ["github"], indirect=True)
@pytest.mark.parametrize("order", ORDERS)
def test_f02_in_whatever_order_they_come_the_prediction_is_of_the_newest_head(shop: Shop, order: str) -> None:
    shop.begin()

    def act() -> Proposal:
        proposal = shop.propose(manifest("flags", a="2"))
        proposal = shop.push(proposal, manifest("flags", a="3"))
        return shop.push(proposal, manifest("flags", a="4"))

    proposal, deliveries = held_back(shop, act)
    assert len(deliveries) >= 5
    for each in ORDERS[order](deliveries):
        assert post(shop, renamed(each), each.body) in (200, 202)
    comment = shop.predicted(proposal)
    assert "1 → 4" in comment or "a: 4" in comment
    shop.all_is_done()
    assert "a: 4" in shop.comment(proposal.number)
    assert shop.rig.statuses(proposal.head)[PREDICT].state is State.SUCCESS


@pytest.mark.parametrize("forge", ["github"], indirect=True)
@pytest.mark.parametrize("order", ["reversed", "odd ones first"])
def test_f02_what_is_merged_by_then_is_converged_and_not_predicted(shop: Shop, order: str) -> None:
    shop.begin()

    def act() -> Proposal:
        proposal = shop.propose(manifest("flags", a="2"))
        shop.rig.merge(proposal.number)
        return proposal

    proposal, deliveries = held_back(shop, act)
    for each in ORDERS[order](deliveries):
        assert post(shop, renamed(each), each.body) in (200, 202)
    shop.status(shop.rig.tip(shop.branch), shop.converge, State.SUCCESS)
    assert shop.value("flags") == "2"
    assert PREDICT not in shop.rig.statuses(proposal.head)
    assert shop.ours(proposal.number) == []

"""What people order of an environment: who holds it, what releases it, which approvals count."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from worker.domain.convergence import EnvironmentState, Operation, Phase, released
from worker.domain.environment import Approvers
from worker.domain.holdings import holdings
from worker.domain.locks import KEPT, KEPT_SECONDS, Approval, Awaited, Done, Lock, Locks, lacking, ruled
from worker.domain.messages import UnknownMessage
from worker.domain.orders import Answered, Order, OrderReport, Subject, Verb

NOW = 1_800_000_000.0
PRINT = "ab12cd34" + "0" * 56
OTHER = "ffffffff" + "0" * 56
WAITS = Awaited("a" * 40, PRINT, NOW - 60, "It is converged on approval only", approvals=1)
PRUNES = Awaited("a" * 40, PRINT, NOW - 60, "would prune StatefulSet shop/db", confirmation=True)
HELD = Lock("ann", NOW - 3600, "incident 7")


def order(verb: Verb, by: str = "bob", **facts: Any) -> Order:
    return Order(
        "shop",
        "east",
        (Subject("production", "main"),),
        verb,
        by,
        facts.pop("at", NOW),
        **{"revision": "a" * 40, **facts},
    )


def approve(by: str = "bob", **facts: Any) -> Order:
    return order(Verb.APPROVE, by, **{"code": "ab12cd34", **facts})


@pytest.mark.parametrize(
    ("before", "given", "done", "converges", "says"),
    [
        (Locks(), order(Verb.HOLD, reason="incident"), Done.DONE, False, "held by bob since"),
        (Locks(hold=HELD), order(Verb.HOLD, reason="mine"), Done.ALREADY, False, "held by ann since"),
        (Locks(hold=HELD), order(Verb.UNHOLD), Done.DONE, True, "not held any more; the newest commit"),
        (Locks(), order(Verb.UNHOLD), Done.ALREADY, True, "production is not held"),
        (Locks(freeze=HELD), order(Verb.UNHOLD), Done.ALREADY, False, "not held, but frozen by ann"),
        (Locks(hold=HELD, freeze=HELD), order(Verb.UNHOLD), Done.DONE, False, "not held any more, but frozen"),
        (Locks(hold=HELD, freeze=HELD), order(Verb.THAW), Done.DONE, False, "not frozen any more, but held"),
        (Locks(), order(Verb.FREEZE), Done.DONE, False, "(/thaw)"),
        (Locks(freeze=HELD), order(Verb.FREEZE), Done.ALREADY, False, "frozen by ann"),
        (Locks(freeze=HELD), order(Verb.THAW), Done.DONE, True, "not frozen any more"),
        (Locks(), order(Verb.RETRY), Done.DONE, True, "being converged again"),
        (Locks(hold=HELD), order(Verb.RETRY), Done.REFUSED, False, "/unhold production"),
        (Locks(awaited=WAITS), approve(), Done.DONE, True, "is applied now"),
        (Locks(awaited=WAITS), approve(code="AB12CD34"), Done.DONE, True, "is applied now"),
        (Locks(awaited=WAITS), approve(own=True), Done.REFUSED, False, "author of this change"),
        (Locks(awaited=replace(WAITS, people="anyone")), approve(own=True), Done.DONE, True, "is applied now"),
        (Locks(awaited=WAITS), approve(bot=True), Done.REFUSED, False, "bob is a bot"),
        (Locks(awaited=replace(WAITS, people="anyone")), approve(bot=True), Done.REFUSED, False, "is a bot"),
        (Locks(awaited=WAITS), approve(old=True), Done.REFUSED, False, "not the head any more"),
        (Locks(awaited=WAITS), approve(code="ffffffff"), Done.REFUSED, False, "it changed, look at it again (ab12cd34)"),
        (Locks(awaited=WAITS), approve(revision="b" * 40), Done.REFUSED, False, "waits since aaaaaaa"),
        (Locks(awaited=WAITS), approve(revision="", fingerprint=PRINT), Done.REFUSED, False, "waits since aaaaaaa"),
        (Locks(awaited=replace(WAITS, first="b" * 40)), approve(), Done.REFUSED, False, "waits since bbbbbbb"),
        (Locks(awaited=replace(WAITS, first="b" * 40)), approve(revision="b" * 40), Done.DONE, True, "is applied now"),
        (Locks(awaited=WAITS), approve(code="ab12"), Done.REFUSED, False, "is not the code"),
        (Locks(awaited=WAITS), approve(code=""), Done.REFUSED, False, "which plan?"),
        (Locks(), approve(), Done.REFUSED, False, "no plan with the code ab12cd34 waits"),
        (Locks(), approve(code="", own=True), Done.REFUSED, False, "no plan waits in production"),
        (Locks(), approve(code="", fingerprint=PRINT), Done.REFUSED, False, "which plan?"),
        (Locks(), approve(fingerprint=PRINT), Done.DONE, False, "is kept; it counts if"),
        (Locks(), approve(fingerprint=OTHER), Done.REFUSED, False, "no plan with the code"),
        (Locks(awaited=replace(WAITS, approvals=2)), approve(), Done.DONE, False, "waits for 1 more of 2 approvals"),
        (Locks(awaited=WAITS, hold=HELD), approve(), Done.DONE, False, "may be applied, but held by ann"),
        (Locks(awaited=PRUNES), approve(), Done.DONE, False, "waits for a confirmation of its deletions"),
        (Locks(awaited=PRUNES), order(Verb.CONFIRM_PRUNE, code="ab12cd34"), Done.DONE, True, "is applied now"),
        (Locks(awaited=WAITS), order(Verb.CONFIRM_PRUNE, code="ab12cd34"), Done.DONE, False, "waits for an approval"),
        (Locks(awaited=PRUNES), order(Verb.CONFIRM_PRUNE, code="ab12cd34", revision=""), Done.REFUSED, False, "waits since aaaaaaa"),
        (Locks(awaited=PRUNES), order(Verb.CONFIRM_PRUNE, code="ab12cd34", revision="", anywhere=True), Done.DONE, True,
         "is applied now"),
        (Locks(awaited=PRUNES), order(Verb.CONFIRM_PRUNE, code="ffffffff", revision="", anywhere=True), Done.REFUSED, False,
         "it changed, look at it again (ab12cd34)"),
        (Locks(awaited=replace(PRUNES, approvals=1)), order(Verb.CONFIRM_PRUNE, code="ab12cd34", revision="", anywhere=True),
         Done.DONE, False, "waits for an approval"),
        (Locks(awaited=PRUNES), order(Verb.CONFIRM_PRUNE, code="ab12cd34", bot=True), Done.REFUSED, False, "is a bot"),
    ],
)  # fmt: skip
def test_what_an_order_comes_to(before: Locks, given: Order, done: Done, converges: bool, says: str) -> None:
    ruling = ruled(before, given, "production", NOW)
    assert (ruling.done, ruling.converges) == (done, converges)
    assert says in ruling.text
    if done is Done.REFUSED:
        assert ruling.locks == before, "what is refused changes nothing"


@pytest.mark.parametrize("facts", [{"own": True}, {"bot": True}, {"old": True}, {"revision": "b" * 40}])
def test_a21_an_approval_of_an_author_a_robot_or_for_another_head_counts_nowhere(facts: dict[str, Any]) -> None:
    ruling = ruled(Locks(awaited=WAITS), approve(**facts), "production", NOW)
    assert ruling.done is Done.REFUSED
    assert ruling.locks.approvals == ()
    assert lacking(ruling.locks, WAITS, (), NOW)
    assert not lacking(ruled(Locks(awaited=WAITS), approve(), "production", NOW).locks, WAITS, (), NOW)


@pytest.mark.parametrize(
    "given",
    [order(Verb.HOLD, reason="x"), order(Verb.FREEZE), approve(), order(Verb.CONFIRM_PRUNE, code="ab12cd34")],
)
def test_the_same_order_twice_changes_nothing_more(given: Order) -> None:
    once = ruled(Locks(awaited=WAITS), given, "production", NOW)
    twice = ruled(once.locks, given, "production", NOW + 5)
    assert twice.locks == once.locks
    assert twice.done is not Done.REFUSED


def test_two_approvals_are_those_of_two_people() -> None:
    locks = Locks(awaited=replace(WAITS, approvals=2))
    first = ruled(locks, approve("bob"), "production", NOW)
    again = ruled(first.locks, approve("BOB"), "production", NOW)
    assert (again.done, again.converges) == (Done.ALREADY, False)
    second = ruled(again.locks, approve("carol"), "production", NOW)
    assert second.converges


def approval(fingerprint: str = PRINT, **facts: Any) -> Approval:
    return Approval(**{"fingerprint": fingerprint, "by": "bob", "at": NOW - 10, "verb": Verb.APPROVE, **facts})


@pytest.mark.parametrize(
    ("approvals", "codes", "awaited", "left"),
    [
        ((), (), WAITS, "an approval"),
        ((approval(),), (), WAITS, ""),
        ((), ("AB12cd34",), WAITS, ""),
        ((), ("ffffffff",), WAITS, "an approval"),
        ((), ("AB12cd34:approve",), WAITS, ""),
        ((), ("ab12cd34",), PRUNES, ""),
        ((), ("ab12cd34:approve",), PRUNES, "a confirmation of its deletions"),
        ((), ("ab12cd34:approve",), replace(WAITS, confirmation=True), "a confirmation of its deletions"),
        ((), ("ab12cd34:approve",), replace(WAITS, approvals=2), "1 more of 2 approvals"),
        ((approval(OTHER),), (), WAITS, "an approval"),
        ((approval("ab12cd34" + "1" * 56),), (), WAITS, "an approval"),
        ((approval(own=True),), (), WAITS, "an approval"),
        ((approval(own=True),), (), replace(WAITS, people=Approvers.ANYONE), ""),
        ((approval(at=NOW - KEPT_SECONDS - 1),), (), WAITS, "an approval"),
        ((approval(verb=Verb.CONFIRM_PRUNE),), (), WAITS, "an approval"),
        ((approval(),), (), PRUNES, "a confirmation of its deletions"),
        ((approval(verb=Verb.CONFIRM_PRUNE),), (), PRUNES, ""),
        ((approval(),), (), replace(WAITS, approvals=2), "1 more of 2 approvals"),
        ((), ("ab12cd34",), replace(WAITS, approvals=2), "1 more of 2 approvals"),
        ((), (), replace(WAITS, approvals=2), "2 approvals"),
        ((approval(),), (), replace(WAITS, approvals=3), "2 more of 3 approvals"),
        ((approval(), approval(by="Bob")), (), replace(WAITS, approvals=2), "1 more of 2 approvals"),
        ((approval(), approval(by="carol")), (), replace(WAITS, approvals=2), ""),
        ((), (), replace(WAITS, confirmation=True), "an approval and a confirmation of its deletions"),
    ],
)
def test_which_approvals_count(
    approvals: tuple[Approval, ...], codes: tuple[str, ...], awaited: Awaited, left: str
) -> None:
    assert lacking(Locks(approvals=approvals), awaited, codes, NOW) == left


def test_an_approval_is_used_up_by_the_plan_that_it_lets_through() -> None:
    locks = Locks(approvals=(approval(), approval(OTHER))).used(PRINT)
    assert lacking(locks, WAITS, (), NOW) == "an approval", "the same plan later is approved anew"
    assert [each.fingerprint for each in locks.approvals] == [OTHER]


def test_approvals_are_bounded_in_number_and_age() -> None:
    locks = Locks(approvals=(approval(at=NOW - KEPT_SECONDS - 1),))
    for number in range(KEPT + 5):
        locks = locks.approved(approval(by=f"person-{number}", at=NOW))
    assert len(locks.approvals) == KEPT
    assert locks.approvals[-1].by == f"person-{KEPT + 4}"
    assert all(each.at == NOW for each in locks.approvals)


def state(phase: Phase, locks: Locks, revision: str = "a" * 40) -> EnvironmentState:
    return EnvironmentState("shop/production", "uid", Operation(revision, "main", phase, NOW, NOW), locks=locks)


@pytest.mark.parametrize(
    ("known", "is_released"),
    [
        (state(Phase.HELD, Locks(hold=HELD)), False),
        (state(Phase.HELD, Locks()), True),
        (state(Phase.HELD, Locks(awaited=WAITS)), False),
        (state(Phase.HELD, Locks(awaited=WAITS, approvals=(approval(),))), True),
        (state(Phase.HELD, Locks(awaited=WAITS, approvals=(approval(),), freeze=HELD)), False),
        (state(Phase.HELD, Locks(awaited=WAITS), "b" * 40), True),
        (state(Phase.SUCCEEDED, Locks()), False),
        (EnvironmentState("shop/production", "uid"), False),
    ],
)
def test_what_is_released_is_asked_for_again_though_the_asking_was_lost(
    known: EnvironmentState, is_released: bool
) -> None:
    assert released(known, NOW) is is_released


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (state(Phase.SUCCEEDED, Locks()), []),
        (state(Phase.SUCCEEDED, Locks(hold=HELD)), [("held", "ann", "incident 7", "/unhold production")]),
        (state(Phase.SUCCEEDED, Locks(freeze=HELD)), [("frozen", "ann", "incident 7", "/thaw")]),
        (
            state(Phase.HELD, Locks(awaited=replace(WAITS, approvals=2), approvals=(approval(),))),
            [
                (
                    "waits for 1 more of 2 approvals", "", "It is converged on approval only, approved by bob",
                    "/approve production ab12cd34",
                )
            ],
        ),
        (
            state(Phase.HELD, Locks(awaited=PRUNES)),
            [
                (
                    "waits for a confirmation of its deletions", "", "would prune StatefulSet shop/db",
                    "/confirm-prune production ab12cd34",
                )
            ],
        ),
        (state(Phase.WAITING, Locks(awaited=WAITS)), [("aaaaaaa waits for health", "", "", "ends by itself")]),
    ],
)  # fmt: skip
def test_what_holds_an_environment(known: EnvironmentState, expected: list[tuple[str, ...]]) -> None:
    found = [(each.what, each.who, each.why, each.release) for each in holdings(known, "production", NOW)]
    assert found == expected


def test_what_holds_it_says_since_when() -> None:
    (found,) = holdings(state(Phase.SUCCEEDED, Locks(hold=HELD)), "production", NOW)
    assert found.text == "held by ann since 2027-01-15 07:00 UTC: incident 7 (/unhold production)"


def test_the_record_keeps_the_locks() -> None:
    locks = Locks(HELD, HELD, WAITS, (approval(), approval(OTHER, own=True)), 2, Approvers.ANYONE)
    known = state(Phase.HELD, locks)
    assert EnvironmentState.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_a_record_of_before_has_no_locks() -> None:
    written = state(Phase.HELD, Locks()).to_json()
    del written["locks"]
    assert EnvironmentState.from_json(written).locks == Locks()


def test_messages_come_back_as_they_were() -> None:
    given = approve(fingerprint=PRINT, own=True, origin={"number": 7, "comment": "1"})
    assert Order.from_json(json.loads(json.dumps(given.to_json()))) == given
    report = OrderReport("shop", Verb.HOLD, "bob", NOW, (Answered("production", "done", "held"),), {"number": 7})
    assert OrderReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    with pytest.raises(UnknownMessage):
        Order.from_json({**given.to_json(), "schema": 99})
    with pytest.raises(UnknownMessage):
        Order.from_json({**given.to_json(), "verb": "erase"})


@pytest.mark.parametrize(
    ("close", "release", "lock"), [(Verb.HOLD, Verb.UNHOLD, "hold"), (Verb.FREEZE, Verb.THAW, "freeze")]
)
def test_an_order_that_was_tried_again_undoes_nothing_that_was_said_after_it(
    close: Verb, release: Verb, lock: str
) -> None:
    """One environment's cluster was away, so an order is tried again for all of them, while people went on."""
    closed = ruled(Locks(), order(close), "production", NOW)
    opened = ruled(closed.locks, order(release, at=NOW + 60), "production", NOW + 60)
    assert (opened.done, getattr(opened.locks, lock)) == (Done.DONE, None)
    again = ruled(opened.locks, order(close), "production", NOW + 120)
    assert (again.done, again.locks, again.converges) == (Done.ALREADY, opened.locks, False)
    assert f"/{release}" in again.text

    later = ruled(opened.locks, order(close, at=NOW + 180), "production", NOW + 180)
    assert later.done is Done.DONE
    late = ruled(later.locks, order(release, at=NOW + 60), "production", NOW + 240)
    assert (late.done, late.locks, late.converges) == (Done.ALREADY, later.locks, False)
    assert "after that was said" in late.text
    assert ruled(later.locks, order(release, at=NOW + 60), "production", NOW + 61).done is Done.DONE, "another clock"
    assert Locks.from_json(json.loads(json.dumps(opened.locks.to_json()))) == opened.locks
    old = {name: value for name, value in Locks(hold=HELD).to_json().items() if name not in ("unheld", "thawed")}
    assert Locks.from_json(old) == Locks(hold=HELD)

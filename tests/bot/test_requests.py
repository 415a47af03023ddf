"""What a look at a forge asks for, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from bot.forges.port import ChangeRequest, Person, RequestState, State
from bot.requests import Asked, Remembered, candidate, judged, missed
from bot.results import is_current
from worker.domain.installation import Repository
from worker.domain.proposals import ProposalReport

HEAD, OTHER, TIP = "a" * 40, "b" * 40, "c" * 40
EVE, BOT = Person("7", "eve"), Person("1", "plumbline")
OPEN = ChangeRequest(3, RequestState.OPEN, "t", EVE, HEAD, "refs/pull/3/head", "main", False, False, "https://x")
SHOP = Repository("shop", "u", None, "github", "acme/shop")
KNOWN = Remembered(HEAD, "main", TIP, asked=1.0)


@pytest.mark.parametrize(
    ("request_", "known", "state", "proposes"),
    [
        (OPEN, None, State.PENDING, True),
        (OPEN, KNOWN, None, True),
        (replace(OPEN, head=OTHER), KNOWN, State.PENDING, True),
        (replace(OPEN, base="release"), KNOWN, State.SUCCESS, False),
        (replace(OPEN, is_from_fork=True), None, State.PENDING, False),
        (replace(OPEN, is_from_fork=True), replace(KNOWN, approved=HEAD), None, True),
        (replace(OPEN, is_from_fork=True), replace(KNOWN, approved=OTHER), State.PENDING, False),
        (replace(OPEN, is_from_fork=True, base="release"), None, State.SUCCESS, False),
        (replace(OPEN, state=RequestState.CLOSED), KNOWN, None, False),
        (replace(OPEN, state=RequestState.MERGED), KNOWN, None, False),
    ],
)
def test_a22_f13_a_change_request_is_judged(
    request_: ChangeRequest, known: Remembered | None, state: State | None, proposes: bool
) -> None:
    found = judged(request_, SHOP, known, at=5.0, name="plumbline/predict")
    assert (found.status.state if found.status else None) == state
    assert (found.proposal is not None) == proposes
    assert proposes or found.proposal is None
    assert found.from_fork == (request_.is_from_fork and state is State.PENDING)


@pytest.mark.parametrize(
    ("request_", "known", "why"),
    [
        (replace(OPEN, base="docs"), KNOWN, "No environment follows docs"),
        (replace(OPEN, base="docs"), None, ""),
        (replace(OPEN, base="docs"), replace(KNOWN, base="docs", asked=0.0), ""),
        (replace(OPEN, is_draft=True), KNOWN, "A draft; predicted once it is ready for review"),
        (replace(OPEN, is_from_fork=True, head=OTHER), replace(KNOWN, approved=HEAD), ""),
        (OPEN, KNOWN, ""),
        (replace(OPEN, state=RequestState.CLOSED), KNOWN, ""),
    ],
)
def test_what_was_predicted_and_is_not_any_more_is_taken_back_once(
    request_: ChangeRequest, known: Remembered | None, why: str
) -> None:
    assert judged(request_, replace(SHOP, drafts=False), known, at=5.0, name="plumbline/predict").withdrawn == why


@pytest.mark.parametrize("queue", ["gh-readonly-queue/main/pr-3-x", "gh-readonly-queue/release/1/pr-3-x"])
def test_a_merge_queue_s_candidate_is_predicted_where_it_is_and_its_branch_never_followed(queue: str) -> None:
    shop = replace(SHOP, branches=("*",))
    base = queue.removeprefix("gh-readonly-queue/").rpartition("/")[0]
    found = candidate(shop, base, HEAD, {"main": TIP, queue: HEAD}, at=5.0, name="plumbline/predict")
    assert found.proposal is not None
    assert (found.proposal.number, found.proposal.head, found.proposal.head_ref) == (0, HEAD, f"refs/heads/{queue}")
    assert candidate(shop, base, HEAD, {"main": TIP, queue: OTHER}, at=5.0, name="plumbline/predict") == Asked()
    assert candidate(shop, base, HEAD, {"mine": HEAD}, at=5.0, name="plumbline/predict") == Asked()
    assert not shop.follows(queue)
    assert missed(shop, {queue: HEAD}, [], seen={}, remembered={}, now=1.0).branches == ()


def test_a_branch_of_our_own_is_followed_by_no_pattern_for_nothing_of_it_is_merged_yet() -> None:
    shop, ours = (
        replace(SHOP, branches=("*", "plumbline/*")),
        "plumbline/rollback-production-1a2b3c4-onto-5d6e7f8-01234567",
    )
    assert [name for name in ("main", "plumbline", ours) if shop.follows(name)] == ["main", "plumbline"]
    assert missed(shop, {ours: HEAD}, [], seen={}, remembered={}, now=1.0).branches == ()


def test_the_poller_finds_what_is_not_as_it_was_seen_and_nothing_else() -> None:
    tips = {"main": TIP, "feature": OTHER}
    assert missed(SHOP, tips, [OPEN], seen={"main": TIP}, remembered={3: KNOWN}, now=9e9).numbers == ()
    found = missed(SHOP, tips, [replace(OPEN, head=OTHER)], seen={}, remembered={3: KNOWN}, now=2.0)
    assert (found.branches, found.numbers) == (("main",), (3,))


NO_DRAFTS = replace(SHOP, drafts=False)
DRAFT, CLOSED, MERGED = (
    replace(OPEN, is_draft=True),
    replace(OPEN, state=RequestState.CLOSED),
    replace(OPEN, state=RequestState.MERGED, merged_as=OTHER),
)


@dataclass(frozen=True)
class Then:
    """What a look leads to: the status, whether it is a first word only, a prediction, a branch, and what is remembered."""

    state: State | None = None
    unless_told: bool = False
    proposes: bool = False
    look_at: str = ""
    remembers: bool = True
    asked: bool = False


PREDICTED = Then(State.PENDING, unless_told=True, proposes=True, asked=True)
ANEW = replace(PREDICTED, unless_told=False)
KEPT = Then(proposes=True, asked=True)


@pytest.mark.parametrize(
    ("shop", "events", "then"),
    [
        pytest.param(SHOP, [OPEN], PREDICTED, id="opened"),
        pytest.param(SHOP, [OPEN, OPEN], KEPT, id="told of twice: its status stays"),
        pytest.param(SHOP, [OPEN, replace(OPEN, title="other")], KEPT, id="renamed"),
        pytest.param(SHOP, [OPEN, replace(OPEN, head=OTHER)], ANEW, id="pushed to"),
        pytest.param(SHOP, [OPEN, replace(OPEN, head=OTHER), OPEN], ANEW, id="pushed back"),
        pytest.param(SHOP, [OPEN, replace(OPEN, base="release")], Then(State.SUCCESS), id="retargeted, not followed"),
        pytest.param(
            replace(SHOP, branches=("*",)), [OPEN, replace(OPEN, base="release")], ANEW, id="retargeted, followed"
        ),
        pytest.param(SHOP, [replace(OPEN, base="release"), OPEN], ANEW, id="retargeted back"),
        pytest.param(SHOP, [OPEN, CLOSED], Then(remembers=False), id="closed unmerged"),
        pytest.param(SHOP, [OPEN, CLOSED, OPEN], PREDICTED, id="reopened"),
        pytest.param(SHOP, [OPEN, CLOSED, replace(OPEN, head=OTHER)], PREDICTED, id="reopened with another head"),
        pytest.param(SHOP, [CLOSED], Then(remembers=False), id="closed before anybody looked"),
        pytest.param(SHOP, [OPEN, MERGED], Then(look_at="main", remembers=False), id="merged while being predicted"),
        pytest.param(SHOP, [MERGED], Then(look_at="main", remembers=False), id="merged before anybody looked"),
        pytest.param(SHOP, [MERGED, MERGED], Then(look_at="main", remembers=False), id="told of its merge twice"),
        pytest.param(SHOP, [DRAFT], PREDICTED, id="a draft, where they are predicted"),
        pytest.param(NO_DRAFTS, [DRAFT], Then(State.PENDING), id="a draft, where they are not"),
        pytest.param(NO_DRAFTS, [OPEN, DRAFT], Then(State.PENDING), id="converted to a draft"),
        pytest.param(NO_DRAFTS, [OPEN, DRAFT, OPEN], ANEW, id="ready again"),
        pytest.param(SHOP, [OPEN, DRAFT], KEPT, id="converted to a draft, where they are predicted"),
        pytest.param(NO_DRAFTS, [DRAFT, replace(DRAFT, state=RequestState.CLOSED)], Then(remembers=False), id="a draft closed"),
    ],
)  # fmt: skip
def test_f13_what_happens_to_a_change_request_one_after_another(
    shop: Repository, events: list[ChangeRequest], then: Then
) -> None:
    known, found = None, Asked()
    for at, event in enumerate(events, start=1):
        found = judged(event, shop, known, at=float(at), name="plumbline/predict")
        known = found.remember
    status = found.status
    last = events[-1]
    assert (
        Then(
            status.state if status else None,
            found.unless_told,
            found.proposal is not None,
            found.look_at,
            known is not None,
            bool(known and known.asked),
        )
        == then
    )
    if found.proposal is not None:
        assert (found.proposal.head, found.proposal.base) == (last.head, last.base)
        assert found.proposal.at == len(events)
    assert known is None or (known.head, known.base, known.base_revision) == (last.head, last.base, "")
    assert not found.from_fork


def test_a_forks_approved_commit_is_said_to_be_predicted_over_what_stands_there() -> None:
    fork = replace(OPEN, is_from_fork=True)
    found = judged(fork, SHOP, None, at=5.0, name="plumbline/predict", approved=HEAD)
    assert found.proposal is not None
    assert found.status is not None
    assert not found.unless_told, "that it waits for a maintainer stands there, and is not true any more"


@pytest.mark.parametrize(
    ("now", "current"),
    [
        (OPEN, True),
        (DRAFT, True),
        (replace(OPEN, head=OTHER), False),
        (replace(OPEN, base="release"), False),
        (CLOSED, False),
        (MERGED, False),
    ],
    ids=["as it was", "a draft by now", "pushed to", "retargeted", "closed", "merged by somebody"],
)
def test_f13_a_prediction_is_written_only_on_what_it_is_about(now: ChangeRequest, current: bool) -> None:
    report = ProposalReport("shop", 3, HEAD, "main", TIP, "e" * 40)
    assert is_current(report, now) is current


@pytest.mark.parametrize(
    ("branch", "revision", "home", "state", "proposes"),
    [
        ("main", HEAD, f"gh-readonly-queue/main/pr-3-{TIP}", State.PENDING, True),
        ("main", HEAD, "gh-readonly-queue/release/pr-3", None, False),
        ("main", HEAD, "elsewhere", None, False),
        ("main", OTHER, f"gh-readonly-queue/main/pr-3-{TIP}", None, False),
        ("release", HEAD, f"gh-readonly-queue/release/pr-3-{TIP}", State.SUCCESS, False),
    ],
    ids=["in the queue", "of another branch", "a branch like others", "out of the queue", "of a branch nobody follows"],
)
def test_a_merge_queue_s_candidate_is_judged(
    branch: str, revision: str, home: str, state: State | None, proposes: bool
) -> None:
    found = candidate(SHOP, branch, revision, {home: HEAD, "main": TIP}, at=5.0, name="plumbline/predict")
    assert (found.status.state if found.status else None) == state
    assert (found.proposal is not None) is proposes
    assert found.remember is None
    if found.proposal is not None:
        assert (found.proposal.number, found.proposal.head, found.proposal.head_ref) == (0, HEAD, f"refs/heads/{home}")
        assert found.unless_told, "a candidate that is told of twice keeps its answer"

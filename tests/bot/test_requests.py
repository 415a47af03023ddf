"""What a look at a forge asks for, as a table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.forges.port import ChangeRequest, Comment, Person, RequestState, State
from bot.requests import Asked, Remembered, asked_commit, candidate, judged, missed
from worker.domain.installation import Repository

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


@pytest.mark.parametrize(
    ("body", "author", "edited", "asked"),
    [
        (f"/plan {HEAD}", EVE, False, HEAD),
        (f"/plan {HEAD}", BOT, False, ""),
        (f"/plan {HEAD}", EVE, True, ""),
        (f"/plan {HEAD[:7]}", EVE, False, ""),
        (f"> /plan {HEAD}", EVE, False, ""),
        (f"/plan {HEAD} --secrets", EVE, False, ""),
    ],
)
def test_a16_only_the_exact_command_of_somebody_else_asks(body: str, author: Person, edited: bool, asked: str) -> None:
    assert asked_commit(Comment("1", author, body, edited), BOT) == asked


def test_the_poller_finds_what_is_not_as_it_was_seen_and_nothing_else() -> None:
    tips = {"main": TIP, "feature": OTHER}
    assert missed(SHOP, tips, [OPEN], seen={"main": TIP}, remembered={3: KNOWN}, now=9e9).numbers == ()
    found = missed(SHOP, tips, [replace(OPEN, head=OTHER)], seen={}, remembered={3: KNOWN}, now=2.0)
    assert (found.branches, found.numbers) == (("main",), (3,))

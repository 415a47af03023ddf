"""What is to be asked for: what hooks and forges say, judged into convergences, proposals and statuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bot.forges.port import ChangeRequest, RequestState, State, Status
from worker.domain.declaration import Declaration
from worker.domain.installation import CANDIDATES, Repository
from worker.domain.messages import Committed, ConvergeRequest, ProposalRequest, RefUpdate

ASKED_SECONDS: Final = 600.0
"""How long a prediction that was asked for may take before the poller asks again."""

MOST_MISSED: Final = 50
"""How many places one round of polling asks to be looked at; the next round has the rest."""

NOT_FOLLOWED: Final = "No environment follows {}"


def followed(repository: Repository, updates: Sequence[RefUpdate]) -> tuple[RefUpdate, ...]:
    """The updates of branches that environments may follow and that still exist."""
    return tuple(
        update
        for update in updates
        if update.branch is not None and not update.deletes and repository.follows(update.branch)
    )


def convergences(
    message: Committed, updates: Sequence[RefUpdate], declarations: Mapping[str, Declaration]
) -> list[ConvergeRequest]:
    """One request per environment of each followed branch, in the order of the declaration."""
    return [
        ConvergeRequest(
            message.repository,
            name,
            update.branch,
            update.new,
            cluster,
            message.at,
            message.approvals,
        )
        for update in updates
        if update.branch is not None and update.branch in declarations
        for name, cluster in declarations[update.branch].targets()
        if name and cluster
    ]


# -- change requests ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a change request since the last look; lost without loss.

    `head` and `base` (a branch) as they were then; `base_revision` the base's tip of the last prediction, empty before it;
    `asked` the Unix time at which it was asked for, 0 where nothing is to be predicted; `approved` the fork's commit that
    somebody who may write asked to have predicted.
    """

    head: str
    base: str
    base_revision: str = ""
    asked: float = 0.0
    approved: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a look at a change request leads to.

    `status` is to be written on `head` of the change request, `look_at` a branch to be looked at, `remember` what the next
    look is to know (None: forget it). `from_fork` says that the status waits for a maintainer's word, which is told to people;
    `unless_told` that it is only for a commit that was not heard of: what stands there already stays (Redis may be empty).
    """

    proposal: ProposalRequest | None = None
    status: Status | None = None
    look_at: str = ""
    remember: Remembered | None = None
    from_fork: bool = False
    withdrawn: str = ""
    unless_told: bool = False


def is_unapproved(change_request: ChangeRequest, approved: str) -> bool:
    """Whether it comes from a fork and nobody who may write has named its present head."""
    return change_request.is_from_fork and approved != change_request.head


def waits_for(change_request: ChangeRequest, repository: Repository, approved: str) -> tuple[State, str] | None:
    """Why a change request is not predicted, as a status; None where it is."""
    if not repository.follows(change_request.base):
        return State.SUCCESS, NOT_FOLLOWED.format(change_request.base)
    if is_unapproved(change_request, approved):
        return State.PENDING, f"From a fork; a maintainer can ask: /plan {change_request.head}"
    if change_request.is_draft and not repository.drafts:
        return State.PENDING, "A draft; predicted once it is ready for review"
    return None


def judged(
    change_request: ChangeRequest,
    repository: Repository,
    remembered: Remembered | None,
    *,
    at: float,
    name: str,
    approved: str = "",
) -> Asked:
    """What to ask for now that a change request is as the forge says.

    `approved` is the commit that somebody who may write has just named, `at` the Unix time of the event, `name` the status'
    context. A prediction of the same head onto the same base keeps its status until there is a new one.
    """
    if change_request.state is RequestState.CLOSED:
        return Asked()
    if change_request.state is RequestState.MERGED:
        return Asked(look_at=change_request.base)
    approved = approved if approved == change_request.head else remembered.approved if remembered else ""
    now = Remembered(change_request.head, change_request.base, approved=approved)
    same = remembered is not None and (remembered.head, remembered.base) == (now.head, now.base)
    waits = waits_for(change_request, repository, approved)
    if waits is not None:
        state, text = waits
        from_fork = repository.follows(change_request.base) and is_unapproved(change_request, approved)
        withdrawn = text if remembered is not None and remembered.asked and not from_fork else ""
        return Asked(status=Status(name, state, text), remember=now, from_fork=from_fork, withdrawn=withdrawn)
    proposal = ProposalRequest(
        repository.name,
        change_request.number,
        change_request.head,
        change_request.head_ref,
        change_request.base,
        at,
        change_request.is_from_fork,
    )
    if remembered is not None and same and remembered.asked:
        return Asked(proposal, remember=replace(remembered, asked=at, approved=approved))
    unless_told = remembered is None and not change_request.is_from_fork
    status = Status(name, State.PENDING, "Being predicted")
    return Asked(proposal, status, remember=replace(now, asked=at), unless_told=unless_told)


def onto(branch: str, requests: Sequence[ChangeRequest]) -> tuple[ChangeRequest, ...]:
    """The open change requests whose prediction rests on a branch's tip."""
    return tuple(each for each in requests if each.state is RequestState.OPEN and each.base == branch)


def candidate(
    repository: Repository, branch: str, revision: str, tips: Mapping[str, str], *, at: float, name: str
) -> Asked:
    """What to ask for a merge queue's candidate; nothing where the queue does not have it (any more)."""
    home = next(
        (each for each, tip in tips.items() if tip == revision and each.startswith(f"{CANDIDATES}{branch}/")), ""
    )
    if not home:
        return Asked()
    if not repository.follows(branch):
        return Asked(status=Status(name, State.SUCCESS, NOT_FOLLOWED.format(branch)))
    proposal = ProposalRequest(repository.name, 0, revision, f"refs/heads/{home}", branch, at)
    return Asked(proposal, Status(name, State.PENDING, "Being predicted"), unless_told=True)


# -- what no webhook told of --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missed:
    """Places of a forge that are not as they were last seen: branches, and numbers of change requests; `left` more wait."""

    branches: tuple[str, ...]
    numbers: tuple[int, ...]
    left: int = 0


def missed(
    repository: Repository,
    tips: Mapping[str, str],
    requests: Sequence[ChangeRequest],
    *,
    seen: Mapping[str, str],
    remembered: Mapping[int, Remembered],
    now: float,
) -> Missed:
    """What is to be looked at: followed branches whose tip was not seen, and change requests without a current prediction.

    `seen` is the tip of each branch at the last look, `now` a Unix time. At most MOST_MISSED places, branches first.
    """
    branches = [name for name, tip in tips.items() if repository.follows(name) and seen.get(name) != tip]
    numbers = [
        each.number
        for each in requests
        if each.state is RequestState.OPEN
        and _is_missed(each, repository, remembered.get(each.number), tips.get(each.base, ""), now)
    ]
    room = max(0, MOST_MISSED - len(branches))
    left = max(0, len(branches) - MOST_MISSED) + max(0, len(numbers) - room)
    return Missed(tuple(branches[:MOST_MISSED]), tuple(numbers[:room]), left)


def _is_missed(
    change_request: ChangeRequest, repository: Repository, known: Remembered | None, base_tip: str, now: float
) -> bool:
    if known is None or (known.head, known.base) != (change_request.head, change_request.base):
        return True
    is_predicted = waits_for(change_request, repository, known.approved) is None
    if is_predicted != bool(known.asked):
        return True
    return is_predicted and known.base_revision != base_tip and now - known.asked > ASKED_SECONDS

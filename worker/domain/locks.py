"""What keeps an environment as it is until a person says otherwise: holds, freezes, and plans that wait to be approved.

Kept with the environment's state in its cluster, so nothing of it is lost with Redis. What a person ordered is judged here, as
values: who holds, what releases, which approvals count. Times are Unix seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from worker.domain.environment import Approvers
from worker.domain.orders import Order, Verb
from worker.domain.plan import code

KEPT: Final = 20
"""Approvals that a state remembers, newest last."""

NO_DELETIONS: Final = ":approve"
"""Stands behind a code of somebody who may approve, and whom a rule does not let confirm deletions."""

LATE: Final = 2.0
"""Seconds after which an order that is heeded may be one that was tried again, so that something newer was said meanwhile.

Before that the newest word counts, whatever the times say: a clock that was put back lets nobody wait.
"""

KEPT_SECONDS: Final = 14 * 24 * 3600
"""An approval older than that was given for another time."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A person's word that nothing is written; `reason` may be empty."""

    by: str
    since: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's word for exactly one plan, by its whole fingerprint; `own`: of the author of what it would apply."""

    fingerprint: str
    by: str
    at: float
    verb: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Awaited:
    """The plan of a commit that waits for people: how many approvals, of whom, and whether its deletions are to be confirmed.

    `first` is the commit with which just this plan began to wait (empty: `revision`): its change request is where people approve.
    """

    revision: str
    fingerprint: str
    since: float
    reason: str
    approvals: int = 0
    confirmation: bool = False
    people: str = Approvers.OTHERS
    first: str = ""

    @property
    def began(self) -> str:
        """The commit with which just this plan began to wait."""
        return self.first or self.revision


@dataclass(frozen=True, slots=True)
class Locks:
    """Everything that people said of one environment and that lasts.

    `needed` and `people` are what the applied commit asks of approvals, so that a commit which asks for less does not count.
    `unheld` and `thawed` are when the last release of each was ordered (0: never).
    """

    hold: Lock | None = None
    freeze: Lock | None = None
    awaited: Awaited | None = None
    approvals: tuple[Approval, ...] = ()
    needed: int = 1
    people: str = Approvers.OTHERS
    unheld: float = 0.0
    thawed: float = 0.0

    @property
    def closed(self) -> Lock | None:
        """The lock because of which nothing is written; the freeze before the hold."""
        return self.freeze or self.hold

    @property
    def closing(self) -> Locks:
        """The hold and the freeze alone: what only stops is heeded whoever wrote it down."""
        return Locks(hold=self.hold, freeze=self.freeze)

    def approved(self, approval: Approval) -> Locks:
        """The locks with one more approval; what is too old or too much is forgotten."""
        fresh = [each for each in self.approvals if approval.at - each.at <= KEPT_SECONDS]
        return replace(self, approvals=(*fresh, approval)[-KEPT:])

    def used(self, fingerprint: str) -> Locks:
        """The locks once a plan is being applied: its approvals are used up, and count for no plan that looks like it later."""
        return replace(self, approvals=tuple(each for each in self.approvals if each.fingerprint != fingerprint))

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Locks:
        """The inverse of `to_json`."""
        return Locks(
            Lock(**value["hold"]) if value["hold"] else None,
            Lock(**value["freeze"]) if value["freeze"] else None,
            Awaited(**value["awaited"]) if value["awaited"] else None,
            tuple(Approval(**each) for each in value["approvals"]),
            value["needed"],
            value["people"],
            value.get("unheld", 0.0),
            value.get("thawed", 0.0),
        )


# -- which approvals count -------------------------------------------------------------------------------------------


def people_for(approvals: Iterable[Approval], fingerprint: str, verb: Verb, people: str, now: float) -> tuple[str, ...]:
    """Who approved exactly this plan, each once, in the order in which they did."""
    found: dict[str, str] = {}
    for each in approvals:
        counts = each.fingerprint == fingerprint and each.verb == verb and now - each.at <= KEPT_SECONDS
        if counts and (people == Approvers.ANYONE or not each.own):
            found.setdefault(each.by.casefold(), each.by)
    return tuple(found.values())


def lacking(locks: Locks, awaited: Awaited, codes: Iterable[str], now: float) -> str:
    """What a plan still waits for, in words; empty where it may be applied.

    `codes` were given with the push itself: they confirm deletions, but for those that end in NO_DELETIONS, and are the word of
    one person.
    """
    plan, said = code(awaited.fingerprint), {each.lower() for each in codes}
    given = plan in said or f"{plan}{NO_DELETIONS}" in said
    parts = []
    if awaited.approvals:
        names = people_for(locks.approvals, awaited.fingerprint, Verb.APPROVE, awaited.people, now)
        have = len(names) + given
        if have < awaited.approvals:
            some = f"{awaited.approvals - have} more of {awaited.approvals}" if have else f"{awaited.approvals}"
            parts.append(f"{some} approvals" if awaited.approvals > 1 else "an approval")
    confirmed = plan in said or people_for(
        locks.approvals, awaited.fingerprint, Verb.CONFIRM_PRUNE, awaited.people, now
    )
    if awaited.confirmation and not confirmed:
        parts.append("a confirmation of its deletions")
    return " and ".join(parts)


# -- what an order comes to ------------------------------------------------------------------------------------------


class Done(enum.StrEnum):
    """What became of an order; `waits`, where something is away and it is tried again."""

    DONE = "done"
    ALREADY = "already"
    REFUSED = "refused"
    WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What an order comes to for one environment: the locks then, a sentence for who ordered it, what is asked for next."""

    locks: Locks
    done: Done
    text: str
    converges: bool = False


def ruled(locks: Locks, order: Order, environment: str, now: float) -> Ruling:
    """What an order comes to; the same order twice is the first one. `locks.awaited` is there only while it is so."""
    match order.verb:
        case Verb.HOLD | Verb.FREEZE:
            return _closed(locks, order, environment, now)
        case Verb.UNHOLD | Verb.THAW:
            return _opened(locks, order, environment, now)
        case Verb.RETRY:
            if locks.closed is not None:
                return Ruling(locks, Done.REFUSED, f"{closed_text(locks, environment)}. Nothing is tried until then")
            return Ruling(locks, Done.DONE, f"{environment} is being converged again", converges=True)
        case Verb.APPROVE | Verb.CONFIRM_PRUNE:
            if not (order.code or order.fingerprint or locks.awaited):
                return Ruling(locks, Done.REFUSED, f"no plan waits in {environment}")
            return _approved(locks, order, environment, now)


def _closed(locks: Locks, order: Order, environment: str, now: float) -> Ruling:
    name, ended, release = (
        ("hold", locks.unheld, f"/unhold {environment}")
        if order.verb is Verb.HOLD
        else ("freeze", locks.thawed, "/thaw")
    )
    there: Lock | None = getattr(locks, name)
    if there is None and ended > order.at and now - order.at > LATE:
        text = f"{environment} was let go by {release} after that was said. Nothing is changed by it any more"
        return Ruling(locks, Done.ALREADY, text)
    if there is not None and (there.by, there.since) != (order.by, order.at):
        return Ruling(locks, Done.ALREADY, f"{_lock_text(there, name, environment)}. Nothing is changed by that")
    lock = Lock(order.by, order.at, order.reason)
    text = (
        f"{_lock_text(lock, name, environment)}. Commits are recorded and wait; nothing is written or healed until then"
    )
    return Ruling(_with(locks, name, lock), Done.DONE, text)


def _with(locks: Locks, name: str, lock: Lock | None) -> Locks:
    return replace(locks, hold=lock) if name == "hold" else replace(locks, freeze=lock)


def _opened(locks: Locks, order: Order, environment: str, now: float) -> Ruling:
    name, word = ("hold", "held") if order.verb is Verb.UNHOLD else ("freeze", "frozen")
    there: Lock | None = getattr(locks, name)
    if there is not None and there.since > order.at and now - order.at > LATE:
        text = f"{_lock_text(there, name, environment)}, after that was said. Nothing is changed by it"
        return Ruling(locks, Done.ALREADY, text)
    if there is None:
        text = f"{environment} is not {word}"
        other = locks.closed
        text += f", but {closed_text(locks, environment)}" if other is not None else ""
        return Ruling(locks, Done.ALREADY, text, converges=other is None)
    ended = replace(locks, unheld=order.at) if name == "hold" else replace(locks, thawed=order.at)
    free = _with(ended, name, None)
    if free.closed is not None:
        return Ruling(free, Done.DONE, f"{environment} is not {word} any more, but {closed_text(free, environment)}")
    return Ruling(
        free, Done.DONE, f"{environment} is not {word} any more; the newest commit is being converged", converges=True
    )


def _approved(locks: Locks, order: Order, environment: str, now: float) -> Ruling:
    awaited, given = locks.awaited, order.code.lower()
    people = awaited.people if awaited else locks.people
    what = "approval" if order.verb is Verb.APPROVE else "confirmation"
    if why := _discounted(order, people):
        return Ruling(locks, Done.REFUSED, f"{why}: the {what} does not count")
    if not given:
        return Ruling(locks, Done.REFUSED, f"which plan? Give its code: /{order.verb} {environment} CODE")
    waiting = code(awaited.fingerprint) if awaited else ""
    if awaited is not None and given == waiting:
        if order.revision != awaited.began and not order.anywhere:
            text = (
                f"the plan {given} waits since {awaited.began[:7]}: the {what} counts on the change request that was merged as "
                "that commit, where it is known whose change it is"
            )
            return Ruling(locks, Done.REFUSED, text)
        fingerprint = awaited.fingerprint
    elif order.fingerprint and given == code(order.fingerprint):
        fingerprint = order.fingerprint
    elif awaited is not None:
        text = f"{order.code} is not the code of the plan that waits in {environment}: it changed, look at it again ({waiting})"
        return Ruling(locks, Done.REFUSED, text)
    else:
        return Ruling(locks, Done.REFUSED, f"no plan with the code {order.code} waits in {environment}")
    if order.by.casefold() in {
        each.casefold() for each in people_for(locks.approvals, fingerprint, order.verb, Approvers.ANYONE, now)
    }:
        known, done = locks, Done.ALREADY
    else:
        known = locks.approved(Approval(fingerprint, order.by, order.at, order.verb, order.own))
        done = Done.DONE
    if awaited is None or fingerprint != awaited.fingerprint:
        text = f"the {what} of the plan {given} in {environment} is kept; it counts if just that plan is what merging comes to"
        return Ruling(known, done, text)
    left = lacking(known, awaited, (), now)
    if left:
        return Ruling(known, done, f"the plan {given} of {environment} waits for {left}")
    if known.closed is not None:
        return Ruling(known, done, f"the plan {given} may be applied, but {closed_text(known, environment)}")
    return Ruling(known, done, f"the plan {given} of {environment} is applied now", converges=True)


def _discounted(order: Order, people: str) -> str:
    """Why an approval does not count, whatever its code; empty where it may."""
    if order.bot:
        return f"{order.by} is a bot"
    if order.old:
        return "it was given for a commit that is not the head any more"
    if order.own and people == Approvers.OTHERS:
        because = order.because or f"{order.by} is an author of this change"
        return f"{because}, and the policy wants somebody else"
    return ""


# -- what holds an environment, for people ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that holds an environment: what, since when (Unix time), why, who (empty: nobody), and what releases it."""

    what: str
    since: float
    why: str
    who: str
    release: str

    @property
    def is_peoples(self) -> bool:
        """Whether it lasts until people end it, by a command."""
        return self.release.startswith("/")

    @property
    def text(self) -> str:
        """All of it in a sentence."""
        who = f" by {self.who}" if self.who else ""
        why = f": {self.why}" if self.why else ""
        return f"{self.what}{who} since {stamp(self.since)}{why} ({self.release})"

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)


def closed_text(locks: Locks, environment: str) -> str:
    """The sentence of a held or frozen environment."""
    name = "freeze" if locks.freeze is not None else "hold"
    assert locks.closed is not None
    return _lock_text(locks.closed, name, environment)


def _lock_text(lock: Lock, name: str, environment: str) -> str:
    return locked(lock, name, environment).text


def locked(lock: Lock, name: str, environment: str) -> Holding:
    """A hold or a freeze as something that holds an environment."""
    release = f"/unhold {environment}" if name == "hold" else "/thaw"
    return Holding("held" if name == "hold" else "frozen", lock.since, lock.reason, lock.by, release)


def waits(locks: Locks, awaited: Awaited, environment: str, now: float) -> Holding:
    """A plan that waits for people as something that holds an environment."""
    quoted = code(awaited.fingerprint)
    verbs = [f"/approve {environment} {quoted}"] if awaited.approvals else []
    verbs += [f"/confirm-prune {environment} {quoted}"] if awaited.confirmation else []
    left = lacking(locks, awaited, (), now) or "a worker"
    names = people_for(locks.approvals, awaited.fingerprint, Verb.APPROVE, awaited.people, now)
    so_far = f", approved by {', '.join(names)}" if names else ""
    return Holding(f"waits for {left}", awaited.since, f"{awaited.reason}{so_far}", "", " and ".join(verbs))


def stamp(at: float) -> str:
    """A Unix time as people read it, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")

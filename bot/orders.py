"""What a person orders of environments: passed on to their workers, and what these made of it answered in one place."""

from __future__ import annotations

from typing import Final

from bot.announcements import confirm
from bot.answers import Origin, answer
from bot.desk import Desk
from bot.forges.port import RequestState
from bot.given import Given
from bot.markdown import code, prose
from bot.results import is_current
from worker.domain.installation import PLAIN
from worker.domain.orders import Order, OrderReport, Subject, Verb

CONFIRMS: Final = frozenset({Verb.APPROVE, Verb.CONFIRM_PRUNE})


def give(desk: Desk, given: Given) -> str | None:
    """Orders it of every cluster whose environments it is about; the answer comes from there. Raises Unavailable."""
    verb, request, command = Verb(given.command.word), given.change_request, given.command
    if not given.environments:
        return f"{code(given.branch)} declares no environments."
    if verb in CONFIRMS and given.repository.forge == PLAIN:
        return confirm(desk, given)
    if verb in CONFIRMS and request is None:
        return "this is said in a comment on the change request whose plan waits: whose change it is decides whether it counts."
    clusters: dict[str, list[str]] = {}
    targets = dict(given.declaration.targets())
    for name in given.environments:
        clusters.setdefault(targets[name], []).append(name)
    seen, now = _seen(desk, given), desk.requests.queue.now()
    for cluster, names in clusters.items():
        for group in [[name] for name in names] if verb in CONFIRMS else [names]:
            order = Order(
                given.repository.name,
                cluster,
                tuple(Subject(name, given.branch) for name in group),
                verb,
                given.by.login,
                now,
                reason=command.argument("reason"),
                code=command.argument("code"),
                fingerprint=seen.get(group[0], "") if verb in CONFIRMS else "",
                revision=request.merged_as if request is not None else "",
                own=request is not None and request.author.id == given.by.id,
                origin=given.origin.to_json(),
            )
            desk.requests.order(order)
    return None


def _seen(desk: Desk, given: Given) -> dict[str, str]:
    """The fingerprints of the plans that an open change request shows now, by environment."""
    request = given.change_request
    if request is None or request.state is not RequestState.OPEN:
        return {}
    known = desk.board.proposal(given.repository.name, request.number)
    if known is None or not is_current(known[0], request):
        return {}
    return {each.environment: each.plan.fingerprint for each in known[0].environments if each.plan is not None}


def deliver(desk: Desk, report: OrderReport) -> None:
    """Answers who ordered it, with what came from other clusters already; doing it twice answers the same."""
    origin = Origin.from_json(report.origin)
    asked = origin.ticket or f"{origin.number}:{origin.comment}"
    answers = desk.board.note_answers(
        report.repository, asked, {each.environment: each.text.rstrip(".") for each in report.answers}
    )
    said = [prose(text[:1].upper() + text[1:], 2000) for _, text in sorted(answers.items())]
    text = f"{said[0]}." if len(said) == 1 else "\n".join(["", *(f"- {each}." for each in said)])
    answer(desk, report.repository, origin, text)

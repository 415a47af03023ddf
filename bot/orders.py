"""What a person orders of environments: passed on to their workers, and what these made of it answered in one place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bot.announcements import confirm
from bot.answers import Origin, answer
from bot.authority import facts_of_pusher, facts_of_token
from bot.desk import Desk
from bot.forges.port import RequestState
from bot.given import Given, refusal
from bot.markdown import code, prose
from bot.results import is_current
from bot.tickets import CommandOutcome, Said
from worker.domain.installation import PLAIN
from worker.domain.locks import Done
from worker.domain.messages import applies_queue
from worker.domain.orders import Answered, Order, OrderReport, Subject, Verb

CONFIRMS: Final = frozenset({Verb.APPROVE, Verb.CONFIRM_PRUNE})


def give(desk: Desk, given: Given) -> Said | None:
    """Orders it of every cluster whose environments it is about; the answer comes from there. Raises Unavailable."""
    verb, request, command = Verb(given.command.word), given.change_request, given.command
    if not given.environments:
        return refusal(f"{code(given.branch)} declares no environments.")
    if verb in CONFIRMS and (why := _counts_not(given)):
        return refusal(why)
    is_plain = given.repository.forge == PLAIN
    if verb is Verb.APPROVE and is_plain:
        token = given.token
        return confirm(desk, given, facts_of_token(token) if token is not None else facts_of_pusher(given.origin.by))
    origin = replace(given.origin, parts=len(given.environments))
    clusters: dict[str, list[str]] = {}
    targets = dict(given.declaration.targets())
    for name in given.environments:
        clusters.setdefault(targets[name], []).append(name)
    seen, now = _seen(desk, given), desk.requests.queue.now()
    by_bot = request is not None and verb in CONFIRMS and request.author.id == desk.forge(given.repository).me().id
    _say_what_waits(desk, given, origin, clusters)
    for cluster, names in clusters.items():
        for group in [[name] for name in names] if verb in CONFIRMS else [names]:
            order = Order(
                given.repository.name,
                cluster,
                tuple(Subject(name, given.branch) for name in group),
                verb,
                given.origin.by,
                now,
                reason=command.argument("reason"),
                code=command.argument("code"),
                fingerprint=seen.get(group[0], "") if verb in CONFIRMS else "",
                revision=request.merged_as if request is not None else "",
                own=given.is_own,
                head=request.head if request is not None else "",
                head_ref=request.head_ref if request is not None else "",
                by_bot=by_bot,
                anywhere=is_plain,
                origin=origin.to_json(),
            )
            desk.requests.order(order)
    return None


def _say_what_waits(desk: Desk, given: Given, origin: Origin, clusters: Mapping[str, Sequence[str]]) -> None:
    """Notes of each environment that its answer is still to come, and answers at once where no worker is there to give it."""
    later, away = [], []
    for cluster, names in clusters.items():
        if desk.requests.queue.is_served(applies_queue(cluster)):
            later += [Answered(name, Done.WAITS, f"{name} has not answered yet") for name in names]
        else:
            why = f"no worker of the cluster {cluster} is there. It is done once one is"
            away += [Answered(name, Done.WAITS, f"{name} has not heeded it yet: {why}") for name in names]
    report = OrderReport(
        given.repository.name, Verb(given.command.word), given.origin.by, 0.0, (*later, *away), origin.to_json()
    )
    if away:
        deliver(desk, report)
    elif origin.parts > 1:
        _noted(desk, report, origin)


def _counts_not(given: Given) -> str:
    """Why a word for a plan would count for nothing, whoever's plan it is; empty where the worker judges it."""
    if given.token is not None and not given.token.user:
        return (
            f"a plan is confirmed by a person, and nobody knows whose token {code(given.token.name)} is: sign in, or comment "
            "on the change request. Whoever runs Plumbline may say whose it is, under `user`."
        )
    if given.change_request is None and given.repository.forge != PLAIN:
        return (
            "whose change it is decides whether this counts, and which change request waits is not known: comment on it, or "
            "name its number."
        )
    return ""


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
    known = _noted(desk, report, origin)
    answers = {name: tuple(json.loads(known[name])) for name in sorted(known)}
    text = answers_text({name: text for name, (_, text) in answers.items()}, names_them=origin.parts > 1)
    came = {done for done, _ in answers.values()}
    is_whole = len(answers) >= origin.parts and Done.WAITS not in came
    outcome = CommandOutcome.REFUSED if Done.REFUSED in came else CommandOutcome.DONE
    answer(desk, report.repository, origin, text, outcome if is_whole else CommandOutcome.WAITING)


def _noted(desk: Desk, report: OrderReport, origin: Origin) -> Mapping[str, str]:
    """What was answered so far, with this; by environment."""
    asked = origin.ticket or f"{origin.number}:{origin.comment}"
    said, waits = (
        {
            each.environment: json.dumps([each.done, each.text.rstrip(".")])
            for each in report.answers
            if (each.done == Done.WAITS) is is_waiting
        }
        for is_waiting in (False, True)
    )
    return desk.board.note_answers(report.repository, asked, said, waits)


def answers_text(said: Mapping[str, str], *, names_them: bool) -> str:
    """What was said of each environment, in Markdown: one sentence where it is the same of all, else a line for each.

    Each is named in code where `names_them`, as whoever asked may not know which environments that are; one alone is only said.
    """
    if not names_them and len(said) == 1:
        (text,) = said.values()
        return f"{prose(text[:1].upper() + text[1:], 2000)}."
    of_each = {
        name: prose(text.removeprefix(f"{name} is ").removeprefix(f"{name} "), 2000) for name, text in said.items()
    }
    if len(set(of_each.values())) == 1:
        return f"{', '.join(code(name) for name in of_each)}: {next(iter(of_each.values()))}."
    return "\n".join(["", *(f"- {code(name)}: {text}." for name, text in of_each.items())])

"""What each command does. A row for a command that is not here is made by adding it to ACTIONS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bot import orders, standing
from bot.adoption_requests import adopt
from bot.change_requests import look_at_change_request
from bot.commands import COMMANDS, help_text
from bot.comments import marker, prediction
from bot.desk import Desk
from bot.forges.port import ChangeRequest, RequestState
from bot.given import Action, Given, refusal
from bot.instead import INSTEAD
from bot.markdown import code, prose
from bot.requests import waits_for
from bot.results import is_current
from bot.revert_requests import revert
from bot.statuses import environment_page, proposal_page
from bot.tickets import Said
from worker.domain.environment import Converge
from worker.domain.episode_text import lasted
from worker.domain.image_update import ImageRequest
from worker.domain.images import ImageError, read_image
from worker.domain.installation import PLAIN
from worker.domain.orders import Verb
from worker.domain.rollback import RollbackRequest

DIFF_LIMIT: Final = 50_000
"""Characters of a prediction in an answer; the page has the whole."""

ONLY_THERE: Final = refusal("this is said in a comment on a change request.")


def help_(desk: Desk, given: Given) -> str:  # noqa: ARG001
    """The table, with who may what here."""
    own, everywhere = given.repository.commands, given.declaration.commands.everywhere
    needed, by_push = {}, given.repository.forge == PLAIN
    for word in (each for each in ACTIONS if not by_push or each not in INSTEAD):
        rules = (own.get(word, (COMMANDS[word].needs,)), everywhere.get(word))
        needed[word] = " and ".join(dict.fromkeys(" or ".join(roles) for roles in rules if roles is not None))
    return f"these are the commands of Plumbline here:\n\n{help_text(needed, by_push=by_push)}"


def status(desk: Desk, given: Given) -> str:
    """How the environments stand, by what the worker told last."""
    if not given.environments:
        return f"{code(given.branch)} declares no environments."
    now, rows, held = desk.requests.queue.now(), [], []
    address = desk.settings.installation.address
    for name in given.environments:
        held += [f"- {code(name)} {prose(each.text)}" for each in desk.board.shown(given.repository.name, name)[0]]
        history = desk.board.history(given.repository.name, name)
        if not history:
            rows.append(f"| {prose(name)} | unknown | unknown | unknown | nothing was told of it yet |")
            continue
        seen = standing.view(history, desk.board.episodes(given.repository.name, name))
        axes = " | ".join(prose(axis.word) for axis in seen.axes)
        link = f"[{prose(name)}]({environment_page(address, given.repository.name, name)})"
        since = lasted(max(0.0, now - seen.since))
        rows.append(f"| {link} | {axes} | {prose(seen.sentence)} (for {since}) |")
    table = "| environment | sync | health | operation | |\n|---|---|---|---|---|\n"
    holds = "\n\nWhat holds them:\n\n" + "\n".join(held) if held else ""
    return f"this is how {code(given.branch)} stands:\n\n{table}" + "\n".join(rows) + holds


def plan(desk: Desk, given: Given) -> Said | str:
    """Has the change request predicted again; a fork's only where its present head is named."""
    request = given.change_request
    if request is None:
        return ONLY_THERE
    named = given.command.argument("commit")
    if named and named != request.head:
        return (
            f"{code(named)} is not the head of this change request; nothing was done. "
            f"It is at {code(request.head)} now: look at it, and say {code(f'/plan {request.head}')}."
        )
    if request.is_from_fork and not named:
        return (
            "this comes from a fork, so the commit has to be named, that what is predicted is what was looked at: "
            f"{code(f'/plan {request.head}')}"
        )
    return _predicted(desk, given, request)


def ok_to_test(desk: Desk, given: Given) -> Said | str:
    """The same as `/plan` with the present head of a fork's change request."""
    request = given.change_request
    if request is None:
        return ONLY_THERE
    if not request.is_from_fork:
        return "this does not come from a fork: it is predicted by itself."
    return _predicted(desk, given, request)


def _predicted(desk: Desk, given: Given, request: ChangeRequest) -> str:
    if request.state is not RequestState.OPEN:
        return f"this is {request.state}: there is nothing to predict."
    waits = waits_for(request, given.repository, request.head)
    if waits is not None:
        return f"nothing is predicted: {prose(waits[1])}."
    approved = request.head if request.is_from_fork else ""
    forge = desk.forge(given.repository)
    now = desk.requests.queue.now()
    look_at_change_request(desk, given.repository, forge, request.number, now, approved=approved)
    allowed = (
        " from the fork, which you have let be predicted; a later commit needs a word of its own," if approved else ""
    )
    return f"predicting {code(request.head)}{allowed} as merged into {code(request.base)}. The prediction's own comment has it."


def diff(desk: Desk, given: Given) -> Said | str:
    """The newest prediction of the change request, of one environment where one is named."""
    request = given.change_request
    if request is None:
        return ONLY_THERE
    known = desk.board.proposal(given.repository.name, request.number)
    if known is None:
        return f"this has no prediction (yet). {code('/plan')} asks for one."
    report, instance = known[0], desk.settings.installation.instance
    name = given.command.environment
    shown = [each for each in report.environments if not name or each.environment == name]
    link = proposal_page(desk.settings.installation.address, given.repository.name, request.number)
    current, about = is_current(report, request), replace(report, environments=tuple(shown))
    text = prediction(about, instance=instance, limit=DIFF_LIMIT, link=link, stays=current)
    text = text.removeprefix(marker(instance)).strip()
    since = "has moved on" if request.state is RequestState.OPEN else f"was {request.state}"
    old = "" if current else f" It is **not current**: the change request {since} since."
    return f"this is the prediction of {code(report.head)}.{old}\n\n{text}"


def apply(desk: Desk, given: Given) -> str:  # noqa: ARG001
    """Says that merging applies, and where a person has to approve as well."""
    waiting = [
        name
        for name in given.environments
        if (each := next((e for e in given.declaration.environments if e.name == name), None)) is not None
        and each.policy.converge is Converge.ON_APPROVAL
    ]
    text = f"merging applies: once this is on {code(given.branch)}, its environments are converged to it."
    if waiting:
        names = ", ".join(code(name) for name in waiting)
        text += f" {names} then wait for {code(f'/approve {waiting[0]}')} (`converge: on-approval`)."
    return f"{text} Nothing but a commit changes a cluster."


def rollback(desk: Desk, given: Given) -> None:
    """Has the worker find and prove the way back; the answer comes with the change request."""
    asked = RollbackRequest(
        given.repository.name,
        given.command.environment,
        given.command.argument("target"),
        given.branch,
        push="push" in given.command.flags,
        origin=given.origin.to_json(),
        at=desk.requests.queue.now(),
        dry_run="dry-run" in given.command.flags,
    )
    desk.requests.rollback(asked)


def image(desk: Desk, given: Given) -> Said | None:
    """Has the worker find where the image is named; the answer comes with the change request."""
    try:
        new = read_image(given.command.argument("image"))
    except ImageError as error:
        return refusal(f"{prose(str(error))}; nothing was done.")
    if not new.tag and not new.digest:
        example = code(f"/image {given.command.environment} {new}:1.0")
        return refusal(f"{code(str(new))} says no tag and no digest: {example}.")
    asked = ImageRequest(
        given.repository.name,
        given.command.environment,
        str(new),
        given.branch,
        origin=given.origin.to_json(),
        at=desk.requests.queue.now(),
    )
    desk.requests.image(asked)
    return None


ACTIONS: Final[Mapping[str, Action]] = {
    "help": help_,
    "status": status,
    "plan": plan,
    "diff": diff,
    "ok-to-test": ok_to_test,
    "apply": apply,
    **dict.fromkeys(map(str, Verb), orders.give),
    "rollback": rollback,
    "revert": revert,
    "image": image,
    "adopt": adopt,
}
"""What each word does."""

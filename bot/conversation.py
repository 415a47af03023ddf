"""The way of a comment: read again from the forge, parsed, received, judged, carried out, answered. Part of the intake job.

A comment is obeyed once, by whichever of a webhook and the poller comes first with it. Redis knows which ones were; where it
lost that, the answer at the forge tells, and else the receipt: what was received and never answered is said, and not done again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from bot.actions import ACTIONS
from bot.answers import Origin, answer, marker
from bot.authority import Facts, judged, needs, teams_of
from bot.commands import Command, Mistake, parse, settled
from bot.declarations import declared_at
from bot.desk import Desk
from bot.forges.port import Comment, Forge, NotPermitted, Person
from bot.given import Given, refusal
from bot.markdown import code, prose
from bot.sightings import Heard
from bot.standing import distance
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import FILE
from worker.domain.errors import DesiredStateError, PlumblineError, Refused, Unavailable
from worker.domain.installation import Repository

log = logging.getLogger("plumbline.conversation")
security = logging.getLogger("plumbline.security")

FactsOf = Callable[[Person, Sequence[str]], Facts]
"""What is known now of somebody, and in which of these teams that person is."""

LOST: Final = (
    "this was received before, and Plumbline's memory of it is gone: whether it was carried out is not known, and it is not "
    "done a second time. Look at `/status`, and say it again in a new comment if it is still wanted."
)

LATE_SECONDS: Final = 3600.0
"""So long after it was written, a command that was not heard before is not obeyed any more.

Whoever saw no pair of eyes under it for an hour has looked for another way, and what was meant for the state of that hour would
meet the one of now. What was heard in time may take longer, while a forge is away.
"""

LATE: Final = (
    "this was written {written} and is heard only now, so it is not done any more: what it was meant for may "
    "have changed. Look at `/status`, and say it again in a new comment if it is still wanted."
)


def hear(desk: Desk, repository: Repository, forge: Forge, number: int, comment_id: str) -> None:
    """Obeys one new comment, at most once, or answers why not. Raises Unavailable (tried again) and NotPermitted."""
    comment = forge.comment(number, comment_id)
    if comment is None or comment.author.id == forge.me().id:
        return
    said = parse(comment.body, desk.settings.installation.instance)
    if said is None:
        return
    with desk.sightings.hearing(repository.name, comment.id):
        known = desk.sightings.heard(repository.name, comment.id, comment.body)
        if known is Heard.DONE:
            return
        text = _said(desk, repository, forge, number, comment, said, known)
        if text is not None:
            answer(desk, repository.name, _origin(number, comment), text.text, text.outcome)
        desk.sightings.note_done(repository.name, comment.id)


def _said(
    desk: Desk,
    repository: Repository,
    forge: Forge,
    number: int,
    comment: Comment,
    said: Command | Mistake,
    known: Heard,
) -> Said | None:
    """What is answered to a command that is not done; None where nothing is, or later.

    That it is begun is noted only once the forge showed that no earlier life of Redis began it: from then on a receipt is ours,
    and it is tried again until it is done.
    """
    origin, is_new = _origin(number, comment), known is Heard.NEVER
    if is_new and forge.our_comment(number, marker(desk.settings.installation.instance, comment.id)):
        return None
    age = desk.requests.queue.now() - comment.created
    reason, text = "", ""
    if comment.is_by_robot:
        reason = "a robot"
    elif is_new and _is_received(repository, forge, number, comment):
        reason, text = "received before", LOST
    elif known is Heard.CHANGED or (is_new and comment.is_edited):
        reason = "the comment was edited"
    elif is_new and age > LATE_SECONDS:
        reason, text = "heard too late", LATE.format(written=distance(age))
    if reason:
        audit("command-refused", repository, comment.author, origin, said.word, reason=reason)
        return refusal(text) if text else None
    desk.sightings.note_begun(repository.name, comment.id, comment.body)
    _show_receipt(repository, forge, number, comment)
    return _answered(desk, repository, forge, comment, origin, said)


def _origin(number: int, comment: Comment) -> Origin:
    return Origin(comment.author.login, number, comment.id)


def _is_received(repository: Repository, forge: Forge, number: int, comment: Comment) -> bool:
    """Whether it was shown before that the comment was received."""
    try:
        return forge.is_received(number, comment.id)
    except (NotPermitted, Refused) as error:
        log.warning("%s#%d: no receipt can be looked for under a command: %s", repository.name, number, error)
        return False


def _show_receipt(repository: Repository, forge: Forge, number: int, comment: Comment) -> None:
    """Shows that the comment was received. It is a courtesy, and never in the way."""
    try:
        forge.react(number, comment.id)
    except (NotPermitted, Refused) as error:
        log.warning("%s#%d: no receipt under a command: %s", repository.name, number, error)


def _answered(
    desk: Desk, repository: Repository, forge: Forge, comment: Comment, origin: Origin, said: Command | Mistake
) -> Said | None:
    if isinstance(said, Mistake):
        audit("command-mistaken", repository, comment.author, origin, said.word)
        return refusal(said.text)
    request = forge.change_request(origin.number)
    if request is None:
        return refusal("there is no such change request (any more).")
    try:
        declaration = declared_at(desk, repository, forge, request.base, forge.tips().get(request.base, ""))
    except DesiredStateError as error:
        audit("command-refused", repository, comment.author, origin, said.word, reason=f"{FILE} cannot be read")
        return refusal(
            f"who may command stands in {code(FILE)} on {code(request.base)}, which cannot be read: "
            f"{prose(str(error))}. Mend it there."
        )
    given = Given(repository, said, comment.author, origin, request.base, declaration, request)
    return carry_out(desk, given, lambda person, teams: facts_at(forge, person, teams))


def facts_at(forge: Forge, person: Person, teams: Sequence[str]) -> Facts:
    """What the forge says of somebody now. Raises Unavailable and NotPermitted, and then nothing is permitted."""
    permission = forge.permission(person)
    return Facts(person, permission, frozenset(team for team in teams if forge.is_in_team(person, team)))


def carry_out(desk: Desk, given: Given, facts_of: FactsOf) -> Said | None:
    """Judges who commands, and carries the command out; the answer, or None where it comes later. Raises Unavailable."""
    repository, by, origin = given.repository, given.by, given.origin
    command = settled(given.command, [name for name, _ in given.declaration.targets()])
    if isinstance(command, Mistake):
        audit("command-mistaken", repository, by, origin, command.word)
        return refusal(command.text)
    asked = needs(command, repository, given.declaration)
    try:
        denied = judged(command, asked, facts_of(by, teams_of(asked, repository)), repository)
    except (NotPermitted, Refused) as error:
        audit("command-refused", repository, by, origin, command.word, reason=str(error))
        return refusal(f"who may do this could not be asked, so nobody may: {prose(str(error))}")
    about = {"environments": list(command.environments), "arguments": dict(command.arguments)}
    if denied is not None:
        audit("command-refused", repository, by, origin, command.word, reason=denied.reason, **about)
        return refusal(denied.text)
    action = ACTIONS.get(command.word)
    if action is None:
        audit("command-refused", repository, by, origin, command.word, reason="not available", **about)
        return refusal(f"{code('/' + command.word)} is not available here.")
    audit("command", repository, by, origin, command.word, flags=sorted(command.flags), **about)
    try:
        found = action(desk, replace(given, command=command))
    except Unavailable:
        raise
    except PlumblineError as error:
        return refusal(f"{code('/' + command.word)} did not succeed: {prose(str(error))}")
    return Said(found, CommandOutcome.DONE) if isinstance(found, str) else found


def audit(event: str, repository: Repository, by: Person, origin: Origin, word: str, **more: Any) -> None:
    """One line of the audit trail: who asked for what, where, and what was decided."""
    where = {"number": origin.number, "comment": origin.comment} if origin.comment else {"ticket": origin.ticket}
    line = {
        "event": event,
        "repository": repository.name,
        **where,
        "by": by.login,
        "id": by.id,
        "command": word,
        **more,
    }
    security.log(logging.INFO if event == "command" else logging.WARNING, "%s", json.dumps(line))

"""Jobs: what an alert or a delivery said, looked up again where it is true, made into convergences and proposals."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from bot import requests as looks
from bot import results
from bot.answers import Origin
from bot.authority import APPROVE, codes_of, confirming, facts_of_pusher, judged
from bot.board import Commit
from bot.change_requests import act_on, look_at_change_request
from bot.commands import Command
from bot.conversation import audit, hear
from bot.desk import Desk
from bot.forges.port import Forge, State, Status
from bot.markdown import plain
from bot.requests import candidate, convergences, followed, onto
from bot.statuses import converge_context, predict_context
from bot.terminal import notice_lines
from worker.domain.declaration import FILE, Declaration, read_declaration
from worker.domain.errors import DesiredStateError, PlumblineError
from worker.domain.installation import PLAIN, Repository
from worker.domain.messages import NO_COMMIT, Committed, ConvergeRequest, LookRequest, RefUpdate

log = logging.getLogger("plumbline.intake")


def committed(desk: Desk, message: dict[str, Any]) -> None:
    """Asks for a convergence of every environment that follows a pushed branch.

    The declaration in the message is where to look first; the worker reads it again from the commit before it acts.
    """
    alert = Committed.from_json(message)
    installation = desk.settings.installation
    repository = installation.repository(alert.repository)
    if repository is None:
        log.warning("an alert for %s, which app.yaml does not list, is ignored", alert.repository)
        return
    updates = followed(repository, alert.updates)
    declarations: dict[str, Declaration] = {}
    for update in updates:
        assert update.branch is not None
        text = alert.declaration.get(update.branch)
        try:
            found = read_declaration(text, installation, repository, update.branch) if text else Declaration(())
        except DesiredStateError as error:
            log.warning("%s at %s: %s", repository.name, update.new[:7], error)
            found = Declaration(())
        declarations[update.branch] = found
    asked = convergences(alert, updates, declarations)
    if alert.approvals and alert.by is not None and repository.forge == PLAIN:
        bases = {str(update.branch): _before(desk, repository, update) for update in updates}
        asked = [_with_word(desk, repository, each, alert.by, bases[each.branch]) for each in asked]
    looked_at = {} if repository.forge == PLAIN else desk.sightings.tips(repository.name)
    for request in asked:
        _ask(desk, repository, request, says_so=looked_at.get(request.branch) != request.revision)
        if repository.forge != PLAIN:
            desk.sightings.note_alerted(repository.name, request.branch, request.revision)
    for update in alert.updates:
        names = [request.environment for request in asked if request.revision == update.new]
        desk.board.expect(repository.name, update.new, names)
        if names and repository.forge == PLAIN:  # the look at a forge does it
            _describe(desk, repository, update.new)
        log.info(
            "committed repository=%s ref=%s revision=%s environments=%s", repository.name, update.ref, update.new, names
        )


def _before(desk: Desk, repository: Repository, update: RefUpdate) -> Declaration | None:
    """What a branch declared before a push to it: nobody allows themselves anything by the same push. None: not readable."""
    if update.creates:
        return Declaration(())
    try:
        text = desk.plain_git(repository).file(update.old, FILE)
        assert update.branch is not None
        found = read_declaration(text, desk.settings.installation, repository, update.branch) if text else None
    except DesiredStateError:
        return None
    return found or Declaration(())


def _with_word(
    desk: Desk, repository: Repository, request: ConvergeRequest, by: str, base: Declaration | None
) -> ConvergeRequest:
    """The request with its approvals where who pushed may approve, else without them, which is said."""
    why, facts = f"{FILE} could not be read as it was before this push", facts_of_pusher(by)
    if base is not None:
        command = Command(APPROVE, (request.environment,))
        denied = judged(command, confirming(repository, base, request.environment), facts, repository)
        if denied is None:
            codes, unheard = codes_of(request.approvals, facts, repository, base, request.environment)
            if unheard is not None:
                text = f"the code confirms no deletions in {request.environment}: {plain(unheard.text)}"
                desk.board.say(repository.name, request.revision, notice_lines(text))
            return replace(request, approvals=codes)
        why = plain(denied.text)
    audit("command-refused", repository, facts.person, Origin(facts.person.login), APPROVE, reason=why)
    text = f"the code does not count for {request.environment}: {why}"
    desk.board.say(repository.name, request.revision, notice_lines(text))
    return replace(request, approvals=())


def _ask(desk: Desk, repository: Repository, request: ConvergeRequest, *, says_so: bool = True) -> None:
    """Asks for one convergence; a forge shows that it is queued before anything else can be said of it."""
    desk.board.head(request.repository, request.environment, request.revision)
    if repository.forge != PLAIN and says_so:
        context = converge_context(desk.settings.installation.instance, request.environment)
        queued = Status(context, State.PENDING, "Queued")
        results.put_status(desk, repository.name, request.revision, queued, request.at, unless_told=True)
    desk.requests.converge(request)


def _describe(desk: Desk, repository: Repository, revision: str) -> None:
    """Notes for the pages what people call a commit; where that cannot be told it has its id only."""
    is_plain = repository.forge == PLAIN
    try:
        subject, author = (desk.plain_git(repository) if is_plain else desk.forge(repository)).described(revision)
    except PlumblineError as error:
        log.info("%s: what people call %s is not known: %s", repository.name, revision[:7], error)
        return
    if subject:
        desk.board.describe(repository.name, revision, Commit(subject, author))


# -- looks at a forge ---------------------------------------------------------------------------------------------


def look(desk: Desk, message: dict[str, Any]) -> None:
    """Reads from the forge what is true now at the place that an event named, and asks for what follows from it.

    Raises Unavailable (tried again) and NotPermitted.
    """
    asked = LookRequest.from_json(message)
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None or repository.forge == PLAIN:
        log.warning("a look at %s, which app.yaml does not list at a forge, is ignored", asked.repository)
        return
    forge = desk.forge(repository)
    if asked.revision:
        found = candidate(
            repository,
            asked.branch,
            asked.revision,
            forge.tips(),
            at=asked.at,
            name=predict_context(desk.settings.installation.instance),
        )
        act_on(desk, repository, asked.revision, found, asked.at, read_at=asked.at)
    elif asked.number is not None:
        if asked.comment:
            hear(desk, repository, forge, asked.number, asked.comment)
        else:
            look_at_change_request(desk, repository, forge, asked.number, asked.at)
    elif asked.branch:
        _look_at_branch(desk, repository, forge, asked)


def _look_at_branch(desk: Desk, repository: Repository, forge: Forge, asked: LookRequest) -> None:
    """One branch: its tip is converged, and what would be merged into it is predicted again, once for each tip."""
    tip, last = forge.tips().get(asked.branch, ""), desk.sightings.tips(repository.name).get(asked.branch, "")
    if not repository.follows(asked.branch) or tip == last:
        return
    if tip and last:  # what was said of the branch's commits is remembered, and this one is new to it
        forge.presume_nothing(tip)
    if tip:
        if tip != desk.sightings.alerted(repository.name).get(asked.branch):
            _converge(desk, repository, forge, asked, tip)
        _describe(desk, repository, tip)
        _predict_again(desk, repository, forge, asked)
    desk.sightings.note_tip(repository.name, asked.branch, tip)


def _converge(desk: Desk, repository: Repository, forge: Forge, asked: LookRequest, tip: str) -> None:
    text, instance = forge.file(tip, FILE), desk.settings.installation.instance
    try:
        found = (
            read_declaration(text, desk.settings.installation, repository, asked.branch) if text else Declaration(())
        )
    except DesiredStateError as error:
        failed = Status(converge_context(instance), State.FAILURE, str(error)[:140])
        results.put_status(desk, repository.name, tip, failed, asked.at)
        return
    update = RefUpdate(f"refs/heads/{asked.branch}", NO_COMMIT, tip)
    requests = convergences(Committed(repository.name, (update,), asked.at), (update,), {asked.branch: found})
    for request in requests:
        _ask(desk, repository, request)
    log.info(
        "looked at %s %s: tip %s, environments %s",
        repository.name, asked.branch, tip[:7], [request.environment for request in requests],
    )  # fmt: skip


def _predict_again(desk: Desk, repository: Repository, forge: Forge, asked: LookRequest) -> None:
    """The base moved: no status changes until the new predictions are there."""
    remembered = desk.sightings.change_requests(repository.name)
    name = predict_context(desk.settings.installation.instance)
    read_at = desk.requests.queue.now()
    for change_request in onto(asked.branch, forge.open_change_requests()):
        known = remembered.get(change_request.number)
        if known is None:
            desk.requests.look(LookRequest(repository.name, asked.at, number=change_request.number))
            continue
        found = looks.judged(change_request, repository, known, at=asked.at, name=name)
        act_on(desk, repository, change_request.head, found, asked.at, read_at=read_at)
        desk.sightings.note_change_request(repository.name, change_request.number, found.remember)

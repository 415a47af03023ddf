"""Job: what an alert said, looked up again where it is true, made into convergences."""

from __future__ import annotations

import logging
from typing import Any

from bot.board import Commit
from bot.desk import Desk
from bot.requests import convergences, followed
from worker.domain.declaration import Declaration, read_declaration
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import PLAIN, Repository
from worker.domain.messages import Committed

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
    for request in asked:
        desk.board.head(request.repository, request.environment, request.revision)
        desk.requests.converge(request)
    for update in alert.updates:
        names = [request.environment for request in asked if request.revision == update.new]
        desk.board.expect(repository.name, update.new, names)
        if names:
            _describe(desk, repository, update.new)
        log.info(
            "committed repository=%s ref=%s revision=%s environments=%s", repository.name, update.ref, update.new, names
        )


def _describe(desk: Desk, repository: Repository, revision: str) -> None:
    """Notes for the pages what people call a commit of a plain Git server; one that lies elsewhere has its id only."""
    if repository.forge != PLAIN:
        return
    try:
        subject, author = desk.plain_git(repository).described(revision)
    except Refused:
        return
    if subject:
        desk.board.describe(repository.name, revision, Commit(subject, author))

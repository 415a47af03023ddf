"""Commands that come as push options: passed on to the bot in its grammar, and its answers printed.

Git runs no hook for a push that has nothing to update. A command alone is therefore pushed to a ref of its own, which is taken
away again as soon as it is there, so that the next push finds something to update.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time

from hooks import configuration as settings
from hooks import refs
from hooks.client import Away, post
from hooks.screen import say, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hooks.configuration import Configuration

CALL_SECONDS = 2.0
SECONDS = 25.0
"""How long answers are waited for: a rollback is rendered and proven before it is answered."""

REFUSED = "refused"
"""What a command came to of which not all was done."""

PAUSE = 0.1
HOW = "git push -o plumbline.status origin HEAD:" + refs.COMMANDS


def lines(pairs: refs.Options, *, alone: bool) -> list[str]:
    """The commands among a push's options, in the words of a comment.

    `plumbline.approve` is one only in a push of commands `alone`: with a branch it confirms what that push would do.
    """
    found = []
    for name, value in pairs:
        word = name[len("plumbline.") :] if name.startswith("plumbline.") else ""
        if word in refs.WITH_ENVIRONMENT or (word == "approve" and alone):
            found.append(f"/{word} {value.replace(':', ' ', 1)}".strip())
        elif word in (*refs.WITHOUT_ENVIRONMENT, *refs.OF_CHANGE_REQUESTS):
            found.append(f"/{word} {value}".strip())
    return found


def give(configuration: Configuration, asked: list[str]) -> bool:
    """Has commands carried out and prints what is answered; false where one was refused, or not answered in time.

    The tickets are ours: the answers are found by them also where nobody said that the commands had come.
    """
    tickets = [secrets.token_hex(16) for _ in asked]
    body = json.dumps({"lines": asked, "by": settings.pusher(configuration), "tickets": tickets})
    doubt = ""
    try:
        post(configuration, "/pushes/commands", body.encode(), CALL_SECONDS)
    except Away as away:
        if not away.may_be_done:
            say([title(f"not commanded: Plumbline could not be told ({away})"), "  Say it again when it is back."])
            return False
        doubt = f" ({away})"
    until = time.monotonic() + SECONDS
    are_done = True
    for line, ticket in zip(asked, tickets):  # noqa: B905 (Python 3.9 has no `strict`)
        answer = _answer(configuration, ticket, until)
        if answer is None:
            say(
                [
                    title(line),
                    f"  is not answered yet{doubt}; it may still be carried out. plumbline.status says how things stand.",
                ]
            )
            return False
        say([title(line), *(f"  {each}".rstrip() for each in answer["text"].split("\n"))])
        are_done = are_done and answer.get("outcome") != REFUSED
    return are_done


def _answer(configuration: Configuration, ticket: str, until: float) -> dict[str, Any] | None:
    """The answer to one command, None where there is none in time."""
    body = json.dumps({"ticket": ticket}).encode()
    while time.monotonic() < until:
        try:
            answer = post(configuration, "/pushes/answer", body, CALL_SECONDS)
        except Away:
            answer = {}
        if isinstance(answer.get("text"), str) and answer["text"]:
            return answer
        time.sleep(PAUSE)
    body = json.dumps({"ticket": ticket, "last": True}).encode()
    try:
        answer = post(configuration, "/pushes/answer", body, CALL_SECONDS)
        return answer if answer.get("text") else None
    except Away as away:
        say([title(f"Plumbline does not answer ({away})")])
        return None


def take_away(updates: list[refs.Update]) -> None:
    """Takes the commands' ref away again: it has done its work."""
    for update in updates:
        if update.ref == refs.COMMANDS and not update.deletes:
            subprocess.run(
                ["git", "update-ref", "-d", update.ref, update.new],
                env=settings.environ(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def refusal(updates: list[refs.Update], asked: list[str]) -> list[str] | None:
    """Why a push to the commands' ref is none of commands, None where it is one."""
    if len(updates) > 1 or updates[0].deletes:
        return [title(f"refused: {refs.COMMANDS} is pushed alone"), f"  For example: {HOW}"]
    if not asked:
        return [title("refused: no command was given"), f"  For example: {HOW}"]
    return None

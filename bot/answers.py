"""What is answered to a command, and where: one comment for each command, found again by a hidden marker; or a ticket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from bot import results
from bot.desk import Desk
from bot.markdown import LOGIN
from bot.tickets import CommandOutcome, Said

LONGEST: Final = 60_000
"""Characters of an answer; every forge takes as many."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a command came from and is answered: a comment on a change request, or a `ticket` that somebody waits with.

    `by` is the login of who asked, who is named in the answer. With a ticket, the answer is whole once so many environments
    (`parts`) have answered.
    """

    by: str
    number: int = 0
    comment: str = ""
    ticket: str = ""
    parts: int = 1

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Origin:
        """The inverse of `to_json`."""
        return Origin(value["by"], value["number"], value["comment"], value["ticket"], value.get("parts", 1))


def marker(instance: str, comment: str) -> str:
    """The hidden first line by which an installation finds its answer to a comment (with its author's id, never alone)."""
    return f"<!-- plumbline:{instance}:answer:{comment} -->"


def answer(
    desk: Desk, repository: str, origin: Origin, text: str, outcome: CommandOutcome = CommandOutcome.DONE
) -> None:
    """Answers a command; `text` is Markdown in which everything of others' went through `bot.markdown`.

    May be called again, from any job: a later answer takes the place of the earlier one. What is to be written lies in the
    outbox until the forge took it. `outcome` is for who waits with a ticket; a comment's reader reads.
    """
    if origin.ticket:
        desk.tickets.say(origin.ticket, Said(text, outcome))
        return
    own = marker(desk.settings.installation.instance, origin.comment)
    at = desk.requests.queue.now()
    results.put_answer(desk, repository, origin.number, own, body(own, origin.by, text), at)


def body(own: str, by: str, text: str) -> str:
    """The comment: the marker, who is spoken to, the text without anything that could be taken for another marker.

    No line of it begins with a `/`: it commands nothing, whoever reads it.
    """
    whom = f"@{by} " if LOGIN.fullmatch(by) else ""
    safe = text.replace("<!--", "&lt;!--")
    safe = re.sub(r"(?m)^([ \t]*)/", r"\1&#47;", safe)
    cut = (
        safe if len(safe) <= LONGEST else f"{safe[: safe.rindex(chr(10), 0, LONGEST)]}\n\n**Cut here for its length.**"
    )
    return f"{own}\n{whom}{cut}"

"""What every commit that was asked for says of who asked, and where, and of how it is merged. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Final

from bot.markdown import LOGIN, code, prose
from worker.domain.adoption import AdoptedFile
from worker.domain.image_update import NamingFile

LONGEST_COMMAND: Final = 1000
"""Characters of a line to copy, which names two branches."""


def login(origin: Mapping[str, Any]) -> str:
    """Who asked, empty where the name would be more than a name."""
    by = str(origin.get("by", ""))
    return by if LOGIN.fullmatch(by) else ""


def credit(origin: Mapping[str, Any], host: str) -> list[str]:
    """The trailers that name who asked; `host` is the forge's, for the address."""
    by = login(origin)
    return [f"Requested-by: {by}", f"Co-authored-by: {by} <{by}@users.noreply.{host}>"] if by else []


def asked_by(origin: Mapping[str, Any]) -> str:
    """The sentence of a change request that says who asked, and on which one."""
    by, number = login(origin), origin.get("number")
    place = f" in #{number}" if isinstance(number, int) and number else ""
    return f"Asked for by {f'@{by}' if by else 'somebody'}{place}."


def shared(files: Iterable[AdoptedFile | NamingFile]) -> list[str]:
    """A sentence for each file of a commit that changes other environments too."""
    return [f"{each.path} is shared: {', '.join(each.shared)} would change too" for each in files if each.shared]


def to_merge(title: str, branch: str, base: str) -> list[str]:
    """The paragraphs of an answer on a plain Git server: on which branch the commit is, and how it is merged into the base."""
    merging = f"git fetch origin {branch} && git merge FETCH_HEAD && git push origin {shlex.quote(f'HEAD:{base}')}"
    ready = f"{prose(title, 400)}: it is on the branch {code(branch)}. To merge it, on {code(base)}:"
    # As code, so that it reaches a terminal as it is: read as text, a reference in a branch's name would end the quotes.
    return [ready, code(merging, LONGEST_COMMAND), "That push says what it changes."]

"""Markdown that nothing user-made can steer: text, code, diffs, and a page fitted to a forge's limit by whole parts. Pure.

Whatever a repository or a cluster says reaches a page by one of three ways: `prose`, where every mark of punctuation is a
character reference and every mention, reference and address is broken by an invisible space; `code`; or `fence`. So no
image, link, mention, heading or command of somebody else's can come to be, on any forge.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.domain.field_text import visible

LONGEST: Final = 400
"""Characters of one user-made text or line; a manifest may hold lines of megabytes."""

LOGIN: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}(?:\[bot\])?")
"""A name of an account that may stand after an @ or in a trailer as it is; anything else is left out there."""

_CODE: Final = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_BREAK: Final = "&#8203;"
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_PUNCTUATION: Final = frozenset("!\"#$%&'*+-./:<=>@[\\]^_`{|}~")
_IN_A_WORD: Final = frozenset("-./'")
"""Punctuation that says nothing to Markdown between letters and digits, left readable there; as a colon before a space."""

_REFERENCE: Final = re.compile(
    r"(?<=@)|(?<=[#!$%&~^])(?=\w)|(?<=:)(?=//|\w+:)|(?<=\bwww)(?=\.)|(?<=\bGH)(?=-\d)", re.IGNORECASE
)
"""Where a mention, a reference to an issue, an address or an emoji is broken up."""


def flat(text: str, longest: int = LONGEST) -> str:
    """The text on one line of at most so many characters, with everything that hides or steers written out."""
    line = visible(" ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest and len(text) <= 4 * longest else f"{line[: longest - 1]}…"


def prose(text: str, longest: int = LONGEST) -> str:
    """A user-made text as plain text: in a sentence, in a cell of a table, inside an element of HTML."""
    line = flat(text, longest)
    breaks = {found.start() for found in _REFERENCE.finditer(line)}
    parts = []
    for at, char in enumerate(line):
        after = line[at + 1 : at + 2]
        inside = (char in _IN_A_WORD and line[at - 1 : at].isalnum() and after.isalnum()) or (
            char == ":" and after == " "
        )
        escaped = f"&#{ord(char)};" if char in _PUNCTUATION and not inside else char
        parts.append((_BREAK if at in breaks else "") + _NAMED.get(char, escaped))
    return "".join(parts) + (_BREAK if len(line) in breaks else "")


def code(text: str, longest: int = LONGEST) -> str:
    """A user-made text as code in a sentence; not for a table, where a `|` would end the cell."""
    line = flat(text, longest) or " "
    marks = "`" * (_longest_run(line) + 1)
    space = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{marks}{space}{line}{space}{marks}"


def fence(lines: Sequence[str], kind: str = "diff") -> str:
    """Lines as a block of code, between marks longer than any inside."""
    shown = [visible(line[: LONGEST + 1]) for line in lines]
    shown = [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in shown]
    marks = "`" * max(3, max((_longest_run(line) for line in shown), default=0) + 1)
    return "\n".join([f"{marks}{kind}", *shown, marks])


def plain(text: str) -> str:
    """What one of our own texts in Markdown says, for a terminal: no marks, references read, links with their addresses."""
    parts, at = [], 0
    for found in _CODE.finditer(text):
        is_block = "\n" in found[2]
        said = found[2].partition("\n")[2].rstrip("\n") if is_block else found[2].strip(" ")
        parts += [_words(text[at : found.start()]), said]
        at = found.end()
    return "".join([*parts, _words(text[at:])]).strip()


def _words(text: str) -> str:
    """A text without code, read."""
    text = re.sub(r"\*\*|</?(?:details|summary|br|sub|b|i)(?: open)?>", "", text)
    text = re.sub(r"\[([^\]\n]*)\]\((https?://[^\s)]+)\)", r"\1 (\2)", text)
    return html.unescape(text).replace("\u200b", "")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a page that is there whole or not at all; `importance` 0 goes last. `what` names it where it is left out."""

    text: str
    importance: int
    what: str


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a summary that folds them; `summary` is HTML that is safe already."""

    summary: str
    blocks: Sequence[Block]
    is_open: bool = False

    def around(self) -> tuple[str, str]:
        """What opens and what closes it."""
        return f"<details{' open' if self.is_open else ''}><summary>{self.summary}</summary>\n\n", "\n\n</details>\n\n"


@dataclass(slots=True)
class Page:
    """A page of a head and a foot that always stay, and sections between them."""

    head: str
    foot: str
    sections: list[Section] = field(default_factory=list)

    def fitted(self, limit: int, link: str) -> str:
        """The page in at most `limit` characters; what is left out is counted, and `link` leads to the whole.

        Parts are taken by importance, in their order, as long as they fit; a part is never cut.
        """
        room = limit - len(self.head) - len(self.foot) - len(_left_out({"object": 10**6, "section": 10**6}, link)) - 200
        taken: set[tuple[int, int]] = set()
        opened: set[int] = set()
        places = [(number, at) for number, section in enumerate(self.sections) for at in range(len(section.blocks))]
        for number, at in sorted(places, key=lambda place: (self._block(place).importance, place)):
            section = self.sections[number]
            cost = len(self._block((number, at)).text) + 2
            if number not in opened:
                cost += sum(map(len, section.around()))
            if cost <= room:
                room -= cost
                opened.add(number)
                taken.add((number, at))
        missing: dict[str, int] = {}
        for place in places:
            if place not in taken:
                missing[self._block(place).what] = missing.get(self._block(place).what, 0) + 1
        body = "".join(
            "\n\n".join(block.text for at, block in enumerate(section.blocks) if (number, at) in taken).join(
                section.around()
            )
            for number, section in enumerate(self.sections)
            if number in opened
        )
        return self.head + body + _left_out(missing, link) + self.foot

    def _block(self, place: tuple[int, int]) -> Block:
        return self.sections[place[0]].blocks[place[1]]


def _left_out(missing: dict[str, int], link: str) -> str:
    """Says what is not shown; nothing where everything is."""
    if not missing:
        return ""
    named = ", ".join(f"{count} {what if count == 1 else what + 's'}" for what, count in missing.items())
    whole = f"[The whole of it]({link})" if link else "The whole of it is on Plumbline's page"
    return f"**Left out here for its length:** {named}. {whole}.\n\n"

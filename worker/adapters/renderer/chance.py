"""May a chart render differently each time? Told from its text, so that helm is started twice only where it may."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ACTION: Final = re.compile(rb"\{\{.*?\}\}", re.DOTALL)
_CHANCE: Final = re.compile(
    rb"(?<![.$\w-])(?:now|ago|date|dateInZone|date_in_zone|htmlDate|htmlDateInZone|durationRound"
    rb"|rand[A-Z]\w*|uuidv4|shuffle|keys|values|gen[A-Z]\w*|bcrypt|htpasswd|encryptAES|getHostByName)(?![\w-])"
)
"""Sprig's functions whose answer is not decided by their arguments: the clock (`date` of what is no date is now's),
randomness (keys, certificates, salts, nonces), Go's order of maps (`keys`, `values`), and names of hosts."""

_PACKED: Final = (".tgz", ".tar.gz")


def may_vary(folder: Path, values: Iterable[Path]) -> bool:
    """Whether any text of a chart's folder, or of the values files that it is given, calls such a function.

    Values are looked at because charts make templates of them (`tpl`); a packed dependency is not opened, and may.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    return any(path.name.endswith(_PACKED) for path in files) or any(_calls(path) for path in (*files, *values))


def _calls(path: Path) -> bool:
    return any(_CHANCE.search(action) for action in _ACTION.findall(path.read_bytes()))

"""Files of a repository read as YAML, each with what is wrong with it."""

from __future__ import annotations

import os
import re
from typing import Final

from worker.domain.errors import DesiredStateError, Problem
from worker.domain.yaml_text import Document, read_documents

_BEFORE: Final = rb"(?<![^\s\[\]{},:?\x80-\xff-])"
_ANCHOR: Final = re.compile(_BEFORE + rb"&[^\s,\[\]{}]")
_ALIAS: Final = re.compile(_BEFORE + rb"\*[^\s,\[\]{}]")


def documents(root: str, names: list[str], largest: int) -> tuple[list[dict[str, object]], list[list[object]]]:
    """(problems, [file, line, value] of every document) of files named relative to the folder `root`."""
    problems: list[dict[str, object]] = []
    found: list[list[object]] = []
    for name in names:
        try:
            read = parsed(content(os.path.join(root, name), name, largest), name)  # noqa: PTH118
        except DesiredStateError as error:
            problems += [problem.to_json() for problem in error.problems]
        else:
            found += [[name, document.line, document.value] for document in read]
    return problems, found


def content(path: str, name: str, largest: int) -> bytes:
    """A file's bytes. Raises DesiredStateError where it cannot be read or is larger than `largest` bytes."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (pathlib is slow to start)
            found = file.read(largest + 1)
    except OSError as error:
        message = f"cannot be read ({os.strerror(error.errno or 0).lower()})"
        raise DesiredStateError([Problem(message, name, suggestion="commit the file itself")]) from None
    if len(found) > largest:
        message = f"is larger than {largest >> 20} MiB"
        raise DesiredStateError([Problem(message, name, suggestion="split it, or raise render-limits in app.yaml")])
    return found


def parsed(text: bytes | str, name: str, *, lines: bool = False) -> list[Document]:
    """The documents of a text. Raises DesiredStateError with file and line."""
    try:
        return read_documents(text, name, lines=lines)
    except MemoryError:
        raise DesiredStateError([Problem("needs more memory than render-limits allow", name)]) from None


def screen(text: bytes, name: str, *, wholly: bool = False) -> None:
    """Makes sure that a text which another program will read does not explode in it.

    Only what has anchors and aliases is read here, because reading is what takes time; `wholly` reads everything. Raises
    DesiredStateError with file and line.
    """
    if b"\0" in text:
        raise DesiredStateError([Problem("is not UTF-8 text", name, 1, suggestion="save it as UTF-8")])
    if wholly or (_ANCHOR.search(text) and _ALIAS.search(text)):
        parsed(text, name)

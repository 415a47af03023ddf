"""What a git tree object says: entries with their modes, read by nobody but us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.errors import DesiredStateError, Problem

LINK, MODULE, FOLDER, FILE = "120000", "160000", "40000", "100"
"""Git's modes: a symbolic link, a submodule, a folder, and how those of files begin."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One file of a tree: git's mode, the blob's id, and the path from the repository's root."""

    mode: str
    id: str
    path: str


def tree_rows(content: bytes, id_length: int, folder: str) -> Iterator[tuple[str, str, str]]:
    """(mode, name, id) of a tree's entries; `id_length` is 20 or 32 bytes, `folder` names the tree in what is refused.

    Raises DesiredStateError for what no honest git has written.
    """
    position = 0
    names: set[str] = set()
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space)
        after = end + 1 + id_length
        name = content[space + 1 : end].decode(errors="surrogateescape")
        if space < 0 or end < 0 or after > len(content) or "/" in name or name in ("", ".", "..") or name in names:
            message = "is a tree that git would not make (a damaged, doubled or leading-out name)"
            raise DesiredStateError([Problem(message, folder or ".", suggestion="make the commit again")])
        names.add(name)
        yield content[position:space].decode(errors="replace").lstrip("0"), name, content[end + 1 : after].hex()
        position = after

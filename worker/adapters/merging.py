"""How git is asked to merge two commits, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MERGE: Final = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages")
"""A merge that touches no index, working tree or ref (git 2.38 or later); the two commits follow."""

MOST_CONFLICTS: Final = 100


@dataclass(frozen=True, slots=True)
class Merge:
    """The tree that a merge made; where it could not, `tree` is empty and `conflicts` names the files, sorted."""

    tree: str
    conflicts: tuple[str, ...] = ()


def merge_of(answer: bytes, *, conflicts: bool) -> Merge:
    """What git's answer to `MERGE` says: the tree's id, then the files in conflict, each ended by NUL."""
    tree, *files = answer.decode(errors="replace").split("\0")
    if not conflicts:
        return Merge(tree)
    return Merge("", tuple(sorted({name for name in files if name})[:MOST_CONFLICTS]))

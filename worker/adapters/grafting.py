"""A tree that is another one but for some files: made with git's plumbing in a repository beside, thrown away afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from worker.adapters.checkout import Checkout
from worker.adapters.git_process import last_words
from worker.domain.errors import Unavailable
from worker.domain.rollback import Restored


@contextlib.contextmanager
def grafted(checkout: Checkout, revision: str, files: Iterable[Restored]) -> Iterator[tuple[Checkout, str]]:
    """The tree of a commit with these files as they are to be, and a checkout in which it is read, for the block.

    The blobs must be in the repository. Raises Unavailable where git does not make it.
    """
    gone: list[bytes] = []
    there: list[bytes] = []
    for each in files:
        line = f"{each.mode} {each.blob}\t{each.path}\0" if each.blob else f"0 {'0' * len(revision)}\t{each.path}\0"
        (there if each.blob else gone).append(line.encode(errors="surrogateescape"))
    with checkout.beside() as beside:
        yield beside, _tree(beside, revision, [*gone, *there])


@contextlib.contextmanager
def altered(
    checkout: Checkout, revision: str, contents: Mapping[str, tuple[str, bytes]]
) -> Iterator[tuple[Checkout, str]]:
    """The same with files of other contents: path -> (git's mode, content). Raises Unavailable where git does not make it."""
    with checkout.beside() as beside:
        lines = []
        for path, (mode, content) in contents.items():
            blob = _run(beside, "hash-object", "-w", "--stdin", data=content).decode().strip()
            lines.append(f"{mode} {blob}\t{path}\0".encode(errors="surrogateescape"))
        yield beside, _tree(beside, revision, lines)


def _tree(beside: Checkout, revision: str, lines: Iterable[bytes]) -> str:
    _run(beside, "read-tree", revision)
    _run(beside, "update-index", "-z", "--replace", "--index-info", data=b"".join(lines))
    return _run(beside, "write-tree").decode().strip()


def _run(checkout: Checkout, *arguments: str, data: bytes | None = None) -> bytes:
    run = checkout.run(list(arguments), data=data)
    if run.returncode != 0:
        raise Unavailable(f"git {arguments[0]} does not make the tree: {last_words(run.stderr)}")
    return run.stdout

"""What git says of commits and those before and after them: who came of whom, what each did to the tree."""

from __future__ import annotations

from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.git_process import last_words
from worker.domain.convergence import short
from worker.domain.errors import Unavailable
from worker.domain.revert import NONE, Entry, Merged

NO_MODE: Final = "000000"


def children(checkout: Checkout, parent: str, tip: str) -> tuple[tuple[str, str], ...]:
    """The commits of a tip's history that were made on one commit and no other: id and message. Raises Unavailable."""
    rows = (row.split("\n", 2) for row in _read(checkout, "log", "-z", "--format=%H%n%P%n%B", f"{parent}..{tip}", "--"))
    return tuple((revision, message) for revision, parents, message in rows if parents == parent)


def parents(checkout: Checkout, revision: str) -> tuple[str, ...]:
    """The commits that one was made on, the branch's own first. Raises Unavailable."""
    (row,) = _read(checkout, "log", "-z", "-1", "--format=%P", revision, "--") or ("",)
    return tuple(row.split())


def messages(checkout: Checkout, head: str, base: str, most: int) -> tuple[str, ...]:
    """The messages of the commits that a head has and the base has not (empty: of all), the newest first. Raises Unavailable."""
    without = (f"^{base}",) if base else ()
    return _read(checkout, "log", "-z", f"-{most}", "--format=%B", head, *without, "--")


def own_commits(checkout: Checkout, head: str, base: str, most: int) -> tuple[str, ...]:
    """The commits that a head has and the base has not, merges left out, the oldest first; one more than `most` at most."""
    found = _read(checkout, "log", "-z", f"-{most + 1}", "--no-merges", "--format=%H", f"{base}..{head}", "--")
    return tuple(reversed(found))


def first_parents(checkout: Checkout, revision: str, count: int) -> tuple[str, ...]:
    """A commit and those before it on its own branch, `count` of them, the oldest first."""
    return tuple(reversed(_read(checkout, "log", "-z", f"-{count}", "--first-parent", "--format=%H", revision, "--")))


def patch_id(checkout: Checkout, revision: str) -> str:
    """What git calls the change that a commit makes, wherever it is made; empty where it makes none."""
    change = checkout.run(["diff-tree", "--root", "--no-renames", "-p", revision, "--"])
    found = checkout.run(["patch-id", "--stable"], data=change.stdout)
    if change.returncode or found.returncode:
        raise Unavailable(
            f"git does not say what {short(revision)} changes: {last_words(change.stderr or found.stderr)}"
        )
    return found.stdout.decode().partition(" ")[0]


def changes(checkout: Checkout, before: str, after: str) -> tuple[Merged, ...]:
    """The files that differ between two commits, sorted by path; a file that was renamed is two."""
    rows = _read(checkout, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after, "--")
    found = []
    for facts, path in zip(rows[::2], rows[1::2], strict=True):
        old_mode, mode, old_blob, blob, _ = facts.removeprefix(":").split(" ")
        found.append(Merged(path, _entry(old_mode, old_blob), _entry(mode, blob)))
    return tuple(sorted(found, key=lambda each: each.path))


def changed_by(checkout: Checkout, path: str, since: str, tip: str) -> str:
    """The newest commit between two that changed a path, and its subject; empty where none did."""
    rows = _read(checkout, "log", "-z", "-1", "--format=%H%n%s", f"{since}..{tip}", "--", f":(literal){path}")
    revision, _, subject = (rows[0] if rows else "").partition("\n")
    return f"{short(revision)} ({subject[:80]})" if revision else ""


def _entry(mode: str, blob: str) -> Entry:
    return NONE if mode == NO_MODE else (mode, blob)


def _read(checkout: Checkout, *arguments: str) -> tuple[str, ...]:
    """What git prints, ended by NULs. Raises Unavailable with its own words."""
    run = checkout.run(list(arguments))
    if run.returncode != 0:
        raise Unavailable(f"git {arguments[0]} does not answer: {last_words(run.stderr)}")
    return tuple(row for row in run.stdout.decode(errors="surrogateescape").split("\0") if row)

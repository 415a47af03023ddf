"""Which commits of a history were made on exactly which other."""

from __future__ import annotations

from worker.adapters.checkout import Checkout
from worker.adapters.git_process import last_words
from worker.domain.errors import Unavailable


def children(checkout: Checkout, parent: str, tip: str) -> tuple[tuple[str, str], ...]:
    """The commits of a tip's history that were made on one commit and no other: id and message. Raises Unavailable."""
    run = checkout.run(["log", "-z", "--format=%H%n%P%n%B", f"{parent}..{tip}", "--"])
    if run.returncode != 0:
        raise Unavailable(f"git log does not say what came after {parent[:7]}: {last_words(run.stderr)}")
    rows = (row.split("\n", 2) for row in run.stdout.decode(errors="replace").split("\0") if row)
    return tuple((revision, message) for revision, parents, message in rows if parents == parent)

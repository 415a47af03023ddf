"""What the newest commits of a branch say of themselves."""

from __future__ import annotations

from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.git_process import last_words
from worker.domain.errors import Unavailable

COMMITS: Final = 500
"""How far back the last word of a policy is looked for; one that is older than so many commits is forgotten."""


def recent_messages(checkout: Checkout, revision: str) -> str:
    """The messages of a commit and of those before it, newest first. Raises Unavailable where git does not tell them."""
    run = checkout.run(["log", f"--max-count={COMMITS}", "--format=%B", revision, "--"])
    if run.returncode != 0:
        raise Unavailable(f"git log does not tell the history: {last_words(run.stderr)}")
    return run.stdout.decode(errors="replace")

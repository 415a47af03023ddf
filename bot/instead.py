"""Commands that are said of change requests, and what there is instead on a plain Git server, which has none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bot.markdown import code

INSTEAD: Final[Mapping[str, str]] = {
    "plan": (
        "every push prints what it would change before it comes in, and `plumbline plan`, where the cluster's credentials are, "
        "says it without a push."
    ),
    "diff": (
        "every push prints what it would change before it comes in; what has drifted since is in `/status` and on the "
        "environment's page."
    ),
    "ok-to-test": "nothing comes from a fork here: every push is predicted before it comes in, whoever pushes.",
    "apply": (
        "pushing applies. Once a commit is on the environment's branch it is converged; `/retry` converges the newest one again."
    ),
    "revert": (
        "`git revert COMMIT` makes the commit (`-m 1` for a merge), and its push prints what it changes; `/rollback` takes one "
        "environment back to what converged there before."
    ),
}


def instead_of(word: str) -> str:
    """The refusal of such a command, with what to do, in Markdown."""
    return f"{code('/' + word)} is said of change requests, which a plain Git server does not have: {INSTEAD[word]}"

"""What is said of a policy of images on a branch's newest commit: by a status at a forge, by the note on a plain Git server."""

from __future__ import annotations

from typing import Final

from bot import results
from bot.desk import Desk
from bot.forges.port import State, Status
from bot.markdown import flat
from bot.statuses import LONGEST, images_context
from worker.domain.installation import PLAIN, Repository

NOTE: Final = "images/{}"
"""What stands in a note where an environment's name does: no environment has a slash in its name."""

LONGEST_NOTE: Final = 500
"""Characters of a note's line, which names a branch; a status has less room."""


def put_policy_status(desk: Desk, repository: Repository, revision: str, policy: str, state: State, text: str) -> None:
    """Has it said, instead of what was said of this policy on this commit before. Raises Unavailable."""
    if repository.forge != PLAIN:
        now = desk.requests.queue.now()
        context = images_context(desk.settings.installation.instance, policy)
        results.put_status(desk, repository.name, revision, Status(context, state, flat(text, LONGEST)), now)
        return
    name, line = NOTE.format(policy), flat(text, LONGEST_NOTE)
    # No time is noted: what is said again at every look would make a commit of the notes each time.
    facts = {"environment": name, "state": str(state), "text": line}
    desk.plain_git(repository).write_note(revision, name, line, facts)

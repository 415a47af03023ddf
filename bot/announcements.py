"""What no hook of a plain Git server saw, told as its hook would; and a plan's confirmation that comes without a commit."""

from __future__ import annotations

from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.given import Given, refusal
from bot.markdown import code
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import FILE
from worker.domain.messages import Committed, RefUpdate


def announced(
    desk: Desk, git: PlainGit, repository: str, branch: str, revision: str, approvals: tuple[str, ...] = ()
) -> Committed:
    """The alert of a branch's tip, as the hook would give it."""
    text = git.file(revision, FILE)
    declaration = {branch: text.decode(errors="replace")} if text is not None else {}
    update = RefUpdate(f"refs/heads/{branch}", revision, revision)
    return Committed(repository, (update,), desk.requests.queue.now(), declaration, approvals)


def confirm(desk: Desk, given: Given) -> Said:
    """Announces the newest commit once more, with the code of the plan that waits: it counts as one given with the push."""
    quoted, plain = given.command.argument("code"), desk.plain_git(given.repository)
    tip = plain.tips().get(given.branch)
    if not quoted or tip is None:
        return refusal(f"which plan? Give the code that it was printed with: {code('-o plumbline.approve=CODE')}.")
    desk.requests.committed(announced(desk, plain, given.repository.name, given.branch, tip, (quoted,)))
    text = (
        f"{code(given.branch)} is being converged again, with your word for the plan {code(quoted)}: it counts if that is the "
        "plan which waits."
    )
    return Said(text, CommandOutcome.DONE)

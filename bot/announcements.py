"""What no hook of a plain Git server saw, told as its hook would; and a plan's confirmation that comes without a commit."""

from __future__ import annotations

from bot.authority import Facts, codes_of
from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.given import Given, refusal
from bot.markdown import code
from bot.tickets import CommandOutcome, Said
from worker.domain.declaration import FILE
from worker.domain.messages import Committed, ConvergeRequest, RefUpdate


def announced(desk: Desk, git: PlainGit, repository: str, branch: str, revision: str) -> Committed:
    """The alert of a branch's tip, as the hook would give it."""
    text = git.file(revision, FILE)
    declaration = {branch: text.decode(errors="replace")} if text is not None else {}
    update = RefUpdate(f"refs/heads/{branch}", revision, revision)
    return Committed(repository, (update,), desk.requests.queue.now(), declaration)


def confirm(desk: Desk, given: Given, facts: Facts) -> Said:
    """Asks for the newest commit once more, with the code of the plan that waits: it counts as one given with the push.

    Only where it was judged that this person may: a code is one environment's, and says nothing of who may give it there.
    """
    quoted, name = given.command.argument("code"), given.repository.name
    tip = desk.plain_git(given.repository).tips().get(given.branch)
    if not quoted or tip is None:
        return refusal(f"which plan? Give the code that it was printed with: {code('-o plumbline.approve=CODE')}.")
    kept: list[str] = []
    now, clusters = desk.requests.queue.now(), dict(given.declaration.targets())
    for each in given.environments:
        codes, unheard = codes_of((quoted,), facts, given.repository, given.declaration, each)
        if unheard is not None:
            kept.append(f"It confirms no deletions in {code(each)}: {unheard.text}")
        desk.board.head(name, each, tip)
        desk.requests.converge(ConvergeRequest(name, each, given.branch, tip, clusters[each], now, codes))
    text = (
        f"{', '.join(map(code, given.environments))} of {code(given.branch)} converges again, with your word for the plan "
        f"{code(quoted)}: it counts if that is the plan which waits there."
    )
    return Said("\n\n".join([text, *kept]), CommandOutcome.DONE)

"""Commits that somebody asked for, made once at a forge or in a bare repository, and answered: what all of them have in common.

Their jobs run on a queue of their own, in a thread of its own: a forge with our hooks asks the bot for a prediction while it
takes the bot's commit, and that must find somebody who answers.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Generic, TypeVar
from urllib.parse import urlsplit

from bot.answers import Origin, answer
from bot.desk import Desk
from bot.forges.plain_git import PlainGit
from bot.forges.port import FileChange, Forge, NotPermitted, Tree
from bot.outbox import WAITS
from bot.queue import CommitRequest
from bot.tickets import CommandOutcome
from worker.domain.blobs import blob_id
from worker.domain.errors import Moved, Refused, Unavailable
from worker.domain.installation import PLAIN, Repository
from worker.domain.seals import FileFact, Seals

ATTEMPTS: Final = 5
"""How often the worker is asked anew because the branch moved."""

GIVEN_UP: Final = 12 * 3600.0
"""Seconds after which a commit that the forge never took is no longer what somebody wants without having said it again."""

PLAIN_HOST: Final = "localhost"
"""The host in the addresses of who is credited, where there is no forge."""

File = TypeVar("File", FileChange, FileFact)
"""What a commit does to one file, as the place takes it."""

log = logging.getLogger("plumbline.commits")


@dataclass(frozen=True, slots=True)
class _Place(ABC, Generic[File]):
    """Where a commit is made, once, and on nothing but what was judged; its files are told as `File`.

    `tips` are its branches as they are now, `repository` is its name in app.yaml.
    """

    where: ClassVar[str]

    tips: Mapping[str, str]
    repository: str
    seals: Seals

    @abstractmethod
    def commit(self, branch: str, onto: str, message: str, files: Sequence[File]) -> str:
        """A commit that is known again as the bot's own; its id. Raises Moved, Refused, NotPermitted and Unavailable."""

    @abstractmethod
    def is_just(self, revision: str, onto: str, files: Sequence[File]) -> bool:
        """Whether a commit makes just these changes on just this commit. Raises Unavailable."""

    def named(self, branch: str) -> str:
        """The name of a branch of the bot's own, which nobody else can know before it is there."""
        return self.seals.branch(self.repository, branch)

    def push(self, branch: str, onto: str, message: str, files: Sequence[File]) -> str:
        """The commit on a branch of others, unless it is its newest one already; its id.

        So it is where the answer was lost or its maker was stopped. Raises as `commit`, and Moved where the branch is elsewhere.
        """
        tip = self.tips.get(branch)
        if tip is not None and tip != onto and self.is_just(tip, onto, files):
            return tip
        self._require_tip(branch, onto)
        return self.commit(branch, onto, message, files)

    def put(self, own: str, base: str, onto: str, message: str, files: Callable[[], Sequence[File]]) -> None:
        """The commit on a branch of its own, made unless it is there. Raises as `commit`, and Moved where the base is elsewhere.

        Whoever may push may write to a branch that is there: what lies on it is looked at before it is used again.
        """
        tip = self.tips.get(own)
        if tip is None:
            self._require_tip(base, onto)
            self.commit(own, onto, message, files())
        elif not self.is_just(tip, onto, files()):
            self._require_tip(base, onto)  # the next try has a name of its own
            raise Refused(f"a branch {own} is there, and holds something else", "Delete it and ask again")

    def _require_tip(self, branch: str, revision: str) -> None:
        if self.tips.get(branch) != revision:
            raise Moved(f"the branch {branch}", self.where)


@dataclass(frozen=True, slots=True)
class Site(_Place[FileChange]):
    """A repository at a forge; `host` is the forge's name in addresses."""

    where = "at the forge"

    forge: Forge
    host: str

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileChange]) -> str:
        """By the forge's API."""
        facts = [(each.path, each.mode, _blob(each, onto)) for each in files]
        return self.forge.commit(branch, onto, self.seals.commit(self.repository, onto, message, facts), files)

    def is_just(self, revision: str, onto: str, files: Sequence[FileChange]) -> bool:
        """By what the forge says of it."""
        made = self.forge.made(revision)
        if made is None or made.parents != (onto,) or made.paths != {each.path for each in files}:
            return False
        return all(
            self.forge.file(revision, each.path) == (None if each.content is None else each.data) for each in files
        )


@dataclass(frozen=True, slots=True)
class BareSite(_Place[FileFact]):
    """A repository of a plain Git server: nobody there can open a change request, a branch of the bot's own stands for it."""

    where = "in the repository"

    git: PlainGit

    def facts(self, files: Iterable[FileChange]) -> list[FileFact]:
        """The files as a commit names them, with their contents in the repository. Raises Unavailable."""
        return [
            (each.path, "", "") if each.content is None else (each.path, each.mode, self.git.keep(each.data))
            for each in files
        ]

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileFact]) -> str:
        """By git, in the repository itself."""
        return self.git.commit(branch, onto, self.seals.commit(self.repository, onto, message, files), files)

    def is_just(self, revision: str, onto: str, files: Sequence[FileFact]) -> bool:
        """By git."""
        return self.git.is_just(revision, onto, files)


@dataclass(frozen=True, slots=True)
class Making:
    """One commit: what makes it and says so, what says why it is not made, what asks the worker anew for the new tip.

    `make` finds what is there already, and raises Moved, Refused, NotPermitted and Unavailable; `plainly` does the same in the
    repository of a plain Git server (None: nobody there can ask for it). `refusal` is the worker's.
    """

    make: Callable[[Site], str]
    refused: Callable[[str], str]
    again: Callable[[], None]
    refusal: str = ""
    plainly: Callable[[BareSite], str] | None = None


def make_commit(desk: Desk, request: CommitRequest, making: Making) -> None:
    """Makes and answers it; later, where the forge is away; after another judgement, where the branch moved."""
    asked = request.report.request
    repository = desk.settings.installation.repository(asked.repository)
    if repository is None:
        log.warning("a commit in %s, which app.yaml does not list, is not made", asked.repository)
        return
    outcome = CommandOutcome.REFUSED
    try:
        text = making.refused(making.refusal) if making.refusal else _made(desk, repository, making)
        outcome = CommandOutcome.REFUSED if making.refusal else CommandOutcome.DONE
    except Moved as error:
        if asked.attempt + 1 < ATTEMPTS:
            making.again()
            return
        text = making.refused(f"{error}, {ATTEMPTS} times while it was being made. Ask again in a quieter moment")
    except Unavailable as error:
        if desk.requests.queue.now() - asked.at <= GIVEN_UP:
            _later(desk, request, error)
            return
        hours = f"{GIVEN_UP / 3600:.0f} hours"
        text = making.refused(f"{error}. It was tried for {hours}; ask again if it is still wanted")
    except (Refused, NotPermitted) as error:
        text = making.refused(str(error))
    if asked.origin:
        answer(desk, repository.name, Origin.from_json(asked.origin), text, outcome)
    else:
        log.info("%s: %s", repository.name, text)


def _later(desk: Desk, request: CommitRequest, error: Unavailable) -> None:
    wait = max(error.retry_after or 0.0, WAITS[min(request.tries, len(WAITS) - 1)])
    log.warning("a commit in %s waits %g s for the forge: %s", request.report.request.repository, wait, error)
    desk.requests.commit(replace(request, tries=request.tries + 1), wait)


def _made(desk: Desk, repository: Repository, making: Making) -> str:
    if repository.forge != PLAIN:
        return making.make(_site(desk, repository))
    if making.plainly is None:
        raise Refused(
            "on a plain Git server there is nobody who could open a change request", "Push the commit yourself"
        )
    git = desk.plain_git(repository)
    return making.plainly(BareSite(git.tips(), repository.name, desk.seals, git))


def _site(desk: Desk, repository: Repository) -> Site:
    declared = desk.settings.installation.forge(repository.forge)
    host = (urlsplit(declared.address).hostname or "localhost") if declared else "localhost"
    forge = desk.forge(repository)
    return Site(forge.tips(), repository.name, desk.seals, forge, host.removeprefix("api."))


def _blob(file: FileChange, like: str) -> str:
    return "" if file.content is None else blob_id(file.data, like)


def content_of(tree: Tree, revision: str, path: str, blob: str) -> bytes:
    """A file as it is there. Raises Refused where that is not the blob that the worker read."""
    content = tree.file(revision, path)
    if content is None or blob_id(content, blob) != blob:
        raise Refused(
            f"{path} of {revision[:7]} is not given as the worker read it", "Make the commit by hand, with git"
        )
    return content

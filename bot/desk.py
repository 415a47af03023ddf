"""What the bot's jobs work with: settings, queue, board and the repositories' forges. Made once per process."""

from __future__ import annotations

from dataclasses import dataclass

from bot.board import Board
from bot.forges.plain_git import PlainGit
from bot.queue import Requests
from bot.settings import Settings
from worker.domain.installation import Repository
from worker.signed_queue import SignedQueue


@dataclass(frozen=True, slots=True)
class Desk:
    """The bot's adapters."""

    settings: Settings
    requests: Requests
    board: Board

    @staticmethod
    def of(settings: Settings) -> Desk:
        """A desk by the settings."""
        queue = SignedQueue(settings.redis_url.opened(), settings.signing_key.opened_bytes())
        return Desk(settings, Requests(queue), Board(queue.connection))

    def forge(self, repository: Repository) -> PlainGit:
        """The speaker of the repository's forge."""
        return PlainGit(repository.url)

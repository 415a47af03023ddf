"""What the bot's jobs work with: settings, queue, board and the repositories' forges. Made once per process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bot.board import Board
from bot.built_images import BuiltImages
from bot.deliveries import Deliveries
from bot.forges.gitea import Gitea
from bot.forges.github import Github
from bot.forges.gitlab import GitLab
from bot.forges.plain_git import PlainGit
from bot.forges.port import Credentials, Forge
from bot.outbox import Outbox
from bot.queue import Requests
from bot.registries import Speaker
from bot.settings import Settings
from bot.sightings import Sightings
from bot.tickets import Tickets
from worker.domain.errors import Refused
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository
from worker.domain.seals import Seals
from worker.signed_queue import SignedQueue

Make = Callable[[DeclaredForge, Repository, Credentials], Forge]

ADAPTERS: Final[Mapping[str, Make]] = {
    "github": Github.of,
    "gitlab": GitLab.of,
    "gitea": Gitea.of,
}
"""The adapter of each kind of forge; nothing is contacted before it is asked something."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The bot's adapters."""

    settings: Settings
    requests: Requests
    board: Board
    outbox: Outbox
    sightings: Sightings
    deliveries: Deliveries
    built_images: BuiltImages
    tickets: Tickets
    _forges: dict[str, Forge] = field(default_factory=dict)
    _registries: dict[str, Speaker] = field(default_factory=dict)

    @staticmethod
    def of(settings: Settings) -> Desk:
        """A desk by the settings."""
        queue = SignedQueue(settings.redis_url.opened(), settings.signing_key.opened_bytes())
        connection = queue.connection
        return Desk(
            settings,
            Requests(queue),
            Board(connection),
            Outbox(connection),
            Sightings(connection),
            Deliveries(connection),
            BuiltImages(connection),
            Tickets(connection),
        )

    def beside(self) -> Desk:
        """The same desk for another thread, with speakers of the forges of its own."""
        return replace(self, _forges={}, _registries={})

    @property
    def seals(self) -> Seals:
        """What shows that the bot itself wrote something into Git."""
        return Seals(self.settings.signing_key.opened_bytes())

    def plain_git(self, repository: Repository) -> PlainGit:
        """The repository's notes and refs, on a plain Git server."""
        return PlainGit(repository.url)

    def registry(self, host: str) -> Speaker | None:
        """The speaker of the registry that images name so, None where app.yaml has none."""
        declared = self.settings.installation.registry(host)
        if declared is not None and host not in self._registries:
            self._registries[host] = Speaker(declared, self.settings.registry_passwords.get(host))
        return self._registries.get(host)

    def forge(self, repository: Repository) -> Forge:
        """The speaker of the repository's forge. Raises Refused where there is no adapter for it."""
        if repository.name not in self._forges:
            declared = self.settings.installation.forge(repository.forge)
            make = ADAPTERS.get(declared.kind) if declared else None
            if declared is None or make is None:
                raise Refused(f"there is no adapter for the forge {repository.forge}", "check `forges` in app.yaml")
            self._forges[repository.name] = make(declared, repository, self.settings.credentials[declared.name])
        return self._forges[repository.name]

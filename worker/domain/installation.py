"""The operator's side: what `app.yaml` declares, as values. `worker.domain.installation_file` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from worker.domain.alerting import Alerts
from worker.domain.command_rules import Role, Rules
from worker.domain.environment import DEFAULT_INSTANCE, Ceiling, Environment
from worker.domain.registries import Registry
from worker.domain.secret_text import SecretReference
from worker.domain.tokens import PAGES, Token

PLACEHOLDER: Final = re.compile(r"\{(?:repository|environment|namespace|cluster)\}")


PLAIN: Final = "plain"
"""The forge of a repository that lies on a plain Git server: hooks, notes and refs."""


CANDIDATES: Final = "gh-readonly-queue/"
"""Where GitHub's merge queue keeps its candidates (`gh-readonly-queue/<base>/pr-<number>-<commit>`); nobody else writes there."""

PROPOSALS: Final = "plumbline/"
"""Where Plumbline's own commits wait for somebody who merges them."""


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Who the API server is told to see in an environment's requests: a user that is never empty, and groups.

    `{repository}`, `{environment}`, `{namespace}` and `{cluster}` in both stand for the environment's own.
    """

    user: str
    groups: tuple[str, ...] = ()

    def of(self, environment: Environment) -> Impersonation:
        """The same with the environment's names filled in."""
        names = {
            "{repository}": environment.repository,
            "{environment}": environment.name,
            "{namespace}": environment.namespace,
            "{cluster}": environment.cluster,
        }

        def filled(text: str) -> str:
            return PLACEHOLDER.sub(lambda found: names[found[0]], text)

        return Impersonation(filled(self.user), tuple(filled(group) for group in self.groups))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that workers may write to; `kubeconfig` says where its credentials are (None: inside the cluster)."""

    name: str
    kubeconfig: SecretReference | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Forge:
    """A forge that repositories lie on: its sort (`github`, `gitlab`, `gitea`), address, and how Plumbline proves itself.

    `webhook_secret` is what the forge signs deliveries with. Credentials are a bot user's `token`, or on GitHub an App
    (`app`, its id, and `app_key`, its private key). `signing_key` is GitLab's newer way to sign deliveries.
    """

    name: str
    kind: str
    address: str
    webhook_secret: SecretReference
    token: SecretReference | None = None
    app: str = ""
    app_key: SecretReference | None = None
    signing_key: SecretReference | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that this installation serves.

    `url` is what workers fetch from (a path, file://, ssh:// or https:// address), `secret` the key that its hooks sign
    with, `branches` the patterns of branches that environments may follow, `when_away` what pushes to those branches
    get when the bot does not answer ("refuse" or "accept"). `forge` names one of the installation's forges, or is `plain`;
    `project` is the forge's own name of the repository (`owner/name`), `drafts` says whether change requests that are
    drafts are predicted too; `roles` are names for people, and `commands` says which of them a command needs.
    """

    name: str
    url: str
    secret: SecretReference | None
    forge: str = PLAIN
    project: str = ""
    branches: tuple[str, ...] = ("main",)
    ceiling: Ceiling = field(default_factory=Ceiling)
    credentials: SecretReference | None = None
    impersonate: Impersonation | None = None
    drafts: bool = True
    roles: tuple[Role, ...] = ()
    commands: Rules = field(default_factory=dict)

    @property
    def asks_teams(self) -> bool:
        """Whether a role of its people rests on a team, so that the forge is asked who is in it."""
        return any(role.teams for role in self.roles)

    def follows(self, branch: str) -> bool:
        """Whether environments may be declared on this branch; never on a merge queue's or our own, which are not merged yet."""
        return not branch.startswith((CANDIDATES, PROPOSALS)) and any(
            fnmatchcase(branch, pattern) for pattern in self.branches
        )


@dataclass(frozen=True, slots=True)
class SignIn:
    """Signing in to the pages with an account of one of the forges: the OAuth client that is registered there for it."""

    forge: str
    client: str
    secret: SecretReference


@dataclass(frozen=True, slots=True)
class Pages:
    """Who may read the pages: everybody (`is_open`), who has the token, who can read the repository at its forge.

    Where nothing of it is given, nobody can. `may` are the roles of whoever signed in by the token.
    """

    is_open: bool = False
    token: SecretReference | None = None
    sign_in: tuple[SignIn, ...] = ()
    may: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RenderLimits:
    """What rendering one environment may use: seconds (wall clock and CPU), bytes of memory, of a file, in all."""

    seconds: int = 60
    memory: int = 1 << 30
    file_size: int = 64 << 20
    tree_size: int = 512 << 20
    files: int = 20_000
    objects: int = 20_000


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that `app.yaml` says. `address` is where people and hooks reach the web process.

    `images_secret` is what announcements of images are signed with. `strict_scopes`: the bot does not start with credentials
    of a forge that allow more than is needed.
    """

    address: str
    redis: SecretReference
    signing_key: SecretReference
    clusters: tuple[Cluster, ...] = ()
    repositories: tuple[Repository, ...] = ()
    forges: tuple[Forge, ...] = ()
    instance: str = DEFAULT_INSTANCE
    state_namespace: str = "plumbline-system"
    render_limits: RenderLimits = field(default_factory=RenderLimits)
    cache: str | None = None
    poll_seconds: float = 30.0
    pages: Pages = field(default_factory=Pages)
    metrics_token: SecretReference | None = None
    registries: tuple[Registry, ...] = ()
    images_secret: SecretReference | None = None
    strict_scopes: bool = False
    alerts: Alerts = field(default_factory=Alerts)
    tokens: tuple[Token, ...] = ()

    def token(self, name: str) -> Token | None:
        """The token of that name; the pages' own is one of them, with what `pages.may` gives it."""
        if name == PAGES and self.pages.token is not None:
            return Token(PAGES, self.pages.token, self.pages.may)
        return next((token for token in self.tokens if token.name == name), None)

    def repository(self, name: str) -> Repository | None:
        """The repository of that name."""
        return next((repository for repository in self.repositories if repository.name == name), None)

    def cluster(self, name: str) -> Cluster | None:
        """The cluster of that name."""
        return next((cluster for cluster in self.clusters if cluster.name == name), None)

    def forge(self, name: str) -> Forge | None:
        """The forge of that name."""
        return next((forge for forge in self.forges if forge.name == name), None)

    def registry(self, host: str) -> Registry | None:
        """The registry that images name so."""
        return next((each for each in self.registries if each.host == host), None)

    def registry_of(self, forge: str) -> Registry | None:
        """The registry that a forge's package events are about."""
        return next((each for each in self.registries if each.forge == forge), None)

    def repository_at(self, forge: str, project: str) -> Repository | None:
        """The repository that a forge knows under exactly this name."""
        return next((each for each in self.repositories if (each.forge, each.project) == (forge, project)), None)

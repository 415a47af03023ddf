"""The adapters of a worker process, made once from its settings: the composition root of jobs and watch."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.cluster import Cluster, Records, connect
from worker.adapters.inventory import StateStore
from worker.adapters.outbox import Outbox
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.adapters.store import Store
from worker.domain.declaration import FILE, Declaration, read_declaration
from worker.domain.desired import DesiredState
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Problem, Refused, Unavailable
from worker.domain.installation import Impersonation, Installation, Repository
from worker.domain.resource import Resource
from worker.domain.seals import Seals
from worker.operations.observing import Applied
from worker.operations.preparing import Target
from worker.queue_worker import BACKOFF_SECONDS, Stop
from worker.settings import Settings
from worker.signed_queue import SignedQueue

APPLIED: Final = 5000
"""Objects of desired states that are kept ready for the next look; some 25 MiB, shared with the renders in memory."""

TRIED: Final = f"{sum(BACKOFF_SECONDS) // 60} minutes"
"""How long a job is tried again while something outside is away."""

log = logging.getLogger("plumbline.workbench")


@dataclass(slots=True)
class Bench:
    """One cluster as this worker holds it: connection, records, and what charts may ask."""

    cluster: Cluster
    states: StateStore
    _capabilities: Capabilities | None = None

    def capabilities(self) -> Capabilities:
        """The cluster's version and API list, asked once per process."""
        if self._capabilities is None:
            self._capabilities = Capabilities(self.cluster.version(), self.cluster.discovery.api_versions())
        return self._capabilities


@dataclass(slots=True)
class Workbench:
    """Everything that a job needs; clusters and repositories are opened when first asked for and kept."""

    settings: Settings
    queue: SignedQueue
    outbox: Outbox
    store: Store
    renderer: Renderer
    holder: str
    stop: Stop = field(default_factory=Stop)
    _benches: dict[str, Bench] = field(default_factory=dict)
    _acting_as: dict[tuple[str, Impersonation], Cluster] = field(default_factory=dict)
    _checkouts: dict[str, Checkout] = field(default_factory=dict)
    _applied: dict[str, tuple[tuple[Resource, ...], Environment, Applied]] = field(default_factory=dict)
    _declared: tuple[tuple[bytes, str, str], Declaration] | None = None

    @staticmethod
    def of(settings: Settings) -> Workbench:
        """A workbench by the settings; nothing is contacted yet."""
        key = settings.signing_key.opened_bytes()
        queue = SignedQueue(settings.redis_url.opened(), key)
        tools = RenderTools(settings.tools)
        return Workbench(
            settings=settings,
            queue=queue,
            outbox=Outbox(queue),
            store=Store(queue.connection, key),
            renderer=Renderer(settings.cache, settings.installation.render_limits, tools),
            holder=f"{socket.gethostname()}-{os.getpid()}",
        )

    @property
    def installation(self) -> Installation:
        """What app.yaml says."""
        return self.settings.installation

    @property
    def seals(self) -> Seals:
        """What shows that the bot itself wrote something into Git."""
        return Seals(self.settings.signing_key.opened_bytes())

    def bench(self, cluster: str) -> Bench:
        """A cluster by its name. Raises Refused where this worker holds no credentials for it."""
        if cluster not in self._benches:
            declared = self.installation.cluster(cluster)
            if declared is None:
                raise Refused(f"the cluster {cluster} is not in app.yaml", "add it under `clusters`")
            opened = Cluster(connect(self.settings.kubeconfigs.get(cluster), declared.context))
            records = Records(opened.connection, self.installation.state_namespace)
            self._benches[cluster] = Bench(opened, StateStore(records, opened.uid))
        return self._benches[cluster]

    def is_too_late(self, at: float) -> bool:
        """Whether what somebody asked for at a Unix time is not tried again where something is away: that is said then."""
        return self.queue.now() - at >= sum(BACKOFF_SECONDS)

    def repository(self, name: str) -> Repository:
        """A repository by its name. Raises Refused where app.yaml does not list it."""
        found = self.installation.repository(name)
        if found is None:
            raise Refused(f"the repository {name} is not in app.yaml", "add it under `repositories`")
        return found

    def checkout(self, repository: Repository) -> Checkout:
        """The repository's objects."""
        if repository.name not in self._checkouts:
            credentials = self.settings.credentials.get(repository.name)
            self._checkouts[repository.name] = Checkout.open(repository.url, self.settings.cache, credentials)
        return self._checkouts[repository.name]

    def declaration(self, checkout: Checkout, repository: Repository, revision: str, branch: str) -> Declaration:
        """plumbline.yaml at a commit; no file is no environments. Raises DesiredStateError for its mistakes."""
        text = checkout.read_file(revision, FILE)
        if text is None:
            return Declaration(())
        asked = (text, repository.name, branch)
        if self._declared is None or self._declared[0] != asked:  # each of an environment's jobs asks for the same one
            self._declared = (asked, read_declaration(text, self.installation, repository, branch))
        return self._declared[1]

    def applied(
        self, environment: Environment, rendered: tuple[Resource, ...], prepare: Callable[[], DesiredState]
    ) -> Applied:
        """What a render comes to for one environment, and what is proven of it; made once for each render.

        `rendered` is known by its identity: the renderer gives the same tuple while its inputs are the same.
        """
        known = self._applied.pop(environment.slug, None)
        is_same = known is not None and known[0] is rendered and known[1] == environment
        found = known if known is not None and is_same else (rendered, environment, Applied(prepare()))
        self._applied[environment.slug] = found
        while len(self._applied) > 1 and sum(len(each[0]) for each in self._applied.values()) > APPLIED:
            del self._applied[next(iter(self._applied))]
        return found[2]

    def target(self, environment: Environment, repository: Repository) -> Target:
        """What an environment is planned against."""
        cluster = self._acting(environment, repository)
        return Target(cluster, environment, repository.ceiling, self.installation.state_namespace)

    def _acting(self, environment: Environment, repository: Repository) -> Cluster:
        """The environment's cluster, with the rights of whom the operator names; records are always kept by our own."""
        own = self.bench(environment.cluster).cluster
        if repository.impersonate is None:
            return own
        identity = repository.impersonate.of(environment)
        name = (environment.cluster, identity)
        if name not in self._acting_as:
            self._acting_as[name] = own.acting_as(identity.user, identity.groups)
        return self._acting_as[name]


def missing_environment(name: str, revision: str) -> DesiredStateError:
    """For an environment that a commit does not declare (any more): nothing is deleted by that."""
    message = f"the environment {name} is not declared in {revision[:7]}; its objects stay as they are"
    return DesiredStateError([Problem(message, FILE, suggestion="declare it again, or delete its objects by hand")])


def tried(error: Unavailable) -> str:
    """Why a person does not get what could not be done for as long as it is tried."""
    return f"{error}. It was tried for {TRIED}; ask again if it is still wanted"


def shortage(error: OSError | MemoryError) -> Unavailable:
    """What to say of a machine that has run out of something; anything else that the system refused is named too."""
    if isinstance(error, MemoryError):
        return Unavailable("the worker's machine has no memory left")
    what = ": ".join(str(part) for part in (error.strerror or type(error).__name__, error.filename) if part)
    log.warning("the worker's machine cannot go on: %s", what)
    return Unavailable(f"the worker's machine cannot go on: {what}")

"""An environment: a named target inside a repository, and what its policy allows."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from worker.domain.health import HealthPolicy
from worker.domain.rules import ConflictRule, IgnoreRule

FIELD_MANAGER_LIMIT: Final = 128
"""Longest field manager the API server takes (ManagedFieldsEntry validation, fieldManager ≤ 128 characters)."""

LABEL_LIMIT: Final = 63
OWNER_LABEL: Final = "plumbline.io/environment"
DEFAULT_INSTANCE: Final = "default"
DANGERS: Final = ("rbac", "admission", "api-extensions", "pod-security", "tokens")
"""What a ceiling keeps closed until it is opened by name; `worker.planning.dangers` says what each is."""

NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1123 label."""

COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A full commit id: SHA-1 or SHA-256 object format, lower case."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the operator lets a repository touch; None means no limit (the command line with one's own credentials).

    `namespaces` and `kinds` are shell patterns (kinds as `Deployment.apps`, core kinds bare); `cluster_scoped` lists
    the patterns of kinds without a namespace that may be written. A Namespace whose name is allowed is always allowed.
    `dangerous` names the dangers (`worker.planning.dangers`) that are opened.
    """

    namespaces: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    cluster_scoped: tuple[str, ...] | None = None
    clusters: tuple[str, ...] | None = None
    force: bool = True
    dangerous: tuple[str, ...] | None = None

    def allows_namespace(self, name: str) -> bool:
        """Whether objects in this namespace (and the Namespace itself) may be written."""
        return self.namespaces is None or any(fnmatchcase(name, pattern) for pattern in self.namespaces)

    def allows_kind(self, group_kind: str) -> bool:
        """Whether a kind (`Deployment.apps`, `Secret`) may be written at all."""
        return self.kinds is None or any(fnmatchcase(group_kind, pattern) for pattern in self.kinds)

    def allows_cluster_scoped(self, group_kind: str) -> bool:
        """Whether an object without a namespace of this kind may be written."""
        return self.cluster_scoped is None or any(fnmatchcase(group_kind, pattern) for pattern in self.cluster_scoped)

    def allows_cluster(self, name: str) -> bool:
        """Whether environments of the repository may name this cluster."""
        return self.clusters is None or name in self.clusters


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be pruned without a confirmation: a number of objects, a share of those applied, or both."""

    objects: int | None = 10
    share: float | None = 0.5

    def is_exceeded_by(self, pruned: int, applied: int) -> bool:
        """Whether pruning so many of the applied objects needs a confirmation."""
        too_many = self.objects is not None and pruned > self.objects
        return too_many or (self.share is not None and pruned > self.share * applied)

    def __str__(self) -> str:
        number = None if self.objects is None else f"{self.objects} objects"
        share = None if self.share is None else f"{self.share * 100:g} %"
        return " or ".join(part for part in (number, share) if part)


class Mode(enum.StrEnum):
    """What is done about a difference that lasts: it is only shown, also alerted, or also healed."""

    OBSERVE = "observe"
    ALERT = "alert"
    HEAL = "heal"


class Converge(enum.StrEnum):
    """When a commit is converged: at once, or when a person has confirmed exactly its plan."""

    AUTOMATIC = "automatic"
    ON_APPROVAL = "on-approval"


class Approvers(enum.StrEnum):
    """Whose approval of a plan counts: only of others than the change's authors, or anyone's who may approve."""

    OTHERS = "others"
    ANYONE = "anyone"


class Rollback(enum.StrEnum):
    """How far a rollback that was asked for may go: a change request, or a commit straight to the branch."""

    CHANGE_REQUEST = "change-request"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Policy:
    """What an environment asks for; durations in seconds.

    `recreate` lists kinds that may be deleted and created again where a field is immutable; `health` overrides the
    judgement per kind (`Deployment.apps`): a rule, or `ignore`, with which it counts as healthy. `unserved` says what
    becomes of objects whose version the server does not serve: `refuse` the whole, or `skip` them alone. `diff_after` is how
    long a difference must last before it is alerted, `remind` how often it is alerted again, `resync` how often everything is
    looked at, whatever was noticed. `strict` makes drift of what people's tools added beside Git; `ignore` says which fields are
    left to others, `conflicts` what becomes of a field that somebody else owns (the first rule about it decides). `approvals` is
    how many people have to approve a plan that is converged on approval, `approvers` whose word counts.
    `rollback` is whether one that was asked for may be pushed.
    """

    prune: bool = True
    settle: float = 30.0
    health_timeout: float = 120.0
    recreate: tuple[str, ...] = ("Job.batch",)
    health: Mapping[str, HealthPolicy] = field(default_factory=dict)
    force: bool = True
    unserved: str = "refuse"
    prune_budget: Budget = field(default_factory=Budget)
    mode: Mode = Mode.ALERT
    diff_after: float = 30.0
    remind: float = 3600.0
    resync: float = 300.0
    converge: Converge = Converge.AUTOMATIC
    approvals: int = 1
    approvers: Approvers = Approvers.OTHERS
    strict: bool = False
    ignore: tuple[IgnoreRule, ...] = ()
    conflicts: tuple[ConflictRule, ...] = ()
    rollback: Rollback = Rollback.CHANGE_REQUEST


@dataclass(frozen=True, slots=True)
class Environment:
    """A named target: where its desired state is read, and where it is converged."""

    repository: str
    name: str
    branch: str
    path: str
    cluster: str
    namespace: str
    renderer: str = "auto"
    policy: Policy = field(default_factory=Policy)
    instance: str = DEFAULT_INSTANCE
    values: tuple[str, ...] = ()
    release: str = ""

    @property
    def slug(self) -> str:
        """`repository/environment`, prefixed by the instance's name where it is not the default."""
        own = f"{self.repository}/{self.name}"
        return own if self.instance == DEFAULT_INSTANCE else f"{self.instance}:{own}"

    @property
    def place(self) -> str:
        """Where desired state is read and where it goes; pruning by itself stops when this changes."""
        return f"{self.path} in the namespace {self.namespace}"

    @property
    def field_manager(self) -> str:
        """The server-side apply manager: `plumbline:<repository>/<environment>`, hashed when over 128 characters."""
        name = f"plumbline:{self.slug}"
        if len(name) <= FIELD_MANAGER_LIMIT:
            return name
        return f"plumbline:{_short_hash(self.slug, 32)}"

    @property
    def owner_label(self) -> str:
        """The value of the owner label: readable where it fits a label, always with a hash that keeps it unique."""
        readable = re.sub(r"[^A-Za-z0-9_.-]", ".", self.name)[: LABEL_LIMIT - 13].strip("_.-")
        return f"{readable}-{_short_hash(self.slug, 12)}" if readable else _short_hash(self.slug, 12)

    @property
    def state_name(self) -> str:
        """A DNS label that names this environment's Lease and state objects."""
        readable = re.sub(r"[^a-z0-9-]+", "-", self.name.lower())[:36].strip("-")
        return "-".join(part for part in ("plumbline", readable, _short_hash(self.slug, 12)) if part)


def _short_hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]

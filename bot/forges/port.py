"""What Plumbline needs of a forge, in its own words. One module per forge speaks its API and nothing else does.

The fence: values in, values out. A library's exceptions become `Unavailable` (try again, and when) or `NotPermitted` (what is
missing) at this edge. Every write is idempotent: it looks at what is there, writes only what differs, and says
whether it wrote.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from worker.domain.errors import PlumblineError
from worker.domain.secret_text import SecretText

PLAIN_FILE: Final = "100644"
EXECUTABLE_FILE: Final = "100755"


class NotPermitted(PlumblineError):
    """The forge refuses what the token or app may not do; the text names the permission and how to give it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the bot proves itself at one forge: a token, or a GitHub App's id and private key."""

    token: SecretText | None
    app: str = ""
    app_key: SecretText | None = None


class RequestState(enum.StrEnum):
    """Whether a change request may still be merged."""

    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


class State(enum.StrEnum):
    """A commit status in Plumbline's words; each forge has its own for it."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"
    CANCELLED = "cancelled"


class Permission(enum.IntEnum):
    """What a person may do in a repository, least first."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Person:
    """An account of the forge: the id that never changes, the name that people type."""

    id: str
    login: str


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A pull or merge request as the forge says it is now.

    `head` is its newest commit, `head_ref` the ref in the *base* repository that holds it (`refs/pull/7/head`), `base` the
    branch that it would be merged into, `merged_as` the commit on that branch after a merge (empty before), `began` the commit
    at which it left that branch, where the forge says it (GitHub does not).
    """

    number: int
    state: RequestState
    title: str
    author: Person
    head: str
    head_ref: str
    base: str
    is_draft: bool
    is_from_fork: bool
    url: str
    merged_as: str = ""
    began: str = ""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of anybody's on a change request; `is_by_robot` where the forge tells that a program wrote it.

    `created` is the Unix time at which it was written, by the forge's clock.
    """

    id: str
    author: Person
    body: str
    created: float
    is_edited: bool = False
    is_by_robot: bool = False


MOST_COMMENTS: Final = 1000
"""How many comments of a repository are looked through at once."""


@dataclass(frozen=True, slots=True)
class RecentComments:
    """What was said on change requests, each with its number, in no order; the newest where `is_cut` says that there was more.

    `until` is the forge's own time (Unix) of the newest thing that was looked through, also what was said elsewhere; 0 where
    there was nothing.
    """

    said: tuple[tuple[int, Comment], ...]
    until: float
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Status:
    """What is written on a commit: `text` at most `Limits.description` characters, `link` an address of ours."""

    context: str
    state: State
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A line of a manifest and what is to be said of it; `level` is notice, warning or failure."""

    path: str
    line: int
    level: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Check:
    """A longer result beside a commit, where the forge has such a thing (GitHub's check runs).

    `name` is never a status' context: a forge that requires both would wait for both.
    """

    name: str
    state: State
    title: str
    summary: str
    link: str = ""
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """One revision in one environment, where the forge shows deployments."""

    environment: str
    revision: str
    branch: str
    state: State
    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file of a commit that is to be made; `content` (a text, or bytes as they are) None deletes it.

    `mode` is git's, of a plain or an executable file; `was` the one that the file has there now, empty where it is new.
    """

    path: str
    content: str | bytes | None
    mode: str = PLAIN_FILE
    was: str = PLAIN_FILE

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return self.content.encode() if isinstance(self.content, str) else self.content or b""

    @property
    def is_executable(self) -> bool:
        """Whether it is a program."""
        return self.mode == EXECUTABLE_FILE


@dataclass(frozen=True, slots=True)
class Made:
    """What a commit did: the commits that it was made on, the paths that it changed (of a rename both)."""

    parents: tuple[str, ...]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long texts may be, in characters, and what else there is beside comments and statuses."""

    comment: int
    description: int
    deployments: bool = False
    checks: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing that Plumbline does at a forge: whether the credentials allow it, and what will not work without it."""

    name: str
    is_granted: bool | None
    purpose: str


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a delivery says that there is something to look at; nothing of it is believed but the place.

    `project` is the forge's own name of the repository, `delivery` what tells this delivery from others. Exactly one of
    `number` (a change request), `branch` and `ping` says what it is about; `comment` is the id of a comment that was just
    made on the change request, `revision` the head commit of a merge queue's candidate, with its `branch`. Or `image` says
    what was pushed to the forge's own registry, as `owner/name:tag` (and `@digest`); `project` is empty then.
    """

    project: str
    delivery: str
    number: int | None = None
    branch: str = ""
    comment: str = ""
    revision: str = ""
    ping: bool = False
    image: str = ""


class Rejected(Exception):
    """A delivery that is not taken: `code` is the HTTP status, the text a reason without anything of the delivery in it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Door(Protocol):
    """How one forge's deliveries are told from forged ones and read; functions of a module, pure but for the clock given."""

    def verify(self, headers: Mapping[str, str], body: bytes, secret: bytes, now: float) -> None:
        """Raises Rejected(401) unless the raw body is signed as the forge signs with this secret; in constant time."""

    def read(self, headers: Mapping[str, str], body: bytes) -> Hint | None:
        """What a verified delivery is about; None where it is of no concern. Raises Rejected(400 or 415)."""


class Tree(Protocol):
    """Where branches and their files are read, at a forge or on a plain Git server. Every method raises Unavailable."""

    def tips(self) -> Mapping[str, str]:
        """Every branch and its newest commit."""

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit, None where there is none."""


class Forge(Protocol):
    """One repository at one forge. Every method raises Unavailable (with the seconds to wait) and NotPermitted."""

    @property
    def limits(self) -> Limits:
        """How long texts may be."""

    def me(self) -> Person:
        """The account that Plumbline writes as."""

    def forget(self) -> None:
        """Another process wrote here: what is remembered of own words is looked at again before the next writes."""

    def presume_nothing(self, revision: str) -> None:
        """Plumbline has said nothing of this commit yet: its first words need no look at what is there."""

    def grants(self) -> Sequence[Grant]:
        """What the credentials allow, as far as the forge says it."""

    def excesses(self) -> Sequence[str]:
        """What they allow that Plumbline never does, each in a few words; empty where the forge says nothing of it."""

    def tips(self) -> Mapping[str, str]:
        """Every branch and its newest commit; asked conditionally where the forge can."""

    def described(self, revision: str) -> tuple[str, str]:
        """The first line of a tip's message and its author's name, asked for only where `tips` did not tell them."""

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit, None where there is none."""

    def change_request(self, number: int, *, within: float = 0.0) -> ChangeRequest | None:
        """One change request, None where there is none; as it is, or as an adapter read it less than `within` seconds ago."""

    def open_change_requests(self) -> Sequence[ChangeRequest]:
        """All that may still be merged; asked conditionally where the forge can."""

    def merged_as(self, revision: str) -> ChangeRequest | None:
        """The change request whose merge made this commit, None where there is none."""

    def permission(self, person: Person) -> Permission:
        """What somebody may do here now; NONE for who is not known."""

    def is_in_team(self, person: Person, team: str) -> bool:
        """Whether somebody is in a team (GitLab: in a group) now; nobody is in one that is not known."""

    def comment(self, number: int, comment_id: str) -> Comment | None:
        """One comment of a change request, None where there is none."""

    def recent_comments(self, since: float) -> RecentComments:
        """What was said on all change requests, open or not, since a Unix time; edited ones and more may be among it.

        At most MOST_COMMENTS are looked through, the newest; asked conditionally where the forge can.
        """

    def is_received(self, number: int, comment_id: str) -> bool:
        """Whether `react` has shown under a comment that it was received, in whichever life of ours."""

    def react(self, number: int, comment_id: str) -> bool:
        """Shows by a pair of eyes under a comment that it was received; false where our own are there already."""

    def our_comment(self, number: int, marker: str) -> str:
        """What our comment (found by its hidden marker and its author) says; empty where there is none."""

    def put_comment(self, number: int, marker: str, body: str) -> bool:
        """Makes our comment (found by its hidden marker and its author) say `body`; whether that wrote anything."""

    def put_status(self, revision: str, status: Status, *, unless_told: bool = False) -> bool:
        """Makes a commit's status say this (`unless_told`: where its context says nothing yet); whether that wrote anything."""

    def put_check(self, revision: str, check: Check) -> bool:
        """Makes a check say this, where the forge has checks; whether that wrote anything."""

    def put_deployment(self, deployment: Deployment) -> bool:
        """Shows a deployment, where the forge has them; whether that wrote anything."""

    def made(self, revision: str) -> Made | None:
        """What a commit did; None where there is none, or where the forge does not tell all that it changed."""

    def commit(self, branch: str, onto: str, message: str, files: Sequence[FileChange]) -> str:
        """A commit as the app or bot user on a branch (made where it is new) whose tip is `onto`; its id.

        Raises Moved where the branch is elsewhere (by now).
        """

    def open_change_request(self, head: str, base: str, title: str, body: str) -> ChangeRequest:
        """A change request for a branch; the one that is open already where there is one."""

    def close_change_request(self, number: int) -> None:
        """Closes a change request without merging it; one that is not open stays as it is."""

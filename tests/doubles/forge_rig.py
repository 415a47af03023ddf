"""What a journey does at a forge as a person would: the same verbs on GitHub's double, GitLab's double and a real Gitea.

A rig has one repository with real git behind it and people who act in it; Plumbline's bot is one of them. Journeys drive
the forge only through this, so one list of them runs everywhere. Commits are full ids, states and permissions the port's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.forges.port import ChangeRequest, Check, Comment, Credentials, Deployment, Permission, Status
from worker.domain.installation import Forge as DeclaredForge
from worker.domain.installation import Repository

OWNER = "ada"
"""Who may do everything here; acts wherever a verb names nobody."""


class MergeRefused(Exception):
    """The forge does not merge: a required status is missing, there is a conflict, or the head moved."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook as it was sent: the path, the headers and the exact body, and what came back (0: nothing did)."""

    headers: Mapping[str, str]
    body: bytes
    code: int


class ForgeRig(Protocol):
    """A forge for a journey: what Plumbline is told of it, what people do there, what they see there."""

    # What Plumbline is told: for app.yaml, for the adapter's `of(declared, repository, credentials)` and for the worker.

    @property
    def declared(self) -> DeclaredForge:
        """The forge as app.yaml declares it; secrets are references to files that the rig wrote with mode 600."""

    @property
    def repository(self) -> Repository:
        """The repository as app.yaml declares it (name `shop`); `url` is what a worker fetches from without a password."""

    @property
    def credentials(self) -> Credentials:
        """The bot's credentials, opened."""

    @property
    def webhook_secret(self) -> bytes:
        """What deliveries are signed with."""

    @property
    def bot(self) -> str:
        """The login that Plumbline's own comments carry."""

    # What people do.

    def push(
        self,
        branch: str,
        files: Mapping[str, str | None],
        *,
        message: str = "Change",
        onto: str = "",
        force: bool = False,
    ) -> str:
        """Commits files (None deletes one) on the branch's tip, or on `onto`, pushes with git and returns the commit.

        A new branch starts at `onto`, or at main.
        """

    def open(
        self, head: str, base: str = "main", title: str = "Change", *, author: str = OWNER, is_draft: bool = False
    ) -> int:
        """Opens a change request; its number."""

    def open_from_fork(self, files: Mapping[str, str | None], base: str = "main", *, author: str = "eve") -> int:
        """Opens a change request out of a fork of somebody's who may only read; its number."""

    def push_to_fork(self, number: int, files: Mapping[str, str | None]) -> str:
        """Its author commits files onto the head of a change request out of a fork; the new head."""

    def edit(
        self, number: int, *, title: str | None = None, base: str | None = None, is_draft: bool | None = None
    ) -> None:
        """Renames, retargets, or makes it a draft or ready."""

    def close_request(self, number: int) -> None:
        """Closes it without a merge."""

    def reopen(self, number: int) -> None:
        """Opens it again."""

    def merge(self, number: int, *, method: str = "merge", login: str = OWNER) -> str:
        """Merges (`merge`, `squash` or `rebase`) and returns the commit on the base. Raises MergeRefused."""

    def say(self, number: int, body: str, *, login: str = OWNER) -> str:
        """Comments on it; the comment's id."""

    def edit_comment(self, number: int, comment_id: str, body: str, *, login: str = OWNER) -> None:
        """Changes a comment, also the bot's."""

    def delete_comment(self, number: int, comment_id: str) -> None:
        """Deletes a comment."""

    def permit(self, login: str, permission: Permission) -> None:
        """Makes somebody (created where new) have exactly this permission in the repository."""

    def protect(self, branch: str, contexts: Sequence[str]) -> None:
        """Requires these statuses before anything is merged into the branch, and refuses pushes of the bot's to it."""

    def listen(self, address: str) -> None:
        """Sends the repository's webhooks to this address from now on ("" sends none)."""

    def redeliver(self, index: int = -1) -> Delivery:
        """Sends a delivery of `deliveries()` once more, as the forge's own button does."""

    # What people see.

    def tip(self, branch: str) -> str:
        """The branch's commit, empty where there is no such branch."""

    def change_request(self, number: int) -> ChangeRequest:
        """It as it is now."""

    def comments(self, number: int) -> Sequence[Comment]:
        """All comments, oldest first."""

    def reactions(self, number: int, comment_id: str) -> Sequence[tuple[str, str]]:
        """Who reacted to a comment, and with what, oldest first."""

    def statuses(self, revision: str) -> Mapping[str, Status]:
        """The newest status of each context."""

    def history(self, revision: str) -> Sequence[Status]:
        """Every status that was ever written on the commit, oldest first, as it was written."""

    def status_count(self, revision: str) -> int:
        """How many statuses were ever written on the commit."""

    def checks(self, revision: str) -> Sequence[Check]:
        """The checks on a commit, oldest first; empty where the forge has none."""

    def deployments(self, environment: str) -> Sequence[Deployment]:
        """An environment's deployments with their newest state, oldest first; empty where the forge has none."""

    def deliveries(self) -> Sequence[Delivery]:
        """Every webhook that was sent, oldest first."""

    def requests(self) -> Sequence[tuple[str, str]]:
        """Method and path of every API request of the bot's, oldest first."""

    def close(self) -> None:
        """Ends it and what it started."""

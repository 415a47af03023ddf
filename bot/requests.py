"""What an alert asks for: pushed branches and declared environments, judged into convergences. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.domain.declaration import Declaration
from worker.domain.installation import Repository
from worker.domain.messages import Committed, ConvergeRequest, RefUpdate


def followed(repository: Repository, updates: Sequence[RefUpdate]) -> tuple[RefUpdate, ...]:
    """The updates of branches that environments may follow and that still exist."""
    return tuple(
        update
        for update in updates
        if update.branch is not None and not update.deletes and repository.follows(update.branch)
    )


def convergences(
    message: Committed, updates: Sequence[RefUpdate], declarations: Mapping[str, Declaration]
) -> list[ConvergeRequest]:
    """One request per environment of each followed branch, in the order of the declaration."""
    return [
        ConvergeRequest(
            message.repository,
            name,
            update.branch,
            update.new,
            cluster,
            message.at,
            message.approvals,
        )
        for update in updates
        if update.branch is not None and update.branch in declarations
        for name, cluster in declarations[update.branch].targets()
        if name and cluster
    ]

"""The deletions of an operation: what left Git goes, and is forgotten only once it is gone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from worker.domain.desired import DesiredState
from worker.domain.errors import Moved, PlumblineError, Unavailable
from worker.domain.inventory import Inventory
from worker.domain.plan import Action
from worker.domain.resource import Resource, ResourceKey
from worker.operations.applying import Checkpoint, delete
from worker.operations.preparing import Target
from worker.planning.deletion import inhabitants, is_going
from worker.planning.ordering import prune_order
from worker.planning.pruning import prunable


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning came to.

    `inventory` still has what is desired, what it lives in, what could not be deleted and what is not gone yet
    (`lingering`, as it is now). `failed` says in words what was refused for good, `passing` has the failures that another
    try may mend; `deleted` went just now, `postponed` counts what has become prunable since it was planned.
    """

    inventory: Inventory
    lingering: tuple[Resource, ...] = ()
    failed: str = ""
    passing: tuple[PlumblineError, ...] = ()
    postponed: int = 0
    deleted: tuple[ResourceKey, ...] = ()

    @property
    def text(self) -> str:
        """What was deleted just now, in words; empty where nothing was."""
        if not self.deleted:
            return ""
        more = f" and {len(self.deleted) - 1} more" if len(self.deleted) > 1 else ""
        return f"{self.deleted[0]}{more}"


def prune(
    target: Target,
    desired: DesiredState,
    inventory: Inventory,
    live: Mapping[ResourceKey, Resource],
    checkpoint: Checkpoint,
    planned: Collection[str],
) -> Pruned:
    """Deletes what is inventoried, not desired and certainly ours, in its order.

    `planned` are the uids that the plan was to prune: what has become prunable since (an opt-out that was taken away, an API
    group that answers again) is nobody's decision yet, and waits for the next plan. Raises what `checkpoint` raises.
    """
    if not target.environment.policy.prune:
        return Pruned(inventory)
    wanted = desired.keys
    prunes = prunable(inventory, wanted, live, target.environment.field_manager)
    deleting = {change.key: change for change in prunes if change.action is Action.PRUNE and change.uid in planned}
    waiting = {change.key for change in prunes if change.action is Action.PRUNE} - deleting.keys()
    ordered = [deleting[key] for group in prune_order(deleting) for key in group]
    deleted = delete(target, ordered, checkpoint)
    going = tuple(now for entry in inventory.entries if (now := live.get(entry.key)) is not None and is_going(now))
    lingering = (*(now for now in going if now.key not in wanted), *deleted.lingering)
    homes = (change.key for change in prunes if inhabitants(live[change.key], wanted))
    kept = {*wanted, *homes, *waiting, *(key for key, _ in deleted.failed), *(left.key for left in lingering)}
    entries = tuple(entry for entry in inventory.entries if entry.key in kept)
    passing = tuple(error for _, error in deleted.failed if isinstance(error, Unavailable | Moved))
    said = "; ".join(f"could not be pruned: {error}" for _, error in deleted.failed[:3])
    only_passing = len(passing) == len(deleted.failed)
    gone = tuple(change.key for change in deleted.done)
    return Pruned(Inventory(entries), lingering, said, passing if only_passing else (), len(waiting), gone)

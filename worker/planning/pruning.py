"""What may be deleted: the inventory without the desired state, and the guards before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from worker.domain.environment import Policy
from worker.domain.errors import Held, Refused
from worker.domain.inventory import Inventory
from worker.domain.plan import Action, Change
from worker.domain.resource import Resource, ResourceKey
from worker.planning.deletion import held_up, inhabitants, is_going

PROTECTED: Final = frozenset({
    "Namespace", "CustomResourceDefinition.apiextensions.k8s.io", "PersistentVolumeClaim", "PersistentVolume",
    "StatefulSet.apps",
})  # fmt: skip
"""Kinds whose deletion takes data or many other objects with it: always a person's decision."""

IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})
"""Namespaces that the API server never deletes (plugin/pkg/admission/namespace/lifecycle)."""

OPT_OUT: Final = "plumbline.io/prune"


def prunable(
    inventory: Inventory,
    desired: frozenset[ResourceKey],
    live: Mapping[ResourceKey, Resource],
    manager: str,
) -> tuple[Change, ...]:
    """One change per inventoried object that is no longer desired and still lives.

    PRUNE only where the live object is the recorded one (its uid) or, where a crash kept the uid from being recorded,
    where our field manager owns it. Labels prove nothing. Everything else is a SKIP that says why.
    """
    changes = []
    for entry in inventory.entries:
        now = live.get(entry.key)
        if entry.key in desired or now is None:
            continue
        action, reason = Action.PRUNE, "no longer in Git"
        if is_going(now):
            action, reason = Action.SKIP, f"no longer in Git; it is being deleted, {held_up(now)}"
        elif entry.uid and entry.uid != now.uid:
            action, reason = Action.SKIP, "not pruned: another object has this name now (its uid differs)"
        elif not entry.uid and not applied_by(now, manager):
            action, reason = Action.SKIP, "not pruned: it was never applied by this environment"
        elif entry.key.group_kind == "Namespace" and entry.key.name in IMMORTAL:
            action, reason = Action.SKIP, "not pruned: the API server never deletes this namespace"
        elif now.annotations.get(OPT_OUT) == "disabled":
            action, reason = Action.SKIP, f"not pruned: its annotation {OPT_OUT} says disabled"
        elif count := inhabitants(now, desired):
            objects = "1 object of this environment" if count == 1 else f"{count} objects of this environment"
            action, reason = Action.SKIP, f"not pruned: {objects} would go with it; put it back into Git, or move them"
        changes.append(Change(entry.key, entry.version, action, reason, uid=now.uid))
    return tuple(changes)


def applied_by(live: Resource, manager: str) -> bool:
    """Whether a field manager has applied the object."""
    entries = live.metadata.get("managedFields") or ()
    return any(entry.get("manager") == manager and entry.get("operation") == "Apply" for entry in entries)


def guard(
    prunes: Iterable[Change], inventory: Inventory, desired: int, policy: Policy, confirmation: str, moved: str = ""
) -> Held | Refused | None:
    """Why these deletions may not happen by themselves, None where they may.

    `prunes` are the PRUNE changes, `desired` counts the rendered objects, `confirmation` is the code that a person gives
    to let exactly this plan through, `moved` says from where to where the environment moved since it was applied (empty
    where it did not). An empty render is refused outright: it is never a desired state.
    """
    doomed = tuple(prunes)
    count = len(doomed)
    if desired == 0 and not inventory.entries:
        return Refused(
            "nothing is rendered: no objects at all are never a desired state",
            "Commit the first object, or check the path in plumbline.yaml",
        )
    if desired == 0:
        return Refused(
            f"nothing is rendered: this would delete all {len(inventory.entries)} objects of the environment",
            "If they shall go, delete the environment's objects by hand; if not, check the path in plumbline.yaml",
        )
    if not doomed or not policy.prune:
        return None
    protected = [change.key for change in doomed if change.key.group_kind in PROTECTED]
    if protected:
        more = f" and {len(protected) - 1} more" if len(protected) > 1 else ""
        return Held(f"would prune {protected[0]}{more}, a kind whose deletion needs a confirmation", confirmation)
    if policy.prune_budget.is_exceeded_by(count, len(inventory.entries)):
        return Held(
            f"would prune {count} of {len(inventory.entries)} objects, over the budget of {policy.prune_budget}",
            confirmation,
        )
    if moved:
        return Held(f"would prune {count} of {len(inventory.entries)} objects, having moved {moved}", confirmation)
    return None

"""What a plan says beside its changes: whose fields are taken, left or left behind, and what the server keeps otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from worker.domain.convergence import EnvironmentState
from worker.domain.resource import Resource, ResourceKey
from worker.domain.rules import OWN
from worker.planning.causes import owner_at
from worker.planning.changes import DryRun
from worker.planning.diffing import MergeKeys, field_changes, specified_differences
from worker.planning.ignoring import Left


def ignored(left: Sequence[tuple[ResourceKey, Left]]) -> list[str]:
    """What policy leaves to others though Git says something else: one line, however much it is."""
    if not left:
        return []
    (key, first), more = left[0], len(left) - 1
    return [f"left to {first.to} by policy: {key} {first.path}" + (f", and {more} more" if more else "")]


def scaled(key: ResourceKey, left: Iterable[Left]) -> list[str]:
    """What is left to who scales an object, though Git says something else: never in silence."""
    return [f"{key}: {each.path} is left to {each.to}, who scales it" for each in left if not each.is_ruled]


def taken(key: ResourceKey, dry_run: DryRun) -> list[str]:
    """Whose fields are taken."""
    if not dry_run.forced:
        return []
    owners = sorted({owner.manager for owner in dry_run.forced})
    fields = ", ".join(owner.field for owner in dry_run.forced[:3])
    more = f" and {len(dry_run.forced) - 3} more" if len(dry_run.forced) > 3 else ""
    return [f"{key}: takes {fields}{more} from {', '.join(owners)}"]


def left_to_others(key: ResourceKey, dry_run: DryRun) -> list[str]:
    """Which fields somebody took while the server was asked, and keeps."""
    return [f"{key}: {owner.field} is left to {owner.manager}, who owns it" for owner in dry_run.kept]


def no_longer_in_git(key: ResourceKey, dry_run: DryRun) -> list[str]:
    """What becomes of the fields that are not in Git (any more) and that others own."""
    return [
        f"{key}: {owner.field} is {'not' if field.added else 'no longer'} in Git, "
        + (
            f"and is taken from {owner.manager} to be removed"
            if field.taken
            else f"but stays: {owner.manager} ({owner.operation}) owns it too"
        )
        for field in dry_run.leaving
        for owner in field.owners
    ]


def not_kept(sent: Resource, dry_run: DryRun) -> list[str]:
    """What the server would make otherwise than the manifest says (dropped, or changed by admission)."""
    assert dry_run.result is not None
    left = {owner.field for owner in dry_run.kept}
    return [
        f"{sent.key}: the API server does not keep {change.path} as it is written"
        for change in specified_differences(sent, dry_run.result)
        if change.path not in left
    ]


def left_behind(
    desired: Iterable[Resource], live: Mapping[ResourceKey, Resource], state: EnvironmentState
) -> list[str]:
    """The fields that leave Git after somebody else had changed them: server-side apply no longer knows them as ours.

    What is known of that is what looks had seen: the open divergence, and fields that were found to be somebody else's.
    """
    known: dict[ResourceKey, set[str]] = {}
    for drift in (*(state.episode.drift if state.episode else ()), *state.lost):
        known.setdefault(drift.key, set()).add(drift.field.path)
    said = []
    for resource in desired:
        now = live.get(resource.key)
        if now is None or resource.key not in known:
            continue
        keys = MergeKeys(now.body)
        wanted = [change.path for change in field_changes(None, resource.body, keys)]
        there = [change.path for change in field_changes(None, now.body, keys)]
        for path in sorted(known[resource.key]):
            if _has(there, path) and not _has(wanted, path):
                manager, operation, _ = owner_at(now, path)
                if manager.startswith(OWN):
                    continue
                owner = f"{manager} ({operation})" if manager else "nobody known"
                said.append(
                    f"{resource.key}: {path} is no longer in Git, but stays: {owner} has changed it and owns it"
                )
    return said


def _has(paths: Iterable[str], path: str) -> bool:
    """Whether a place, or something below it, is among some paths."""
    return any(each == path or (each.startswith(path) and each[len(path)] in ".[") for each in paths)

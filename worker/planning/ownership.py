"""Whose is what of an object: ours, an autoscaler's, a controller's, a person's. One judge for plan, apply, drift and proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.environment import Policy
from worker.domain.errors import FieldOwner
from worker.domain.field_paths import read_pattern
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import Resource, ResourceKey
from worker.domain.rules import SCALE, Resolution, has_shape, is_peoples_tool, resolution
from worker.planning.additions import additions, undeclared
from worker.planning.diffing import specified_differences
from worker.planning.ignoring import Claim, Sent, is_left, sent
from worker.planning.leaving import Leaving, leaving
from worker.planning.owned_fields import (
    FieldPath,
    Owned,
    entries_of,
    fields_of,
    is_leaf,
    is_ours,
    member,
    node_at,
    operation_of,
    owner_of,
    text_of,
)
from worker.planning.proof import IDENTITY, UNOWNED_METADATA, Proof, prove

REPLICAS = (read_pattern("spec.replicas"),)
AUTOSCALER = "HorizontalPodAutoscaler.autoscaling"


def autoscaled(desired: Iterable[Resource]) -> Mapping[ResourceKey, str]:
    """The workloads that an autoscaler among the same objects scales, each with the autoscaler's name in words."""
    found: dict[ResourceKey, str] = {}
    for resource in desired:
        if resource.key.group_kind != AUTOSCALER:
            continue
        spec = resource.body.get("spec")
        target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
        if isinstance(target, dict):
            group = str(target.get("apiVersion", "")).rpartition("/")[0]
            key = ResourceKey(group, str(target.get("kind")), resource.key.namespace, str(target.get("name")))
            found[key] = str(resource.key)
    return found


@dataclass(frozen=True, slots=True)
class Ownership:
    """The judge of one environment: its field manager, its policy, what its operator allows, and what is scaled in it.

    `may_force` is the operator's word on taking fields at all.
    """

    manager: str
    policy: Policy
    may_force: bool
    scaled: Mapping[ResourceKey, str] = field(default_factory=dict)

    # -- what is sent --------------------------------------------------------------------------------------------

    def sent(self, desired: Resource, live: Resource | None) -> Sent:
        """What is sent of a desired object beside what lives: a new one as Git has it."""
        return Sent(desired) if live is None else sent(desired, live, self.manager, self._claims(desired, live))

    def proof(self, desired: Resource, live: Resource) -> Proof:
        """Whether applying what is sent would leave the live object as it is, and, if strict, nobody added anything."""
        proof = prove(self.sent(desired, live).resource, live, self.manager)
        if proof.unchanged and self.policy.strict and (found := self._added(live)):
            return Proof(unchanged=False, reason=f"{text_of(found[0][0])} was added")
        return proof

    def _ignored(self, desired: Resource, live: Resource) -> list[Claim]:
        return [
            Claim("others", rule.fields or None, self._trees(live, rule.managers) if rule.managers else None)
            for rule in self.policy.ignore
            if rule.selector.selects(desired)
        ]

    def _claims(self, desired: Resource, live: Resource) -> list[Claim]:
        claims = self._ignored(desired, live)
        for ruled in self.policy.conflicts:
            if ruled.selector.selects(desired):
                trees = self._trees(live, ruled.managers or ("*",))
                claims.append(Claim("who owns it", ruled.fields or None, trees, ruled.action))
        for entry in live.metadata.get("managedFields") or ():
            if entry.get("subresource") == SCALE:
                claims.append(Claim(str(entry.get("manager")), None, (fields_of(entry),), is_ruled=False))
        if desired.key in self.scaled:
            claims.append(Claim(self.scaled[desired.key], REPLICAS, is_ruled=False))
        return claims

    def _trees(self, live: Resource, managers: tuple[str, ...]) -> tuple[Owned, ...]:
        return tuple(
            fields_of(entry)
            for entry in entries_of(live)
            if not is_ours(entry, self.manager) and has_shape(str(entry.get("manager", "")), managers)
        )

    # -- conflicts -----------------------------------------------------------------------------------------------

    def resolve(self, owner: FieldOwner, desired: Resource) -> Resolution:
        """What becomes of a field that somebody else owns."""
        force = self.policy.force and self.may_force
        return resolution(owner, desired, self.policy.conflicts, force=force, may_force=self.may_force)

    def leaving(self, desired: Resource, live: Resource) -> tuple[Leaving, ...]:
        """The fields that leave Git while others own them too, and, if strict, what people's tools added.

        `desired` is what is sent. What policy leaves to others stays with them.
        """
        claims = self._claims(desired, live)
        found = [
            each
            for each in leaving(desired, live, self.manager, lambda owner: self._takes(owner, live))
            if not is_left(claims, live, each.path)
        ]
        if self.policy.strict and self.may_force and self.policy.force:
            for path, drift in self._added(live):
                owners = (FieldOwner(drift.manager, drift.operation, drift.field.path),)
                found.append(Leaving(path, owners, taken=True, added=True))
        return tuple(found)

    def _takes(self, owner: FieldOwner, live: Resource) -> bool:
        """Whether what leaves Git is taken from an owner: a rule decides, else only people's tools are overruled."""
        decided = self.resolve(owner, live)
        ruled = any(rule.is_about(owner, live) for rule in self.policy.conflicts)
        usual = owner.operation == "Update" and is_peoples_tool(owner.manager)
        return decided is Resolution.FORCE and (ruled or usual)

    # -- what others did -----------------------------------------------------------------------------------------

    def additions(self, live: Resource) -> tuple[Drift, ...]:
        """What people's tools added to an object beside Git, without what policy leaves to others."""
        return tuple(drift for _, drift in self._added(live))

    def _added(self, live: Resource) -> tuple[tuple[FieldPath, Drift], ...]:
        claims = self._ignored(live, live) if self.policy.ignore else []
        return additions(live, self.manager, lambda path: bool(claims) and is_left(claims, live, path))

    def undeclared(self, found: Iterable[Resource], declared: frozenset[ResourceKey]) -> tuple[Drift, ...]:
        """The objects that a person made and nobody declared; a rule that ignores whatever people's tools own hides them."""

        def is_ignored(resource: Resource) -> bool:
            managers = [str(entry.get("manager", "")) for entry in entries_of(resource)]
            people = [manager for manager in managers if is_peoples_tool(manager)]
            return any(
                rule.selector.selects(resource)
                and not rule.fields
                and all(has_shape(manager, rule.managers) for manager in people)
                for rule in self.policy.ignore
            )

        return undeclared(found, declared, is_ignored)

    def lost(self, desired: Resource, live: Resource) -> tuple[Drift, ...]:
        """The fields that are as Git says and that our manager owned no more when it was last written: who owns them now.

        `desired` is what is sent.
        """
        entries = entries_of(live)
        ours = next((entry for entry in entries if is_ours(entry, self.manager)), None)
        if ours is None:
            return ()
        differing = {each.path for each in specified_differences(desired, live)}
        found = []
        for path in _unowned(desired.body, live.body, fields_of(ours), entries, ()):
            text = text_of(path)
            entry = next((each for each in entries if node_at(fields_of(each), path) is not None), None)
            if entry is not None and entry is not ours and text not in differing:
                owner = owner_of(entry, path)
                change = FieldChange(text, ABSENT, ABSENT)
                found.append(Drift(desired.key, change, owner.manager, str(entry.get("time", "")), operation_of(entry)))
        return tuple(found)


def _unowned(
    desired: Any, live: Any, ours: Owned, entries: list[dict[str, Any]], path: FieldPath
) -> Iterable[FieldPath]:
    """The places that others own as a whole, `desired` has and we own nothing of."""
    names = dict.fromkeys(
        name
        for entry in entries
        if (node := node_at(fields_of(entry), path)) is not None
        for name in node
        if name != "."
    )
    for name in names:
        if (not path and name[2:] in IDENTITY) or (path == ("f:metadata",) and name[2:] in UNOWNED_METADATA):
            continue
        wanted, now = member(desired, name), member(live, name)
        if wanted is None or now is None:
            continue
        mine = ours.get(name)
        here = (*path, name)
        nodes = [node for entry in entries if (node := node_at(fields_of(entry), here)) is not None]
        if mine is None and any(is_leaf(node) for node in nodes):
            yield here
        elif mine is None or not is_leaf(mine):
            yield from _unowned(wanted, now, mine or {}, entries, here)

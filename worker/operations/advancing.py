"""One look at an open operation: is it healthy, may the rest be pruned, does every field hold, has it settled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.adapters.inventory import Recorded
from worker.domain.convergence import EnvironmentState, Mark, Operation, Phase, closing, diverging, short
from worker.domain.desired import DesiredState, manifest_hash
from worker.domain.errors import Problem
from worker.domain.health import Health, ResourceHealth
from worker.domain.inventory import Inventory, InventoryEntry
from worker.domain.plan import Action, Change, FieldChange
from worker.domain.reports import Step
from worker.domain.resource import Resource, ResourceKey
from worker.operations.applying import Checkpoint, delete
from worker.operations.explaining import TEMPLATED, explained, troubles_of
from worker.operations.predicting import dry_run, is_finished, observe
from worker.operations.preparing import Target
from worker.operations.pruning import Pruned, prune
from worker.planning.assessment import assess
from worker.planning.changes import judge
from worker.planning.deletion import held_up
from worker.planning.diffing import specified_differences
from worker.planning.ownership import Ownership

GRACE: Final = 10.0
"""Seconds that an object may be as MENDS_NOT has it before the operation has failed: a pull that is tried again may work."""

MENDS_NOT: Final = frozenset({Health.DEGRADED, Health.MISSING})
"""What waiting alone hardly mends: what does not work, and what was applied and somebody deleted meanwhile.

A failure opens an episode, and that is what makes a deleted object again; a wait until the deadline only puts it off.
"""

GONE: Final = "was applied and is not there any more: somebody deleted it"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to be said of the operation: the step, the sentence, the proof where there is one, and when (0: now)."""

    step: Step
    text: str
    proof: Mapping[str, Any] | None = None
    at: float = 0.0

    def kept(self) -> dict[str, Any]:
        """The fact as the state keeps it."""
        return {"step": str(self.step), "text": self.text, "proof": self.proof, "at": self.at}


def ending_of(state: EnvironmentState) -> Fact | None:
    """The fact that ended the operation of a state, None where it is open or was never kept."""
    kept = state.ending
    if not kept or state.operation is None or state.operation.phase.is_open:
        return None
    return Fact(Step(kept["step"]), kept["text"], kept["proof"], kept["at"])


@dataclass(frozen=True, slots=True)
class Advanced:
    """The state and inventory after a look, what is new to say, and whether the next stage may be applied."""

    state: EnvironmentState
    inventory: Inventory
    facts: tuple[Fact, ...]
    goes_on: bool = False


def advance(
    target: Target,
    desired: DesiredState,
    recorded: Recorded,
    now: float,
    checkpoint: Checkpoint,
) -> Advanced:
    """Looks once at the open operation of `recorded` and takes it as far as it goes; `now` is a Unix time.

    Deletes what is to be pruned once everything desired is healthy. Raises what `checkpoint` raises, and Unavailable.
    """
    operation, target = recorded.state.operation, target.beside(desired.resources)
    assert operation is not None
    applied = tuple(resource for stage in desired.stages[: operation.stage + 1] for resource in stage.resources)
    observed = observe(target, desired.resources, recorded.inventory)
    resources = tuple(
        resource
        for resource in applied
        if resource.key in observed.live or not is_finished(resource, recorded.state.finished)
    )
    healths = [
        assess(observed.live.get(resource.key), resource.key, target.environment.policy.health)
        for resource in resources
    ]
    unhealthy = [health for health in healths if not health.health.is_good]
    if unhealthy:
        return _unhealthy(target, recorded, unhealthy, observed.live, now)
    if operation.phase is Phase.WAITING and operation.stage + 1 < len(desired.stages):
        passed = f"{len(applied)} of {len(desired.resources)} objects, through {desired.stages[operation.stage].name}"
        return Advanced(recorded.state, recorded.inventory, (Fact(Step.HEALTHY, passed),), goes_on=True)

    facts: list[Fact] = []
    pruned = prune(target, desired, recorded.inventory, observed.live, checkpoint, operation.prunes)
    inventory = pruned.inventory
    if pruned.passing and now <= operation.deadline:
        raise pruned.passing[0]
    if pruned.failed:
        return _failed(recorded.state, inventory, operation, pruned.failed, now, facts)
    if pruned.lingering and operation.phase is Phase.WAITING:
        return _lingering(recorded.state, operation, pruned, now)
    differing, kept_otherwise = _moved(
        target, resources, differences(resources, observed.live, target.ownership), observed.live
    )
    if differing:
        key, change = differing[0]
        more = f", and {len(differing) - 1} more" if len(differing) > 1 else ""
        text = f"{key} {change.path} is not what Git says{more}"
        return _failed(recorded.state, inventory, operation, text, now, facts)

    inventory = confirmed(inventory, desired.keys, observed.live, target.environment.field_manager)
    if operation.phase is not Phase.SETTLING:
        facts.append(Fact(Step.HEALTHY, _healthy_text(resources, healths, observed.live)))
        facts += [Fact(Step.PRUNED, pruned.text)] if pruned.deleted else []
        verified = operation.to(
            Phase.SETTLING, verified=now, settles=now + target.environment.policy.settle, said="", troubled=0.0
        )
        _remove_hooks(target, desired, observed.live, checkpoint)
        state = replace(
            recorded.state,
            operation=verified,
            verified=Mark(operation.revision, now),
            health=max((each.health for each in healths), key=lambda each: each.rank, default=Health.HEALTHY).value,
            finished=_finished(desired, healths, recorded.state.finished),
        )
        proof = proof_of(target, state, verified, inventory, observed.live, healths, now)
        text = _verified_text(target, verified, desired, kept_otherwise, pruned.postponed)
        facts.append(Fact(Step.VERIFIED, text, proof))
        if target.environment.policy.settle > 0:
            seconds = f"{target.environment.policy.settle:g} s"
            facts.append(Fact(Step.SETTLING, f"converged if it stays so for {seconds}"))
            return Advanced(state, inventory, tuple(facts))
        operation = verified
    else:
        state = recorded.state
    if now < operation.settles:
        return Advanced(state, recorded.inventory, tuple(facts))
    done = operation.to(Phase.SUCCEEDED)
    state = closing(replace(state, operation=done, converged=Mark(operation.revision, now)), now)
    state = state.remembering({"revision": operation.revision, "outcome": "converged", "at": now})
    proof = proof_of(target, state, done, inventory, observed.live, healths, now)
    settled = f"{target.environment.policy.settle:g} s"
    converged = Fact(Step.CONVERGED, f"{target.environment.name} stayed so for {settled}", proof, now)
    facts.append(converged)
    return Advanced(replace(state, ending=converged.kept()), inventory, tuple(facts))


def _unhealthy(
    target: Target,
    recorded: Recorded,
    unhealthy: list[ResourceHealth],
    live: Mapping[ResourceKey, Resource],
    now: float,
) -> Advanced:
    operation, state = recorded.state.operation, recorded.state
    assert operation is not None
    troubles = troubles_of(target, unhealthy, live)
    bad = [health for health in unhealthy if health.health in MENDS_NOT]
    if troubles:
        subject, text = troubles[0][0], f"{troubles[0][0].key}: {troubles[0][1]}"
    else:
        subject = bad[0] if bad else max(unhealthy, key=lambda health: health.health.rank)
        gone = subject.health is Health.MISSING
        text = f"{subject.key}: {GONE if gone else explained(target, subject, live)}"
    if len(unhealthy) > 1:
        text += f" (and {len(unhealthy) - 1} more not healthy)"
    is_bad = bool(troubles or bad)
    troubled, is_over = patience(operation, now, is_bad=is_bad)
    if operation.phase is Phase.SETTLING:
        return _failed(state, recorded.inventory, operation, f"did not stay healthy: {text}", now, [])
    if is_over:
        waited = "" if is_bad else f"not healthy after {now - operation.applied:.0f} s: "
        return _failed(state, recorded.inventory, operation, waited + text, now, [])
    facts = [Fact(Step.DEGRADED if is_bad else Step.WAITING, text)] if text != operation.said else []
    waiting = replace(operation, said=text, troubled=troubled)
    return Advanced(replace(state, operation=waiting), recorded.inventory, tuple(facts))


def patience(operation: Operation, now: float, *, is_bad: bool) -> tuple[float, bool]:
    """Since when something is as waiting hardly mends it (Unix time, 0: nothing is), and whether the waiting is over."""
    troubled = (operation.troubled or now) if is_bad else 0.0
    return troubled, now > operation.deadline or (is_bad and now - troubled >= GRACE)


def failed(recorded: Recorded, text: str, now: float) -> Advanced:
    """The open operation ended by something that can no longer be looked at."""
    assert recorded.state.operation is not None
    return _failed(recorded.state, recorded.inventory, recorded.state.operation, text, now, [])


def _failed(
    state: EnvironmentState, inventory: Inventory, operation: Operation, text: str, now: float, facts: list[Fact]
) -> Advanced:
    failed = operation.to(Phase.FAILED, said=text)
    state = replace(state, operation=failed)
    state = state.remembering({"revision": operation.revision, "outcome": "failed", "at": now, "text": text})
    proof = {"revision": operation.revision, "state": "failed", "reason": text, "verdict": operation.verdict}
    ending = Fact(Step.FAILED, text, proof, now)
    return Advanced(diverging(replace(state, ending=ending.kept()), failed, now), inventory, (*facts, ending))


def _lingering(state: EnvironmentState, operation: Operation, pruned: Pruned, now: float) -> Advanced:
    """Pruned, and still there: waited for as long as for health, and kept in the inventory until it is gone."""
    more = f" (and {len(pruned.lingering) - 1} more)" if len(pruned.lingering) > 1 else ""
    text = f"{pruned.lingering[0].key}: deleting, {held_up(pruned.lingering[0])}{more}"
    facts = [Fact(Step.PRUNED, pruned.text)] if pruned.deleted else []
    if now > operation.deadline:
        waited = f"not gone after {now - operation.applied:.0f} s: {text}"
        return _failed(state, pruned.inventory, operation, waited, now, facts)
    facts += [Fact(Step.WAITING, text)] if text != operation.said else []
    return Advanced(replace(state, operation=replace(operation, said=text)), pruned.inventory, tuple(facts))


def differences(
    desired: tuple[Resource, ...], live: Mapping[ResourceKey, Resource], ownership: Ownership
) -> list[tuple[ResourceKey, FieldChange]]:
    """Every field that is sent and not observed so."""
    found: list[tuple[ResourceKey, FieldChange]] = []
    for resource in desired:
        now = live.get(resource.key)
        if now is not None and ownership.proof(resource, now).unchanged:
            continue
        if now is None:
            found.append((resource.key, FieldChange("metadata.name", resource.key.name, None)))
            continue
        sent = ownership.sent(resource, now).resource
        found += [(resource.key, change) for change in specified_differences(sent, now)]
    return found


def confirmed(
    inventory: Inventory, desired: frozenset[ResourceKey], live: Mapping[ResourceKey, Resource], manager: str
) -> Inventory:
    """The inventory with the uid of every desired object that our manager owns; other entries stay as they are.

    What left Git keeps the uid that it was applied with: who has its name now is somebody else, whatever its managers say.
    """
    entries = []
    for entry in inventory.entries:
        now = live.get(entry.key)
        owned = entry.key in desired and now is not None and _owned_by(now, manager)
        entries.append(InventoryEntry(entry.key, entry.version, now.uid) if owned and now is not None else entry)
    return Inventory(tuple(entries))


def _owned_by(live: Resource, manager: str) -> bool:
    return any(
        entry.get("manager") == manager and entry.get("operation") == "Apply"
        for entry in live.metadata.get("managedFields") or ()
    )


def proof_of(
    target: Target,
    state: EnvironmentState,
    operation: Operation,
    inventory: Inventory,
    live: Mapping[ResourceKey, Resource],
    healths: list[ResourceHealth],
    now: float,
) -> dict[str, Any]:
    """The proof of a revision: what was seen, when, and a digest over every object's uid and resourceVersion."""
    objects = [
        {**entry.key.to_json(), "uid": entry.uid, "resourceVersion": live[entry.key].resource_version}
        for entry in inventory.entries
        if entry.key in live
    ]
    digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()
    counted: dict[str, int] = {}
    for health in healths:
        counted[health.health.value] = counted.get(health.health.value, 0) + 1
    return {
        "environment": target.environment.name,
        "cluster_uid": state.cluster_uid,
        "revision": operation.revision,
        "state": "converged" if operation.phase is Phase.SUCCEEDED else "verified",
        "digest": digest,
        "objects": len(objects),
        "health": counted,
        "changes": dict(operation.summary),
        "fingerprint": operation.fingerprint,
        "verdict": operation.verdict,
        "settle": target.environment.policy.settle,
        "times": {
            "arrived": operation.arrived,
            "applied": operation.applied,
            "verified": operation.verified,
            "converged": now if operation.phase is Phase.SUCCEEDED else None,
        },
    }


def _healthy_text(
    desired: tuple[Resource, ...], healths: list[ResourceHealth], live: Mapping[ResourceKey, Resource]
) -> str:
    workloads = [resource.key for resource in desired if resource.key.group_kind in TEMPLATED]
    if len(workloads) == 1:
        spec = live[workloads[0]].body.get("spec") or {}
        status = live[workloads[0]].body.get("status") or {}
        if "replicas" in spec:
            return f"{workloads[0]} {status.get('readyReplicas', 0)}/{spec['replicas']}"
        return str(workloads[0])
    return f"{len(healths)} of {len(healths)} objects"


def _finished(desired: DesiredState, healths: Iterable[ResourceHealth], before: Mapping[str, str]) -> dict[str, str]:
    """The hash of every Job that has run to its end, and of every hook that goes; what left Git is forgotten."""
    healthy = {each.key for each in healths if each.health is Health.HEALTHY}
    found: dict[str, str] = {}
    for resource in desired.resources:
        name = str(resource.key)
        ends = resource.key.group_kind == "Job.batch" or resource.key in desired.removed
        if ends and resource.key.kind != "Secret":
            if resource.key in healthy:
                found[name] = manifest_hash(resource)
            elif name in before:
                found[name] = before[name]
    return found


def _remove_hooks(
    target: Target, desired: DesiredState, live: Mapping[ResourceKey, Resource], checkpoint: Checkpoint
) -> None:
    """Deletes the hooks that go once they have succeeded; one that cannot be deleted stays, and harms nobody."""
    going = [
        Change(key, live[key].version, Action.PRUNE, "a hook that has succeeded", uid=live[key].uid)
        for key in sorted(desired.removed)
        if key in live and key.kind != "Secret"
    ]
    delete(target, going, checkpoint)


def _moved(
    target: Target,
    resources: tuple[Resource, ...],
    found: list[tuple[ResourceKey, FieldChange]],
    live: Mapping[ResourceKey, Resource],
) -> tuple[list[tuple[ResourceKey, FieldChange]], int]:
    """The differences without those that the server itself makes whenever the manifest is applied, and their number.

    Some fields are dropped or overruled by the API server (an old annotation, an admission webhook). Where a dry run of
    the manifest would leave the live object as it is, that is what the manifest comes to.
    """
    doubted = {key for key, _ in found}
    as_made = set()
    for resource in resources:
        if resource.key in doubted and (now := live.get(resource.key)) is not None:
            sent = target.ownership.sent(resource, now).resource
            outcome = judge(sent, now, dry_run(target, sent), None, target.environment.policy)
            if isinstance(outcome, Change) and outcome.action is Action.UNCHANGED:
                as_made.add(resource.key)
    return [each for each in found if each[0] not in as_made], sum(key in as_made for key, _ in found)


def _verified_text(target: Target, operation: Operation, desired: DesiredState, otherwise: int, postponed: int) -> str:
    verdict = f", {operation.verdict}" if operation.verdict else ""
    left = f"; left out, because not served: {len(desired.unserved)}" if desired.unserved else ""
    kept = f"; specified fields that the API server keeps otherwise: {otherwise}" if otherwise else ""
    why = f"{operation.unanswered} did not answer" if operation.unanswered else "it was not planned"
    stays = f"; not pruned, because {why}: {postponed}" if postponed else ""
    return f"{target.environment.name} is at {short(operation.revision)}{verdict}{left}{kept}{stays}"


def problems_text(problems: tuple[Problem, ...]) -> str:
    """The first problem, and how many more there are."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"

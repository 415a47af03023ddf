"""`plumbline status`: what is recorded of an environment, and whether the cluster still is as it was proven."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from plumbline.target_arguments import add_target, cluster_of, states_of, target_of

if TYPE_CHECKING:
    from worker.adapters.inventory import StateStore

DIVERGED = 3
MOST = 20
"""Most objects that are told why they are not healthy: each costs a few requests."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_target(parser)
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text or json (text)")
    parser.epilog = "Exit code: 0 verified, 3 diverged or failed, 1 not known or error."
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the record; the exit code says what it comes to."""
    from plumbline.screen import coloured, print_under
    from worker.domain.convergence import Phase
    from worker.domain.health import Health, worst
    from worker.operations.explaining import explained, troubles_of
    from worker.planning.assessment import assess

    cluster = cluster_of(arguments)
    target = target_of(arguments, cluster)
    states = states_of(arguments, cluster)
    recorded = states.read(target.environment)
    state, operation = recorded.state, recorded.state.operation
    if not recorded.known or operation is None:
        print(recorded.alarm or f"{arguments.environment}: nothing is recorded in this cluster (never applied)")
        others = _repositories(states, arguments.environment)
        if others and not recorded.alarm:
            print(
                f"  It is recorded for another repository: add {' or '.join(f'--repository {name}' for name in others)}"
            )
        return 1
    wanted = {entry.key: entry.version for entry in recorded.inventory.entries}
    live = cluster.read(wanted, target.environment.owner_label).live
    healths = [assess(live.get(key), key, target.environment.policy.health) for key in wanted]
    bad = [health for health in healths if not health.health.is_good]
    troubles = {health.key: trouble for health, trouble in troubles_of(target, bad[:MOST], live)}
    why = {each.key: troubles.get(each.key) or explained(target, each, live) for each in bad[:MOST]}
    summed = worst(health.health for health in healths)
    document = {
        "environment": arguments.environment,
        "revision": state.applied.revision if state.applied else None,
        "operation": str(operation.phase),
        "health": summed.value,
        "verified": state.verified.revision if state.verified else None,
        "converged": state.converged.revision if state.converged else None,
        "verdict": operation.verdict,
        "objects": len(wanted),
        "unhealthy": [
            {"object": str(each.key), "health": each.health.value, "reason": why.get(each.key, each.reason)}
            for each in bad
        ],
        "reason": operation.said,
        "history": [dict(entry) for entry in state.history],
    }
    if arguments.output == "json":
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        colour = "32" if operation.phase is Phase.SUCCEEDED and summed is Health.HEALTHY else "33"
        health = summed.value if wanted else "nothing is applied yet"
        print(coloured(f"{arguments.environment}  {operation.phase}, {health}", colour))
        for name in ("applied", "verified", "converged"):
            mark = getattr(state, name)
            if mark is not None:
                when = datetime.fromtimestamp(mark.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                print(f"  {name:<11} {mark.revision}  {when}")
        print(f"  objects     {len(wanted)}" + (f", {len(bad)} not healthy" if bad else ""))
        for each in bad[:MOST]:
            print_under(each.health.value, f"{each.key}: {why[each.key]}")
        if len(bad) > MOST:
            print(f"  and {len(bad) - MOST} more")
        if operation.said and not any(operation.said == f"{key}: {text}" for key, text in why.items()):
            print_under("reason", operation.said)
        if operation.verdict:
            print_under("verdict", operation.verdict)
    good = operation.phase in (Phase.SUCCEEDED, Phase.SETTLING) and not bad
    return 0 if good else DIVERGED


def _repositories(states: StateStore, environment: str) -> list[str]:
    """The repositories for which an environment of that name is recorded here."""
    from worker.adapters.inventory import RECORD_LABEL

    records, _ = states.records.list("ConfigMap", f"{RECORD_LABEL}=state")
    found = (states.opened(record) for record in records)
    names = (each.state.environment.rpartition(":")[2].rpartition("/") for each in found if each.trusted)
    return sorted({repository for repository, _, name in names if name == environment})

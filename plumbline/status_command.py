"""`plumbline status`: how an environment stands by the record in its cluster, and the health of its objects now."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from plumbline.target_arguments import add_target, cluster_of, states_of, target_of

if TYPE_CHECKING:
    from worker.adapters.inventory import StateStore

DIVERGED, HELD = 3, 4
MOST = 20
"""Most objects that are told why they are not healthy: each costs a few requests."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_target(parser)
    parser.add_argument(
        "--instance", default="", metavar="NAME", help="the installation's `instance` in app.yaml (default)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text or json (text)")
    parser.epilog = "Exit code: 0 verified, 3 diverged, failed or not verified yet, 4 held, 1 not known or error."
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the record; the exit code says what it comes to."""
    from plumbline.status_text import document, is_verified, print_status
    from worker.domain.convergence import Phase
    from worker.operations.explaining import explained, troubles_of
    from worker.operations.observing import healths_of

    cluster = cluster_of(arguments)
    target = target_of(arguments, cluster)
    states = states_of(arguments, cluster)
    recorded = states.read(target.environment)
    operation = recorded.state.operation
    if not recorded.known or operation is None:
        print(recorded.alarm or f"{arguments.environment}: nothing is recorded in this cluster (never applied)")
        others = _recorded(states, arguments.environment)
        if others and not recorded.alarm:
            print(f"  An environment of that name is recorded here: ask with {' or with '.join(others)}")
        return 1
    wanted = {entry.key: entry.version for entry in recorded.inventory.entries}
    live = cluster.read(wanted, target.environment.owner_label).live
    healths = healths_of(target, recorded, live)
    bad = [health for health in healths if not health.health.is_good]
    troubles = {health.key: trouble for health, trouble in troubles_of(target, bad[:MOST], live)}
    why = {each.key: troubles.get(each.key) or explained(target, each, live) for each in bad[:MOST]}
    found = document(arguments.environment, recorded.state, healths, why, time.time())
    if arguments.output == "json":
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_status(found, MOST)
    if operation.phase is Phase.HELD:
        return HELD
    return 0 if is_verified(found) else DIVERGED


def _recorded(states: StateStore, environment: str) -> list[str]:
    """The options that name each environment of that name that is recorded here."""
    from worker.adapters.inventory import RECORD_LABEL

    records, _ = states.records.list("ConfigMap", f"{RECORD_LABEL}=state")
    found = (states.opened(record) for record in records)
    return sorted(named for each in found if each.trusted and (named := options(each.state.environment, environment)))


def options(slug: str, environment: str) -> str:
    """The options that name the environment of a slug (`instance:repository/environment`); empty where it is another."""
    instance, _, rest = slug.rpartition(":")
    repository, _, name = rest.rpartition("/")
    if name != environment:
        return ""
    return f"--repository {repository}" + (f" --instance {instance}" if instance else "")

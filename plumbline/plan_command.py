"""`plumbline plan`: what applying a folder would change; reads only."""

from __future__ import annotations

import argparse
import json

from plumbline.target_arguments import add_source, add_target, gathered, local_key, states_of

CHANGES, UNPREDICTABLE, HELD = 2, 5, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_source(parser)
    add_target(parser)
    parser.add_argument("--prune", action="store_true", help="also plan to delete what is no longer in the folder")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text or json (text)")
    parser.epilog = "Exit code: 0 nothing to do, 2 changes, 4 held, 5 unpredictable, 1 error, 64 wrong call."
    parser.add_argument(
        "--order", action="store_true", help="only print in which order the objects are applied; exit code 0"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan; the exit code says what it comes to."""
    from plumbline.screen import print_marked, print_order, print_plan
    from worker.garbage import relax_collector
    from worker.operations.predicting import predict

    relax_collector()

    target, rendered = gathered(arguments)
    states = states_of(arguments, target.cluster)
    key = states.existing_key() or local_key()
    recorded = states.read(target.environment)
    prediction = predict(
        target, f"worktree:{rendered.inputs[:40]}", rendered.resources, recorded, key, prune=arguments.prune,
        warnings=rendered.warnings,
    )  # fmt: skip
    plan = prediction.plan
    if arguments.order:
        print_order(prediction.desired.stages)
        return 0
    if arguments.output == "json":
        document = {**plan.to_json(), "environment": arguments.environment}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_plan(plan, arguments.environment)
        if prediction.hold is not None:
            print_marked("held", "33;1", str(prediction.hold))
    if plan.unpredictable:
        return UNPREDICTABLE
    if prediction.hold is not None:
        return HELD
    return CHANGES if plan.writes else 0

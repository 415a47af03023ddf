"""`plumbline render`: the desired state of a folder, as it would be applied; asks no cluster."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from plumbline.target_arguments import add_source, tools


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_source(parser)
    parser.add_argument("--namespace", "-n", default="", metavar="N", help="where objects without one go")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="yaml or json (yaml)")
    parser.epilog = "Secret values are not printed. json is a list of objects in apply order."
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the objects in apply order."""
    from worker.adapters.renderer import Capabilities, Renderer
    from worker.domain.environment import Ceiling, Environment
    from worker.domain.errors import DesiredStateError
    from worker.domain.installation import RenderLimits
    from worker.planning.ordering import apply_order
    from worker.planning.validation import builtin_scope, place, scope_with, validate

    environment = Environment(
        "local", "render", "", ".", "", arguments.namespace, arguments.renderer,
        values=tuple(arguments.values), release=arguments.release or "release",
    )  # fmt: skip
    rendered = Renderer(None, RenderLimits(), tools()).render_folder(
        Path(arguments.path).resolve(), environment, Capabilities()
    )
    scope = scope_with(rendered.resources, builtin_scope)
    placed = place(rendered.resources, arguments.namespace, scope)
    place_given = bool(arguments.namespace)
    problems = validate(placed, environment, Ceiling(), lambda group, kind: place_given and bool(scope(group, kind)))
    if problems:
        raise DesiredStateError(problems)
    for warning in rendered.warnings:
        print(f"note  {warning}", file=sys.stderr)
    bodies = [_shown(resource.body) for group in apply_order(placed) for resource in group]
    if arguments.output == "json":
        print(json.dumps(bodies, indent=2, ensure_ascii=False))
    else:
        import yaml

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        sys.stdout.write(
            "---\n".join(yaml.dump(body, Dumper=dumper, sort_keys=False, allow_unicode=True) for body in bodies)
        )
    return 0


def _shown(value: Any) -> Any:
    from worker.domain.resource import MASK, SecretValue

    if isinstance(value, SecretValue):
        return MASK
    if isinstance(value, dict):
        return {name: _shown(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_shown(member) for member in value]
    return value

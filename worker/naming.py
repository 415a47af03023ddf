"""Where environments name images at the tip of a branch: what the jobs of `/image` and of the policies gather."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.reading_inputs import read_inputs, readers
from worker.domain.declaration import Declaration
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.image_places import image_places
from worker.domain.image_update import Naming, NamingFile
from worker.domain.rollback import PLAIN_MODES
from worker.planning.retagging import Found, by_file
from worker.workbench import Workbench

TEXTS: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(slots=True)
class Place:
    """A branch at its tip, and what the `environments` that are asked about read there: git's mode and blob by path."""

    checkout: Checkout
    branch: str
    tip: str
    declaration: Declaration
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    environments: list[str] = field(default_factory=list)

    def read(self, environment: Environment) -> None:
        """Asks about one environment more. Raises DesiredStateError where its folder is not there."""
        self.files |= read_inputs(self.checkout, self.tip, environment).files
        self.environments.append(environment.name)


def at_tip(bench: Workbench, repository: str, branch: str) -> Place:
    """A branch as it is now. Raises Refused where it is not followed, DesiredStateError for its plumbline.yaml."""
    declared = bench.repository(repository)
    checkout = bench.checkout(declared)
    tip = checkout.tip(branch)
    if tip is None or not declared.follows(branch):
        raise Refused(f"there is no branch {branch} that is followed", "Ask on a change request into one")
    checkout.fetch(tip, branch)
    return Place(checkout, branch, tip, bench.declaration(checkout, declared, tip, branch))


def named(place: Place) -> Iterator[Found]:
    """Every place that names an image in what is read; a chart's templates are no YAML, and have none."""
    for path, (mode, blob) in sorted(place.files.items()):
        if mode in PLAIN_MODES and PurePosixPath(path).suffix in TEXTS:
            try:
                places = image_places(place.checkout.blob(blob, path))
            except (DesiredStateError, UnicodeDecodeError):
                continue
            yield from (Found(path, each) for each in places)


def naming_files(place: Place, changed: Iterable[Found]) -> tuple[NamingFile, ...]:
    """The files of the places that change, each with the environments that read it and were not asked about."""
    to_write = by_file(changed)
    shared = readers([(place.checkout, place.tip)], place.declaration, place.environments, to_write)
    return tuple(
        NamingFile(
            path,
            place.files[path][1],
            place.files[path][0],
            tuple(Naming(each.document, each.path, each.line) for each in places),
            shared.get(path, ()),
        )
        for path, places in to_write.items()
    )

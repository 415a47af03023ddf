"""Job: where an environment names an image. Nothing is written anywhere.

It reads as its phases: gather (the branch's tip, what the environment reads there), judge (`worker.planning.retagging`), report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from worker.adapters.checkout import Checkout
from worker.adapters.reading_inputs import read_inputs, readers
from worker.domain.declaration import Declaration
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, PlumblineError, Refused, Unavailable
from worker.domain.image_places import image_places
from worker.domain.image_update import ImageReport, ImageRequest, Naming, NamingFile
from worker.domain.images import ImageError, read_image
from worker.domain.rollback import PLAIN_MODES, Inputs
from worker.planning.retagging import Found, by_file, listed, to_change
from worker.workbench import Workbench, shortage

TEXTS: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class _Place:
    """An environment at a branch's tip, and what it reads there."""

    checkout: Checkout
    tip: str
    declaration: Declaration
    environment: Environment
    inputs: Inputs


def image(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files name an image, or why none is to be changed. Raises Unavailable (tried again)."""
    request = ImageRequest.from_json(message)
    try:
        report = _judged(bench, request)
    except Unavailable:
        raise
    except (PlumblineError, ImageError) as error:
        report = ImageReport(request, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(bench: Workbench, request: ImageRequest) -> ImageReport:
    new = read_image(request.image)
    place = _gathered(bench, request)
    changed, left = to_change(_named(place), new)
    warnings = []
    if left:
        warnings.append(f"left as it is, because a kustomization sets the image over it: {listed(left)}")
    to_write = by_file(changed)
    shared = readers([(place.checkout, place.tip)], place.declaration, request.environment, to_write)
    files = tuple(
        NamingFile(
            path,
            place.inputs.files[path][1],
            place.inputs.files[path][0],
            tuple(Naming(each.document, each.path, each.line) for each in places),
            shared.get(path, ()),
        )
        for path, places in to_write.items()
    )
    return ImageReport(request, place.tip, files, tuple(warnings))


def _gathered(bench: Workbench, request: ImageRequest) -> _Place:
    """The environment at the tip of the branch that was asked about. Raises Refused and DesiredStateError."""
    repository = bench.repository(request.repository)
    checkout = bench.checkout(repository)
    tip = checkout.tip(request.branch)
    if tip is None or not repository.follows(request.branch):
        raise Refused(f"there is no branch {request.branch} that is followed", "Ask on a change request into one")
    checkout.fetch(tip, request.branch)
    declaration = bench.declaration(checkout, repository, tip, request.branch)
    environment = declaration.environment(request.environment)
    if environment is None:
        raise Refused(
            f"{request.branch} does not declare the environment {request.environment}",
            "Look at `environments` in plumbline.yaml",
        )
    return _Place(checkout, tip, declaration, environment, read_inputs(checkout, tip, environment))


def _named(place: _Place) -> Iterator[Found]:
    """Every place that names an image in what the environment reads; a chart's templates are no YAML, and have none."""
    for path, (mode, blob) in sorted(place.inputs.files.items()):
        if mode in PLAIN_MODES and PurePosixPath(path).suffix in TEXTS:
            try:
                places = image_places(place.checkout.blob(blob, path))
            except (DesiredStateError, UnicodeDecodeError):
                continue
            yield from (Found(path, each) for each in places)

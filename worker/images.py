"""Job: where an environment names an image. Nothing is written anywhere.

It reads as its phases: gather (the branch's tip, what the environment reads there), judge (`worker.planning.retagging`), report.
"""

from __future__ import annotations

from typing import Any

from worker.domain.environment import Environment
from worker.domain.errors import PlumblineError, Refused, Unavailable
from worker.domain.image_update import ImageReport, ImageRequest
from worker.domain.images import ImageError, read_image
from worker.naming import Place, at_tip, named, naming_files
from worker.planning.retagging import listed, to_change
from worker.workbench import Workbench, shortage, tried


def image(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files name an image, or why none is to be changed. Raises Unavailable (tried again)."""
    request = ImageRequest.from_json(message)
    try:
        report = _judged(bench, request)
    except Unavailable as error:
        if not bench.is_too_late(request.at):
            raise
        report = ImageReport(request, refusal=tried(error))
    except (PlumblineError, ImageError) as error:
        report = ImageReport(request, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(bench: Workbench, request: ImageRequest) -> ImageReport:
    new = read_image(request.image)
    place = at_tip(bench, request.repository, request.branch)
    place.read(_environment(place, request.environment))
    changed, left = to_change(named(place), new)
    warnings = []
    if left:
        warnings.append(f"left as it is, because a kustomization sets the image over it: {listed(left)}")
    files = naming_files(place, changed)
    return ImageReport(request, place.tip, files, tuple(warnings))


def _environment(place: Place, name: str) -> Environment:
    """The environment that was asked about. Raises Refused and DesiredStateError."""
    environment = place.declaration.environment(name)
    if environment is None:
        raise Refused(
            f"{place.branch} does not declare the environment {name}", "Look at `environments` in plumbline.yaml"
        )
    return environment

"""Job: which changes of files take the drift of an environment into Git. Nothing is written anywhere.

It reads as its phases: gather (the branch's tip, what it renders to, a look at the cluster now), judge
(`worker.planning.adopting`), prove (the tree is made beside the repository and rendered: the drifted fields must come out as they
live, and nothing else may change), report.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.adapters.checkout import Checkout
from worker.adapters.confined.references import KUSTOMIZATIONS
from worker.adapters.grafting import altered
from worker.adapters.reading_inputs import read_inputs, readers
from worker.adapters.renderer import Capabilities
from worker.adapters.renderer.inputs import is_manifest
from worker.domain.adoption import AdoptedFile, AdoptionReport, AdoptionRequest
from worker.domain.blobs import blob_id
from worker.domain.declaration import Declaration
from worker.domain.desired import DesiredState
from worker.domain.edits.changes import Change, edited
from worker.domain.edits.places import NotEditable
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, PlumblineError, Refused, Unavailable
from worker.domain.installation import Repository
from worker.domain.proposals import Drift
from worker.domain.resource import Resource, ResourceKey
from worker.domain.rollback import PLAIN_MODES, Inputs
from worker.domain.yaml_text import Document, read_documents
from worker.operations.observing import Applied, look_at
from worker.operations.preparing import Target, prepare
from worker.planning import charting, overlaying
from worker.planning.adopting import (
    Offered,
    about,
    chosen,
    in_manifest,
    left_out,
    sorted_out,
    summed_up,
    unproven,
)
from worker.planning.charting import ValuesFile
from worker.planning.offers import Offer, changes_of
from worker.planning.overlaying import Overlay
from worker.workbench import Workbench, shortage, tried

_CHART_INSIDE: Final = re.compile(r"charts/[^/]+/values\.yaml")


@dataclass(frozen=True, slots=True)
class _Place:
    """An environment at a branch's tip, and what it reads there."""

    repository: Repository
    checkout: Checkout
    tip: str
    declaration: Declaration
    environment: Environment
    inputs: Inputs

    def documents(self, path: str) -> Sequence[Document]:
        """What such a file says. Raises Refused and DesiredStateError."""
        return read_documents(self.content(path), path)

    def content(self, path: str) -> bytes:
        """A file that the environment reads. Raises Refused where it is none whose text can be changed."""
        mode, blob = self.inputs.files.get(path, ("", ""))
        if mode not in PLAIN_MODES:
            raise Refused(f"{path} is no plain file")
        return self.checkout.blob(blob, path)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the tip renders to, by which renderer, and what lives of it now."""

    target: Target
    capabilities: Capabilities
    renderer: str
    desired: DesiredState
    live: Mapping[ResourceKey, Resource]
    drift: tuple[Drift, ...]


def adopt(bench: Workbench, message: dict[str, Any]) -> None:
    """Says which files change to take drift into Git, or why none does. Raises Unavailable (tried again)."""
    request = AdoptionRequest.from_json(message)
    try:
        report = _judged(bench, request)
    except Unavailable as error:
        if not bench.is_too_late(request.at):
            raise
        report = AdoptionReport(request, refusal=tried(error))
    except PlumblineError as error:
        report = AdoptionReport(request, refusal=str(error))
    except (OSError, MemoryError) as error:
        raise shortage(error) from None
    bench.outbox.report(report)


def _judged(bench: Workbench, request: AdoptionRequest) -> AdoptionReport:
    place = _gathered(bench, request)
    seen = _looked(bench, place)
    drift = about(seen.drift, request.object, (each.key for each in seen.desired.resources))
    wanted, left = sorted_out(drift)
    offered, unsaid = _offered(place, seen, wanted)
    picked, failed = chosen(offered, lambda picks: _against(bench, place, seen, picks))
    left = (*left, *unsaid, *failed)
    if not picked:
        raise Refused(summed_up(left), "What has drifted stays as it is, in the cluster and in Git")
    files = _files(place, [offer for _, offer in picked])
    return AdoptionReport(request, place.tip, files, tuple(drift for drift, _ in picked), left)


def _gathered(bench: Workbench, request: AdoptionRequest) -> _Place:
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
    return _Place(repository, checkout, tip, declaration, environment, read_inputs(checkout, tip, environment))


def _looked(bench: Workbench, place: _Place) -> _Seen:
    """What differs now, by a look of its own at the cluster. Raises Refused where that may be more than drift."""
    environment = place.environment
    side = bench.bench(environment.cluster)
    recorded = side.states.read(environment)
    applied = recorded.state.applied.revision if recorded.state.applied is not None else ""
    if recorded.alarm or applied != place.tip:
        why = recorded.alarm or (
            f"{place.tip[:7]}, the newest commit, is not applied to {environment.name} (applied is {applied[:7] or 'nothing'}), "
            "so what differs may be that commit and not drift"
        )
        raise Refused(why, "Ask again once it is applied")
    capabilities = side.capabilities()
    rendered = bench.renderer.render_revision(place.checkout, place.tip, environment, capabilities)
    target = bench.target(environment, place.repository)
    desired = prepare(target, rendered.resources)
    keys = frozenset(resource.key for resource in desired.resources)
    observed = look_at(target, Applied(desired), recorded, place.tip, keys)
    if observed.look.reason:
        raise Unavailable(observed.look.reason)
    target = target.beside(desired.resources)
    return _Seen(target, capabilities, rendered.renderer, desired, observed.live, observed.look.drift)


def _offered(place: _Place, seen: _Seen, wanted: Sequence[Drift]) -> tuple[tuple[Offered, ...], tuple[str, ...]]:
    """Each field with the ways to say it in Git, and a sentence about each that has none."""
    desired = {each.key: each for each in seen.desired.resources}
    overlay = _overlay(place) if seen.renderer == "kustomize" else None
    values = _values(place) if seen.renderer == "helm" else ()
    found: list[Offered] = []
    left: list[str] = []
    for drift in wanted:
        resource = desired[drift.key]
        file = resource.source.file if resource.source is not None else ""
        try:
            if overlay is not None:
                offers = overlaying.ways(drift, resource, overlay)
            elif seen.renderer == "helm":
                offers = charting.ways(drift, values)
            else:
                offers = (in_manifest(drift, file, place.documents(file)),)
        except NotEditable as error:
            left.append(left_out(drift, f"{file}, {error.reason}"))
        except Refused as error:
            left.append(left_out(drift, error.reason))
        else:
            if offers:
                found.append((drift, offers))
            else:
                left.append(
                    left_out(drift, "none of the chart's values makes it what it is, its template does: change that")
                )
    return tuple(found), tuple(left)


def _overlay(place: _Place) -> Overlay:
    """The environment's kustomization, and what only it reads. Raises Refused."""
    folder = f"{place.inputs.folder}/" if place.inputs.folder else ""
    file = next((f"{folder}{name}" for name in KUSTOMIZATIONS if f"{folder}{name}" in place.inputs.files), "")
    paths = [path for path in place.inputs.files if is_manifest(path) and path != file]
    shared = readers([(place.checkout, place.tip)], place.declaration, place.environment.name, paths)
    texts = {}
    for path in paths:
        if path not in shared:
            with contextlib.suppress(PlumblineError):
                texts[path] = place.documents(path)
    return Overlay(file, place.documents(file)[0], texts)


def _values(place: _Place) -> tuple[ValuesFile, ...]:
    """The chart's values, those that win first: the environment's files, the chart's own, those of charts inside it."""
    folder = place.inputs.folder
    named = [posixpath.normpath(posixpath.join(folder, each)) for each in reversed(place.environment.values)]
    inside = [path for path in place.inputs.files if _CHART_INSIDE.fullmatch(posixpath.relpath(path, folder or "."))]
    paths = list(dict.fromkeys([*named, posixpath.join(folder, "values.yaml"), *sorted(inside)]))
    shared = readers([(place.checkout, place.tip)], place.declaration, place.environment.name, paths)
    found = []
    for path in paths:
        with contextlib.suppress(PlumblineError):
            value = next((each.value for each in place.documents(path)), None)
            below = (posixpath.basename(posixpath.dirname(path)),) if path in inside else ()
            found.append(ValuesFile(path, value, below, path in shared, path not in inside))
    return tuple(found)


def _against(bench: Workbench, place: _Place, seen: _Seen, picks: Sequence[tuple[Drift, Offer]]) -> Sequence[str]:
    """What speaks against these changes, tried together: they cannot be made, do not render, or do something else."""
    try:
        made = _made(place, changes_of([offer for _, offer in picks], place.documents))
        contents = {path: (place.inputs.files[path][0], content) for path, content in made.items()}
        with altered(place.checkout, place.tip, contents) as (beside, tree):
            rendered = bench.renderer.render_revision(beside, tree, place.environment, seen.capabilities)
        after = prepare(seen.target, rendered.resources)
    except Refused as error:
        return (error.reason,)
    except DesiredStateError as error:
        return (f"the desired state would not be valid: {error.problems[0]}",)
    target = seen.target.beside(after.resources)
    return unproven(
        seen.desired.resources,
        after.resources,
        seen.live,
        lambda resource: target.ownership.sent(resource, seen.live.get(resource.key)).resource,
        [drift for drift, _ in picks],
    )


def _made(place: _Place, changes: Mapping[str, Sequence[Change]]) -> dict[str, bytes]:
    """The files with these changes. Raises Refused with the file and the line."""
    made: dict[str, bytes] = {}
    for path, each in changes.items():
        try:
            made[path] = edited(place.content(path), each)
        except NotEditable as error:
            raise Refused(f"{path}, {error.reason}", error.next_step) from None
    return made


def _files(place: _Place, offers: Sequence[Offer]) -> tuple[AdoptedFile, ...]:
    changes = changes_of(offers, place.documents)
    made = _made(place, changes)
    shared = readers([(place.checkout, place.tip)], place.declaration, place.environment.name, changes)
    found = []
    for path, each in changes.items():
        mode, blob = place.inputs.files[path]
        found.append(AdoptedFile(path, blob, mode, blob_id(made[path], blob), each, shared.get(path, ())))
    return tuple(found)

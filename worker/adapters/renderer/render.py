"""What people call: a commit's environment, or a folder, rendered into Resources."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from worker.adapters.checkout import LINK, MODULE, Checkout
from worker.adapters.renderer import inputs, jail, programs
from worker.adapters.renderer.kept import Kept
from worker.adapters.renderer.programs import RenderTools
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits
from worker.domain.resource import MalformedSecret, Resource, Source, resource_of

PARSER: Final = Path(__file__).with_name("parsing.py")
FORMAT: Final = "1"
"""Changes when the kept form does, so that old entries are misses."""

OUTPUT: Final = "rendered.yaml"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a chart may ask of the cluster: its version and the APIs that it serves; empty where nobody asked it."""

    kube_version: str = ""
    api_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """Desired objects as written (no default namespace, no order), what they were rendered from, and by what.

    `inputs` is the digest of everything that the render read: equal inputs are the same desired state.
    """

    resources: tuple[Resource, ...]
    inputs: str
    renderer: str
    warnings: tuple[str, ...] = field(default=())


Write = Callable[[Path], list[str]]
"""Puts the files under a folder and returns warnings."""


class Renderer:
    """Renders with a cache on disk; `cache` None renders afresh each time."""

    def __init__(self, cache: Path | None, limits: RenderLimits, tools: RenderTools) -> None:
        self._kept = Kept(cache / "renders") if cache is not None else None
        self._limits = limits
        self._tools = tools

    def render_revision(
        self, checkout: Checkout, revision: str, environment: Environment, capabilities: Capabilities
    ) -> Rendered:
        """The desired state of an environment in a commit.

        Raises DesiredStateError with every problem found, and MissingTool where a program is not there.
        """
        folder = "" if environment.path == "." else environment.path
        entries = checkout.entries(revision, folder)
        names = [entry.path[len(folder) + 1 if folder else 0 :] for entry in entries]
        renderer = inputs.choose(environment.renderer, (name for name in names if "/" not in name))
        outside = renderer != "yaml" and inputs.reaches_out(entries, checkout, environment.values)
        if renderer == "yaml":
            entries = tuple(entry for entry, name in zip(entries, names, strict=True) if inputs.is_manifest(name))
            outside = any(entry.mode == LINK for entry in entries)
        read = checkout.entries(revision, "") if outside else entries
        parts = [part for entry in read for part in (entry.mode, entry.id, entry.path)]
        own = [entry.path for entry in entries if entry.mode != MODULE]

        def write(root: Path) -> list[str]:
            (root / folder).mkdir(parents=True, exist_ok=True)
            return inputs.write_tree(checkout, read, root, self._limits)

        return self._render(environment, renderer, parts, capabilities, own, write)

    def render_folder(self, path: Path, environment: Environment, capabilities: Capabilities) -> Rendered:
        """The desired state of a folder of this machine, read in place."""
        if not path.is_dir():
            raise DesiredStateError(
                [Problem(f"{path} is not a folder", suggestion="give the folder that holds the manifests")]
            )
        files = inputs.folder_files(path)
        renderer = inputs.choose(environment.renderer, (name for name, _ in files if "/" not in name))
        if renderer == "yaml":
            files = [(name, content) for name, content in files if inputs.is_manifest(name)]
        parts = [part for file in files for part in file]
        rendered = self._run(environment, renderer, capabilities, [name for name, _ in files], path, ".")
        return self._made(rendered, inputs.digest(parts), renderer, environment, [])

    def _render(
        self,
        environment: Environment,
        renderer: str,
        parts: list[str],
        capabilities: Capabilities,
        own: list[str],
        write: Write,
    ) -> Rendered:
        key = inputs.digest(
            [FORMAT, renderer, environment.path, *parts, *self._options(environment, renderer, capabilities)]
        )
        kept = self._kept.get(key) if self._kept is not None else None
        if kept is not None:
            document = orjson.loads(kept)
            return self._made(document["documents"], key, renderer, environment, document["warnings"])
        with tempfile.TemporaryDirectory(prefix="plumbline-render-") as folder:
            root = Path(folder)
            warnings = write(root)
            found = self._run(environment, renderer, capabilities, own, root, environment.path)
        made = self._made(found, key, renderer, environment, warnings)
        if self._kept is not None:
            self._kept.put(key, json.dumps({"documents": found, "warnings": warnings}).encode())
        return made

    def _options(self, environment: Environment, renderer: str, capabilities: Capabilities) -> list[str]:
        if renderer != "helm":
            return []
        versions = [capabilities.kube_version, *capabilities.api_versions]
        return [environment.release, environment.namespace, *environment.values, *versions]

    def _run(
        self,
        environment: Environment,
        renderer: str,
        capabilities: Capabilities,
        own: list[str],
        root: Path,
        path: str,
    ) -> list[Any]:
        """The documents of a render: [file, line, value] each."""
        folder = root / path
        with tempfile.TemporaryDirectory(prefix="plumbline-jail-") as place:
            home = Path(place)
            output = home / OUTPUT
            match renderer:
                case "kustomize":
                    programs.kustomize(self._tools, root, folder, output, self._limits, home)
                case "helm":
                    versions = (capabilities.kube_version, capabilities.api_versions)
                    programs.helm(self._tools, environment, versions, root, folder, output, self._limits, home)
                    self._second_helm_run(environment, versions, root, folder, home)
                case _:
                    return self._parsed(root, own, home)
            return self._parsed(home, [OUTPUT], home)

    def _second_helm_run(
        self, environment: Environment, versions: tuple[str, tuple[str, ...]], root: Path, folder: Path, home: Path
    ) -> None:
        """A chart that renders differently each time has no desired state to prove: it is refused, and named."""
        again = home / "again.yaml"
        programs.helm(self._tools, environment, versions, root, folder, again, self._limits, home)
        first, second = (home / OUTPUT).read_text(), again.read_text()
        if first == second:
            return
        for one, other in zip(first.split("\n---\n"), second.split("\n---\n"), strict=False):
            if one != other:
                named = next(
                    (line for line in one.splitlines() if line.startswith("# Source: ")), "# Source: a template"
                )
                file = named.removeprefix("# Source: ").split("/", 1)[-1]
                message = "renders differently each time (a random value or the time of day)"
                suggestion = "give the value in a values file, or keep it outside the chart"
                raise DesiredStateError([Problem(message, file, suggestion=suggestion)])

    def _parsed(self, root: Path, names: list[str], home: Path) -> list[Any]:
        if not names:
            return []
        listing, output = home / "names.json", home / "parsed.json"
        listing.write_text(json.dumps(names))
        ended = jail.run([sys.executable, "-I", PARSER, root, listing], output, self._limits, what="reading", home=home)
        if ended.code != 0:
            raise DesiredStateError(
                [Problem("the files cannot be read: " + (ended.error.strip().splitlines() or ["?"])[-1])]
            )
        answer = orjson.loads(output.read_bytes())
        if "problems" in answer:
            raise DesiredStateError([Problem.from_json(problem) for problem in answer["problems"]])
        documents: list[Any] = answer["documents"]
        return documents

    def _made(
        self, documents: list[Any], key: str, renderer: str, environment: Environment, warnings: Iterable[str]
    ) -> Rendered:
        problems: list[Problem] = []
        resources: list[Resource] = []
        for file, line, value in documents:
            source = Source(_where(renderer, environment, file), line if renderer == "yaml" else None)
            for body in _flattened(value):
                made = _resource(body, source)
                if isinstance(made, Problem):
                    problems.append(made)
                else:
                    resources.append(made)
        if problems:
            raise DesiredStateError(problems)
        if len(resources) > self._limits.objects:
            raise DesiredStateError([Problem(f"renders more than {self._limits.objects} objects")])
        return Rendered(tuple(resources), key, renderer, tuple(warnings))


def _where(renderer: str, environment: Environment, file: str) -> str:
    if renderer == "yaml":
        return file
    name = "kustomization.yaml" if renderer == "kustomize" else "Chart.yaml"
    return name if environment.path == "." else f"{environment.path}/{name}"


def _flattened(value: Any) -> Iterator[Any]:
    """The objects of a document: itself, or the items of a List (also of a typed one such as ConfigMapList)."""
    kind = value.get("kind") if isinstance(value, dict) else None
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        for item in items:
            if isinstance(item, dict) and kind != "List":
                item = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List"), **item}  # noqa: PLW2901
            yield from _flattened(item)
    else:
        yield value


def _resource(body: Any, source: Source) -> Resource | Problem:
    def problem(message: str, suggestion: str, where: str | None = None) -> Problem:
        return Problem(message, source.file, source.line, where, suggestion)

    if not isinstance(body, dict):
        return problem("is not a Kubernetes object", "move it out of the environment's folder")
    for member in ("apiVersion", "kind"):
        if not isinstance(body.get(member), str) or not body[member]:
            return problem(
                f"is not a Kubernetes object: `{member}` is missing", "add it, or move the file out of the folder"
            )
    metadata = body.get("metadata")
    if not isinstance(metadata, dict) or (metadata.get("name") in (None, "") and not metadata.get("generateName")):
        return problem(f"the {body['kind']} has no metadata.name", "add `metadata: {name: …}`")
    named: object = metadata.get("generateName") if metadata.get("name") in (None, "") else metadata["name"]
    if not isinstance(named, str) or not isinstance(metadata.get("namespace") or "", str):
        return problem(f"the {body['kind']} has a name or namespace that is not text", "put it in quotes")
    if not metadata.get("name"):
        return problem(
            "has generateName, so nothing can be said of it twice",
            "give it a fixed metadata.name",
            f"{body['kind']} {named}",
        )
    try:
        return resource_of(body, source)
    except MalformedSecret as error:
        return problem(str(error), "put the value in quotes; under `data` it is encoded with base64", f"Secret {named}")

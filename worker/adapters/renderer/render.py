"""What people call: a commit's environment, or a folder, rendered into Resources."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from worker.adapters.checkout import Checkout
from worker.adapters.renderer import inputs, jail, programs
from worker.adapters.renderer.chance import may_vary
from worker.adapters.renderer.jail import Tree
from worker.adapters.renderer.kept import Kept
from worker.adapters.renderer.objects import flattened, made_of
from worker.adapters.renderer.programs import RenderTools
from worker.adapters.trees import FILE, LINK, MODULE, TreeEntry
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits
from worker.domain.resource import Resource, Source

FORMAT: Final = "2"
"""Changes when the kept form does, so that old entries are misses."""

OUTPUT: Final = "rendered.yaml"
RECENT: Final = 10_000
"""Objects of recent renders that stay in memory: a push, its convergence and each look ask for the same one."""


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


@dataclass(frozen=True, slots=True)
class _Read:
    """One file as it was read: its blob, its size in bytes, and [line, value] of each document."""

    path: str
    blob: str
    size: int
    documents: list[Any]

    def to_json(self) -> list[Any]:
        return [self.path, self.blob, self.size, self.documents]


@dataclass(frozen=True, slots=True)
class _Work:
    """What rendering one environment of a commit comes to: `own` are its files, `read` all that the render may see.

    `skipped` are links beside manifests, which nothing follows.
    """

    environment: Environment
    renderer: str
    key: str
    own: tuple[TreeEntry, ...]
    read: tuple[TreeEntry, ...]
    skipped: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether each file is read by itself, so that what is known of a blob need not be read again."""
        return self.renderer == "yaml" and all(entry.mode.startswith(FILE) for entry in self.read)

    @property
    def folder(self) -> str:
        return "" if self.environment.path == "." else self.environment.path


class Renderer:
    """Renders with a cache on disk, and the latest renders in memory; `cache` None renders afresh each time."""

    def __init__(self, cache: Path | None, limits: RenderLimits, tools: RenderTools) -> None:
        self._kept = Kept(cache / "renders") if cache is not None else None
        self._limits = limits
        self._tools = tools
        self._recent: dict[str, Rendered] = {}

    def render_revision(
        self, checkout: Checkout, revision: str, environment: Environment, capabilities: Capabilities
    ) -> Rendered:
        """The desired state of an environment in a commit.

        Raises DesiredStateError with every problem found, and MissingTool where a program is not there.
        """
        work = self._work(checkout, revision, environment, capabilities)
        recent = self._recent.pop(work.key, None)
        rendered = recent or self._found(work) or self._rendered(checkout, work, capabilities)
        if self._kept is not None:
            self._remember(rendered)
        return rendered

    def inputs(self, checkout: Checkout, revision: str, environment: Environment, capabilities: Capabilities) -> str:
        """The digest of what a render would read, without rendering. Raises DesiredStateError."""
        return self._work(checkout, revision, environment, capabilities).key

    def read_ahead(self, checkout: Checkout, revision: str, environments: Iterable[Environment]) -> None:
        """Reads the plain files of several environments of a commit at once, so that they need not start a child each.

        Only a saving: where the files cannot be read together, each environment is rendered by itself and says why.
        """
        unknown: list[_Work] = []
        for environment in environments:
            with contextlib.suppress(DesiredStateError):
                work = self._work(checkout, revision, environment, Capabilities())
                if work.is_plain and self._kept is not None and self._kept.get(work.key) is None:
                    unknown.append(work)
        if len(unknown) < 2:
            return
        known = [self._known(work) for work in unknown]
        entries = {
            entry.path: entry
            for work, files in zip(unknown, known, strict=True)
            for entry in work.own
            if entry.path not in files
        }
        with contextlib.suppress(DesiredStateError):
            found = self._read_files(checkout, tuple(entries.values()), "", {})
            for work, files in zip(unknown, known, strict=True):
                self._keep(work, [({**found, **files})[entry.path] for entry in work.own], [])

    def render_folder(self, path: Path, environment: Environment, capabilities: Capabilities) -> Rendered:
        """The desired state of a folder of this machine, read in place.

        Only plain files are kept, by their contents: what kustomize and helm read may lie outside the folder.
        """
        if not path.is_dir():
            raise DesiredStateError(
                [Problem(f"{path} is not a folder", suggestion="give the folder that holds the manifests")]
            )
        files = inputs.folder_files(path)
        renderer = inputs.choose(environment.renderer, (name for name, _ in files if "/" not in name))
        tree = Tree(_repository_of(path.resolve()), path.resolve())
        if renderer != "yaml":
            names, key = [name for name, _ in files], inputs.digest(part for file in files for part in file)
            found = self._run(environment, renderer, capabilities, names, tree, path.resolve())
            return self._made(found, key, renderer, environment, [])
        files = [file for file in files if inputs.is_manifest(file[0])]
        key = inputs.digest([FORMAT, *(part for file in files for part in file)])
        own = tuple(TreeEntry(f"{FILE}644", content, name) for name, content in files)
        work = _Work(environment, renderer, key, own, own)
        return self._found(work) or self._folder_read(work, path, tree)

    def _folder_read(self, work: _Work, path: Path, tree: Tree) -> Rendered:
        known = self._known(work)
        read = {entry.path: _Read(entry.path, entry.id, 0, []) for entry in work.own if entry.path not in known}
        for name, line, value in self._run(work.environment, work.renderer, Capabilities(), list(read), tree, path):
            read[name].documents.append([line, value])
        files = [(known | read)[entry.path] for entry in work.own]
        documents = [[file.path, *each] for file in files for each in file.documents]
        made = self._made(documents, work.key, work.renderer, work.environment, [])
        if all(inputs.file_digest(path / name) == file.blob for name, file in read.items()):
            self._keep(work, files, [])  # nobody wrote to them while they were read
        return made

    def _work(self, checkout: Checkout, revision: str, environment: Environment, capabilities: Capabilities) -> _Work:
        folder = "" if environment.path == "." else environment.path
        entries = checkout.entries(revision, folder)
        names = [entry.path[len(folder) + 1 if folder else 0 :] for entry in entries]
        renderer = inputs.choose(environment.renderer, (name for name in names if "/" not in name))
        skipped: list[str] = []
        outside = renderer != "yaml" and inputs.reaches_out(entries, checkout, environment.values)
        if renderer == "yaml":
            manifests = [inputs.is_manifest(name) for name in names]
            skipped = [
                each.path for each, read in zip(entries, manifests, strict=True) if each.mode == LINK and not read
            ]
            entries = tuple(entry for entry, read in zip(entries, manifests, strict=True) if read)
            outside = any(entry.mode == LINK for entry in entries)
        read = checkout.entries(revision, "") if outside else entries
        parts = [*skipped, *(part for entry in read for part in (entry.mode, entry.id, entry.path))]
        options = self._options(environment, renderer, capabilities)
        key = inputs.digest([FORMAT, renderer, environment.path, *parts, *options])
        return _Work(environment, renderer, key, entries, read, tuple(skipped))

    def _found(self, work: _Work) -> Rendered | None:
        """What is kept of exactly this render."""
        kept = self._kept.get(work.key) if self._kept is not None else None
        if kept is None:
            return None
        document = orjson.loads(kept)
        documents = [[path, *each] for path, _, _, found in document["files"] for each in found]
        return self._made(documents, work.key, work.renderer, work.environment, document["warnings"])

    def _rendered(self, checkout: Checkout, work: _Work, capabilities: Capabilities) -> Rendered:
        warnings = [f"{path} is a link, which is not followed" for path in work.skipped]
        if work.is_plain:
            known = self._known(work)
            found = known | self._read_files(checkout, work.own, work.folder, known)
            files = [found[entry.path] for entry in work.own]
        else:
            files, said = self._run_on_tree(checkout, work, capabilities)
            warnings += said
        documents = [[file.path, *each] for file in files for each in file.documents]
        made = self._made(documents, work.key, work.renderer, work.environment, warnings)
        self._keep(work, files, warnings)
        return made

    def _read_files(
        self, checkout: Checkout, entries: tuple[TreeEntry, ...], folder: str, known: Mapping[str, _Read]
    ) -> dict[str, _Read]:
        """Plain files by their path, those apart that are known."""
        names = [entry.path for entry in entries if entry.path not in known]
        sizes = {path: file.size for path, file in known.items()}
        with tempfile.TemporaryDirectory(prefix="plumbline-render-") as place:
            root = Path(place).resolve()
            inputs.write_tree(checkout, entries, root, self._limits, folder, sizes)
            output = root.with_name(f"{root.name}-out")
            output.mkdir(mode=0o700)
            try:
                documents = jail.read(names, output / "documents.json", Tree(root, root), self._limits) if names else []
            finally:
                shutil.rmtree(output, ignore_errors=True)
            blobs = {entry.path: entry.id for entry in entries}
            found = {name: _Read(name, blobs[name], (root / name).stat().st_size, []) for name in names}
        for name, line, value in documents:
            found[name].documents.append([line, value])
        return found

    def _run_on_tree(
        self, checkout: Checkout, work: _Work, capabilities: Capabilities
    ) -> tuple[list[_Read], list[str]]:
        """What a renderer makes of the whole tree, and the warnings of writing that."""
        with tempfile.TemporaryDirectory(prefix="plumbline-render-") as place:
            root = Path(place).resolve()
            (root / work.folder).mkdir(parents=True, exist_ok=True)
            warnings = inputs.write_tree(checkout, work.read, root, self._limits, work.folder, {})
            own = [entry.path for entry in work.own if entry.mode != MODULE]
            folder = root / work.environment.path
            found = self._run(work.environment, work.renderer, capabilities, own, Tree(root, root), folder)
        return [_Read(file, "", 0, [[line, value]]) for file, line, value in found], warnings

    def _known(self, work: _Work) -> dict[str, _Read]:
        """The files whose very blobs the environment's last render read, by their path."""
        last = self._kept.get(_pointer(work.environment)) if self._kept is not None else None
        kept = self._kept.get(last.decode()) if self._kept is not None and last is not None else None
        if kept is None:
            return {}
        blobs = {entry.path: entry.id for entry in work.own}
        files = (_Read(*each) for each in orjson.loads(kept)["files"])
        return {file.path: file for file in files if file.blob and blobs.get(file.path) == file.blob}

    def _keep(self, work: _Work, files: Iterable[_Read], warnings: list[str]) -> None:
        if self._kept is None:
            return
        document = {"files": [file.to_json() for file in files], "warnings": warnings}
        try:
            body = orjson.dumps(document)
        except TypeError:  # a number of more than 64 bits
            body = json.dumps(document).encode()
        self._kept.put(work.key, body)
        self._kept.put(_pointer(work.environment), work.key.encode())

    def _remember(self, rendered: Rendered) -> None:
        """Makes a render the latest of those in memory, and forgets the oldest where they are too many objects."""
        self._recent[rendered.inputs] = rendered
        held = sum(len(each.resources) for each in self._recent.values())
        for key, each in list(self._recent.items()):
            if held <= RECENT:
                return
            held -= len(each.resources)
            self._recent.pop(key, None)

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
        tree: Tree,
        folder: Path,
    ) -> list[Any]:
        """The documents of a render: [file, line, value] each."""
        with tempfile.TemporaryDirectory(prefix="plumbline-jail-") as place:
            home = Path(place).resolve()
            output, parsed = home / OUTPUT, home / "documents.json"
            match renderer:
                case "kustomize":
                    programs.kustomize(self._tools, tree, folder, output, self._limits)
                case "helm":
                    versions = (capabilities.kube_version, capabilities.api_versions)
                    programs.helm(self._tools, environment, versions, tree, folder, output, self._limits)
                    if may_vary(folder, (folder / name for name in environment.values)):
                        self._second_helm_run(environment, versions, tree, folder, home)
                case _:
                    return jail.read(own, parsed, tree, self._limits) if own else []
            return jail.read([OUTPUT], parsed, Tree(home, home), self._limits)

    def _second_helm_run(
        self, environment: Environment, versions: tuple[str, tuple[str, ...]], tree: Tree, folder: Path, home: Path
    ) -> None:
        """A chart that renders differently each time has no desired state to prove: it is refused, and named."""
        again = home / "again.yaml"
        programs.helm(self._tools, environment, versions, tree, folder, again, self._limits, again=True)
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

    def _made(
        self, documents: list[Any], key: str, renderer: str, environment: Environment, warnings: Iterable[str]
    ) -> Rendered:
        problems: list[Problem] = []
        resources: list[Resource] = []
        for file, line, value in documents:
            source = Source(_where(renderer, environment, file), line if renderer == "yaml" else None)
            for body in flattened(value):
                made = made_of(body, source)
                if isinstance(made, Problem):
                    problems.append(made)
                else:
                    resources.append(made)
        if problems:
            raise DesiredStateError(problems)
        if len(resources) > self._limits.objects:
            raise DesiredStateError([Problem(f"renders more than {self._limits.objects} objects")])
        return Rendered(tuple(resources), key, renderer, tuple(warnings))


def _pointer(environment: Environment) -> str:
    """The name under which an environment's last render is kept."""
    return "last-" + inputs.digest([FORMAT, environment.slug, environment.path])


def _repository_of(folder: Path) -> Path:
    """The working tree that a folder of this machine lies in, which its files may refer to; else every folder may be."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), Path(folder.anchor))


def _where(renderer: str, environment: Environment, file: str) -> str:
    if renderer == "yaml":
        return file
    name = "kustomization.yaml" if renderer == "kustomize" else "Chart.yaml"
    return name if environment.path == "." else f"{environment.path}/{name}"

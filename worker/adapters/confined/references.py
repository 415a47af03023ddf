"""What kustomize and helm are about to read, looked at before they do: no reference leaves the repository's tree.

Everything that a kustomization names has to be there, inside the tree, and must not explode while it is read. So nothing
is left that kustomize could fetch, and what it would run (plugins, functions, helm) is refused with file and line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from worker.adapters.confined import reading
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.yaml_text import Document

KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
DEEPEST: Final = 100
"""Kustomizations that lead to one another; people write fewer than ten."""

TREES: Final = ("resources", "bases", "components")
PLUGINS: Final = ("generators", "transformers", "validators")
FETCHING: Final = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
TEXTS: Final = ("crds", "configurations", "patchesStrategicMerge", "patches")
"""Lists of files that are read as YAML (or of inline texts)."""

WITH_A_PATH: Final = ("patches", "patchesJson6902", "replacements")
WITH_FILES: Final = ("configMapGenerator", "secretGenerator")
FUNCTIONS: Final = ("config.kubernetes.io/function", "config.k8s.io/function")

NAMING: Final = frozenset({
    *FETCHING, *TREES, *PLUGINS, *TEXTS, *WITH_A_PATH, *WITH_FILES, "openapi", "path", "paths", "patch", "files", "env", "envs",
    "apiVersion", "kind", "metadata", "annotations",
})  # fmt: skip
"""Every field that is looked at; kustomize takes them in any spelling of capitals (Go's encoding/json does)."""

_SPELLED: Final = {name.lower(): name for name in NAMING}

_REMOTE: Final = re.compile(
    r"^[a-z][a-z0-9+.-]*://|^[a-z]+::|^[\w.-]+@[\w.-]+[:/]|^(?:[a-z0-9-]+\.)*(?:github|gitlab|bitbucket)\.[a-z]+[:/]"
    r"|^gh:|[?&](?:ref|version|submodules|timeout|depth)=|\.git(?:$|[/?])|(?:^|/)_git/",
    re.IGNORECASE,
)
"""What kustomize takes for a repository or an address, also where a file of that name exists."""

_HOST: Final = re.compile(r"^[\w.-]+\.[a-z]{2,}/", re.IGNORECASE)

Place = tuple[str | int, ...]


def problems(work: dict[str, Any]) -> list[dict[str, object]]:
    """Everything that is wrong with the files that a program is about to read, as JSON.

    `work` has `renderer` (kustomize or helm), `tree` (what must not be left), `names` (what files are named relative
    to), `folder`, `values` (helm's), `wholly` (read every file to find a mistake) and `limits`.
    """
    scan = _Scan(work["tree"], work["names"], work["limits"]["file_size"], wholly=work["wholly"])
    if work["renderer"] == "kustomize":
        scan.kustomization(os.path.realpath(work["folder"]), plugins=False, trail=())
    else:
        scan.chart(os.path.realpath(work["folder"]), work["values"])
    return [problem.to_json() for problem in scan.problems]


class _Scan:
    def __init__(self, tree: str, names: str, largest: int, *, wholly: bool) -> None:
        self._tree = os.path.realpath(tree)
        self._names = os.path.realpath(names)
        self._largest = largest
        self._wholly = wholly
        self._seen: set[tuple[str, bool]] = set()
        self.problems: list[Problem] = []

    # -- kustomize -----------------------------------------------------------------------------------------------

    def kustomization(self, folder: str, *, plugins: bool, trail: tuple[str, ...]) -> None:
        """Looks at a folder's kustomization and at everything that it leads to; `plugins`: they say what is done."""
        if (folder, plugins) in self._seen:
            return
        self._seen.add((folder, plugins))
        for name in KUSTOMIZATIONS:
            path = os.path.join(folder, name)  # noqa: PTH118
            if not os.path.isfile(path):  # noqa: PTH113
                continue
            for document in self._read(path):
                if isinstance(document.value, dict):
                    _Kustomization(self, document, path, plugins, (*trail, folder)).look()

    def follow(self, spot: _Spot, text: str, *, plugins: bool, trail: tuple[str, ...]) -> None:
        """Looks at a file or folder of manifests that a kustomization names."""
        target = self.inside(spot, text)
        if target is None:
            return
        if not os.path.isdir(target):  # noqa: PTH112
            self.text_file(target, plugins=plugins)
        elif target in trail:
            spot.refuse(f"`{text}` leads back to a kustomization that leads here", "remove one of the two")
        elif len(trail) > DEEPEST:
            spot.refuse(f"more than {DEEPEST} kustomizations lead to one another", "make the chain shorter")
        else:
            self.kustomization(target, plugins=plugins, trail=trail)

    def inside(self, spot: _Spot, text: str) -> str | None:
        """The real path of what a reference names; None where it is refused (which is noted)."""
        if _REMOTE.search(text):
            spot.refuse(f"`{text}` would be fetched from elsewhere", "copy it into the repository")
            return None
        if "\0" in text or not text:
            spot.refuse("a reference is not a path", "name a file or folder of the repository")
            return None
        if text.startswith("/"):
            spot.refuse(f"`{text}` is an absolute path", "name it relative to this file")
            return None
        target = os.path.realpath(os.path.join(spot.folder, text))  # noqa: PTH118
        if os.path.commonpath((target, self._tree)) != self._tree:
            spot.refuse(f"`{text}` leads out of the repository", "copy it into the repository")
            return None
        if not os.path.exists(target):  # noqa: PTH110
            fetched = _HOST.match(text)
            spot.refuse(
                f"`{text}` would be fetched from elsewhere" if fetched else f"`{text}` does not exist",
                "copy it into the repository" if fetched else "add the file, or remove this entry",
            )
            return None
        return target

    def text_file(self, path: str, *, plugins: bool = False, wholly: bool = False) -> None:
        """Looks at a file that will be read as YAML.

        It is read `wholly` where a program would take the last of two equal keys without a word: kustomize refuses them
        in resources, and what it and helm print is read by us, but not in patches or values.
        """
        if (path, plugins) in self._seen:
            return
        self._seen.add((path, plugins))
        if plugins:
            for document in self._read(path):
                if isinstance(document.value, dict):
                    _Kustomization(self, document, path, plugins, ()).plugin(document.value, ())
            return
        try:
            content = reading.content(path, self.name(path), self._largest)
            reading.screen(content, self.name(path), wholly=wholly or self._wholly)
        except DesiredStateError as error:
            self.problems += error.problems

    def _read(self, path: str) -> list[Document]:
        name = self.name(path)
        try:
            return reading.parsed(reading.content(path, name, self._largest), name, lines=True)
        except DesiredStateError as error:
            self.problems += error.problems
            return []

    def name(self, path: str) -> str:
        """A file's name for people."""
        return os.path.relpath(path, self._names)

    # -- helm ----------------------------------------------------------------------------------------------------

    def chart(self, folder: str, values: list[str]) -> None:
        """Looks at what helm reads as YAML of a chart and the charts in it; templates are text until they are rendered."""
        for path in values:
            self.text_file(os.path.realpath(path), wholly=True)
        for place, _, names in os.walk(folder):
            crds = "crds" in Path(place).parts
            for name in names:
                if name in ("Chart.yaml", "Chart.lock", "values.yaml", "requirements.yaml") or crds:
                    self.text_file(os.path.join(place, name), wholly=not crds)  # noqa: PTH118


class _Spot:
    """One entry of a kustomization: where a refusal points to, and the folder that paths in it start from."""

    def __init__(self, scan: _Scan, document: Document, file: str, place: Place) -> None:
        self._scan = scan
        self._file = file
        self._line = document.line_of(place)
        self.folder = os.path.dirname(file)  # noqa: PTH120

    def refuse(self, message: str, suggestion: str) -> None:
        """Notes what is wrong here."""
        self._scan.problems.append(Problem(message, self._scan.name(self._file), self._line, suggestion=suggestion))


class _Kustomization:
    """One kustomization (or plugin's configuration) and what it names."""

    def __init__(self, scan: _Scan, document: Document, file: str, plugins: bool, trail: tuple[str, ...]) -> None:  # noqa: FBT001
        self._scan = scan
        self._document = document
        self._file = file
        self._plugins = plugins
        self._trail = trail

    def look(self) -> None:
        """Looks at every field that names files, or programs."""
        value = self._document.value
        self._spelled(value, ())
        for member in FETCHING:
            if value.get(member):
                self._spot((member,)).refuse(f"`{member}` would run helm", "render charts with renderer: helm")
        for member in TREES:
            for place, text in _strings(value.get(member), (member,)):
                self._scan.follow(self._spot(place), text, plugins=self._plugins, trail=self._trail)
        for member in PLUGINS:
            for place, text in _strings(value.get(member), (member,)):
                if "\n" in text:
                    self._inline(place, text, plugins=True)
                else:
                    self._scan.follow(self._spot(place), text, plugins=True, trail=self._trail)
        self._named_files(value)

    def _named_files(self, value: dict[str, Any]) -> None:
        for member in TEXTS:
            for place, text in _strings(value.get(member), (member,)):
                self._text(place, text)
        self._members_with_paths(value, ())
        openapi = value.get("openapi")
        if isinstance(openapi, dict):
            self._spelled(openapi, ("openapi",))
            if isinstance(openapi.get("path"), str):
                self._text(("openapi", "path"), openapi["path"])
        for member in WITH_FILES:
            for place, entry in _mappings(value.get(member), (member,)):
                self._files(entry, place)

    def plugin(self, value: dict[str, Any], above: Place) -> None:
        """Looks at the configuration of a generator, transformer or validator."""
        self._spelled(value, above)
        metadata = value.get("metadata")
        annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
        spot = self._spot(above)
        if isinstance(annotations, dict) and any(name in FUNCTIONS for name in annotations):
            spot.refuse("is a function, which would run a program", "commit what it generates")
        elif value.get("apiVersion") != "builtin":
            spot.refuse("is a plugin that is not kustomize's own", "commit what it generates")
        elif value.get("kind") == "HelmChartInflationGenerator":
            spot.refuse("would run helm", "render charts with renderer: helm")
        if isinstance(value.get("path"), str):
            self._text((*above, "path"), value["path"])
        for place, text in _strings(value.get("paths"), (*above, "paths")):
            self._text(place, text)
        self._members_with_paths(value, above)
        self._files(value, above)

    def _spelled(self, value: dict[str, Any], above: Place) -> None:
        """Refuses a field that kustomize would take for one that is looked at here, and that is spelled otherwise."""
        for name in value:
            meant = _SPELLED.get(name.lower()) if isinstance(name, str) else None
            if meant is not None and meant != name:
                self._spot((*above, name)).refuse(f"`{name}` is spelled otherwise", f"write `{meant}`")

    def _members_with_paths(self, value: dict[str, Any], above: Place) -> None:
        for member in WITH_A_PATH:
            for place, entry in _mappings(value.get(member), (*above, member)):
                self._spelled(entry, place)
                if isinstance(entry.get("path"), str):
                    self._text((*place, "path"), entry["path"])
                if isinstance(entry.get("patch"), str):
                    self._inline((*place, "patch"), entry["patch"], plugins=False)

    def _files(self, entry: dict[str, Any], above: Place) -> None:
        self._spelled(entry, above)
        named = [*_strings(entry.get("envs"), (*above, "envs")), *_strings([entry.get("env")], (*above, "env"))]
        for place, text in _strings(entry.get("files"), (*above, "files")):
            named.append((place, text.partition("=")[2] if "=" in text else text))
        for place, text in named:
            self._scan.inside(self._spot(place), text)

    def _text(self, place: Place, text: str) -> None:
        if "\n" in text:
            self._inline(place, text, plugins=False)
        elif (target := self._scan.inside(self._spot(place), text)) is not None:
            self._scan.text_file(target, wholly=True)

    def _inline(self, place: Place, text: str, *, plugins: bool) -> None:
        """A text inside the kustomization; its lines are counted from the entry's."""
        spot = self._spot(place)
        try:
            if not plugins:
                reading.screen(text.encode(errors="surrogatepass"), "", wholly=True)
                return
            for document in reading.parsed(text, ""):
                if isinstance(document.value, dict):
                    self.plugin(document.value, place)
        except DesiredStateError as error:
            for problem in error.problems:
                spot.refuse(f"the text here: {problem.message}", problem.suggestion or "mend the text")

    def _spot(self, place: Place) -> _Spot:
        return _Spot(self._scan, self._document, self._file, place)


def _strings(value: Any, above: Place) -> Iterator[tuple[Place, str]]:
    for position, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, str):
            yield (*above, position), entry


def _mappings(value: Any, above: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    for position, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, dict):
            yield (*above, position), entry

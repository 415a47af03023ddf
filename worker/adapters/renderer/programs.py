"""kustomize and helm: what they are run with, and their errors in words that point into the repository."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.adapters.renderer import jail
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, PlumblineError, Problem
from worker.domain.installation import RenderLimits
from worker.domain.yaml_text import read_documents

KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
REFERENCES: Final = (
    "resources", "bases", "components", "crds", "configurations", "transformers", "generators", "validators", "openapi",
)  # fmt: skip
_REMOTE: Final = re.compile(r"^[a-z+]+://|^git@|^[\w.-]+\.[a-z]{2,}/|\?ref=|^git::|//.*\?", re.IGNORECASE)
_HELM_PLACE: Final = re.compile(r"\(([^()\s]+?/templates/[^():\s]+):(\d+)(?::\d+)?\)")
_KUSTOMIZE_FILE: Final = re.compile(r"'?(?P<file>[\w./-]+\.(?:ya?ml|json))'?")


PROGRAMS: Final = ("kustomize", "helm")


class MissingTool(PlumblineError):
    """A program that a renderer needs is not there; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class RenderTools:
    """Where programs are looked for: a folder that comes first (the sandbox's), then PATH."""

    folder: Path | None = None

    def missing(self) -> tuple[MissingTool, ...]:
        """What is said of each program that a renderer may need and that is not there."""
        found = []
        for name in PROGRAMS:
            try:
                self.find(name)
            except MissingTool as error:
                found.append(error)
        return tuple(found)

    def find(self, name: str) -> Path:
        """The program. Raises MissingTool with the command that brings it."""
        if self.folder is not None and (self.folder / name).is_file():
            return self.folder / name
        if found := shutil.which(name):
            return Path(found)
        raise MissingTool(
            f"{name} is not installed: put it on PATH, or "
            "`export PLUMBLINE_TOOLS=$(plumbline sandbox tools --folder kustomize helm)`"
        )


def kustomize(tools: RenderTools, root: Path, folder: Path, output: Path, limits: RenderLimits, home: Path) -> None:
    """Builds a kustomization into `output`. Raises DesiredStateError where it refers outside or does not build."""
    problems = list(_remote_references(root, folder))
    if problems:
        raise DesiredStateError(problems)
    ended = jail.run([tools.find("kustomize"), "build", folder], output, limits, what="kustomize", home=home)
    if ended.code != 0:
        raise DesiredStateError([_kustomize_problem(ended.error, root, folder)])


def helm(
    tools: RenderTools,
    environment: Environment,
    versions: tuple[str, tuple[str, ...]],
    root: Path,
    folder: Path,
    output: Path,
    limits: RenderLimits,
    home: Path,
) -> None:
    """Templates a chart into `output`, its CRDs included, test hooks left out.

    `versions` are the cluster's version and its API list. Raises DesiredStateError where the chart does not template.
    """
    kube_version, api_versions = versions
    command: list[str | Path] = [
        tools.find("helm"), "template", environment.release or environment.name, folder,
        "--namespace", environment.namespace or "default", "--include-crds", "--skip-tests",
    ]  # fmt: skip
    if kube_version:
        command += ["--kube-version", kube_version]
    for version in api_versions:
        command += ["--api-versions", version]
    for values in environment.values:
        path = (folder / values).resolve()
        if not path.is_relative_to(root.resolve()):
            raise DesiredStateError([Problem(f"`values`: {values} leads out of the repository", "plumbline.yaml")])
        if not path.is_file():
            raise DesiredStateError([Problem(f"`values`: {values} does not exist", "plumbline.yaml")])
        command += ["--values", path]
    ended = jail.run(command, output, limits, what="helm", home=home)
    if ended.code != 0:
        raise DesiredStateError([_helm_problem(ended.error, folder, root)])


def _remote_references(root: Path, folder: Path) -> Iterable[Problem]:
    """Every reference that would make kustomize fetch something, from this folder and those it leads to."""
    pending, seen = [folder.resolve()], set[Path]()
    while pending:
        place = pending.pop()
        if place in seen:
            continue
        seen.add(place)
        file = next((place / name for name in KUSTOMIZATIONS if (place / name).is_file()), None)
        if file is None:
            continue
        name = str(file.relative_to(root.resolve())) if file.is_relative_to(root.resolve()) else file.name
        for document in read_documents(file.read_bytes(), name, lines=True):
            value = document.value if isinstance(document.value, dict) else {}
            for member in ("helmCharts", "helmChartInflationGenerator"):
                if value.get(member):
                    line = document.line_of((member,))
                    yield Problem(
                        f"`{member}` would fetch a chart", name, line, suggestion="render charts with renderer: helm"
                    )
            for member in REFERENCES:
                entries = value.get(member)
                for position, entry in enumerate(entries if isinstance(entries, list) else []):
                    if not isinstance(entry, str):
                        continue
                    target = (place / entry).resolve()
                    if _REMOTE.search(entry) and not target.exists():
                        line = document.line_of((member, position))
                        yield Problem(
                            f"`{entry}` would be fetched from elsewhere",
                            name,
                            line,
                            suggestion="copy it into the repository",
                        )
                    elif target.is_dir() and target.is_relative_to(root.resolve()):
                        pending.append(target)


def _kustomize_problem(error: str, root: Path, folder: Path) -> Problem:
    text = _without_paths(error.strip().removeprefix("Error: "), root)
    match = _KUSTOMIZE_FILE.search(text)
    file = match["file"] if match else None
    if file and not (root / file).exists() and (folder / file).exists():
        file = str((folder / file).relative_to(root))
    message = text.splitlines()[0] if text else "no reason given"
    return Problem(f"kustomize does not build it: {message[:600]}", file)


def _helm_problem(error: str, folder: Path, root: Path) -> Problem:
    text = _without_paths(error.strip(), root).removeprefix("Error: ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Use --debug")]
    match = _HELM_PLACE.search(text)
    chart = folder.relative_to(root)
    file = str(chart / match[1].split("/", 1)[1]) if match else None
    suggestion = None
    if "missing in charts/ directory" in text:
        suggestion = "run `helm dependency build` and commit the charts/ folder"
    message = lines[0] if lines else "no reason given"
    return Problem(
        f"helm does not template it: {message[:600]}", file, int(match[2]) if match else None, suggestion=suggestion
    )


def _without_paths(text: str, root: Path) -> str:
    for path in (str(root.resolve()), str(root)):
        text = text.replace(f"{path}/", "").replace(path, ".")
    return text

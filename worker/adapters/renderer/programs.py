"""kustomize and helm: what they are run with, and their errors in words that point into the repository."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.adapters.renderer import jail
from worker.adapters.renderer.jail import Tree
from worker.domain.declaration import FILE as DECLARATION
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError, Problem, Unfit
from worker.domain.installation import RenderLimits

_HELM_PLACE: Final = re.compile(r"\(([^()\s]+?/templates/[^():\s]+):(\d+)(?::\d+)?\)")
_KUSTOMIZE_FILE: Final = re.compile(r"'?(?P<file>[\w./-]+\.(?:ya?ml|json))'?")


PROGRAMS: Final = ("kustomize", "helm")


class MissingTool(Unfit):
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


def kustomize(tools: RenderTools, tree: Tree, folder: Path, output: Path, limits: RenderLimits) -> None:
    """Builds a kustomization into `output`. Raises DesiredStateError where it refers outside or does not build."""
    program = tools.find("kustomize")
    looks: dict[str, Any] = {"renderer": "kustomize", "folder": str(folder), "values": [], "wholly": False}
    ended = jail.run([program, "build", folder], output, tree, limits, what="kustomize", looks=looks)
    if ended.code != 0:
        jail.look(output, tree, limits, what="kustomize", looks={**looks, "wholly": True})
        raise DesiredStateError([_kustomize_problem(ended.error, tree.names, folder)])


def helm(
    tools: RenderTools,
    environment: Environment,
    versions: tuple[str, tuple[str, ...]],
    tree: Tree,
    folder: Path,
    output: Path,
    limits: RenderLimits,
    *,
    again: bool = False,
) -> None:
    """Templates a chart into `output`, its CRDs included, test hooks left out.

    `versions` are the cluster's version and its API list; `again` spares looking at files that were looked at before.
    Raises DesiredStateError where the chart does not template.
    """
    kube_version, api_versions = versions
    command: list[str | Path] = [
        tools.find("helm"), "template", f"--namespace={environment.namespace or 'default'}",
        "--include-crds", "--skip-tests",
    ]  # fmt: skip
    if kube_version:
        command += [f"--kube-version={kube_version}"]
    command += [f"--api-versions={version}" for version in api_versions]
    values = [_values(each, folder, tree.root) for each in environment.values]
    command += [f"--values={path}" for path in values]
    command += ["--", environment.release or environment.name, folder]
    looks = {"renderer": "helm", "folder": str(folder), "values": [str(path) for path in values], "wholly": False}
    ended = jail.run(command, output, tree, limits, what="helm", looks=None if again else looks)
    if ended.code != 0:
        raise DesiredStateError([_helm_problem(ended.error, folder, tree.names)])


def _values(name: str, folder: Path, root: Path) -> Path:
    """A values file's path. Helm cuts its argument at commas and quotes, which would name other files."""
    if set(name) & set(',"\0'):
        raise DesiredStateError([Problem(f"`values`: {name!r} has a character that helm cuts names at", DECLARATION)])
    path = (folder / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DesiredStateError([Problem(f"`values`: {name} leads out of the repository", DECLARATION)])
    if not path.is_file():
        raise DesiredStateError([Problem(f"`values`: {name} does not exist", DECLARATION)])
    return path


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

"""The histories of the corpora: which commits of which folder, and what each should create and delete."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from worker.adapters.renderer.inputs import is_manifest


@dataclass(frozen=True, slots=True)
class Step:
    """One commit; `create` and `delete` are keys `group|kind|namespace|name`, None where the corpus does not say."""

    commit: str
    create: frozenset[str] | None = None
    delete: frozenset[str] | None = None
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """One folder of one repository through its commits, oldest first."""

    name: str
    root: str
    steps: tuple[Step, ...]
    repository: Path
    stubs: Path | None

    def __str__(self) -> str:
        return f"{self.name}:{self.root}"


def histories(corpora: Path, workspace: Path, renders: Callable[[Path, str], bool]) -> Iterator[History]:
    """Every history with a bundle; the bare clones are made in `workspace`.

    Without a plan beside the bundle, the roots are the outermost folders for which `renders` is true.
    """
    for bundle in sorted((corpora / "histories").glob("*.bundle")):
        name = bundle.stem
        repository = bare_clone(bundle, workspace)
        stubs = bundle.with_name(f"{name}.stub-crds.yaml")
        planned = bundle.with_name(f"{name}.plan.json")
        own = stubs if stubs.exists() else None
        if planned.exists():
            for root, found in json.loads(planned.read_text())["roots"].items():
                yield History(name, root, tuple(_step(step) for step in found["steps"]), repository, own)
        else:
            for root in _roots(repository, renders):
                yield History(name, root, tuple(Step(commit) for commit in _commits(repository, root)), repository, own)


def bare_clone(bundle: Path, workspace: Path) -> Path:
    """A bare repository of a bundle, made in `workspace` the first time."""
    repository = workspace / f"{bundle.stem}.git"
    if not repository.exists():
        subprocess.run(["git", "clone", "--quiet", "--bare", str(bundle), str(repository)], check=True)
    return repository


def _step(value: dict[str, Any]) -> Step:
    unreadable = bool(value.get("unparsable") or value.get("duplicates"))
    return Step(value["commit"], frozenset(value["create"]), frozenset(value["delete"]), unreadable)


def _commits(repository: Path, root: str) -> list[str]:
    command = ["git", "-C", str(repository), "rev-list", "--reverse", "--first-parent", "main", "--", root]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def _roots(repository: Path, renders: Callable[[Path, str], bool]) -> list[str]:
    command = ["git", "-C", str(repository), "ls-tree", "-r", "--name-only", "main"]
    paths = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    folders = sorted(
        {str(folder) for path in paths if is_manifest(path) for folder in PurePosixPath(path).parents if folder.name}
    )
    found: list[str] = []
    for folder in folders:
        if not any(folder.startswith(f"{root}/") for root in found) and renders(repository, folder):
            found.append(folder)
    return found

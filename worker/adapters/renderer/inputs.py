"""Which files a render reads, how they are named together, and how a commit's files come onto the disk."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from worker.adapters.checkout import LINK, MODULE, Checkout, TreeEntry
from worker.adapters.confined.references import KUSTOMIZATIONS
from worker.domain.declaration import FILE as DECLARATION
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits

MANIFESTS: Final = (".yaml", ".yml", ".json")
LFS: Final = b"version https://git-lfs.github.com/spec/v1"


def choose(renderer: str, names: Iterable[str]) -> str:
    """The renderer of a folder by the names in it: yaml, kustomize or helm, unless it is named already."""
    if renderer != "auto":
        return renderer
    present = set(names)
    if present & set(KUSTOMIZATIONS):
        return "kustomize"
    return "helm" if "Chart.yaml" in present else "yaml"


def is_manifest(path: str) -> bool:
    """Whether a file (relative to the environment's folder) is read as a plain manifest."""
    pure = PurePosixPath(path)
    hidden = any(part.startswith(".") for part in pure.parts)
    return pure.suffix in MANIFESTS and not hidden and path != DECLARATION


def digest(parts: Iterable[str]) -> str:
    """One name for everything that a render reads."""
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def reaches_out(entries: Iterable[TreeEntry], checkout: Checkout, values: Iterable[str]) -> bool:
    """Whether a render may read files outside its folder: a kustomization or chart that says `..`, or a link."""
    if any(".." in PurePosixPath(value).parts for value in values):
        return True
    for entry in entries:
        name = PurePosixPath(entry.path).name
        if entry.mode == LINK:
            return True
        if (name in KUSTOMIZATIONS or name == "Chart.yaml") and b".." in checkout.blob(entry.id):
            return True
    return False


def write_tree(checkout: Checkout, entries: Iterable[TreeEntry], root: Path, limits: RenderLimits) -> list[str]:
    """Writes files under `root` as they are in the commit; returns warnings.

    Links are written only where they stay inside; submodules are named and left out. Raises DesiredStateError for what
    cannot be materialised, and where there is more than the limits allow.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    total = 0
    for count, entry in enumerate(entries):
        if count >= limits.files:
            raise DesiredStateError(
                [Problem(f"more than {limits.files} files", suggestion="narrow the environment's path")]
            )
        pure = PurePosixPath(entry.path)
        if ".." in pure.parts or pure.is_absolute() or ".git" in (part.lower() for part in pure.parts):
            problems.append(Problem("has a path that leads elsewhere", entry.path))
            continue
        if entry.mode == MODULE:
            warnings.append(f"{entry.path} is a submodule and is left out")
            continue
        content = checkout.blob(entry.id)
        total += len(content)
        if total > limits.tree_size:
            raise DesiredStateError([Problem(f"more than {limits.tree_size >> 20} MiB of files")])
        target = root / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == LINK:
            problems += _write_link(target, entry.path, os.fsdecode(content))
        elif content.startswith(LFS):
            problems.append(
                Problem("is a Git LFS pointer, not the file", entry.path, suggestion="commit the file itself")
            )
        else:
            target.write_bytes(content)
    if problems:
        raise DesiredStateError(problems)
    return warnings


def _write_link(target: Path, path: str, points_to: str) -> list[Problem]:
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(path), points_to))
    if points_to.startswith("/") or landing == ".." or landing.startswith("../"):
        return [Problem(f"is a link to {points_to}, outside the repository", path, suggestion="commit the file itself")]
    target.symlink_to(points_to)
    return []


def folder_files(root: Path) -> list[tuple[str, str]]:
    """Every file under a folder of this machine with a digest of its content, sorted; hidden folders left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                relative = path.relative_to(root).as_posix()
                found.append((relative, hashlib.sha256(path.read_bytes()).hexdigest()))
    return sorted(found)

"""Which files a render reads, how they are named together, and how a commit's files come onto the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.confined.references import KUSTOMIZATIONS
from worker.adapters.trees import FILE, LINK, MODULE, TreeEntry
from worker.domain.declaration import FILE as DECLARATION
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits

MANIFESTS: Final = (".yaml", ".yml", ".json")

BY_ITS_NAME: Final = frozenset({
    errno.ENAMETOOLONG, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.EILSEQ, errno.EINVAL, errno.ELOOP,
})  # fmt: skip
"""What a file's own path is to blame for, on any machine (errno(3)); everything else is this machine's trouble."""

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
        if (name in KUSTOMIZATIONS or name == "Chart.yaml") and b".." in checkout.blob(entry.id, entry.path):
            return True
    return False


def write_tree(
    checkout: Checkout,
    entries: Iterable[TreeEntry],
    root: Path,
    limits: RenderLimits,
    folder: str,
    known: Mapping[str, int],
) -> list[str]:
    """Writes files under `root` as they are in the commit, but for those that are `known` (path -> size); returns warnings.

    Links are written only where they stay inside; submodules are named and left out. What cannot be written is left out
    where it lies outside the environment's `folder`. Raises DesiredStateError for it inside, and where there is more than
    the limits allow; OSError where this machine is at fault and not the commit (a full disk, a limit).
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    links: dict[Path, str] = {}
    total = 0
    for count, entry in enumerate(entries):
        if count >= limits.files:
            raise DesiredStateError(
                [Problem(f"more than {limits.files} files", suggestion="narrow the environment's path")]
            )
        if entry.mode == MODULE:
            warnings.append(f"{entry.path} is a submodule and is left out")
            continue
        content = b"" if entry.path in known else checkout.blob(entry.id, entry.path)
        total += known.get(entry.path, len(content))
        if total > limits.tree_size:
            raise DesiredStateError([Problem(f"more than {limits.tree_size >> 20} MiB of files")])
        if entry.path in known:
            continue
        if entry.mode == LINK:
            links[root / entry.path] = os.fsdecode(content)
        elif problem := _write_file(root, entry, content):
            problems.append(problem)
    problems += _write_links(root, links)
    own = [problem for problem in problems if not folder or str(problem.file).startswith(f"{folder}/")]
    if own:
        raise DesiredStateError(own)
    return [*warnings, *(f"{problem.file} {problem.message}, and is left out" for problem in problems)]


def _write_file(root: Path, entry: TreeEntry, content: bytes) -> Problem | None:
    if not entry.mode.startswith(FILE) or ".git" in (part.lower() for part in PurePosixPath(entry.path).parts):
        return Problem("is nothing that belongs into a commit", entry.path, suggestion="remove it")
    if content.startswith(LFS):
        message = "is a Git LFS pointer, not the file"
        return Problem(message, entry.path, suggestion="commit the file itself")
    target = root / entry.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except (OSError, ValueError) as error:
        return _unwritable(error, entry.path)
    return None


def _unwritable(error: OSError | ValueError, path: str) -> Problem:
    """What is wrong with a path of the commit; raises the error again where another machine could write it."""
    if isinstance(error, OSError) and error.errno not in BY_ITS_NAME:
        raise error
    return Problem(f"cannot be written ({getattr(error, 'strerror', None) or error})", path)


def _write_links(root: Path, links: dict[Path, str]) -> list[Problem]:
    """Writes links after everything else, so that nothing is written through one, and takes those away that lead out.

    Where one really leads is known only when all are there, because it may pass through others.
    """
    problems: list[Problem] = []
    for link, points_to in links.items():
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(points_to)
        except (OSError, ValueError) as error:
            problems.append(_unwritable(error, link.relative_to(root).as_posix()))
    real = os.path.realpath(root)
    outside = [link for link in links if os.path.commonpath((os.path.realpath(link), real)) != real]
    for link in outside:
        link.unlink(missing_ok=True)
        message = f"is a link to {links[link]}, outside the repository"
        problems.append(Problem(message, link.relative_to(root).as_posix(), suggestion="commit the file itself"))
    return problems


def folder_files(root: Path) -> list[tuple[str, str]]:
    """Every file under a folder of this machine with a digest of its content, sorted; hidden folders left out."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                relative = path.relative_to(root).as_posix()
                found.append((relative, file_digest(path)))
    return sorted(found)


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's content, empty where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""

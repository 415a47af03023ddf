"""Which files a render of an environment reads at a revision, told without rendering: its folder, and where that points to.

A kustomization names what it reads outside its folder by relative paths, a chart by `file://`, a link by where it leads. Every
word that leads to something in the commit is followed; one that turns out to be a comment's costs nothing but a file too many.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from worker.adapters.checkout import Checkout
from worker.adapters.confined.references import KUSTOMIZATIONS
from worker.adapters.renderer.inputs import choose, is_manifest, reaches_out
from worker.adapters.trees import LINK, TreeEntry
from worker.domain.declaration import FILE as DECLARATION
from worker.domain.declaration import Declaration
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.rollback import Inputs

_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_WORD: Final = re.compile(r"""[^\s'"\[\]{},=]+""")


def read_inputs(checkout: Checkout, revision: str, environment: Environment) -> Inputs:
    """The inputs of an environment at a commit or tree. Raises DesiredStateError where its folder is not there."""
    folder = "" if environment.path == "." else environment.path
    own = checkout.entries(revision, folder)
    names = [entry.path[len(folder) + 1 if folder else 0 :] for entry in own]
    renderer = choose(environment.renderer, (name for name in names if "/" not in name))
    if renderer == "yaml":
        own = tuple(entry for entry, name in zip(own, names, strict=True) if is_manifest(name))
    own = tuple(entry for entry in own if entry.path != DECLARATION)
    if not reaches_out(own, checkout, environment.values):
        return Inputs(folder, {entry.path: (entry.mode, entry.id) for entry in own})
    starts = [posixpath.normpath(posixpath.join(folder, value)) for value in environment.values if ".." in value]
    tree = {entry.path: entry for entry in checkout.entries(revision, "")}
    found, whole = _followed(checkout, tree, {entry.path: entry for entry in own}, starts)
    return Inputs(folder, {path: (entry.mode, entry.id) for path, entry in found.items()}, tuple(sorted(whole)))


def readers(
    places: Sequence[tuple[Checkout, str]], declaration: Declaration, own: Collection[str], paths: Iterable[str]
) -> Mapping[str, tuple[str, ...]]:
    """The environments of a branch beside its `own` that read any of these files at any of these commits: path -> names."""
    read: dict[str, set[str]] = {}
    for other in declaration.environments:
        if other.name not in own:
            read[other.name] = set()
            for checkout, revision in places:
                with contextlib.suppress(DesiredStateError):
                    read[other.name] |= set(read_inputs(checkout, revision, other).files)
    found = {path: tuple(name for name, files in read.items() if path in files) for path in paths}
    return {path: names for path, names in found.items() if names}


def _followed(
    checkout: Checkout, tree: Mapping[str, TreeEntry], own: Mapping[str, TreeEntry], starts: Iterable[str]
) -> tuple[dict[str, TreeEntry], set[str]]:
    """All files that are read, and the folders outside that are read as a whole."""
    found, whole = dict(own), set[str]()
    pending = [*starts, *(place for entry in own.values() for place in _places(checkout, entry))]
    seen = set[str]()
    while pending:
        place = pending.pop()
        if place in seen or place in ("", ".") or place.startswith("../"):
            continue
        seen.add(place)
        inside = [path for path in tree if path.startswith(f"{place}/")]
        kustomizations = [path for path in inside if posixpath.dirname(path) == place and _is_kustomization(path)]
        if not kustomizations and inside:
            whole.add(place)
        for path in [place] if place in tree else kustomizations or inside:
            if path not in found and path != DECLARATION:
                found[path] = tree[path]
                pending += _places(checkout, tree[path])
    return found, whole


def _places(checkout: Checkout, entry: TreeEntry) -> list[str]:
    """Where a file's words lead to, from the repository's root."""
    if not _may_lead_out(entry):
        return []
    text = checkout.blob(entry.id, entry.path).decode(errors="replace")
    words = [text] if entry.mode == LINK else _WORD.findall(_COMMENT.sub("", text))
    parent = posixpath.dirname(entry.path)
    return [posixpath.normpath(posixpath.join(parent, word.removeprefix("file://"))) for word in words]


def _may_lead_out(entry: TreeEntry) -> bool:
    return entry.mode == LINK or _is_kustomization(entry.path) or PurePosixPath(entry.path).name == "Chart.yaml"


def _is_kustomization(path: str) -> bool:
    return PurePosixPath(path).name in KUSTOMIZATIONS

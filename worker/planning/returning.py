"""Which earlier revision an environment goes back to, and which files make that. Pure.

A rollback makes the environment's inputs equal to those of the target, in a commit on top: what no render of the
environment reads stays as it is, and so does plumbline.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.declaration import FILE as DECLARATION
from worker.domain.errors import Refused
from worker.domain.resource import Resource
from worker.domain.rollback import (
    ENVIRONMENT_TRAILER,
    LAST_CONVERGED,
    PLAIN_MODES,
    TARGET_TRAILER,
    Inputs,
    Restored,
)

BACK: Final = re.compile(r"~([1-9][0-9]{0,2})")
ABBREVIATED: Final = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Converged:
    """A revision that converged on the environment, as far as it can still be read: `inputs` None where it cannot."""

    revision: str
    inputs: Inputs | None


def converged_revisions(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The commits that converged, each once, the latest first; `history` is the record's, oldest first."""
    found = (
        entry["revision"]
        for entry in reversed(history)
        if entry.get("outcome") == "converged" and ":" not in entry.get("revision", ":")
    )
    return tuple(dict.fromkeys(found))


def chosen(asked: str, known: Sequence[str]) -> str:
    """The one converged revision that a commit id names; empty where what was asked for is no id.

    Raises Refused where none, or more than one, is meant.
    """
    if not asked or asked == LAST_CONVERGED or BACK.fullmatch(asked):
        return ""
    if not ABBREVIATED.fullmatch(asked):
        raise Refused(f"{asked[:40]!r} is no revision", "Give a commit id, `~1`, `~2`, … or `last-converged`")
    found = [each for each in known if each.startswith(asked)]
    if len(found) > 1:
        raise Refused(f"{asked} names {len(found)} revisions that converged", "Give more of the commit id")
    if not found:
        names = ", ".join(each[:7] for each in known[:5]) or "none yet"
        raise Refused(f"{asked[:12]} never converged there", f"These did, the latest first: {names}")
    return found[0]


def earlier(asked: str, present: Inputs, candidates: Iterable[Converged]) -> Converged:
    """The n-th revision back that has other inputs than the one after it; `candidates` come latest first.

    Raises Refused where there are not so many.
    """
    found = BACK.fullmatch(asked)
    wanted, steps, last = int(found[1]) if found else 1, 0, present
    for each in candidates:
        if each.inputs is None or not restored(each.inputs, last):
            continue
        steps, last = steps + 1, each.inputs
        if steps == wanted:
            return each
    if steps:
        raise Refused(f"only {steps} earlier desired state{'s' * (steps > 1)} converged", "Go back by fewer steps")
    raise Refused(
        "nothing that converged there differs from what the branch holds now", "There is nothing to go back to"
    )


def made_already(children: Iterable[tuple[str, str]], target: str, environment: str) -> str:
    """The one of these commits (id, message) that is the rollback of an environment to a target; empty where none is."""
    wanted = {f"{TARGET_TRAILER}: {target}", f"{ENVIRONMENT_TRAILER}: {environment}"}
    for revision, message in children:
        trailers = message.rstrip("\n").rpartition("\n\n")[2].splitlines()
        if wanted <= {*trailers}:
            return revision
    return ""


def restored(target: Inputs, present: Inputs) -> tuple[Restored, ...]:
    """The files that make the present inputs those of the target, sorted by path; where the folder moved, in its new place."""
    wanted = {
        _moved(path, target.folder, present.folder): (mode, blob, path)
        for path, (mode, blob) in target.files.items()
        if path != DECLARATION
    }
    found = [
        Restored(path, blob, mode, source, present.files.get(path, ("", ""))[0])
        for path, (mode, blob, source) in wanted.items()
        if present.files.get(path) != (mode, blob)
    ]
    own = (present.folder, *target.whole)
    found += [
        Restored(path, was=mode)
        for path, (mode, _) in present.files.items()
        if path not in wanted and path != DECLARATION and any(_is_in(path, folder) for folder in own)
    ]
    return tuple(sorted(found, key=lambda each: each.path))


def require_plain(files: Iterable[Restored]) -> None:
    """Raises Refused where a link or a submodule would have to be made or taken away: no forge's API does that."""
    for each in files:
        if {each.mode, each.was} - {""} - PLAIN_MODES:
            raise Refused(
                f"{each.path} is a link or a submodule in one of the two revisions, which cannot be committed through the forge",
                "Make the rollback by hand, with git",
            )


def sentences(target: str, files: Sequence[Restored], shared: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What a rollback does, for people; files that other environments read come first."""
    first = [
        f"{path} is shared: {', '.join(names)} change{'s' * (len(names) == 1)} with it"
        for path, names in shared.items()
    ]
    back, away = [each for each in files if each.blob], [each for each in files if not each.blob]
    counted = [f"{len(back)} file{'s' * (len(back) != 1)} as in {target[:7]}"] if back else []
    counted += [f"{len(away)} taken away that {target[:7]} does not have"] if away else []
    moved = [f"{each.source} is now {each.path}" for each in back if each.source != each.path]
    return (*first, " and ".join(counted), *moved)


def _moved(path: str, before: str, now: str) -> str:
    if before == now or not _is_in(path, before):
        return path
    rest = path.removeprefix(f"{before}/") if before else path
    return f"{now}/{rest}" if now else rest


def _is_in(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def differing(wanted: Iterable[Resource], made: Iterable[Resource]) -> tuple[str, ...]:
    """The objects in which two desired states differ, in words, sorted; empty where they are equal."""
    before = {each.key: each for each in wanted}
    after = {each.key: each for each in made}
    return tuple(
        sorted(
            str(key)
            for key in before.keys() | after.keys()
            if key not in before
            or key not in after
            or (before[key].version, before[key].body) != (after[key].version, after[key].body)
        )
    )


def images(resources: Iterable[Resource]) -> frozenset[str]:
    """Every image that containers of these objects name."""
    return frozenset(image for each in resources for image in _images(each.body))


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            if name in ("containers", "initContainers") and isinstance(member, list):
                yield from (
                    each["image"] for each in member if isinstance(each, Mapping) and isinstance(each.get("image"), str)
                )
            yield from _images(member)
    elif isinstance(value, list):
        for member in value:
            yield from _images(member)

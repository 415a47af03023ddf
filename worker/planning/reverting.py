"""Which files take a merge's changes back on top of a branch that has gone on, and which of them cannot be. Pure.

A file that is as the merge left it goes back to what it was before. One that was changed again since is put together line by
line, and is in conflict where the changes touch: then nothing of the merge is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.domain.revert import NONE, Entry, Merged, Three
from worker.domain.rollback import PLAIN_MODES, Restored


@dataclass
class Judged:
    """The files of the commit, those that are put together of three, those in conflict (path -> why)."""

    files: list[Restored] = field(default_factory=list)
    merges: dict[str, Three] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)


PutTogether = Callable[[Three], str]
"""The blob id of what `worker.domain.three_way` makes of three blobs; empty where their changes touch."""


def taken_back(
    changes: Sequence[Merged],
    present: Mapping[str, Entry],
    put_together: PutTogether,
    changed_by: Callable[[str], str],
) -> Judged:
    """What takes these changes back where the branch has `present`; `changed_by` names the commit that changed a path since."""
    found = Judged()
    folders = {path[:at] for path in present for at, char in enumerate(path) if char == "/"}
    for each in changes:
        now = present.get(each.path, NONE)
        if now == each.before:
            continue
        if now == each.after:
            why = _in_the_way(each, present, folders, changes)
            if why:
                found.conflicts[each.path] = why
            else:
                found.files.append(Restored(each.path, each.before[1], each.before[0], each.path, now[0]))
            continue
        by = changed_by(each.path)
        since = f" by {by}" if by else ""
        if NONE in (now, each.before, each.after):
            found.conflicts[each.path] = _gone(each, now) + since
            continue
        three = Three(now[1], each.after[1], each.before[1])
        mode, blob = _one(now[0], each.after[0], each.before[0]), _one(three.now, three.after, three.before)
        if not mode or {now[0], each.after[0], each.before[0]} - PLAIN_MODES:
            found.conflicts[each.path] = f"its mode was changed again{since}"
            continue
        if not blob:
            blob = put_together(three)
            found.merges[each.path] = three
        if not blob:
            found.conflicts[each.path] = f"the same lines were changed again{since}"
            continue
        if (mode, blob) != now:
            found.files.append(Restored(each.path, blob, mode, each.path, now[0]))
    kept = {each.path for each in found.files}
    found.merges = {path: each for path, each in found.merges.items() if path in kept}
    return found


def _one(now: str, after: str, before: str) -> str:
    """What three make where only one side changed; empty where both did."""
    if after in (now, before):
        return before if now == after else now
    return now if now == before else ""


def _gone(each: Merged, now: Entry) -> str:
    if now == NONE:
        return "it was taken away since"
    return "it was made by the merge and changed again" if each.before == NONE else "it was put there again"


def _in_the_way(each: Merged, present: Mapping[str, Entry], folders: set[str], changes: Sequence[Merged]) -> str:
    """Why a file cannot come back to a place where now a folder is, or below a file; empty where it can."""
    if each.before == NONE or each.path in present:
        return ""
    leaving = {other.path for other in changes if other.before == NONE}
    above = [each.path[:at] for at, char in enumerate(each.path) if char == "/"]
    blocking = [path for path in above if path in present and path not in leaving]
    inside = [path for path in present if path.startswith(f"{each.path}/")] if each.path in folders else []
    if blocking or any(path not in leaving for path in inside):
        return "something else has its place now"
    return ""


def sentences(number: int, files: Iterable[Restored], merges: Iterable[str]) -> tuple[str, ...]:
    """What is done, for people."""
    several = [*files]
    back, away = [each for each in several if each.blob], [each for each in several if not each.blob]
    said = [f"{len(back)} file{'s' * (len(back) != 1)} as before #{number}"] if back else []
    said += [f"{len(away)} taken away that came with it"] if away else []
    again = sorted(merges)
    lines = [" and ".join(said)]
    if again:
        lines.append(f"what was changed since is kept in {', '.join(again[:10])}{' and more' * (len(again) > 10)}")
    return tuple(lines)

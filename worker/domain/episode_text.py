"""A divergence in words for a person: one line, the fact first, then who and how long. Pure, for every face."""

from __future__ import annotations

from typing import Final

from worker.domain.episodes import Episode, Trouble
from worker.domain.field_text import UNSET, sides
from worker.domain.plan import ABSENT
from worker.domain.proposals import VANISHED, Drift

ROOM: Final = 60
"""Characters for the two values of a field."""

UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def lasted(seconds: float) -> str:
    """A duration in its largest unit: `14 m`."""
    whole = max(0, int(seconds))
    for size, name in UNITS:
        if whole >= size:
            return f"{whole // size} {name}"
    return "0 s"


def difference(drift: Drift) -> str:
    """`Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit)`; what managedFields cannot tell is said to be so."""
    author = drift.manager or "who is not known"
    if is_vanished(drift):
        return f"{drift.key} is gone, Git has it (by whom is not known)"
    wanted, found = sides(drift.field, ROOM)
    if found == UNSET:
        return f"{drift.key} {drift.field.path} is removed, Git says {wanted} (by whom is not known)"
    return f"{drift.key} {drift.field.path} {found}, Git says {wanted} ({author})"


def is_vanished(drift: Drift) -> bool:
    """Whether the whole object is gone."""
    return drift.field.path == VANISHED and drift.field.new in (ABSENT, None)


def trouble(found: Trouble) -> str:
    """`Deployment shop/cart degraded: ImagePullBackOff`."""
    return f"{found.key} {found.health}: {found.text}" if found.text != found.health else f"{found.key} {found.health}"


def headline(episode: Episode) -> str:
    """What differs first, and how much more there is; no times, so the same divergence is always the same text."""
    said = [difference(each) for each in episode.drift[:1]] or [trouble(each) for each in episode.troubles[:1]]
    more = len(episode.drift) + len(episode.troubles) + episode.more - 1
    rest = f" and {more} more" if more > 0 else ""
    return f"{said[0]}{rest}" if said else "nothing differs any more"

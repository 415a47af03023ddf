"""A divergence in words for a person: one line, the fact first, then who and how long. Pure, for every face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.domain.environment import Mode
from worker.domain.episodes import FIGHT_AFTER, Episode, Event, News, Stage, Trouble
from worker.domain.field_text import UNSET, sides
from worker.domain.plan import ABSENT
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import MASK
from worker.domain.scrubbing import MASKED

ROOM: Final = 60
"""Characters for the two values of a field."""

POD: Final = "spec.template.spec."
"""The beginning of most paths of a workload, which leaves no room for what is said of them."""

UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Next:
    """What happens next of an episode: `text`, when (a Unix time; 0: not at a time), and under which condition."""

    text: str
    at: float = 0.0
    condition: str = ""


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
    path = drift.field.path.removeprefix(POD)
    wanted, found = drift_sides(drift, ROOM)
    if found == UNSET:
        return f"{drift.key} {path} is removed, Git says {wanted} (by whom is not known)"
    return f"{drift.key} {path} {found}, Git says {wanted} ({author})"


def drift_sides(drift: Drift, room: int) -> tuple[str, str]:
    """What Git says and what is in the cluster, in a line each; of a secret only that it is another one."""
    wanted, found = sides(drift.field, room)
    for mask in (MASK, MASKED):
        wanted, found = wanted.replace(f"{mask} (before)", mask), found.replace(f"{mask} (after)", f"{mask} (another)")
    return wanted, found


def addition(found: Drift) -> str:
    """`Deployment shop/cart metadata.labels.debug on, not in Git (kubectl-label)`, or the object that nobody declared."""
    if found.field.path == VANISHED:
        return f"{found.key} is there, and nobody declared it ({found.manager})"
    return f"{found.key} {found.field.path} {sides(found.field, ROOM)[1]}, not in Git ({found.manager})"


def lost(found: Drift) -> str:
    """`Deployment shop/cart spec.paused is as Git says, and belongs to bob now`."""
    return f"{found.key} {found.field.path} is as Git says, and belongs to {found.manager} now"


def is_vanished(drift: Drift) -> bool:
    """Whether the whole object is gone."""
    return drift.field.path == VANISHED and drift.field.new in (ABSENT, None)


def trouble(found: Trouble) -> str:
    """`Deployment shop/cart degraded: ImagePullBackOff`."""
    return f"{found.key} {found.health}: {found.text}" if found.text != found.health else f"{found.key} {found.health}"


def headline(episode: Episode) -> str:
    """What differs first, and how much more there is; no times, so the same divergence is always the same text."""
    said = [difference(each) for each in episode.drift[:1]] or [trouble(each) for each in episode.troubles[:1]]
    more = episode.count - 1
    rest = f" and {more} more" if more > 0 else ""
    return f"{said[0]}{rest}" if said else "nothing differs any more"


def what_next(episode: Episode, mode: Mode, due: float) -> tuple[Next, ...]:
    """What happens by itself, in the order in which it does; `due` is when the next look is (`Episode.due`), in Unix time."""
    if episode.stage is Stage.CLOSING:
        return (Next("closed", due, "if it stays so"),)
    if episode.stage is Stage.NOTICED:
        return (Next("alerted" if mode is not Mode.OBSERVE else "counted as a divergence", due, "if it lasts"),)
    if mode is Mode.OBSERVE:
        return (Next("only shown: nobody is alerted, nothing is healed"),)
    if episode.quarrel:
        times = max(episode.heals, FIGHT_AFTER)
        return Next(f"not healed any more, because {episode.quarrel} undid it {times} times"), Next("reminder", due)
    if mode is Mode.HEAL and episode.drift:
        return (Next("healed", max(episode.heal_at, episode.alerted)),)
    if mode is Mode.HEAL:
        return Next("not healed, because applying again would mend nothing"), Next("reminder", due)
    return Next("stays as it is until Git or the cluster is changed"), Next("reminder", due)


def said(news: News) -> str:
    """What an event says, in a sentence; of a difference the first one, and how many more."""
    episode = news.episode
    match news.event:
        case Event.GONE:
            return "nothing differs any more; it did not last long enough to be alerted"
        case Event.HEALED:
            return "applied again" if episode.heals < 2 else f"applied again, heal {episode.heals} of this divergence"
        case Event.FIGHT:
            return f"{episode.quarrel} undid it {episode.heals} times: it is not healed any more"
        case Event.CLOSING:
            return "nothing differs any more; closed when it stays so"
        case Event.CONVERGED:
            return "all of it is as Git says, and stayed so"
    return headline(episode)

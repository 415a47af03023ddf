"""However much differs, and whatever others call themselves: a record has room for it, and says how much it does not name."""

from __future__ import annotations

import json

import pytest

from worker.domain.brevity import LISTED, NAME, PATH, brief, is_full, written_by
from worker.domain.convergence import NEWS, EnvironmentState, Operation, Phase, seeing
from worker.domain.environment import Policy
from worker.domain.episode_text import headline
from worker.domain.episodes import Episode, Event, Look, News, Trouble, step
from worker.domain.holdings import MOST, beside
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey

MANY = 5_000
STATE_ROOM = 500_000
"""Characters of a record beside an inventory of half a MiB."""

HOSTILE = {
    "plain": "kubectl-edit",
    "ansi": "\x1b[2J\x1b]0;owned\x07" * 9,
    "markdown": "[x](javascript:alert(1)) ![i](http://evil.example/i) **@all** `code` | cell",
    "html": "<script>alert(1)</script><img src=http://evil.example/i onerror=alert(1)>",
    "controls": "a\nb\r\n\x00\x9b31m\u202egnp.exe\u200b",
    "long": "x" * 10_000,
    "long and wide": "\N{PILE OF POO}" * 10_000,
}
POLICY = Policy(diff_after=0)


def key(number: int, name: str = "n") -> ResourceKey:
    return ResourceKey("apps", "Deployment", "ns" * 30, f"{number:04}-{name * 60}")


def drifts(manager: str, number: int = MANY, value: str = "v" * 3_000) -> tuple[Drift, ...]:
    """Fields that differ, each of another object and by another one of that name."""
    return tuple(
        Drift(
            key(each),
            FieldChange(f'data["{manager[:4000]}"]', value, f"{value}{each}"),
            f"{manager}{each}",
            "t",
            "Update",
        )
        for each in range(number)
    )


def looked(drift: tuple[Drift, ...], troubles: tuple[Trouble, ...] = (), before: Episode | None = None) -> Episode:
    found = step(before, Look("a" * 40, drift, troubles, additions=drift, lost=drift), POLICY, 100.0, "e1").episode
    assert found is not None
    return found


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_5000_drifted_objects_fit_into_a_record_and_all_are_counted(name: str) -> None:
    found = drifts(name)
    troubles = tuple(Trouble(key(each), "degraded", name) for each in range(MANY))
    episode = looked(found, troubles)
    assert len(episode.drift) + episode.more == MANY
    assert len(episode.troubles) + episode.more_troubles == MANY
    assert 0 < len(episode.drift) <= LISTED
    assert episode.troubles
    assert all(len(each.manager) <= NAME and len(each.field.path) <= PATH for each in episode.drift)
    assert headline(episode).endswith(f" and {2 * MANY - 1} more")
    assert len(headline(episode)) < 2_000
    state = EnvironmentState(
        "shop/production", "uid", Operation("a" * 40, "main", Phase.SUCCEEDED, 1, 1), episode=episode
    )
    state = seeing(state, Look("a" * 40, additions=found, lost=found))
    for each in range(NEWS + 1):
        state = state.telling(News(Event.CHANGED, episode, float(each)))
    for _ in range(60):
        state = state.remembering({"revision": "a" * 40, "outcome": "diverged", "at": 1.0, "text": headline(episode)})
    assert len(json.dumps(state.to_json())) < STATE_ROOM
    assert EnvironmentState.from_json(json.loads(json.dumps(state.to_json()))).to_json() == state.to_json()
    assert beside(state)[-1].startswith(("and at least ", "and more than "))
    assert len(beside(state)) <= MOST + 1


def test_what_is_not_named_is_still_open_when_one_object_is_looked_at_and_gone_when_all_are() -> None:
    episode = looked(drifts("bob", value="v"), tuple(Trouble(key(each), "degraded", "why") for each in range(MANY)))
    named = frozenset(episode.keys)
    one = step(episode, Look("a" * 40, keys=named), POLICY, 200.0, "e2").episode
    assert one is not None
    assert (one.stage, one.drift, one.troubles) == (episode.stage, (), ())
    assert (one.more, one.more_troubles) == (episode.more, episode.more_troubles)
    whole = step(one, Look("a" * 40), POLICY, 300.0, "e3").episode
    assert whole is not None
    assert whole.clear == 300.0
    assert whole.count == 0


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), ""),
        (("", ""), ""),
        (("bob", "bob", ""), "bob"),
        (("a", "b", "c"), "a, b, c"),
        (("a", "b", "c", "d", "e"), "a, b, c and 2 more"),
    ],
)
def test_who_wrote_it_is_said_shortly(names: tuple[str, ...], said: str) -> None:
    assert written_by(Drift(key(0), FieldChange("p", 1, 2), name) for name in names) == said
    assert len(written_by(drifts("x" * 10_000, 9, "v"))) < 4 * NAME


def test_a_few_small_differences_are_kept_as_they_are() -> None:
    few = drifts("bob", 20, "v")
    assert brief(few) == few
    assert not is_full(tuple(Drift(key(0), FieldChange("p", ABSENT, 1), "bob") for _ in range(20)))

"""An episode by its table: where it is, what a look saw, what comes of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.brevity import LISTED
from worker.domain.environment import Mode, Policy
from worker.domain.episodes import (
    FIGHT_AFTER,
    TABLE,
    Cause,
    Episode,
    Event,
    Healed,
    Look,
    Sight,
    Stage,
    Stepped,
    Trouble,
    after_heal,
    step,
)
from worker.domain.plan import FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import ResourceKey, SecretValue

CART = ResourceKey("apps", "Deployment", "shop", "cart")
FLAGS = ResourceKey("", "ConfigMap", "shop", "flags")
ALERT = Policy(mode=Mode.ALERT, diff_after=30, settle=10, remind=3600)
HEAL = replace(ALERT, mode=Mode.HEAL, diff_after=0)


def drift(key: ResourceKey = CART, new: object = 5, by: str = "kubectl-edit", operation: str = "Update") -> Drift:
    return Drift(key, FieldChange("spec.replicas", 3, new), by, "2026-11-24T12:51:00Z", operation)


def saw(*found: Drift, troubles: tuple[Trouble, ...] = (), keys: frozenset[ResourceKey] | None = None) -> Look:
    return Look("a" * 40, found, troubles, keys)


SAME, UNKNOWN = saw(), Look("a" * 40, reason="the cluster does not answer")


def take(episode: Episode | None, look: Look, policy: Policy, now: float, healed: Healed | None = None) -> Stepped:
    return step(episode, look, policy, now, "e1", healed)


def opened(policy: Policy = ALERT, at: float = 100.0) -> Episode:
    noticed = take(None, saw(drift()), policy, at - policy.diff_after).episode
    found = take(noticed, saw(drift()), policy, at)
    assert Event.OPENED in found.events or policy.diff_after == 0
    assert found.episode is not None
    return found.episode


def test_the_table_has_an_answer_to_everything() -> None:
    assert set(TABLE) == {(stage, sight) for stage in (None, *Stage) for sight in Sight}


def test_what_differs_is_noticed_at_once_and_alerted_when_it_lasts() -> None:
    noticed = take(None, saw(drift()), ALERT, 100)
    assert (noticed.events, noticed.heals) == ((Event.NOTICED,), False)
    assert noticed.episode is not None
    assert noticed.episode.stage is Stage.NOTICED
    assert noticed.episode.due(ALERT) == 130
    early = take(noticed.episode, saw(drift()), ALERT, 129)
    assert early.events == ()
    late = take(early.episode, saw(drift()), ALERT, 130)
    assert late.events == (Event.OPENED,)
    assert late.episode is not None
    assert (late.episode.id, late.episode.stage, late.episode.alerted) == ("e1", Stage.OPEN, 130)
    assert not late.heals, "only heal heals"
    assert take(late.episode, saw(drift()), ALERT, 200).events == (), "one alert for one episode"


def test_what_is_gone_before_it_lasted_is_never_alerted() -> None:
    noticed = take(None, saw(drift()), ALERT, 100).episode
    assert take(noticed, SAME, ALERT, 110) == Stepped(None, (Event.GONE,))


def test_it_closes_after_it_was_gone_for_the_settle_time_and_only_by_a_look_at_everything() -> None:
    closing = take(opened(), saw(keys=frozenset({CART})), ALERT, 200)
    assert closing.events == (Event.CLOSING,)
    assert closing.episode is not None
    assert closing.episode.due(ALERT) == 210
    assert take(closing.episode, SAME, ALERT, 209).events == ()
    assert take(closing.episode, saw(keys=frozenset({CART})), ALERT, 220).events == ()
    closed = take(closing.episode, SAME, ALERT, 210)
    assert (closed.episode, closed.events) == (None, (Event.CONVERGED,))


def test_without_a_settle_time_it_closes_at_once() -> None:
    policy = replace(ALERT, settle=0)
    assert take(opened(policy), SAME, policy, 200).events == (Event.CONVERGED,)


def test_what_comes_back_while_it_closes_is_the_same_episode() -> None:
    closing = take(opened(), SAME, ALERT, 200).episode
    again = take(closing, saw(drift(new=7)), ALERT, 205)
    assert again.episode is not None
    assert (again.episode.id, again.episode.stage, again.episode.clear) == ("e1", Stage.OPEN, 0)
    assert Event.OPENED not in again.events
    assert Event.CHANGED in again.events


def test_what_is_not_known_neither_opens_nor_closes_nor_counts_as_settled() -> None:
    assert take(None, UNKNOWN, ALERT, 100) == Stepped(None)
    noticed = take(None, saw(drift()), ALERT, 100).episode
    assert take(noticed, UNKNOWN, ALERT, 500) == Stepped(noticed)
    assert take(opened(), UNKNOWN, ALERT, 10_000) == Stepped(opened())
    closing = take(opened(), SAME, ALERT, 200).episode
    unknown = take(closing, UNKNOWN, ALERT, 209).episode
    assert take(unknown, SAME, ALERT, 210).events == ()
    assert take(unknown, SAME, ALERT, 219).events == (Event.CONVERGED,)


def test_it_reminds_at_the_chosen_interval() -> None:
    episode = opened(at=100)
    assert episode.due(ALERT) == 3700
    assert take(episode, saw(drift()), ALERT, 3699).events == ()
    reminded = take(episode, saw(drift()), ALERT, 3700)
    assert reminded.events == (Event.REMINDER,)
    assert reminded.episode is not None
    assert reminded.episode.due(ALERT) == 7300


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_only_heal_heals(mode: Mode) -> None:
    policy = replace(HEAL, mode=mode)
    assert not take(None, saw(drift()), policy, 100).heals


def test_heals_wait_ever_longer_and_stop_where_the_same_manager_keeps_undoing_them() -> None:
    found = take(None, saw(drift()), HEAL, 100)
    assert found.events == (Event.OPENED,)
    assert found.heals
    assert found.episode is not None
    waits = []
    episode = found.episode
    now = 100.0
    for number in range(FIGHT_AFTER):
        episode = after_heal(episode, now)
        waits.append(episode.heal_at - now)
        early = take(episode, saw(drift(new=number)), HEAL, episode.heal_at - 1)
        assert not early.heals, "not before its time"
        now = episode.heal_at
        if number < FIGHT_AFTER - 1:
            found = take(episode, saw(drift(new=number)), HEAL, now)
            assert found.heals
            assert found.episode is not None
            episode = found.episode
    assert waits == [2, 6, 18]
    fight = take(episode, saw(drift()), HEAL, now)
    assert Event.FIGHT in fight.events
    assert not fight.heals
    assert fight.episode is not None
    assert fight.episode.quarrel == "kubectl-edit"
    later = take(fight.episode, saw(drift()), HEAL, now + 1000)
    assert not later.heals
    assert Event.FIGHT not in later.events, "said once"


def test_a_quarrel_that_waits_out_the_settle_time_is_known_again() -> None:
    episode = after_heal(opened(HEAL), 100)
    closed = take(take(episode, SAME, HEAL, 101).episode, SAME, HEAL, 111)
    assert closed.healed == Healed("kubectl-edit", 1, 111)
    again = take(None, saw(drift()), HEAL, 112, closed.healed)
    assert again.episode is not None
    assert again.episode.heals == 1
    assert not again.heals, "the wait of the last heal goes on"
    other = take(None, saw(drift(by="argocd")), HEAL, 112, closed.healed)
    assert other.heals, "somebody else is no quarrel"
    assert take(None, saw(drift()), HEAL, 112 + 601, closed.healed).heals, "forgotten after ten minutes"


def test_the_wait_between_heals_has_an_end() -> None:
    episode = replace(opened(HEAL), heals=40)
    assert after_heal(episode, 0).heal_at == 300


@pytest.mark.parametrize(
    ("found", "troubles", "cause"),
    [
        ((drift(),), (), Cause.DRIFT),
        ((drift(operation="Apply"),), (), Cause.CONFLICT),
        ((drift(operation="Apply"), drift(FLAGS)), (), Cause.DRIFT),
        ((), (Trouble(CART, "degraded", "ImagePullBackOff"),), Cause.FAILURE),
        ((drift(),), (Trouble(CART, "degraded", "ImagePullBackOff"),), Cause.DRIFT),
    ],
)
def test_the_cause(found: tuple[Drift, ...], troubles: tuple[Trouble, ...], cause: Cause) -> None:
    episode = take(None, saw(*found, troubles=troubles), ALERT, 100).episode
    assert episode is not None
    assert episode.cause is cause


def test_what_only_takes_its_time_has_as_long_as_a_rollout_and_is_not_healed() -> None:
    policy = replace(HEAL, health_timeout=120)
    slow, broken = Trouble(CART, "progressing", "2/3"), Trouble(CART, "degraded", "CrashLoopBackOff")
    noticed = take(None, saw(troubles=(slow,)), policy, 100)
    assert noticed.events == (Event.NOTICED,)
    assert take(noticed.episode, saw(troubles=(slow,)), policy, 219).events == ()
    assert take(noticed.episode, saw(troubles=(slow,)), policy, 220).events == (Event.OPENED,)
    at_once = take(None, saw(troubles=(broken,)), policy, 100)
    assert at_once.events == (Event.OPENED,)
    assert not at_once.heals, "applying again mends nothing"


def test_a_look_at_one_object_leaves_the_others_as_they_were() -> None:
    two = take(None, saw(drift(), drift(FLAGS)), ALERT, 100).episode
    one = take(two, saw(keys=frozenset({CART})), ALERT, 101).episode
    assert one is not None
    assert one.keys == (FLAGS,)
    more = take(one, saw(drift(), keys=frozenset({CART})), ALERT, 102).episode
    assert more is not None
    assert set(more.keys) == {CART, FLAGS}
    assert take(one, saw(keys=frozenset({FLAGS})), ALERT, 103).episode is None


def test_more_than_it_can_name_is_counted_and_not_closed_by_looks_at_some() -> None:
    many = tuple(drift(ResourceKey("", "ConfigMap", "shop", f"c{n}")) for n in range(LISTED + 7))
    episode = take(None, saw(*many), ALERT, 100).episode
    assert episode is not None
    assert (len(episode.drift), episode.more) == (LISTED, 7)
    named = take(episode, saw(keys=frozenset(each.key for each in many[:LISTED])), ALERT, 101).episode
    assert named is not None
    assert named.stage is Stage.NOTICED, "seven others still differ"


def test_it_is_kept_as_json_without_secrets() -> None:
    secret = Drift(CART, FieldChange("data.password", SecretValue(b"hunter2"), SecretValue(b"hunter3")), "kubectl")
    episode = take(None, saw(secret, troubles=(Trouble(FLAGS, "missing", "it is gone"),)), ALERT, 100).episode
    assert episode is not None
    assert "hunter" not in str(episode.to_json())
    assert "aHVudGVy" not in str(episode.to_json())
    kept = Episode.from_json(episode.to_json())
    assert (kept.id, kept.cause, kept.troubles) == (episode.id, episode.cause, episode.troubles)
    assert Episode.from_json(kept.to_json()) == kept


class Cluster:
    """What a run of looks comes to, as jobs would keep and say it; a look may be lost between its keeping and its saying."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.now = 1000.0
        self.episode: Episode | None = None
        self.healed: Healed | None = None
        self.differs = False
        self.said: list[tuple[Event, str]] = []
        self.numbers = itertools.count(1)

    def look(self, look: Look) -> Stepped:
        before = self.episode
        stepped = step(before, look, self.policy, self.now, f"e{next(self.numbers)}", self.healed)
        self.episode, self.healed = stepped.episode, stepped.healed
        subject = stepped.episode or before
        self.said += [(event, subject.id) for event in stepped.events if subject is not None]
        if stepped.heals and self.episode is not None:
            self.episode = after_heal(self.episode, self.now)
            self.differs = False
        return stepped

    def see(self, *, partly: bool = False, known: bool = True) -> None:
        if not known:
            self.look(UNKNOWN)
            return
        keys = frozenset({CART}) if partly else None
        self.look(saw(*([drift()] if self.differs else []), keys=keys))

    def rest(self) -> None:
        """Quiet time: nobody changes anything, and everything is looked at as often as it is due."""
        for _ in range(200):
            self.now += 5
            self.see()


MOVES = ("edit", "undo", "look", "look at one", "look in vain", "wait", "restart")


@given(
    mode=st.sampled_from(list(Mode)),
    after=st.sampled_from([0.0, 10.0, 60.0]),
    settle=st.sampled_from([0.0, 10.0]),
    moves=st.lists(st.sampled_from(MOVES), max_size=40),
)
def test_whatever_happens_an_episode_is_opened_once_and_closed_once_and_the_end_is_said(
    mode: Mode, after: float, settle: float, moves: list[str]
) -> None:
    cluster = Cluster(Policy(mode=mode, diff_after=after, settle=settle, remind=3600))
    for move in moves:
        match move:
            case "edit":
                cluster.differs = True
            case "undo":
                cluster.differs = False
            case "wait":
                cluster.now += 7
            case "restart":
                cluster.episode = cluster.episode and Episode.from_json(cluster.episode.to_json())
            case _:
                cluster.see(partly=move == "look at one", known=move != "look in vain")
    cluster.rest()
    opened = [name for event, name in cluster.said if event is Event.OPENED]
    closed = [name for event, name in cluster.said if event is Event.CONVERGED]
    assert len(opened) == len(set(opened))
    assert len(closed) == len(set(closed))
    assert set(closed) <= set(opened)
    if cluster.differs:
        assert cluster.episode is not None, "what differs is said"
        assert cluster.episode.stage is Stage.OPEN
        assert cluster.episode.id in opened
        assert mode is not Mode.HEAL or cluster.episode.quarrel or cluster.episode.heals
    else:
        assert cluster.episode is None
        assert set(opened) == set(closed)

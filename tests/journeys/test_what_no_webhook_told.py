"""Webhooks that never come cost time and nothing else: what was proposed, moved and merged is found all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bot.forges.port import State
from sandbox.control_plane import ControlPlane
from tests.doubles.forge_rig import ForgeRig
from tests.doubles.github import PROJECT, Fault
from tests.doubles.github_rig import GithubRig
from tests.journeys.conftest import FORGES, rig_of, started
from tests.journeys.shop import Shop, manifest
from worker.domain.messages import COMMITS_QUEUE


@pytest.fixture(params=FORGES)
def unheard(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    tools: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    namespace: str,
) -> Iterator[Shop]:
    """A shop whose forge tells nobody anything, and a Plumbline that looks by itself every second."""
    rig: ForgeRig = rig_of(request.param, tmp_path_factory.mktemp("silent"), request)
    for system in started(rig, control_plane, tools, tmp_path_factory.mktemp("seeking"), poll="1s"):
        rig.listen("")
        shop = Shop(rig, system, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
        yield shop
        shop.end()
    rig.close()


def test_f03_everything_is_found_without_a_single_delivery(unheard: Shop) -> None:
    shop = unheard
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    assert "predicts 1 change" in shop.predicted(proposal)
    proposal = shop.push(proposal, manifest("more", a="1"))
    assert "predicts 2 changes" in shop.predicted(proposal)
    base = shop.rig.push(shop.branch, manifest("other", b="2"))
    shop.comment(proposal.number, f"@{base[:7]}")
    merged = shop.rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    shop.comment(proposal.number, "Merged: converged")
    assert shop.value("flags") == "2"

    shop.rig.say(proposal.number, "looks good to me")
    comment = shop.rig.say(proposal.number, f"/status {shop.name}")
    shop.until(lambda: bool(shop.answers(proposal.number)), "the command is answered", "", proposal.number)
    shop.all_is_done()
    (text,) = shop.answers(proposal.number)
    assert shop.name in text
    assert shop.rig.reactions(proposal.number, comment) == [(shop.rig.bot, "eyes")]
    assert list(shop.rig.deliveries()) == []


EMPTY_WHERE_ONE_WAITS = "if redis.call('ZCARD', KEYS[1]) > 0 then redis.call('FLUSHALL') return 1 end return 0"


@pytest.mark.parametrize("unheard", ["github"], indirect=True)
def test_f05_a_rollback_that_redis_forgot_while_it_waited_for_its_forge_is_answered_and_not_made(unheard: Shop) -> None:
    shop = unheard
    assert isinstance(shop.rig, GithubRig)
    double = shop.rig.double
    shop.status(shop.begin(), shop.converge, State.SUCCESS)
    release = shop.propose(manifest("flags", a="bad"))
    shop.predicted(release)
    bad = shop.rig.merge(release.number)
    shop.status(bad, shop.converge, State.SUCCESS)

    double.fault = lambda method, path: Fault(503) if method != "GET" and not path.endswith("reactions") else None
    comment = shop.rig.say(release.number, f"/rollback {shop.name}")
    with contextlib.closing(redis.Redis.from_url(shop.system.redis_url)) as connection:
        empty = connection.register_script(EMPTY_WHERE_ONE_WAITS)
        shop.until(lambda: bool(empty(keys=[f"rq:scheduled:{COMMITS_QUEUE}"])), "the commit waits, and is forgotten")
    assert shop.rig.reactions(release.number, comment) == [(shop.rig.bot, "eyes")]
    seen = len(double.seen)
    looked = ("GET", f"/repos/{PROJECT}/issues/comments/{comment}/reactions", 200)
    shop.until(lambda: looked in double.seen[seen:], "the poller finds it")
    double.fault = lambda _method, _path: None

    shop.until(lambda: bool(shop.answers(release.number)), "it is answered", "", release.number)
    shop.all_is_done()
    (text,) = shop.answers(release.number)
    assert "not done a second time" in text
    assert shop.rig.tip(shop.branch) == bad
    assert not [branch for branch in double.git.refs("refs/heads") if "plumbline/" in branch]

    shop.rig.say(release.number, f"/rollback {shop.name}")
    shop.until(lambda: len(shop.answers(release.number)) == 2, "said again it is done", "", release.number)
    assert "is ready" in shop.answers(release.number)[1]
    assert len([branch for branch in double.git.refs("refs/heads") if "plumbline/" in branch]) == 1
    assert double.faults == [], "every exchange fits GitHub's own description"
    assert list(shop.rig.deliveries()) == []

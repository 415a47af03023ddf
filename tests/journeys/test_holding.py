"""Frozen and thawed, a prune confirmed, and a commit that is asked for again although somebody has meddled: by comments, on one forge."""

from __future__ import annotations

import json

import pytest
import redis

from bot.forges.port import Permission, State
from tests.conftest import config_map
from tests.journeys.shop import Shop, manifest
from tests.journeys.test_orders import QUOTED, answered, told

pytestmark = pytest.mark.parametrize("forge", ["github"], indirect=True)


def test_frozen_every_environment_waits_and_thawed_the_newest_commit_is_converged(shop: Shop) -> None:
    shop.begin("extra")
    shop.rig.permit("bob", Permission.ADMIN)
    shop.rig.permit("rita", Permission.WRITE)
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    answered(shop, proposal.number, "/freeze mine", "needs admin permission", login="rita")
    assert "frozen" in answered(shop, proposal.number, "/freeze incident 7", "incident 7", login="bob").lower()
    before = shop.versions()
    merged = shop.rig.merge(proposal.number)
    told(shop, merged, State.PENDING, "Held", "by bob", "incident 7", "/thaw")
    extra = f"{shop.converge}-extra"
    shop.until(lambda: shop.rig.statuses(merged)[extra].text.startswith("Held"), f"{extra} is held", merged)
    assert "frozen" in answered(shop, proposal.number, f"/unhold {shop.name}", "is not held, but", login="bob")
    second = shop.propose(manifest("flags", a="3"))
    assert "incident 7" in shop.predicted(second), "predictions are made as always, and say it"
    newest = shop.rig.merge(second.number)
    told(shop, newest, State.PENDING, "Held", "incident 7")
    assert shop.versions() == before, "nothing is written to its objects"
    answered(shop, proposal.number, "/thaw", "not frozen any more", login="bob")
    told(shop, newest, State.SUCCESS)
    assert shop.value("flags") == "3"
    shop.status(newest, extra, State.SUCCESS)
    assert shop.rig.statuses(merged)[shop.converge].state is not State.SUCCESS, "what was overtaken never converged"


def test_a_prune_over_the_budget_waits_for_the_code_of_exactly_its_plan(shop: Shop) -> None:
    files = {f"app/old-{each}.yaml": config_map(f"old-{each}", a="1") for each in range(4)}
    shop.begin(**files)
    shop.rig.permit("bob", Permission.ADMIN)
    shop.rig.permit("rita", Permission.WRITE)
    first, second, *_ = files
    less = shop.declaration().replace("{settle: 1s", "{prune-budget: 1, settle: 1s")
    proposal = shop.propose({"plumbline.yaml": less, first: None, second: None})
    shop.predicted(proposal)
    merged = shop.rig.merge(proposal.number)
    found = QUOTED.search(text := told(shop, merged, State.PENDING, "Held", "2 of 6"))
    assert found is not None, text
    code = found[1] or found[2]
    wrong = "zzzzzzzz" if code != "zzzzzzzz" else "yyyyyyyy"
    answered(shop, proposal.number, f"/confirm-prune {shop.name} {code}", "needs admin permission", login="rita")
    answered(shop, proposal.number, f"/confirm-prune {shop.name} {wrong}", code, login="bob")
    assert all(shop.object(f"old-{each}") is not None for each in range(4)), "nothing is deleted"
    answered(shop, proposal.number, f"/confirm-prune {shop.name} {code}", "is applied now", login="bob")
    told(shop, merged, State.SUCCESS)
    assert [shop.object(f"old-{each}") is not None for each in range(4)] == [False, False, True, True]


def test_a_commit_that_is_asked_for_again_after_redis_was_emptied_heals_no_drift_and_says_that_it_is_there(
    shop: Shop,
) -> None:
    shop.begin()
    policy = shop.propose({"plumbline.yaml": shop.declaration().replace("{settle: 1s", "{diff-after: 0s, settle: 1s")})
    shop.predicted(policy)
    revision = shop.rig.merge(policy.number)
    told(shop, revision, State.SUCCESS)
    shop.meddle("flags", a="9")
    before = told(shop, revision, State.FAILURE, "Drifted", "9, Git says 1")
    versions = shop.versions()
    with redis.Redis.from_url(shop.system.redis_url) as connection:
        connection.flushall()
    log = shop.system.log("bot")
    pushes = [
        index for index, each in enumerate(shop.rig.deliveries()) if json.loads(each.body).get("after") == revision
    ]
    assert shop.rig.redeliver(pushes[-1]).code < 300
    asked = f"tip {revision[:7]}, environments ['{shop.name}']"
    shop.until(
        lambda: asked in shop.system.log("bot").removeprefix(log), "its convergence is asked for again", revision
    )
    shop.all_is_done()
    assert shop.versions()["flags"] == versions["flags"], "nothing is written over it"
    assert shop.value("flags") == "9"
    after = told(shop, revision, State.FAILURE, "Drifted", "9, Git says 1")
    assert shop.history(revision, shop.converge).count(State.SUCCESS) == 1, "it never looks converged again"
    assert after.partition(" (")[0] == before.partition(" (")[0]

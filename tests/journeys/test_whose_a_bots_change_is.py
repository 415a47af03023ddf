"""A rollback's change request where approvals are others': whose it is, and whose it is no longer known to be, on a real forge."""

from __future__ import annotations

import pytest

from bot.forges.port import Permission, State
from tests.journeys.shop import Shop, manifest
from tests.journeys.test_a_rollback import begun, rolled_back
from tests.journeys.test_orders import answered, merged_and_held, told, waiting

pytestmark = pytest.mark.parametrize("forge", ["gitea"], indirect=True)


def test_a21_a_rollback_is_another_person_s_to_approve_than_who_asked_for_it_and_nobody_s_once_it_was_pushed_to(
    shop: Shop,
) -> None:
    good = begun(shop)
    shop.rig.permit("bob", Permission.WRITE)
    asks = shop.declaration().replace("{settle: 1s", "{converge: on-approval, approvers: others, settle: 1s")
    told(shop, shop.rig.push(shop.branch, {"plumbline.yaml": asks}), State.SUCCESS)
    release, merged, code = waiting(shop, "bad")
    answered(shop, release.number, f"/approve {shop.name} {code}", "is applied now", login="bob")
    told(shop, merged, State.SUCCESS)

    shop.rig.say(release.number, f"/rollback {shop.name}")
    back = rolled_back(shop, release.number)
    assert shop.rig.change_request(back.number).author.login == shop.rig.bot
    branch = shop.rig._ask("GET", f"/pulls/{back.number}")["head"]["ref"]  # type: ignore[attr-defined]
    shop.rig.push(branch, {"app/other.yaml": None, **manifest("flags", a="smuggled")}, onto=back.head)
    shop.status(shop.rig.change_request(back.number).head, shop.predict, State.SUCCESS)
    _, code = merged_and_held(shop, back)
    approve = f"/approve {shop.name} {code}"
    assert "asked for this change" in answered(shop, back.number, approve, "the policy wants somebody else")
    said = answered(shop, back.number, approve, "the policy wants somebody else", login="bob")
    assert "newest commit is not the one that Plumbline made" in said
    assert (shop.value("flags"), shop.value("other")) == ("bad", "1"), "nothing of it counted"

    shop.rig.say(back.number, f"/rollback {shop.name} {good}")
    again = rolled_back(shop, back.number)
    assert again.number != back.number
    shop.predicted(again)
    merged, code = merged_and_held(shop, again)
    approve = f"/approve {shop.name} {code}"
    assert "asked for this change" in answered(shop, again.number, approve, "the policy wants somebody else")
    assert shop.value("flags") == "bad", "nothing of it counted"
    answered(shop, again.number, approve, "is applied now", login="bob")
    told(shop, merged, State.SUCCESS)
    assert (shop.value("flags"), shop.value("other")) == ("1", "1")

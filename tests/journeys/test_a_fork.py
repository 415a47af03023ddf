"""A change request out of a fork: nothing of it is rendered before somebody who may write names its commit."""

from __future__ import annotations

from bot.forges.port import Permission, State
from tests.conftest import config_map
from tests.journeys.shop import PREDICT, Proposal, Shop, manifest

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {password: "%s"}
"""


def fork(shop: Shop, **files: str) -> Proposal:
    number = shop.rig.open_from_fork({**manifest("flags", a="2"), **files}, shop.branch)
    return shop.opened(Proposal(number, "", shop.rig.change_request(number).head))


def test_a_fork_waits_for_the_word_of_somebody_who_may_write_about_exactly_its_commit(shop: Shop) -> None:
    first = shop.begin()
    proposal = fork(shop)
    waits = shop.status(proposal.head, PREDICT, State.PENDING)
    assert "a maintainer can ask" in waits.text
    assert f"/plan {proposal.head}" in shop.comment(proposal.number, "From a fork")
    shop.rig.say(proposal.number, f"/plan {proposal.head}", login="eve")
    shop.rig.say(proposal.number, f"/plan {first}")
    shop.rig.say(proposal.number, f"/plan {proposal.head[:7]}")
    shop.rig.say(proposal.number, f"I would say /plan {proposal.head}")
    shop.all_is_done()
    assert shop.rig.statuses(proposal.head) == {PREDICT: waits}, "somebody who may only read had it rendered"
    assert "predicts" not in shop.comment(proposal.number)

    shop.rig.say(proposal.number, f"/plan {proposal.head}")
    assert "predicts 1 change" in shop.predicted(proposal)
    assert "fork" in shop.comment(proposal.number).lower(), "that it is a fork's is not said"


def test_a_later_commit_of_the_fork_needs_a_word_of_its_own(shop: Shop) -> None:
    shop.begin()
    shop.rig.permit("grace", Permission.WRITE)
    proposal = fork(shop)
    shop.status(proposal.head, PREDICT, State.PENDING)
    shop.rig.say(proposal.number, f"/plan {proposal.head}", login="grace")
    shop.predicted(proposal)
    newer = shop.rig.push_to_fork(proposal.number, manifest("flags", a="3"))
    shop.status(newer, PREDICT, State.PENDING)
    assert "predicts" not in shop.comment(proposal.number, f"/plan {newer}")
    shop.rig.say(proposal.number, f"/plan {proposal.head}", login="grace")
    shop.all_is_done()
    assert shop.rig.statuses(newer)[PREDICT].state is State.PENDING
    assert shop.predict not in shop.rig.statuses(newer)


def test_a_secret_is_nowhere_in_what_is_said_of_a_fork(shop: Shop) -> None:
    shop.begin(**{"app/key.yaml": SECRET % "canary-of-the-cluster"})
    proposal = fork(shop, **{"app/key.yaml": SECRET % "canary-of-the-fork", "app/more.yaml": config_map("more", a="1")})
    shop.status(proposal.head, PREDICT, State.PENDING)
    shop.rig.say(proposal.number, f"/plan {proposal.head}")
    comment = shop.predicted(proposal)
    assert "Secret" in comment
    said = [comment, *(each.text for each in shop.rig.history(proposal.head))]
    said += [f"{each.title} {each.summary} {each.annotations}" for each in shop.rig.checks(proposal.head)]
    said += [shop.system.log(name) for name in ("web", "bot", "worker", "watch")]
    assert not any("canary" in text or "Y2FuYXJ5" in text for text in said)

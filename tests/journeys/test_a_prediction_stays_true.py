"""A prediction is of what would be merged now: it follows the head, the base, the target and the cluster, in one comment."""

from __future__ import annotations

import signal

import pytest

from bot.forges.port import Permission, State
from tests.conftest import config_map
from tests.journeys.shop import PREDICT, Shop, broken, manifest


def test_it_follows_the_head_also_when_that_is_force_pushed(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    proposal = shop.push(proposal, manifest("more", c="1"))
    comment = shop.predicted(proposal)
    assert f"{shop.namespace}/more" in comment
    assert "2 changes" in comment
    proposal = shop.push(proposal, manifest("flags", a="9"), onto=shop.rig.tip(shop.branch))
    comment = shop.predicted(proposal)
    assert "1 → 9" in comment or "+   a: 9" in comment or "+ a: 9" in comment, comment
    assert "more" not in comment
    assert "predicts 1 change" in comment


def test_a_head_that_is_pushed_while_the_one_before_still_waits_is_the_one_that_is_predicted(shop: Shop) -> None:
    shop.begin()
    shop.system.servers["worker"].signal(signal.SIGSTOP)
    try:
        proposal = shop.propose(manifest("flags", a="2"))
        shop.status(proposal.head, PREDICT, State.PENDING)
        first = proposal.head
        proposal = shop.push(proposal, manifest("flags", a="3"))
        shop.status(proposal.head, PREDICT, State.PENDING)
    finally:
        shop.system.servers["worker"].signal(signal.SIGCONT)
    comment = shop.predicted(proposal)
    assert "1 → 3" in comment or "+   a: 3" in comment or "+ a: 3" in comment, comment
    assert shop.history(first, PREDICT) == [State.PENDING], "an old head was predicted"


def test_it_says_a_conflict_with_the_base_until_that_is_resolved(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    base = shop.rig.push(shop.branch, manifest("flags", a="5"))
    comment = shop.comment(proposal.number, f"Conflicts with {shop.branch}", "app/flags.yaml", base[:7])
    assert "predicts" not in comment
    assert f"Conflicts with {shop.branch}" in shop.status(proposal.head, PREDICT, State.FAILURE).text
    proposal = shop.push(proposal, manifest("flags", a="6"), onto=base)
    comment = shop.predicted(proposal)
    assert "onflict" not in comment
    assert "predicts 1 change" in comment


def test_it_is_made_again_when_the_base_moves_elsewhere(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    base = shop.rig.push(shop.branch, manifest("other", b="2"))
    comment = shop.comment(proposal.number, f"@{base[:7]}")
    assert "predicts 1 change" in comment
    assert f"{shop.namespace}/other" not in comment.partition("what merging does besides")[0]
    assert shop.status(proposal.head, PREDICT, State.SUCCESS).text == "1 change in 1 environment; nothing is deleted"


def test_it_is_made_again_by_itself_when_a_predicted_object_changes_in_the_cluster(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    assert "already drifted before" not in shop.predicted(proposal)
    before = len(shop.rig.deliveries())
    shop.meddle("flags", a="7")
    comment = shop.comment(proposal.number, "already drifted before this change: 1 field")
    assert "predicts 1 change" in comment
    assert shop.value("flags") == "7", "a prediction wrote to the cluster"
    assert all(b"synchronize" not in each.body for each in shop.rig.deliveries()[before:])


def test_a_retargeted_change_request_is_predicted_onto_its_new_base(shop: Shop) -> None:
    first = shop.begin()
    beside = f"{shop.branch}-beside"
    there = shop.declaration().replace(f"name: {shop.name}\n", f"name: {shop.name}-beside\n")
    others = {"app/flags.yaml": None, "app/other.yaml": None, **manifest("elsewhere", a="1")}
    shop.rig.push(beside, {"plumbline.yaml": there, **others}, onto=first)
    proposal = shop.propose(manifest("more", a="1"))
    assert f"predicts 1 change in {shop.name}" in shop.predicted(proposal)
    shop.rig.edit(proposal.number, base=beside)
    comment = shop.comment(proposal.number, beside)
    assert f"| {shop.name} |" not in comment
    assert f"**{shop.name}** |" not in comment
    shop.status(proposal.head, f"{PREDICT}/{shop.name}-beside", State.SUCCESS)


def test_a_change_request_onto_a_branch_that_nothing_follows_claims_nothing(shop: Shop) -> None:
    first = shop.begin()
    shop.rig.push(f"docs-{shop.name}", {"README.md": "words\n"}, onto=first)
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.rig.edit(proposal.number, base=f"docs-{shop.name}")
    comment = shop.comment(proposal.number, f"No environment follows docs-{shop.name}")
    assert "predicts" not in comment
    assert shop.rig.statuses(proposal.head)[PREDICT].text == f"No environment follows docs-{shop.name}"
    shop.rig.edit(proposal.number, base=shop.branch)
    shop.comment(proposal.number, f"predicts 1 change in {shop.name}")
    shop.status(proposal.head, PREDICT, State.SUCCESS)


def test_nothing_is_predicted_while_it_is_closed_and_all_of_it_when_it_is_open_again(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.rig.close_request(proposal.number)
    said = shop.ours(proposal.number)
    proposal = shop.push(proposal, manifest("flags", a="3"))
    shop.all_is_done()
    assert PREDICT not in shop.rig.statuses(proposal.head)
    assert shop.ours(proposal.number) == said
    shop.rig.reopen(proposal.number)
    assert "predicts 1 change" in shop.predicted(proposal)


def test_a_draft_is_predicted_once_it_is_ready(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"), is_draft=True)
    assert "draft" in shop.status(proposal.head, PREDICT, State.PENDING).text
    shop.all_is_done()
    assert shop.ours(proposal.number) == []
    assert shop.predict not in shop.rig.statuses(proposal.head)
    shop.rig.edit(proposal.number, is_draft=False)
    assert "predicts 1 change" in shop.predicted(proposal)


def test_a_prediction_that_is_the_same_is_not_written_again(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    shop.status(proposal.head, shop.predict, State.SUCCESS)
    writings, statuses = shop.writings(proposal.number), shop.rig.status_count(proposal.head)
    assert writings == 1
    shop.rig.edit(proposal.number, title="Another name")
    shop.rig.redeliver()
    shop.all_is_done()
    assert shop.writings(proposal.number) == writings
    assert shop.rig.status_count(proposal.head) == statuses
    shop.status(proposal.head, PREDICT, State.SUCCESS)


@pytest.mark.parametrize("what", ["edited", "deleted"])
def test_what_somebody_did_to_our_comment_is_put_right_with_the_next_prediction(shop: Shop, what: str) -> None:
    shop.begin()
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    (ours,) = shop.ours(proposal.number)
    if what == "edited":
        shop.rig.edit_comment(proposal.number, ours.id, f"{ours.body.splitlines()[0]}\n\nNothing to see here")
    else:
        shop.rig.delete_comment(proposal.number, ours.id)
    proposal = shop.push(proposal, manifest("flags", a="3"))
    comment = shop.predicted(proposal)
    assert "Nothing to see here" not in comment
    assert (shop.ours(proposal.number)[0].id == ours.id) == (what == "edited")


def test_a_stranger_who_writes_our_marker_is_left_alone(shop: Shop) -> None:
    shop.begin()
    shop.rig.permit("mallory", Permission.READ)
    proposal = shop.propose({"app/flags.yaml": broken()})
    shop.status(proposal.head, PREDICT, State.FAILURE)
    (ours,) = shop.ours(proposal.number)
    theirs = shop.rig.say(proposal.number, ours.body.replace("cannot predict", "predicts no"), login="mallory")
    proposal = shop.push(proposal, {"app/flags.yaml": config_map("flags", a="3")})
    shop.predicted(proposal)
    bodies = {each.id: each for each in shop.rig.comments(proposal.number)}
    assert "predicts no" in bodies[theirs].body, "somebody else's comment was edited"
    assert [each.id for each in shop.ours(proposal.number)] == [ours.id]

"""Several environments of one commit: one comment says each, one that fails hides no other, and one without a change stays as it is."""

from __future__ import annotations

import pytest

from bot.forges.port import State
from tests.conftest import config_map
from tests.journeys.shop import PREDICT, Shop, broken, manifest


def test_two_environments_are_in_one_comment_with_a_status_each(shop: Shop) -> None:
    shop.begin("staging")
    proposal = shop.propose({**manifest("flags", a="2"), "staging/more.yaml": config_map("more", a="1")})
    comment = shop.predicted(proposal)
    assert "Plumbline predicts 2 changes in 2 environments" in comment
    assert f"**{shop.name}** | 1 configure" in comment
    assert f"**{shop.name}-staging** | 1 create" in comment
    shop.status(proposal.head, shop.predict, State.SUCCESS)
    shop.status(proposal.head, f"{shop.predict}-staging", State.SUCCESS)
    assert shop.rig.statuses(proposal.head)[PREDICT].text == "2 changes in 2 environments; nothing is deleted"


def test_one_that_cannot_be_predicted_does_not_hide_the_other(shop: Shop) -> None:
    shop.begin("staging")
    proposal = shop.propose({**manifest("flags", a="2"), "staging/staging.yaml": broken()})
    comment = shop.predicted(proposal, State.FAILURE)
    assert f"Plumbline cannot predict {shop.name}-staging; 1 change in 1 environment is known" in comment
    assert f"**{shop.name}** | 1 configure" in comment
    assert f"{shop.namespace}/flags" in comment
    assert "staging/staging.yaml:3" in comment
    whole = shop.rig.statuses(proposal.head)[PREDICT].text
    assert whole.startswith(f"{shop.name}-staging: staging/staging.yaml:3")
    failure = shop.status(proposal.head, f"{shop.predict}-staging", State.FAILURE)
    assert failure.text.startswith("staging/staging.yaml:3")
    shop.status(proposal.head, shop.predict, State.SUCCESS)


@pytest.mark.parametrize("forge", ["github"], indirect=True)
def test_what_is_to_be_mended_is_annotated_at_its_line(shop: Shop) -> None:
    shop.begin("staging")
    proposal = shop.propose({"app/flags.yaml": broken(), "staging/staging.yaml": f"# a line more\n{broken()}"})
    shop.predicted(proposal, State.FAILURE)
    shop.until(lambda: bool(shop.rig.checks(proposal.head)), "the check is there", proposal.head)
    (check,) = shop.rig.checks(proposal.head)
    assert check.state is State.FAILURE
    assert {(each.path, each.line, each.level) for each in check.annotations} == {
        ("app/flags.yaml", 3, "failure"),
        ("staging/staging.yaml", 4, "failure"),
    }


def test_a_commit_that_changes_nothing_for_an_environment_leaves_it_as_it_is_and_says_so(shop: Shop) -> None:
    first = shop.begin("staging")
    staging = f"{shop.converge}-staging"
    shop.status(first, staging, State.SUCCESS)
    before = shop.versions()
    proposal = shop.propose(manifest("flags", a="2"))
    comment = shop.predicted(proposal)
    assert f"| {shop.name}-staging | no change | not looked at | not touched |" in comment
    said = shop.status(proposal.head, f"{shop.predict}-staging", State.SUCCESS)
    assert said.text == "No change for this environment"
    merged = shop.rig.merge(proposal.number)
    assert "No change for this environment" in shop.status(merged, staging, State.SUCCESS).text
    shop.status(merged, shop.converge, State.SUCCESS)
    assert shop.versions()["staging"] == before["staging"]
    assert shop.versions()["flags"] != before["flags"]


def test_an_environment_that_failed_still_fails_on_a_commit_that_changes_nothing_for_it(shop: Shop) -> None:
    shop.begin("staging")
    staging = f"{shop.converge}-staging"
    bad = shop.rig.push(shop.branch, {"staging/staging.yaml": config_map("UPPER", a="1")})
    reason = shop.status(bad, staging, State.FAILURE).text
    assert "UPPER" in reason
    elsewhere = shop.rig.push(shop.branch, manifest("flags", a="2"))
    failure = shop.status(elsewhere, staging, State.FAILURE)
    assert "UPPER" in failure.text
    shop.status(elsewhere, shop.converge, State.SUCCESS)
    assert State.SUCCESS not in shop.history(elsewhere, staging)

"""How a commit fared is on that commit, and stays true: what failed says why, and what was overtaken is never green."""

from __future__ import annotations

from bot.forges.port import State
from tests.journeys.shop import Shop, manifest

NEVER_READY = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  replicas: 1
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: "registry.example/cart:missing"}]}
"""
REFUSED = """\
apiVersion: v1
kind: Service
metadata: {name: cart}
spec: {ports: [{port: 700000}]}
"""


def test_a_commit_that_was_overtaken_is_never_green_and_says_by_what(shop: Shop) -> None:
    shop.begin()
    proposal = shop.propose({"app/cart.yaml": NEVER_READY})
    shop.predicted(proposal)
    slow = shop.rig.merge(proposal.number)

    def waits() -> bool:
        found = shop.rig.statuses(slow).get(shop.converge)
        return found is not None and "cart" in found.text

    shop.until(waits, "the commit waits for what is not healthy", slow)
    quick = shop.rig.push(shop.branch, {"app/cart.yaml": None, **manifest("flags", a="3")})
    shop.status(quick, shop.converge, State.SUCCESS)

    def is_over() -> bool:
        return shop.rig.statuses(slow)[shop.converge].state in (State.CANCELLED, State.ERROR)

    shop.until(is_over, "the overtaken commit says so", slow)
    text = shop.rig.statuses(slow)[shop.converge].text
    assert text == f"Superseded before it converged: {quick[:7]} took over"
    assert State.SUCCESS not in shop.history(slow, shop.converge)
    assert shop.value("flags") == "3"
    assert "converged as predicted" not in shop.comment(proposal.number)


def test_a_commit_that_the_cluster_refuses_fails_with_the_reason_on_commit_and_change_request(shop: Shop) -> None:
    shop.begin()
    before = shop.versions()
    proposal = shop.propose({"app/cart.yaml": REFUSED, **manifest("flags", a="2")})
    comment = shop.predicted(proposal, State.FAILURE)
    assert "700000" in comment
    merged = shop.rig.merge(proposal.number)
    failure = shop.status(merged, shop.converge, State.FAILURE)
    assert "700000" in failure.text
    assert "cart" in failure.text
    comment = shop.comment(proposal.number, f"Merged: failed in {shop.name}")
    assert "700000" in comment
    assert State.SUCCESS not in shop.history(merged, shop.converge)
    assert shop.versions() == before, "a part of what was refused was written"

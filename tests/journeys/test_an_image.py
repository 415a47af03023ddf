"""`/image` on a change request: one change request that changes one line, and the environment converges with the new image."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bot.desk import ADAPTERS
from bot.forges.gitea import Gitea
from bot.forges.port import Forge, Permission, State
from tests.conftest import DEPLOYMENT
from tests.journeys.shop import Proposal, Shop, manifest
from tests.journeys.test_deliveries import post

OLD = "registry.example/x:1"
WORKLOAD = DEPLOYMENT.replace('"registry.example/x:1"', "'registry.example/x:1' ").replace(
    "replicas: 1", "replicas:  1 # one"
)
FILE = "app/web.yaml"
READY = re.compile(r"\]\(\S+/([0-9]+)\) is ready")


@pytest.fixture
def asked(shop: Shop) -> Proposal:
    """A change request into a branch whose environment runs the old image."""
    first = shop.begin(**{FILE: WORKLOAD})
    shop.status(first, shop.converge, State.SUCCESS)
    assert running(shop) == OLD
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    return proposal


def running(shop: Shop) -> str:
    """The image of the Deployment in the cluster."""
    _, found = shop.plane.request("GET", f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/d")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


@contextmanager
def spoken(shop: Shop) -> Iterator[Forge]:
    """The forge as Plumbline speaks it."""
    rig = shop.rig
    forge = ADAPTERS[rig.declared.kind](rig.declared, rig.repository, rig.credentials)
    yield forge
    if isinstance(forge, Gitea):
        forge.close()


def ours(shop: Shop) -> dict[str, str]:
    """The branches that image changes of this environment are on, with their commits."""
    start = f"plumbline/image-{shop.name}-"
    with spoken(shop) as forge:
        return {name: tip for name, tip in forge.tips().items() if name.startswith(start)}


def answered(shop: Shop, proposal: Proposal, words: str, *, login: str = "ada", count: int = 1) -> str:
    """The newest answer on a change request, after this was said there and the `count`th answer came."""
    shop.rig.say(proposal.number, words, login=login)
    shop.until(lambda: len(shop.answers(proposal.number)) >= count, f"{words} is answered", "", proposal.number)
    assert len(shop.answers(proposal.number)) == count
    return html.unescape(shop.answers(proposal.number)[-1])


def opened(shop: Shop, text: str) -> Proposal:
    """The change request that an answer names."""
    found = READY.search(text)
    assert found, text
    number = int(found[1])
    return shop.opened(Proposal(number, "", shop.rig.change_request(number).head))


def test_an_image_is_one_change_request_of_one_line_and_its_merge_converges(shop: Shop, asked: Proposal) -> None:
    tip = shop.rig.tip(shop.branch)
    made = opened(shop, answered(shop, asked, f"/image {shop.name} registry.example/x:2"))
    request = shop.rig.change_request(made.number)
    assert request.title == f"Use registry.example/x:2 in {shop.name}"
    assert request.base == shop.branch
    assert request.author.login == shop.rig.bot
    assert list(ours(shop).values()) == [made.head]
    with spoken(shop) as forge:
        assert forge.file(made.head, FILE) == WORKLOAD.replace("x:1'", "x:2'").encode()
        for path in ("plumbline.yaml", "app/flags.yaml", "app/other.yaml"):
            assert forge.file(made.head, path) == forge.file(tip, path)
    assert shop.rig.tip(shop.branch) == tip, "it was pushed to the branch"
    predicted = shop.predicted(made)
    assert f"Plumbline predicts 1 change in {shop.name}" in predicted
    assert "registry.example/x:2" in predicted
    assert running(shop) == OLD
    merged = shop.rig.merge(made.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    assert running(shop) == "registry.example/x:2"
    assert shop.value("flags") == "1", "something else than the image was changed"


def test_asked_twice_and_delivered_twice_it_is_one_and_a_newer_one_names_the_older(shop: Shop, asked: Proposal) -> None:
    words = f"/image {shop.name} registry.example/x:2"
    begun = len(shop.rig.deliveries())
    made = opened(shop, answered(shop, asked, words))
    for each in [each for each in shop.rig.deliveries()[begun:] if b"/image" in each.body]:
        assert post(shop, each.headers, each.body) == 200, "the same delivery is known"
    again = opened(shop, answered(shop, asked, words, count=2))
    assert again == made
    shop.all_is_done()
    assert len(shop.answers(asked.number)) == 2
    assert list(ours(shop).values()) == [made.head]
    text = answered(shop, asked, f"/image {shop.name} registry.example/x:3", count=3)
    newer = opened(shop, text)
    assert newer.number != made.number
    assert f"takes the place of {shop.rig.change_request(made.number).url} " in text
    assert len(ours(shop)) == 2


def test_what_is_not_there_or_there_already_is_answered_and_nothing_is_made(shop: Shop, asked: Proposal) -> None:
    tip = shop.rig.tip(shop.branch)
    unknown = answered(shop, asked, f"/image {shop.name} registry.example/y:2")
    assert "names the image registry.example/y" in unknown
    same = answered(shop, asked, f"/image {shop.name} {OLD}", count=2)
    assert f"{FILE}:{line_of(OLD)} names already" in same
    bare = answered(shop, asked, f"/image {shop.name} registry.example/x", count=3)
    assert "says no tag and no digest" in bare
    assert ours(shop) == {}
    assert shop.rig.tip(shop.branch) == tip


def test_what_cannot_be_changed_alone_is_refused_with_its_line(shop: Shop) -> None:
    tagged = WORKLOAD.replace("'registry", "!!str 'registry")
    first = shop.begin(**{FILE: tagged})
    shop.status(first, shop.converge, State.SUCCESS)
    proposal = shop.propose(manifest("flags", a="2"))
    said = answered(shop, proposal, f"/image {shop.name} registry.example/x:2")
    assert f"{FILE}, line {line_of('!!str', tagged)}" in said
    assert ours(shop) == {}


def test_who_may_not_is_refused(shop: Shop, asked: Proposal) -> None:
    shop.rig.permit("rita", Permission.READ)
    said = answered(shop, asked, f"/image {shop.name} registry.example/x:2", login="rita")
    assert "needs `write` permission" in said
    shop.all_is_done()
    assert ours(shop) == {}
    assert running(shop) == OLD


def line_of(words: str, text: str = WORKLOAD) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)

"""Commands about environments in two clusters: answered whole, each environment by its name; one cluster away is said, and made up for."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.answers import Origin
from bot.forges.port import Permission, State
from bot.markdown import plain
from bot.queue import Requests
from bot.tickets import CommandOutcome, Tickets
from sandbox.control_plane import ControlPlane
from tests.api_proxy import ApiProxy, Fault
from tests.doubles.github_rig import GithubRig
from tests.journeys.conftest import rig_of, started
from tests.journeys.shop import Shop, manifest
from tests.journeys.system import RiggedSystem
from tests.journeys.test_orders import answered, told
from worker.domain.orders import Order, Subject, Verb
from worker.domain.rollback import RollbackRequest
from worker.signed_queue import SignedQueue


@dataclass
class West:
    """A cluster of its own, and the proxy through which Plumbline reaches it."""

    plane: ControlPlane
    proxy: ApiProxy

    def goes_away(self) -> None:
        self.proxy.rule = lambda _method, _path: Fault(cut="before")
        self.proxy.cut_watches()

    def comes_back(self) -> None:
        self.proxy.rule = lambda _method, _path: None


@pytest.fixture(scope="module")
def west(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[West]:
    folder = tmp_path_factory.mktemp("west")
    with ControlPlane.start(folder / "cluster", tools) as plane:
        proxy = ApiProxy(plane.kubeconfig("worker"), folder)
        yield West(plane, proxy)
        proxy.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[GithubRig]:
    made = rig_of("github", tmp_path_factory.mktemp("github"), request)
    assert isinstance(made, GithubRig)
    yield made
    made.close()


@pytest.fixture(scope="module")
def system(
    rig: GithubRig,
    west: West,
    control_plane: ControlPlane,
    tools: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RiggedSystem]:
    clusters = [
        {"name": name, "kubeconfig": {"file": str(kubeconfig)}}
        for name, kubeconfig in (("sandbox", control_plane.kubeconfig("worker")), ("west", west.proxy.kubeconfig))
    ]
    folder = tmp_path_factory.mktemp("two")
    yield from started(rig, control_plane, tools, folder, poll="1m", more={"clusters": clusters})


@pytest.fixture
def shop(
    rig: GithubRig, system: RiggedSystem, west: West, control_plane: ControlPlane, namespace: str
) -> Iterator[Shop]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    assert west.plane.request("POST", "/api/v1/namespaces", body)[0] == 201
    made = Shop(rig, system, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
    yield made
    made.end()


def in_the_west(shop: Shop, west: West) -> str:
    """The value of the ConfigMap that the environment in the west has."""
    _, found = west.plane.request("GET", f"/api/v1/namespaces/{shop.namespace}/configmaps/west")
    return str(found["data"]["a"])


def says(shop: Shop, number: int, *words: str) -> str:
    """The newest answer on a change request, once it has all these words."""

    def newest() -> str:
        return html.unescape(shop.answers(number)[-1]).replace("`", "")

    shop.until(lambda: all(word in newest() for word in words), f"it is answered {words}", "", number)
    return newest()


def test_what_is_said_of_all_environments_is_heeded_in_both_clusters_and_the_one_that_is_away_is_named(
    shop: Shop, west: West
) -> None:
    here, there = shop.name, f"{shop.name}-west"
    declared = shop.declaration("west").replace(f"name: {here}\n", f"name: {here}\n    cluster: sandbox\n")
    declared = declared.replace(f"name: {there}\n", f"name: {there}\n    cluster: west\n")
    first = shop.begin("west", **{"plumbline.yaml": declared})
    for context in (shop.converge, f"{shop.converge}-west"):
        shop.status(first, context, State.SUCCESS)
    assert in_the_west(shop, west) == "1"
    shop.rig.permit("bob", Permission.ADMIN)
    proposal = shop.propose({**manifest("flags", a="2"), **shop_of_the_west("2")})
    number = proposal.number
    shop.predicted(proposal)

    answered(shop, number, "/freeze the holidays", "frozen", login="bob")
    whole = says(shop, number, f"{here}, {there}: frozen by bob")
    assert "has not" not in whole
    status = answered(shop, number, "/status", "the holidays")
    assert all(f"- {name} frozen by bob" in status for name in (here, there))
    answered(shop, number, "/thaw", "frozen", login="bob")
    says(shop, number, f"{here}, {there}: not frozen any more")

    west.goes_away()
    try:
        answered(shop, number, "/freeze an incident", "an incident", login="bob")
        half = says(shop, number, f"- {here}: frozen by bob", f"- {there}: has not heeded it yet", "is tried again")
        assert f"- {there}: frozen" not in half
        said = len(shop.answers(number))
        for text in tried_for_long(shop, there):
            assert "It was tried for 8 minutes; ask again if it is still wanted" in text
            assert "does not answer" in text
    finally:
        west.comes_back()
    says(shop, number, f"{here}, {there}: frozen by bob")
    assert len(shop.answers(number)) == said, "it is the same answer, made whole"
    merged = shop.rig.merge(number)
    told(shop, merged, State.PENDING, "Held", "an incident")
    other = f"{shop.converge}-west"
    shop.until(lambda: shop.rig.statuses(merged)[other].text.startswith("Held"), f"{there} is held", merged)
    assert (shop.value("flags"), in_the_west(shop, west)) == ("1", "1")
    answered(shop, number, "/thaw", "frozen", login="bob")
    says(shop, number, f"{here}, {there}: not frozen any more; the newest commit is being converged")
    for context in (shop.converge, other):
        shop.status(merged, context, State.SUCCESS)
    assert (shop.value("flags"), in_the_west(shop, west)) == ("2", "2")


def tried_for_long(shop: Shop, environment: str) -> list[str]:
    """What is answered to an order and to a rollback that were asked for ten minutes ago, once both are refused."""
    directory = shop.system.directory
    requests = Requests(SignedQueue(shop.system.redis_url, (directory / "signing-key").read_bytes()))
    tickets, at = Tickets(requests.queue.connection), requests.queue.now() - 600
    origins = [Origin("bob", ticket=each * 32).to_json() for each in "ab"]
    subjects = (Subject(environment, shop.branch),)
    requests.order(Order("shop", "west", subjects, Verb.HOLD, "bob", at, origin=origins[0]))
    requests.rollback(RollbackRequest("shop", environment, "", shop.branch, push=False, origin=origins[1], at=at))

    def is_refused(ticket: str) -> bool:
        return tickets.said(ticket).outcome is CommandOutcome.REFUSED

    shop.until(lambda: is_refused("a" * 32) and is_refused("b" * 32), "both are refused")
    return [plain(tickets.said(each * 32).text) for each in "ab"]


def shop_of_the_west(value: str) -> dict[str, str]:
    """The file of the environment in the west."""
    return {path.replace("app/", "west/"): text for path, text in manifest("west", a=value).items()}

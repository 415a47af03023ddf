"""An environment's page says what holds it and what lies beside Git there, as the worker showed it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bot.board import Board
from tests.bot.web import Web, fill, web
from tests.browser import chromium
from worker.adapters.store import Store
from worker.domain.convergence import EnvironmentState, Operation, Phase
from worker.domain.locks import Lock, Locks
from worker.domain.messages import shown_key
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import ResourceKey, SecretValue

CART = ResourceKey("apps", "Deployment", "shop", "cart")
ADDED = (
    Drift(CART, FieldChange("metadata.labels.debug", ABSENT, "on"), "kubectl-<b>label</b>"),
    Drift(CART, FieldChange("data.token", ABSENT, SecretValue(b"hunter2")), "k9s"),
    Drift(ResourceKey("", "ConfigMap", "shop", "notes"), FieldChange(VANISHED, ABSENT, "notes"), "kubectl"),
)
LOST = (Drift(CART, FieldChange("spec.paused", True, True), "bob"),)


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), redis_url, "pages: open\n") as started:
        yield started


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        found.flushall()
        fill(Board(found))
        yield found


def test_the_page_says_what_holds_it_and_what_lies_beside_git(
    running: Web, connection: redis.Redis, tmp_path: Path
) -> None:
    now = time.time()
    locks = Locks(hold=Lock("ann", now - 3700, "incident <i>7</i>"))
    state = EnvironmentState("shop/production", "c", locks=locks, additions=ADDED, lost=LOST)
    Store(connection, b"key").show("shop", state, "production", now)
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{running.address}/environments/shop/production")
        held = page.locator("section[aria-labelledby=held] li").all_inner_texts()
        beside = page.locator("section[aria-labelledby=beside] li").all_inner_texts()
        page.screenshot(path=tmp_path / "held.png", full_page=True)
        assert page.locator("li b b, li i").count() == 0, "nobody's words are markup"
    assert [each.splitlines()[0] for each in held] == ["held by ann: incident <i>7</i> since 1 h ago"]
    assert held[0].endswith("released by /unhold production")
    assert beside == [
        "Deployment shop/cart metadata.labels.debug on, not in Git (kubectl-<b>label</b>)",
        "Deployment shop/cart data.token ••••• (after), not in Git (k9s)",
        "ConfigMap shop/notes is there, and nobody declared it (kubectl)",
        "Deployment shop/cart spec.paused is as Git says, and belongs to bob now",
    ]
    assert "hunter2" not in str(connection.get(shown_key("shop", "production")))


def test_the_first_page_says_what_people_hold(running: Web, connection: redis.Redis) -> None:
    now = time.time()
    with running.visitor() as visitor:
        assert "held" not in visitor.get("/").text.partition("Predictions")[0]
        locks = Locks(hold=Lock("ann", now - 3700, "incident <i>7</i>"), freeze=Lock("ops", now - 90, "the holidays"))
        Store(connection, b"key").show("shop", EnvironmentState("shop/tools", "c", locks=locks), "tools", now)
        page = visitor.get("/").text
        assert "<h1>3 of 5 environments out of true, 1 held</h1>" in page
        assert "<b>held</b> by <bdi>ann</bdi>: <bdi>incident &lt;i&gt;7&lt;/i&gt;</bdi>" in page
        assert page.count('<p class="holds">') == 2
        operation = Operation("3f9c2ab" + "1" * 33, "main", Phase.APPLYING, now, now)
        state = EnvironmentState("shop/tools", "c", operation=operation)
        Store(connection, b"key").show("shop", state, "tools", now)
        assert "holds" not in visitor.get("/").text, "what ends by itself is no hold of people's"
        text = visitor.get("/environments/shop/tools").text
        assert "ends by itself" in text
        assert "released by" not in text


def test_what_is_much_is_counted_and_what_nobody_showed_has_no_section(running: Web, connection: redis.Redis) -> None:
    many = tuple(Drift(CART, FieldChange(f"metadata.labels.a{n}", ABSENT, "on"), "k9s") for n in range(50))
    with running.visitor() as visitor:
        page = "/environments/shop/production"
        assert "Beside Git" not in visitor.get(page).text
        state = EnvironmentState("shop/production", "c", additions=many)
        Store(connection, b"key").show("shop", state, "production", 0.0)
        text = visitor.get(page).text
        assert text.count("not in Git") == 20
        assert "and 30 more: plumbline status names them" in text
        assert "What holds it" not in text
        connection.set(shown_key("shop", "production"), "[]")
        assert "Beside Git" not in visitor.get(page).text

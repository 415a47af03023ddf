"""A page looks again by itself, and never under somebody's hands: with its script, without it, and when nothing answers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
import redis
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, Route

from bot.board import Board
from sandbox.redis_server import RedisServer
from tests.bot.test_pages import contrast
from tests.bot.web import TOKEN, Web, fact, fill, web
from tests.browser import chromium
from worker.domain.reports import Step

PAGE = "/environments/shop/staging"
PAGES = "pages: {token: {env: PAGES}, may: [admin]}\n"
REVISION = "5b1e0aa" + "3" * 33


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), redis_url, PAGES) as started:
        yield started


@pytest.fixture
def board(redis_url: str) -> Iterator[Board]:
    """A board whose staging converges."""
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
        found = Board(connection)
        fill(found)
        yield found


@pytest.fixture
def page(browser: Browser, running: Web, board: Board) -> Iterator[Page]:
    """Staging's page, for who may command."""
    with browser.new_context() as visit:
        yield signed_in(visit, running)


def signed_in(visit: BrowserContext, running: Web) -> Page:
    page = visit.new_page()
    page.goto(f"{running.address}/login")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.goto(running.address + PAGE)
    return page


def applied(board: Board, text: str) -> None:
    """Something happens in staging."""
    board.record(fact(Step.WAITING, text, environment="staging", revision=REVISION, at=time.time() - 3, after=3.0))


def look(page: Page) -> None:
    """What a tab does that somebody comes back to."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_what_is_typed_focused_and_unfolded_stays_while_the_page_shows_what_is_new(page: Page, board: Board) -> None:
    page.evaluate("window.isTheSame = true")
    older = page.locator(".timeline > li").nth(1).locator("details")
    assert older.get_attribute("open") is None
    older.locator("summary").click()
    page.get_by_label("Roll it back to").fill("~2")
    page.get_by_label("Hold it, because").click()
    page.keyboard.type("the migra")
    applied(board, "Deployment shop/cart: 3 of 3 ready")
    page.locator(".lead", has_text="3 of 3 ready").wait_for(timeout=10_000)
    page.keyboard.type("tion runs")
    assert page.get_by_label("Hold it, because").input_value() == "the migration runs"
    assert page.get_by_label("Roll it back to").input_value() == "~2"
    assert older.get_attribute("open") is not None
    assert page.locator(".timeline > li").first.locator(".facts li").last.inner_text().startswith("waiting")
    assert page.evaluate("window.isTheSame"), "it was not loaded anew"
    assert page.locator("#stale").is_hidden()


def test_what_comes_and_goes_is_shown_where_it_belongs(page: Page, board: Board) -> None:
    page.locator(".timeline > li").nth(1).locator("summary").click()
    page.get_by_label("Hold it, because").fill("mine")
    newer = "7c2d0bb" + "4" * 33
    board.record(fact(Step.CONVERGING, "staging to 7c2d0bb", environment="staging", revision=newer, at=time.time()))
    look(page)
    page.locator(".timeline > li").nth(2).wait_for()
    fresh = page.context.new_page()
    fresh.goto(page.url)
    texts = [re.sub(r"\d+ \w+ ago|just now", "ago", each.locator("main").inner_text()) for each in (page, fresh)]
    folded = [text.split("Timeline")[0] for text in texts]
    assert folded[0].split() == folded[1].split()
    opened = page.locator(".timeline > li > details").evaluate_all("all => all.map(each => each.open)")
    assert opened == [True, True, True], "what was unfolded stays so, and moved down"
    assert page.title().startswith("staging: converging")
    assert page.get_by_label("Hold it, because").input_value() == "mine"


def test_a_button_that_somebody_aims_at_does_not_move_away(page: Page, board: Board) -> None:
    button = page.get_by_role("button", name="Retry")
    button.hover()
    box = button.bounding_box()
    assert box is not None
    tall = "one more line " * 40
    for turn in range(10):
        page.mouse.move(box["x"] + 5 + turn, box["y"] + 5)
        if turn == 1:
            applied(board, tall)
            with page.expect_response("**/environments/**"):
                look(page)
        assert button.bounding_box() == box, "while the pointer moves on it"
    page.locator(".lead", has_text="one more line").wait_for()
    assert button.bounding_box() != box


def test_a_page_that_gets_no_answer_says_since_when_and_goes_on(page: Page, board: Board) -> None:
    page.route("**/environments/**", lambda route: route.abort())
    look(page)
    stale = page.locator("#stale")
    stale.wait_for()
    assert "Since then Plumbline does not answer." in stale.inner_text()
    assert "Waiting: Deployment shop/cart" in page.locator(".lead").inner_text(), "what was seen last stays"
    page.unroute("**/environments/**")
    away = "<title>Not now · Plumbline</title><main id=main><h1>Not now</h1></main>"
    page.route("**/environments/**", lambda route: route.fulfill(status=503, body=away, content_type="text/html"))
    look(page)
    page.locator("#stale", has_text="Since then: Not now").wait_for()
    assert "Waiting: Deployment shop/cart" in page.locator(".lead").inner_text()
    assert page.title().startswith("staging")
    page.unroute("**/environments/**")
    applied(board, "Deployment shop/cart: 3 of 3 ready")
    look(page)
    page.locator(".lead", has_text="3 of 3 ready").wait_for()
    assert stale.is_hidden()


def test_an_answer_that_was_passed_by_a_newer_one_is_not_shown(page: Page, board: Board) -> None:
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/environments/**", lambda route: held.append((route, route.fetch())), times=1)
    look(page)
    while not held:
        page.wait_for_timeout(20)
    applied(board, "Deployment shop/cart: 3 of 3 ready")
    look(page)
    page.locator(".lead", has_text="3 of 3 ready").wait_for()
    (route, older), *_ = held
    with page.expect_response("**/environments/**") as answered:
        route.fulfill(response=older)
    answered.value.finished()
    page.wait_for_timeout(100)
    assert "3 of 3 ready" in page.locator(".lead").inner_text()
    assert page.locator("#stale").is_hidden()


def test_a_session_that_ended_leads_to_the_door_and_takes_nothing_that_is_written(page: Page) -> None:
    page.get_by_label("Hold it, because").fill("mine")
    page.context.clear_cookies()
    look(page)
    page.locator("#stale", has_text="Sign in").wait_for()
    assert page.get_by_label("Hold it, because").input_value() == "mine"
    page.get_by_label("Hold it, because").fill("")
    page.locator("h1").click()
    look(page)
    page.wait_for_url("**/login")


def test_without_scripts_a_page_with_fields_stands_still_and_says_so(
    browser: Browser, running: Web, board: Board
) -> None:
    with browser.new_context(java_script_enabled=False) as visit:
        page = signed_in(visit, running)
        assert page.locator("meta[http-equiv=refresh]").count() == 0
        page.get_by_label("Hold it, because").fill("mine")
        applied(board, "Deployment shop/cart: 3 of 3 ready")
        page.get_by_role("link", name="look again").click()
        page.locator(".lead", has_text="3 of 3 ready").wait_for()
        page.goto(running.address)
        assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "3"


def test_a_person_with_a_keyboard_alone_holds_and_releases(page: Page) -> None:
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(e => e.labels?.[0]?.textContent || e.getAttribute('aria-label') || e.textContent.trim())(document.activeElement)"
            )
        )
    order = [
        "To the content",
        "Plumbline",
        "Sign out",
        "Environments",
        "Hold it, because",
        "Hold",
        "Freeze all, because",
    ]
    assert reached[: len(order)] == order
    assert reached[len(order) :][:4] == ["Freeze all", "Roll it back to", "Roll back", "Retry"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_commands_have_the_contrast_that_reading_needs(
    browser: Browser, running: Web, board: Board, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_context(color_scheme=scheme) as visit:
        page = signed_in(visit, running)
        for selector in (".buttons label", ".buttons input:not([type=hidden])", ".buttons button"):
            assert contrast(page, selector) >= 4.5, (scheme, selector)
        page.locator("#stale").evaluate("each => { each.hidden = false; each.textContent = 'x' }")
        assert contrast(page, "#stale") >= 4.5
        page.get_by_role("button", name="Roll back").click()
        assert contrast(page, ".primary") >= 4.5
        page.locator(".primary").evaluate("each => each.className = 'button danger'")
        assert contrast(page, ".danger") >= 4.5


def test_every_field_has_a_label_that_is_seen_and_headings_come_in_order(page: Page, running: Web) -> None:
    for path in (PAGE, "/", "/environments/shop/production", "/proposals/shop/7", "/environments/shop/none"):
        page.goto(running.address + path)
        assert page.locator("html").get_attribute("lang") == "en"
        levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(each => Number(each.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels)), levels
        for field in page.locator("input:not([type=hidden])").all():
            assert field.evaluate("each => each.labels.length") == 1
            assert field.evaluate("each => each.labels[0].checkVisibility()")


def test_a_page_without_its_redis_looks_again_by_itself_and_what_was_sent_is_not_sent_again(
    browser: Browser, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path / "redis")
    try:
        with redis.Redis.from_url(server.url) as connection:
            fill(Board(connection))
        with web(tmp_path, server.url, PAGES) as own, browser.new_context() as visit:
            page = signed_in(visit, own)
            server.stop()
            page.get_by_role("button", name="Retry").click()
            assert "Go back and try again in a moment." in page.locator("main").inner_text()
            assert page.locator("#main").get_attribute("data-again") is None
            answer = page.goto(own.address)
            assert answer is not None
            assert answer.status == 503
            assert "This page looks again by itself." in page.locator("main").inner_text()
            assert page.locator("#main").get_attribute("data-again") == "10"
    finally:
        server.stop()

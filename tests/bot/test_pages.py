"""The pages in a real browser, from the real web process: what is shown, to whom, and what can not happen."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from playwright.sync_api import Browser, BrowserContext, Page

from bot.board import Board, Commit, Request
from tests.bot.web import FOUND, TICKET, Web, converged, episode, fact, fill, preview, proof, proposal, web
from tests.browser import chromium
from worker.domain.environment import Mode
from worker.domain.episodes import Cause, Event, Trouble
from worker.domain.errors import Problem
from worker.domain.plan import Action, Change, FieldChange, Plan
from worker.domain.proposals import Drift, EnvironmentProposal
from worker.domain.reports import EnvironmentPreview, Outcome, PreviewReport, Step
from worker.domain.resource import ResourceKey

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</style><style>@import url(http://127.0.0.1:9/x);</style>",
    "</title><meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x><base href=http://127.0.0.1:9/>",
    "<iframe src=javascript:alert(1)></iframe><form action=http://127.0.0.1:9/><button autofocus>",
    "{{ 71 * 73 }}{% include '/etc/passwd' %}",
    "<details open ontoggle=alert(1)>",
    "--><!--<img src=http://127.0.0.1:9/x>",
    "\u202egnp.exe\u2066 \x1b[31m \x00 \x9b",
)
PATHS = ("/", "/environments/shop/production", "/proposals/shop/7", f"/plans/{TICKET}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Web, open to read."""
    with web(tmp_path_factory.mktemp("web"), redis_url, "pages: open\n") as started:
        yield started


@pytest.fixture
def board(redis_url: str) -> Iterator[Board]:
    connection = redis.Redis.from_url(redis_url)
    connection.flushall()
    yield Board(connection)
    connection.close()


def context(browser: Browser, *, scripts: bool = False, width: int = 1100, scheme: str = "light") -> BrowserContext:
    return browser.new_context(
        java_script_enabled=scripts,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )


def watched(page: Page, own: str) -> list[str]:
    """What must not happen on a page: dialogs, requests that leave us, what the policy had to stop, errors."""
    found: list[str] = []

    def dialog(shown: object) -> None:
        found.append("a dialog")
        shown.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", dialog)
    page.on("request", lambda request: None if request.url.startswith(own + "/") else found.append(request.url))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def hostile(board: Board, text: str) -> str:
    """Puts a text everywhere where people or clusters can put one; the environment's name."""
    name = text.replace("\x00", "").replace("/", "") or "x"
    now = time.time()
    key = ResourceKey("apps", text, text, text)
    changes = tuple(
        Change(
            key,
            "v1",
            action,
            text,
            (FieldChange(text, text, f"{text}\n{text}"), FieldChange("a", text, {text: [text]})),
        )
        for action in (Action.CONFIGURE, Action.UNPREDICTABLE)
    )
    plan = Plan(name, "1" * 40, changes, (text,), text * 4)
    problems = (Problem(text, text, 1, text, text),)
    board.record(
        fact(
            Step.FAILED, text, environment=name, branch=text, at=now - 9,
            proof={"objects": 1, "health": {text: 1}, "verdict": text, "digest": text, "settle": 1, "times": {}},
        )
    )  # fmt: skip
    converged(board, "production", "2" * 40, now - 100, branch=text)
    board.record(fact(Step.HELD, text, revision="3" * 40, branch=text, at=now - 1))
    drift = tuple(
        Drift(key, field, text, text, text)
        for field in (FieldChange(text, text, f"{text}{text}"), FieldChange(text, f"{text}\n{text}", {text: [text]}))
    )
    found = {"id": "e9", "drift": drift, "by": text, "troubles": (Trouble(key, text, text),), "quarrel": text}
    board.note_episode(episode(Event.FIGHT, now, branch=text, **found))
    board.note_episode(episode(Event.OPENED, now - 50, id="e8", branch=text, drift=drift, by=text))
    board.note_episode(episode(Event.OPENED, now, environment=name, branch=text, **found))
    for revision in ("3f9c2ab" + "0" * 33, "2" * 40, "3" * 40):
        board.describe("shop", revision, Commit(text, text))
    environments = (
        EnvironmentProposal(
            name, text, Outcome.PLANNED, True, changes, (Drift(key, FieldChange(text, text, text), text, text),), plan,
            (text,), problems, text, text, text, 3,
        ),
        EnvironmentProposal("production", text, Outcome.INVALID, problems=problems, text=text),
    )  # fmt: skip
    report = proposal(environments=environments, base=text, problems=problems, text=text, conflicts=(text,), at=now)
    board.propose(report, Request(text, text, text))
    preview_of = EnvironmentPreview(name, Outcome.HELD, plan, problems, text, text)
    board.answer(PreviewReport(TICKET, "shop", (preview_of,), problems, (text,)))
    return name


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a55_nothing_user_made_runs_loads_or_leads_away(
    browser: Browser, running: Web, board: Board, text: str
) -> None:
    name = hostile(board, text)
    with context(browser, scripts=True) as visit:
        page = visit.new_page()
        bad = watched(page, running.address)
        page.goto(running.address)
        own = page.locator(".environment h2 a", has_text=re.compile("^(?!production$)"))
        addresses = [running.address + path for path in PATHS]
        addresses.append(running.address + str(own.first.get_attribute("href")))
        for address in addresses:
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            page.mouse.move(300, 300)
            assert page.url == address
            assert page.locator("meta[http-equiv]").count() <= 1
            assert page.locator("img, iframe, style, object, embed, base, [style]").count() == 0
            scripts = page.locator("script").evaluate_all("all => all.map(each => each.src + each.textContent)")
            assert set(scripts) <= {f"{running.address}/pages/pages.js"}
            assert page.locator("[onerror], [onload], [onmouseover], [ontoggle]").count() == 0
            targets = page.eval_on_selector_all("[href], [action]", "all => all.map(each => each.href || each.action)")
            assert all(target.startswith(running.address) for target in targets), targets
            shown = page.locator("body").inner_text()
            assert "5183" not in shown, "a template is text too"
            assert not set("\u202e\u2066\x1b\x9b") & set(page.content())
        assert bad == []
        assert name is not None


def test_a55_the_browser_stops_a_script_and_a_foreign_image_that_got_in_all_the_same(
    browser: Browser, running: Web, board: Board
) -> None:
    fill(board)
    with context(browser, scripts=True) as visit:
        page = visit.new_page()
        bad = watched(page, running.address)
        asked: list[str] = []
        page.on("requestfinished", lambda request: asked.append(request.url))
        page.goto(running.address)
        page.evaluate(
            """() => {
            const script = document.createElement('script'); script.textContent = 'alert(1)'; document.body.append(script);
            const other = document.createElement('script'); other.src = '/healthz'; document.body.append(other);
            const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x'; document.body.append(image);
            }"""
        )
        page.wait_for_timeout(200)
        assert "a dialog" not in bad
        assert not [each for each in asked if not each.startswith(running.address)]
        assert len([each for each in bad if "Content Security Policy" in each]) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_every_page_fits_and_can_be_read_without_javascript(
    browser: Browser, running: Web, board: Board, width: int, scheme: str
) -> None:
    fill(board)
    with context(browser, width=width, scheme=scheme) as visit, context(browser, scripts=True, width=width) as measure:
        page, ruler = visit.new_page(), measure.new_page()
        for path in (*PATHS, "/login", "/environments/shop/preview", "/environments/shop/nothing"):
            page.goto(running.address + path)
            ruler.goto(running.address + path)
            assert page.locator("h1").count() == 1
            assert page.locator("main").inner_text().strip()
            assert ruler.evaluate("document.documentElement.scrollWidth") <= width, path
        page.goto(running.address)
        background = ruler.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == "rgb(246, 245, 241)"


def contrast(page: Page, selector: str) -> float:
    """The WCAG contrast of an element's text against what is behind it."""
    ratio: float = page.eval_on_selector(
        selector,
        """element => {
        const parts = text => text.match(/[\\d.]+/g).map(Number);
        const light = text => { const [r, g, b] = parts(text).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 });
            return .2126 * r + .7152 * g + .0722 * b };
        let behind = element;
        while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
        const [a, b] = [light(getComputedStyle(element).color), light(getComputedStyle(behind).backgroundColor)].sort((x, y) => y - x);
        return (a + .05) / (b + .05) }""",
    )
    return ratio


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_has_the_contrast_that_reading_needs(
    browser: Browser, running: Web, board: Board, scheme: str
) -> None:
    fill(board)
    selectors = {
        "/": (
            "h1",
            ".word.tilted",
            ".word.moving",
            ".word.straight",
            ".since",
            ".place",
            ".subject",
            ".list a",
            "code",
            ".axes .tilted dd",
            ".axes .moving dd",
            ".axes .straight dd",
            ".axes dt",
        ),
        "/environments/shop/production": (
            ".sides .wanted",
            ".sides .found",
            ".diff .wanted",
            ".diff .found",
            ".diff .wanted i",
            ".written dt",
            ".action.drift",
            ".next",
            ".word.passed",
        ),
        "/proposals/shop/7": (
            "del",
            "ins",
            ".action.prune",
            ".action.configure",
            ".reason",
            ".warning",
            ".notice",
            ".by",
        ),
    }
    with context(browser, scripts=True, scheme=scheme) as visit:
        page = visit.new_page()
        for path, several in selectors.items():
            page.goto(running.address + path)
            for selector in several:
                assert contrast(page, selector) >= 4.5, (scheme, selector)


def test_the_keyboard_reaches_every_environment_and_folds_every_object(
    browser: Browser, running: Web, board: Board
) -> None:
    fill(board)
    with context(browser) as visit:
        page = visit.new_page()
        page.goto(running.address)
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/environments/shop/preview")
        page.goto(f"{running.address}/proposals/shop/7")
        first = page.locator("details.change").first
        assert first.get_attribute("open") is not None
        first.locator("summary").focus()
        page.keyboard.press("Enter")
        assert first.get_attribute("open") is None


def test_a_link_to_one_object_unfolds_it(browser: Browser, running: Web, board: Board) -> None:
    fill(board)
    with context(browser) as visit:
        page = visit.new_page()
        page.goto(f"{running.address}/proposals/shop/7#production/merge/Secret/shop/cart-db")
        unfolded = page.locator("details:has([id='production/merge/Secret/shop/cart-db'])")
        assert unfolded.get_attribute("open") is not None
        folded = page.locator("details:has([id='production/merge/ConfigMap/shop/cart-flags'])")
        assert folded.get_attribute("open") is None


def test_the_first_page_says_whether_all_is_well_worst_first(running: Web, board: Board) -> None:
    fill(board)
    page = httpx.get(running.address).text
    assert "3 of 5 environments out of true" in page
    order = [page.index(f">{name}</a>") for name in ("preview", "production", "load-test", "staging", "tools")]
    assert order == sorted(order)
    assert "spec.replicas 5, Git says 3 (kubectl-edit) and 4 more" in page
    assert "Let the cart keep 512 MiB" in page
    assert 'http-equiv="refresh" content="3"' in page
    exact = re.search(r'<time datetime="([^"]+)" title="[^"]+UTC">1[345] min ago</time>', page)
    assert exact is not None


def test_a_mark_is_straight_when_converged_tilted_when_not_and_moves_while_it_works(running: Web, board: Board) -> None:
    now = time.time()
    board.record(fact(Step.APPLYING, "1 of 2", at=now, after=0.1))
    assert 'class="mark moving"' in httpx.get(running.address).text
    converged(board, "production", "3f9c2ab" + "0" * 33, now)
    page = httpx.get(running.address).text
    assert 'class="mark straight"' in page
    assert "The one environment stands true" in page
    assert 'content="60"' in page
    board.record(fact(Step.FAILED, "x", revision="4" * 40, at=now + 60))
    assert 'class="mark tilted"' in httpx.get(running.address).text


HEAD = "3f9c2ab" + "1" * 33


def text_of(page: Page, selector: str) -> str:
    return " ".join(page.locator(selector).inner_text().split())


def test_an_environment_says_what_differs_who_wrote_it_and_what_comes_next(
    browser: Browser, running: Web, board: Board
) -> None:
    fill(board)
    with context(browser) as visit:
        page = visit.new_page()
        page.goto(f"{running.address}/environments/shop/production")
        assert text_of(page, ".headline .axes") == "sync diverged health missing operation succeeded"
        assert (
            text_of(page, ".lead")
            == "Drifted: Deployment shop/checkout spec.replicas 5, Git says 3 (kubectl-edit) and 4 more"
        )
        open_one = page.locator("section[aria-labelledby=divergence]")
        assert "drift, first seen 14 min ago, last written by kubectl-edit, rancher" in open_one.inner_text()
        assert text_of(page, ".next") == "Next: stays as it is until Git or the cluster is changed; reminder in 45 min."
        assert open_one.locator(".field").count() == len(FOUND)
        first, removed, lines, secret, deleted = [
            " ".join(each.split()) for each in open_one.locator(".field").all_inner_texts()
        ]
        written = "manager kubectl-edit operation Update last wrote"
        assert re.fullmatch(rf"spec\.replicas Git says 3 in the cluster 5 {written} \d+ min ago", first), first
        assert removed.endswith(
            "manager not known operation not known last wrote not known "
            "Who removed a field is not in the cluster’s managedFields."
        )
        assert "Git: checkout: new" in lines
        assert "cluster: checkout: old" in lines
        assert "Git says ••••• in the cluster ••••• (another)" in secret
        assert deleted.startswith("Git has it, the cluster does not. manager not known")
        assert "of the last time that it stood true" in text_of(page, "section[aria-labelledby=proof]")


def test_the_timeline_has_commits_and_divergences_newest_first_with_the_plan_behind_each(
    browser: Browser, running: Web, board: Board
) -> None:
    fill(board)
    with context(browser) as visit:
        page = visit.new_page()
        page.goto(f"{running.address}/environments/shop/production")
        items = page.locator(".timeline > li")
        words = [each.inner_text().split() for each in items.locator("summary .word").all()]
        assert words == [["open"], ["healed"], ["converged"], ["converged"]]
        items.nth(1).locator("> details > summary").click()
        steps = items.nth(1).locator(".facts .step").all_inner_texts()
        assert steps == ["opened", "healed", "closing", "converged"]
        assert items.nth(1).locator(".field").count() == 1, "what differed then"
        assert items.nth(0).locator(".field").count() == 0, "what differs now is above"
        items.nth(2).locator("> details > summary").click()
        assert "3f9c2ab" in items.nth(2).inner_text()
        items.nth(2).get_by_role("link", name="The plan of the push").click()
        page.wait_for_url(f"**/plans/{TICKET}#production")
        assert "Plan of a push" in page.locator("h1").inner_text()


def test_the_prediction_of_a_change_request_is_behind_its_merge(running: Web, board: Board) -> None:
    fill(board)
    merged = board.history("shop", "tools")[-1]
    board.conclude(7, merged)
    page = httpx.get(f"{running.address}/environments/shop/tools").text
    assert 'href="/proposals/shop/7#tools">The prediction of #7</a>' in page
    assert "The plan of the push" not in page


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"mode": Mode.OBSERVE}, "only shown: nobody is alerted, nothing is healed."),
        ({"mode": Mode.HEAL, "heals": 2}, "healed in 9 min. Healed 2 times so far."),
        ({"mode": Mode.HEAL, "drift": (), "cause": Cause.FAILURE}, "not healed, because applying again would mend nothing; reminder in 59 min."),
        ({"mode": Mode.HEAL, "quarrel": "argocd", "heals": 3}, "not healed any more, because argocd undid it 3 times; reminder in 59 min. Healed 3 times so far."),
    ],
)  # fmt: skip
def test_what_happens_next_depends_on_the_mode(
    browser: Browser, running: Web, board: Board, more: dict[str, object], said: str
) -> None:
    now = time.time()
    converged(board, "production", HEAD, now - 4000)
    board.note_episode(episode(Event.OPENED, now, **{"heal_at": now + 599, **more}))
    with context(browser) as visit:
        page = visit.new_page()
        page.goto(f"{running.address}/environments/shop/production")
        assert text_of(page, ".next") == f"Next: {said}"


def test_a_divergence_that_is_over_leaves_the_mark_straight_and_its_proof(running: Web, board: Board) -> None:
    now = time.time()
    converged(board, "production", HEAD, now - 4000)
    board.note_episode(episode(Event.OPENED, now - 100))
    assert 'class="mark tilted"' in httpx.get(running.address).text
    board.note_episode(episode(Event.CLOSING, now - 50, drift=(), clear=now - 50))
    closing = httpx.get(running.address).text
    assert 'class="mark moving"' in closing
    assert "Nothing differs any more" in closing
    assert 'content="3"' in closing, "looked at again soon"
    board.note_episode(episode(Event.CONVERGED, now - 20, drift=(), proof=proof(now - 60, digest="beef" * 16)))
    page = httpx.get(f"{running.address}/environments/shop/production").text
    assert 'class="mark straight"' in page
    assert "Open divergence" not in page
    assert "beef" * 16 in page, "the newest proof"
    assert "that it stands true" in page


def test_what_is_noticed_and_goes_by_itself_tilts_only_while_it_is_there(running: Web, board: Board) -> None:
    now = time.time()
    converged(board, "production", HEAD, now - 4000)
    board.note_episode(episode(Event.NOTICED, now - 9, next_at=now + 21))
    assert 'class="mark tilted"' in httpx.get(running.address).text
    board.note_episode(episode(Event.GONE, now - 1, next_at=now + 21))
    assert 'class="mark straight"' in httpx.get(running.address).text


def test_a_visitor_who_wants_no_motion_gets_none(browser: Browser, running: Web, board: Board) -> None:
    fill(board)
    for wanted, name in (("reduce", "none"), ("no-preference", "swing")):
        with browser.new_context(reduced_motion=wanted) as visit:  # type: ignore[arg-type]
            page = visit.new_page()
            page.goto(running.address)
            style = "element => getComputedStyle(element).animationName"
            assert page.eval_on_selector(".mark.moving g", style) == name
            assert page.eval_on_selector(".mark.straight g", style) == "none"


def test_facts_that_come_late_or_twice_show_the_same(running: Web, board: Board) -> None:
    now = time.time() - 600
    converged(board, "production", "2" * 40, now)
    before = board.history("shop", "production")
    board.record(before[0])
    board.record(before[2])
    assert board.history("shop", "production") == before
    board.propose(proposal(7, now), Request("new"))
    board.propose(proposal(7, now - 50, head="9" * 40), Request("late"))
    assert board.proposals("shop")[0][1].title == "new"


def test_f13_what_could_not_be_predicted_is_never_no_change(running: Web, board: Board) -> None:
    board.propose(proposal(), Request("x"))
    page = httpx.get(f"{running.address}/proposals/shop/7").text
    assert "<h1>Cannot predict staging</h1>" in page
    assert "<h1>No change</h1>" not in page


def test_a47_no_page_holds_a_secret_value(running: Web, board: Board) -> None:
    fill(board)
    for path in PATHS:
        page = httpx.get(running.address + path).text
        assert not [each for each in ("hunter2", "cart-owner-name") if each in page], path
    assert "••••• (before)" in page


def test_every_answer_has_the_headers_that_keep_pages_to_themselves(running: Web, board: Board) -> None:
    fill(board)
    for path in (*PATHS, "/login", "/environments/shop/nothing", "/plans/x", "/pages/pages.css"):
        headers = httpx.get(running.address + path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
            f"base-uri 'none'; frame-ancestors 'none'; script-src {running.address}/pages/pages.js"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_an_emptied_redis_shows_empty_pages_and_the_next_facts_fill_them(running: Web, board: Board) -> None:
    fill(board)
    board._connection.flushall()
    assert "No environment yet" in httpx.get(running.address).text
    assert httpx.get(f"{running.address}/environments/shop/production").status_code == 404
    fill(board)
    assert "3 of 5 environments" in httpx.get(running.address).text


def test_a_plan_is_found_by_its_own_name_only_and_goes_by_itself(running: Web, board: Board) -> None:
    board.answer(preview())
    assert httpx.get(f"{running.address}/plans/{TICKET}").status_code == 200
    for other in ("b" * 32, TICKET[:-1], "%2e%2e", "*"):
        assert httpx.get(f"{running.address}/plans/{other}").status_code == 404
    (key,) = board._connection.keys("*plan:*")
    assert 0 < board._connection.ttl(key) <= 7 * 24 * 3600


def test_the_readme_s_picture_is_of_these_pages() -> None:
    picture = Path(__file__).parents[2] / "docs" / "environments.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 120_000

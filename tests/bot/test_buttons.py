"""The pages' buttons in a real browser and past it: what is asked for, for whom, and what no other page can ask for."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from bot.board import Board
from bot.tickets import CommandOutcome, Said, Tickets
from tests.bot.oauth_server import CLIENT, SECRET, oauth_server
from tests.bot.web import TOKEN, Web, fill, form_of, post_token, web
from tests.browser import chromium
from worker.adapters.store import Store
from worker.domain.convergence import EnvironmentState
from worker.domain.locks import Awaited, Lock, Locks, waits
from worker.domain.messages import INTAKE_QUEUE, shown_key

PAGE = "/environments/shop/production"
PRESS = f"{PAGE}/commands"


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), redis_url, "pages: {token: {env: PAGES}, may: [write]}\n") as started:
        yield started


def waiting(connection: redis.Redis) -> None:
    """A plan of tools waits for people."""
    plan = Awaited("c", "7k2m91fd" * 4, time.time() - 60, "on approval", approvals=1, confirmation=True)
    shown = {"held": [waits(Locks(awaited=plan), plan, "tools", time.time()).to_json()], "beside": []}
    connection.set(shown_key("shop", "tools"), json.dumps(shown))


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    """A board as a working team has one, with production held, and a bot that seems to run."""
    with redis.Redis.from_url(redis_url) as found:
        found.flushall()
        fill(Board(found))
        state = EnvironmentState("shop/production", "c", locks=Locks(hold=Lock("ann", time.time() - 60, "incident")))
        Store(found, b"key").show("shop", state, "production", time.time())
        found.sadd(f"rq:workers:{INTAKE_QUEUE}", "rq:worker:test")
        found.set("rq:worker:test", "1")
        yield found


def labels(text: str) -> list[str]:
    """The buttons of a page's commands, in their order."""
    return re.findall(r'<button class="button" title="/[^"]*">([^<]*)</button>', text)


def asked(connection: redis.Redis) -> list[dict[str, Any]]:
    """What was passed to the bot, the newest last; nothing of it is there afterwards."""
    found = []
    for name in connection.lrange(f"rq:queue:{INTAKE_QUEUE}", 0, -1):
        data = connection.hget(f"rq:job:{str(name, 'ascii') if isinstance(name, bytes) else name}", "data")
        assert isinstance(data, bytes)
        found.append(json.loads(json.loads(zlib.decompress(data))[2][0]))
    connection.delete(f"rq:queue:{INTAKE_QUEUE}")
    return found


def test_a_held_environment_is_released_and_rolled_back_by_buttons(
    running: Web, connection: redis.Redis, tmp_path: Path
) -> None:
    with chromium() as browser, browser.new_context(java_script_enabled=False) as visit:
        page = visit.new_page()
        page.goto(f"{running.address}/login")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.goto(running.address + PAGE)
        page.screenshot(path=tmp_path / "buttons.png", full_page=True)
        offered = page.locator(".buttons button").all_inner_texts()
        assert offered == ["Unhold", "Roll back", "Retry", "Adopt drift"], "to freeze is an admin's"
        page.get_by_role("button", name="Unhold").click()
        (first,) = asked(connection)
        assert (first["line"], first["branch"], first["token"]) == ("/unhold production", "main", "pages")
        assert page.get_by_role("heading", level=1).inner_text() == "Being carried out"
        page.screenshot(path=tmp_path / "waiting.png")
        Tickets(connection).say(first["ticket"], Said("`production` <b>goes</b> on.", CommandOutcome.DONE))
        page.get_by_role("heading", level=1, name="Done").wait_for()
        assert page.locator(".said").inner_text().strip() == "Production goes on."
        page.screenshot(path=tmp_path / "done.png")

        page.get_by_role("link", name="Back to production").click()
        page.get_by_label("Roll it back to").fill("~2")
        page.get_by_role("button", name="Roll back").click()
        assert asked(connection) == [], "what is hard to take back is asked twice"
        assert page.get_by_role("heading", level=1).inner_text() == "Roll production back?"
        page.screenshot(path=tmp_path / "confirm.png")
        page.get_by_role("button", name="First say what would change").click()
        (dry,) = asked(connection)
        assert dry["line"] == "/rollback production ~2 --dry-run"
        Tickets(connection).say(
            dry["ticket"], Said("`production` would go back.\n\n- `a.yaml` is taken away", CommandOutcome.DONE)
        )
        page.get_by_role("heading", level=1, name="What it would change").wait_for()
        page.get_by_role("button", name="Yes, roll production back").click()
        (second,) = asked(connection)
        assert second["line"] == "/rollback production ~2"
        Tickets(connection).say(second["ticket"], Said("Nobody may.", CommandOutcome.REFUSED))
        page.get_by_role("heading", level=1, name="Not done").wait_for()


def test_a_plan_is_confirmed_by_a_person_and_drift_adopted_where_there_is_some(
    running: Web, connection: redis.Redis
) -> None:
    waiting(connection)
    with running.signed_in() as client:
        text = client.get("/environments/shop/tools").text
        assert "<code>/approve tools 7k2m91fd and /confirm-prune tools 7k2m91fd</code>" in text
        assert labels(text) == ["Hold", "Roll back", "Retry"], "a token confirms nothing"
        assert "Adopt drift" in labels(client.get(PAGE).text)


@pytest.mark.parametrize(
    ("line", "asks", "follows", "yes"),
    [
        ("/rollback production ~2", "Roll production back?", "A commit is proposed for it. Nothing changes", "Yes, roll"),
        ("/rollback production --push", "Roll production back?", "A commit goes to main at once", "Yes, roll"),
        ("/approve production 7k2m91fd", "Approve the plan of production?", "It is applied as soon as", "Yes, approve it"),
        ("/confirm-prune production 7k2m91fd", "Delete what the plan of production deletes?", "Git cannot", "Yes, delete it"),
        ("/freeze", "Freeze all environments of main?", "until they are thawed", "Yes, freeze them all"),
        ("/adopt production", "Take what drifted in production into Git?", "says what the cluster has", "Yes, take it"),
    ],
)  # fmt: skip
def test_what_is_asked_twice_says_what_follows(
    running: Web, connection: redis.Redis, line: str, asks: str, follows: str, yes: str
) -> None:
    with running.signed_in() as client:
        page = client.post(PRESS, data={"form": form_of(client.get(PAGE).text), "line": line}).text
    assert f"<h1>{asks}</h1>" in page
    assert follows in page
    assert yes in page
    assert ("First say what would change" in page) is line.startswith("/rollback")
    assert asked(connection) == []


def test_a56_another_page_s_form_asks_for_nothing(running: Web, connection: redis.Redis) -> None:
    with running.signed_in() as client:
        form = form_of(client.get(PAGE).text)
        line = {"line": "/unhold production"}
        for data, headers in (
            (line, {}),
            ({**line, "form": "x" * 43}, {}),
            ({**line, "form": form}, {"Origin": "https://evil.example"}),
            ({**line, "form": form}, {"Sec-Fetch-Site": "cross-site"}),
            ({**line, "form": form}, {"Sec-Fetch-Site": "same-site"}),
        ):
            assert client.post(PRESS, data=data, headers=headers).status_code == 400
        assert client.get(f"{PRESS}?line=/unhold+production&form={form}").status_code in (404, 405)
        with running.visitor() as stranger:
            assert stranger.post(PRESS, data={**line, "form": form}).headers["location"] == "/login"
        with running.signed_in() as other:
            other.get(PAGE)
            assert other.post(PRESS, data={**line, "form": form}).status_code == 400, "a form is of one session"
    assert asked(connection) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("/unhold staging", 422),
        ("/plan production", 422),
        ("/image production nginx:1", 422),
        ("/status production", 422),
        ("/unhold", 422),
        ("/unhold production staging", 422),
        ("words", 422),
        ("", 422),
        ("/hold production because\n/thaw", 303),
    ],
)
def test_a_form_says_only_what_its_page_s_buttons_say(
    running: Web, connection: redis.Redis, line: str, code: int
) -> None:
    with running.signed_in() as client:
        form = form_of(client.get(PAGE).text)
        assert client.post(PRESS, data={"form": form, "line": line, "sure": "yes"}).status_code == code
        assert client.post("/environments/nowhere/x/commands", data={"form": form, "line": line}).status_code == 404
    assert len(asked(connection)) == (code == 303)


def test_an_answer_is_shown_to_who_asked(running: Web, connection: redis.Redis) -> None:
    with running.signed_in() as client:
        answer = client.post(PRESS, data={"form": form_of(client.get(PAGE).text), "line": "/retry production"})
        where = answer.headers["location"]
        assert client.get(where).status_code == 200
        assert client.get(f"/commands/{'f' * 32}").status_code == 404
    with running.visitor() as stranger:
        assert stranger.get(where).headers["location"] == "/login"


@pytest.mark.parametrize("pages", ["pages: open\n", "pages: {token: {env: PAGES}}\n"])
def test_who_only_looks_has_no_buttons_and_sends_none(
    redis_url: str, tmp_path: Path, connection: redis.Redis, pages: str
) -> None:
    with web(tmp_path, redis_url, pages) as looking, looking.visitor() as client:
        if "token" in pages:
            post_token(client, TOKEN)
        text = client.get(PAGE).text
        assert "Unhold" not in text
        code = client.post(PRESS, data={"form": form_of(text), "line": "/unhold production"}).status_code
        assert code == (403 if "token" in pages else 400)
    assert asked(connection) == []


def test_an_account_of_the_forge_commands_as_itself(redis_url: str, tmp_path: Path, connection: redis.Redis) -> None:
    with oauth_server("/api/v1", "/repos/", "login") as forge:
        more = (
            f"forges: [{{name: hub, kind: gitea, address: '{forge.address}', webhook-secret: {{env: HOOK}}, "
            f"token: {{env: HOOK}}}}]\npages: {{sign-in: [{{forge: hub, client: {CLIENT}, secret: {{env: OAUTH}}}}]}}\n"
        )
        forge.readable = {"acme/shop": {"pull": True, "push": False}}
        with web(tmp_path, redis_url, more, forge="hub", OAUTH=SECRET) as running, running.visitor() as client:
            client.get(forge.allow(client.get("/login/hub").headers["location"]))
            text = client.get(PAGE).text
            assert "production" in text
            assert 'class="buttons"' not in text, "who only reads is offered nothing"
            forge.readable = {"acme/shop": {"pull": True, "push": True}}
            client.get(forge.allow(client.get("/login/hub").headers["location"]))
            text = client.get(PAGE).text
            assert all(word in text for word in ("Unhold", "Retry", "Roll back", "Adopt drift"))
            assert "Freeze all" not in text, "that is an admin's"
            waiting(connection)
            offered = labels(client.get("/environments/shop/tools").text)
            assert offered[:2] == ["Approve the plan", "Hold"], "to confirm deletions is an admin's too"
            form = form_of(client.get(PAGE).text)
            answer = client.post(PRESS, data={"form": form, "line": "/unhold production"})
            assert answer.status_code == 303
            other = client.post("/environments/other/x/commands", data={"form": form, "line": "/unhold x"})
            assert other.status_code == 404, "a repository that it cannot read"
    (found,) = asked(connection)
    assert (found["token"], found["forge"], found["account"], found["login"]) == ("", "hub", "7", "ada")

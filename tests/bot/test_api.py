"""/api/v1 under its real server, asked over HTTP: who may see what, what is passed on, and what is never told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from bot.board import Board
from bot.markdown import code, fence, plain, prose
from bot.settings import Settings
from bot.tickets import ANSWERED_SECONDS, MOST_A_MINUTE, CommandOutcome, Said, Tickets
from bot.visitors import ATTEMPTS
from tests.bot.web import Web, converged, fill, web
from worker.domain.messages import INTAKE_QUEUE
from worker.domain.secret_text import SettingsError

CI, LOOKS, NARROW = "the-token-of-ci-0001", "the-token-that-looks", "the-token-of-one-env"
MORE = """\
pages: {token: {env: PAGES}}
tokens:
  - {name: ci, secret: {env: CI}, may: [write], repositories: [shop]}
  - {name: looks, secret: {env: LOOKS}, may: [read]}
  - {name: narrow, secret: {env: NARROW}, may: [read], environments: [tools], repositories: [shop]}
  - {name: idle, secret: {env: IDLE}, may: []}
"""
SECRETS = {"CI": CI, "LOOKS": LOOKS, "NARROW": NARROW, "IDLE": "the-token-without-any"}


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), redis_url, MORE, **SECRETS) as started:
        yield started


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as found:
        found.flushall()
        fill(Board(found))
        converged(Board(found), "elsewhere", "c" * 40, 1_700_000_000.0, repository="other")
        found.sadd(f"rq:workers:{INTAKE_QUEUE}", "rq:worker:test")
        found.set("rq:worker:test", "1")
        yield found


def asked(running: Web, path: str, token: str = CI, **more: Any) -> httpx.Response:
    return httpx.get(f"{running.address}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, **more)


def command(running: Web, wish: object, token: str = CI) -> httpx.Response:
    return httpx.post(f"{running.address}/api/v1/commands", headers={"Authorization": f"Bearer {token}"}, json=wish)


def test_a_token_sees_what_it_is_for_and_nothing_else(running: Web, connection: redis.Redis) -> None:
    rows = asked(running, "/environments").json()["environments"]
    assert {each["repository"] for each in rows} == {"shop"}
    assert {"production", "tools"} <= {each["environment"] for each in rows}
    worst = rows[0]
    assert set(worst) == {
        "repository", "environment", "branch", "revision", "state", "mark", "sync", "health", "operation", "text", "since", "held",
    }  # fmt: skip
    assert [each["environment"] for each in asked(running, "/environments", NARROW).json()["environments"]] == ["tools"]
    assert "elsewhere" in asked(running, "/environments", LOOKS).text
    assert asked(running, "/environments", SECRETS["IDLE"]).status_code == 403
    assert asked(running, "/environments?repository=other").status_code == 404
    assert asked(running, "/history?environment=production", NARROW).status_code == 403
    told = asked(running, "/history?environment=production").json()["history"]
    assert [each["state"] for each in told if "revision" in each] == ["converged", "converged"]
    assert any(each.get("divergence") == "drift" for each in told)
    assert asked(running, "/history?environment=nothing").status_code == 404
    several = asked(running, "/history?environment=production", LOOKS)
    assert (several.status_code, "--repository" in several.json()["error"]) == (400, True)


def test_what_is_no_token_gets_nothing_and_is_noted_without_it(running: Web, connection: redis.Redis) -> None:
    wrong = [
        {},
        {"Authorization": CI},
        {"Authorization": f"Basic {CI}"},
        {"Authorization": f"Bearer {CI}x"},
        {"Authorization": f"Bearer {CI[:-1]}"},
        {"Authorization": "Bearer let-me-look-at-the-pages"},
        {"Cookie": f"plumbline={CI}"},
    ]
    for headers in wrong:
        for method, path in (("GET", "/environments"), ("POST", "/commands"), ("GET", f"/commands/{'a' * 32}")):
            connection.delete("plumbline:v1:attempts:api:127.0.0.1")
            answer = httpx.request(method, f"{running.address}/api/v1{path}", headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), headers
            assert "production" not in answer.text
    log = running.log.read_text()
    assert '"event": "token-refused"' in log
    assert CI not in log
    assert CI[:-1] not in log


def test_too_many_wrong_tokens_wait_and_a_right_one_never_does(running: Web, connection: redis.Redis) -> None:
    codes = [asked(running, "/environments", f"wrong-{number}").status_code for number in range(ATTEMPTS + 2)]
    assert codes == [401] * ATTEMPTS + [429] * 2
    assert asked(running, "/environments").status_code == 200
    assert asked(running, "/environments", "wrong-again").status_code == 429, "a right one forgives no wrong ones"


def test_a_command_is_a_ticket_whose_answer_only_the_same_token_reads(running: Web, connection: redis.Redis) -> None:
    given = command(running, {"line": "/hold production the migration runs"})
    assert (given.status_code, given.json()["outcome"], given.json()["repository"]) == (202, "waiting", "shop")
    ticket = given.json()["ticket"]
    assert connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 1
    assert asked(running, f"/commands/{ticket}").json()["outcome"] == "waiting"
    body = connection.get(f"plumbline:v1:asked:{ticket}")
    assert body is not None
    kept = json.loads(body)
    late = kept | {"at": kept["at"] - ANSWERED_SECONDS - 1}
    connection.set(f"plumbline:v1:asked:{ticket}", json.dumps(late))
    found = asked(running, f"/commands/{ticket}?wait=5").json()
    assert (found["outcome"], found["text"].partition(" after")[0]) == ("unanswered", "There is no answer")
    Tickets(connection).say(
        ticket, Said(f"Held by {code('a`b')}: **why** &#42; [here](http://x/y)", CommandOutcome.DONE)
    )
    found = asked(running, f"/commands/{ticket}?wait=5").json()
    assert (found["outcome"], found["text"]) == ("done", "Held by a`b: why * here (http://x/y)")
    assert found["line"] == "/hold production the migration runs"
    assert asked(running, f"/commands/{ticket}", LOOKS).status_code == 404
    assert asked(running, f"/commands/{'f' * 32}").status_code == 404


def test_a_command_with_its_sender_s_own_ticket_is_passed_on_once(running: Web, connection: redis.Redis) -> None:
    wish = {"line": "/status tools", "repository": "shop", "ticket": "5" * 32}
    for _ in range(3):
        given = command(running, wish)
        assert (given.status_code, given.json()["ticket"]) == (202, "5" * 32)
    for other, token in (({**wish, "line": "/hold tools why"}, CI), (wish, NARROW)):
        refused = command(running, other, token)
        assert (refused.status_code, "another command has this ticket" in refused.json()["error"]) == (422, True)
    assert connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 1


@pytest.mark.parametrize(
    ("wish", "code", "words"),
    [
        ({"line": "/hold"}, 422, "the environment is missing"),
        ({"line": "/rollbak production"}, 422, "Did you mean /rollback"),
        ({"line": "hello"}, 422, "this is no command"),
        ({}, 422, "this is no command"),
        ({"line": "/hold a\n/thaw", "repository": "shop"}, 202, ""),
        ({"line": 7}, 400, "`line` has to be text"),
        ({"line": "/thaw", "number": True}, 400, "`number` has to be a number"),
        ({"line": "/thaw", "ticket": "5" * 31}, 400, "32 digits"),
        ({"line": "/thaw", "by": "ada"}, 400, "an object with some of"),
        ([], 400, "an object with some of"),
        ({"line": "/thaw", "repository": "other"}, 404, "no repository other for this token"),
    ],
)
def test_what_is_no_command_is_not_passed_on(
    running: Web, connection: redis.Redis, wish: object, code: int, words: str
) -> None:
    answer = command(running, wish)
    assert (answer.status_code, words in answer.json().get("error", "")) == (code, True), answer.text
    assert connection.llen(f"rq:queue:{INTAKE_QUEUE}") == (code == 202)


def test_too_many_commands_and_a_bot_that_is_not_there(running: Web, connection: redis.Redis) -> None:
    codes = [command(running, {"line": "/retry production"}).status_code for _ in range(MOST_A_MINUTE + 5)]
    assert set(codes) <= {202, 429}
    assert codes.count(202) >= MOST_A_MINUTE
    connection.flushall()
    away = command(running, {"line": "/retry production"})
    assert (away.status_code, "no bot runs" in away.json()["error"]) == (503, True)
    assert connection.llen(f"rq:queue:{INTAKE_QUEUE}") == 0


@pytest.mark.parametrize(
    ("secrets", "words"),
    [({"CI": "short"}, "at least 16"), ({"CI": LOOKS}, "is that of"), ({"CI": ""}, "is not set")],
)
def test_a_token_that_is_none_stops_the_start(tmp_path: Path, secrets: dict[str, str], words: str) -> None:
    (tmp_path / "app.yaml").write_text(
        "signing-key: {env: SIGNING}\nrepositories: [{name: shop, url: /s.git, secret: {env: HOOK}, ceiling: {}}]\n"
        + MORE
    )
    environ = {
        "PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"), "PLUMBLINE_REDIS_URL": "redis://:x@127.0.0.1:1/0",
        "SIGNING": "k" * 32, "HOOK": "h" * 32, "PAGES": "p" * 32, **SECRETS, **secrets,
    }  # fmt: skip
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.load(environ)
    assert LOOKS not in str(caught.value)
    if secrets["CI"] == "short":
        assert Settings.load(environ, with_credentials=True).token_secrets == {}, "the bot needs none of them"


def test_our_markdown_is_read_as_plain_words() -> None:
    assert plain(f"{prose('a*b_c <x> @ada #7')} and {code('x`y &amp; z')}") == "a*b_c <x> @ada #7 and x`y &amp; z"
    assert plain(fence(["+ a: `1`", "- b"])) == "+ a: `1`\n- b"
    assert plain("| a | b |\n|---|---|") == "| a | b |\n|---|---|"

"""Who may read the pages: by token, by an account of a forge, or everybody; and how that is attacked."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from bot.board import Board
from bot.forges.port import Permission
from bot.forges.sign_in import permission_of
from bot.visitors import ATTEMPTS, FORGE_ATTEMPTS
from sandbox.processes import free_port
from tests.bot.oauth_server import CLIENT, SECRET, OAuthServer, oauth_server
from tests.bot.test_pages import PATHS
from tests.bot.web import TICKET, TOKEN, Web, converged, fill, form_of, post_token, web
from worker.domain.errors import DesiredStateError
from worker.domain.installation import Pages, SignIn
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference

MORE = "pages: {token: {env: PAGES}}\n"


@pytest.fixture(scope="module")
def running(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("web"), redis_url, MORE) as started:
        yield started


@pytest.fixture(autouse=True)
def board(redis_url: str) -> Iterator[Board]:
    connection = redis.Redis.from_url(redis_url)
    connection.flushall()
    found = Board(connection)
    fill(found)
    yield found
    connection.close()


def test_a56_without_a_session_every_page_leads_to_the_door_and_shows_nothing(running: Web) -> None:
    for path in (*PATHS, "/environments/shop/nothing", "/proposals/other/1"):
        answer = httpx.get(running.address + path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/login")
        assert "production" not in answer.text.replace(path, "")


def test_the_token_opens_the_pages_and_leads_to_what_was_wanted(running: Web) -> None:
    with running.visitor() as client:
        client.get("/proposals/shop/7")
        answer = post_token(client, TOKEN)
        assert (answer.status_code, answer.headers["location"]) == (302, "/proposals/shop/7")
        assert client.get("/proposals/shop/7").status_code == 200


def test_signing_out_ends_the_session_also_for_whoever_kept_the_cookie(running: Web) -> None:
    with running.signed_in() as client:
        kept = dict(client.cookies)
        form = form_of(client.get("/").text)
        assert client.post("/logout", data={"form": form}).headers["location"] == "/login"
        assert client.get("/").status_code == 302
        assert httpx.get(running.address, cookies=kept).status_code == 302


def test_a56_signing_in_begins_a_session_that_nobody_could_have_prepared(running: Web) -> None:
    with running.visitor() as client:
        client.get("/login")
        before = client.cookies["plumbline"]
        post_token(client, TOKEN)
        assert client.cookies["plumbline"] != before
        assert httpx.get(running.address, cookies={"plumbline": before}).status_code == 302


def test_a56_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(
    running: Web, redis_url: str, tmp_path: Path
) -> None:
    set_cookie = httpx.get(f"{running.address}/login").headers["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    with web(tmp_path, redis_url, MORE, public="https://plumbline.example.org") as secure:
        answer = httpx.get(f"{secure.address}/login", headers={"Host": "plumbline.example.org"})
        cookie = answer.headers["set-cookie"]
    assert re.match(r"__Host-plumbline=.*; Secure; HttpOnly; Path=/; SameSite=Lax$", cookie), cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_a56_a_form_that_was_sent_from_another_page_does_nothing(running: Web, headers: dict[str, str]) -> None:
    with running.visitor() as client:
        assert post_token(client, TOKEN, **headers).status_code == 400
        assert client.get("/").status_code == 302
    with running.signed_in() as client:
        form = form_of(client.get("/").text)
        assert client.post("/logout", data={"form": form}, headers=headers).status_code == 400
        assert client.post("/logout", data={"form": "x" * 43}).status_code == 400
        assert client.post("/logout").status_code == 400
        assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "evil.example:80", "", "a@b"]
)
def test_a56_a_host_that_is_not_ours_gets_nothing(running: Web, host: str) -> None:
    for path in (*PATHS, "/login"):
        answer = httpx.get(running.address + path, headers={"Host": host})
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/login?next=//evil.example", "/login?wanted=https://evil.example", "/\\evil.example", "/%2f/x"],
)
def test_a56_nothing_that_a_visitor_sends_becomes_an_address_to_go_to(running: Web, path: str) -> None:
    with running.visitor() as client:
        first = client.get(running.address + path)
        assert "evil.example" not in first.headers.get("location", "").replace(running.address, "").removeprefix(
            "/evil"
        )
        answer = post_token(client, TOKEN)
        assert answer.headers["location"] == "/"


def test_a64_attempts_have_one_answer_and_an_end(running: Web) -> None:
    with running.visitor() as client:
        wrong = ["x", "", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "y" * 5000, "\u202e", "'; --"]
        texts = set()
        for token in (wrong * 2)[:ATTEMPTS]:
            answer = post_token(client, token)
            assert answer.status_code == 403
            texts.add(re.sub(r'name="form" value="[^"]*"', "", answer.text))
        assert len(texts) == 1
        assert post_token(client, "x").status_code == 429
        assert client.get("/").status_code == 302
        assert post_token(client, TOKEN).status_code == 302
    with running.visitor() as client:
        assert post_token(client, "x").status_code == 429, "a right one forgives no wrong ones"


def test_a64_what_is_forbidden_answers_as_what_is_not_there(redis_url: str, tmp_path: Path, board: Board) -> None:
    converged(board, "secret-place", "1" * 40, time.time(), repository="other")
    with _forge(redis_url, tmp_path, "gitea") as (running, forge):
        forge.readable = {"acme/shop": {"pull": True}}
        with _signed_in(running, forge) as client:
            there, nowhere = "/environments/other/secret-place", "/environments/nowhere/secret-place"
            assert client.get(there).status_code == client.get(nowhere).status_code == 404
            assert client.get(there).content == client.get(nowhere).content
            times: dict[str, list[float]] = {there: [], nowhere: []}
            for _ in range(60):
                for path, found in times.items():
                    began = time.perf_counter()
                    client.get(path)
                    found.append(time.perf_counter() - began)
            one, other = (statistics.median(found) for found in times.values())
            assert abs(one - other) < max(one, other) / 2


def test_a58_nothing_that_a_visitor_sends_makes_a_line_of_the_log(running: Web) -> None:
    forged = "x\nERROR signed in by=admin"
    with running.visitor() as client:
        client.get("/environments/shop/" + "x%0aERROR%20signed%20in", headers={"User-Agent": "a"})
        post_token(client, forged)
        client.get("/login/x%0aERROR%20signed%20in")
    assert not [line for line in running.log.read_text().splitlines() if line.startswith("ERROR signed in")]
    assert TOKEN not in running.log.read_text()


def test_without_a_word_of_the_operator_the_pages_are_closed_and_say_how_to_open_them(
    redis_url: str, tmp_path: Path
) -> None:
    with web(tmp_path, redis_url, "") as closed, closed.visitor() as client:
        assert client.get("/").headers["location"] == "/login"
        assert "These pages are closed" in client.get("/login").text
        for token in ("", "x", "None"):
            assert post_token(client, token).status_code == 400, "there is no form to send"
        assert client.get("/").status_code == 302


def test_a_token_that_is_changed_ends_the_sessions_that_it_began(running: Web, redis_url: str, tmp_path: Path) -> None:
    with running.signed_in() as client:
        kept = dict(client.cookies)
    with web(tmp_path, redis_url, MORE, PAGES="another-token-of-the-pages") as other:
        assert httpx.get(other.address, cookies=kept).status_code == 302


# -- by an account of a forge -------------------------------------------------------------------------------------

KINDS = {
    "github": ("/api/v3", "/repos/", "login"),
    "gitlab": ("/api/v4", "/projects/", "username"),
    "gitea": ("/api/v1", "/repos/", "login"),
}


@contextmanager
def _forge(redis_url: str, folder: Path, kind: str) -> Iterator[tuple[Web, OAuthServer]]:
    """Web with two repositories of one forge, and the forge."""
    with (
        oauth_server(*KINDS[kind]) as forge,
        web(folder, redis_url, _signing_in(kind, forge.address), forge="hub", OAUTH=SECRET) as running,
    ):
        yield running, forge


def _signing_in(kind: str, address: str) -> str:
    return (
        f"forges: [{{name: hub, kind: {kind}, address: '{address}', webhook-secret: {{env: HOOK}}, token: {{env: HOOK}}}}]\n"
        f"pages: {{sign-in: [{{forge: hub, client: {CLIENT}, secret: {{env: OAUTH}}}}]}}\n"
    )


@contextmanager
def _signed_in(running: Web, forge: OAuthServer) -> Iterator[httpx.Client]:
    """Somebody who said yes at the forge."""
    with running.visitor() as client:
        there = client.get("/login/hub").headers["location"]
        assert there.startswith(forge.address)
        answer = client.get(forge.allow(there))
        assert (answer.status_code, answer.headers["location"]) == (302, "/")
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_an_account_of_the_forge_sees_the_repositories_that_it_can_read(
    redis_url: str, tmp_path: Path, board: Board, kind: str
) -> None:
    converged(board, "secret-place", "1" * 40, time.time(), repository="other")
    with _forge(redis_url, tmp_path, kind) as (running, forge):
        forge.readable = {"acme/shop": {"pull": True}}
        with _signed_in(running, forge) as client:
            page = client.get("/").text
            assert "production" in page
            assert "secret-place" not in page
            assert "<span>ada</span>" in page
            assert client.get("/environments/other/secret-place").status_code == 404
            assert client.get(f"/plans/{TICKET}").status_code == 200
        forge.readable = {}
        with _signed_in(running, forge) as client:
            assert "production" not in client.get("/").text
            assert client.get(f"/plans/{TICKET}").status_code == 404
        assert SECRET not in running.log.read_text()


def test_a56_a_sign_in_that_somebody_else_began_is_not_taken(redis_url: str, tmp_path: Path) -> None:
    with _forge(redis_url, tmp_path, "gitea") as (running, forge):
        forge.readable = {"acme/shop": {"pull": True}}
        with running.visitor() as attacker, running.visitor() as victim:
            prepared = forge.allow(attacker.get("/login/hub").headers["location"])
            assert victim.get(prepared).status_code == 403
            victim.get("/login/hub")
            assert victim.get(prepared).status_code == 403
            assert victim.get("/").status_code == 302
            own = forge.allow(victim.get("/login/hub").headers["location"])
            assert victim.get(own.replace("state=", "state=x")).status_code == 403
            assert victim.get(own).status_code == 403, "a state counts once"
            again = forge.allow(victim.get("/login/hub").headers["location"])
            assert victim.get(again).status_code == 302
            assert victim.get(again).status_code == 403
        assert httpx.get(f"{running.address}/login/elsewhere").status_code == 404


def test_a53_the_client_s_secret_and_the_token_follow_no_redirect(redis_url: str, tmp_path: Path) -> None:
    with _forge(redis_url, tmp_path, "gitea") as (running, forge), oauth_server("", "", "") as elsewhere:
        forge.redirects_to = f"{elsewhere.address}/taken"
        with running.visitor() as client:
            back = forge.allow(client.get("/login/hub").headers["location"])
            assert client.get(back).status_code == 403
        assert elsewhere.paths == []


def test_a64_the_forge_is_asked_so_often_for_one_address_and_not_more(redis_url: str, tmp_path: Path) -> None:
    with _forge(redis_url, tmp_path, "gitea") as (running, forge):
        forge.readable = {"acme/shop": {"pull": True}}
        for _ in range(3):
            with _signed_in(running, forge):
                pass
        with running.visitor() as client:

            def tried(code: str) -> httpx.Response:
                asked = client.get("/login/hub").headers["location"]
                state = asked.partition("state=")[2].partition("&")[0]
                return client.get(f"/login/hub/done?code={code}&state={state}")

            forge.paths.clear()
            answers = [tried("x") for _ in range(FORGE_ATTEMPTS)]
            assert {answer.status_code for answer in answers} == {403}, "whoever came in is not counted"
            assert len(forge.paths) == FORGE_ATTEMPTS
            refused = client.get(forge.allow(client.get("/login/hub").headers["location"]))
            assert refused.status_code == 429
            assert "Too many attempts. Try again in 5 minutes." in refused.text
            assert len(forge.paths) == FORGE_ATTEMPTS, "the forge is not asked any more"
            assert client.get("/").status_code == 302


def test_a_forge_that_is_away_is_said_and_lets_nobody_in(redis_url: str, tmp_path: Path) -> None:
    more = _signing_in("gitea", f"http://127.0.0.1:{free_port()}")
    with web(tmp_path, redis_url, more, forge="hub", OAUTH=SECRET) as running, running.visitor() as client:
        asked = client.get("/login/hub").headers["location"]
        state = asked.partition("state=")[2].partition("&")[0]
        answer = client.get(f"/login/hub/done?code=x&state={state}")
        assert answer.status_code == 503
        assert "hub does not answer" in answer.text
        assert client.get("/").status_code == 302


MEMBER, GUEST = {"access_level": 30}, {"access_level": 20}


@pytest.mark.parametrize(
    ("permissions", "permission"),
    [
        ({"pull": True, "push": False, "admin": False}, Permission.READ),
        ({"pull": True, "push": True, "admin": False}, Permission.WRITE),
        ({"pull": True, "triage": True, "maintain": True, "push": True, "admin": False}, Permission.WRITE),
        ({"pull": True, "push": True, "admin": True}, Permission.ADMIN),
        ({"pull": False, "push": True, "admin": True}, Permission.NONE),
        ({"pull": "yes"}, Permission.NONE),
        ({"project_access": GUEST, "group_access": MEMBER}, Permission.WRITE),
        ({"project_access": GUEST, "group_access": None}, Permission.READ),
        ({"project_access": {"access_level": 0}, "group_access": None}, Permission.READ),
        ({"project_access": {"access_level": 50}, "group_access": GUEST}, Permission.ADMIN),
        ({"project_access": None, "group_access": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_a_forge_says_of_an_account_is_what_it_may_hope_for(
    permissions: object, permission: Permission | None
) -> None:
    assert permission_of({"permissions": permissions}) is permission


# -- app.yaml -----------------------------------------------------------------------------------------------------

FORGE = "forges: [{name: gitea, address: 'https://git.example.org', webhook-secret: {env: A}, token: {env: B}}]\n"


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("", Pages()),
        ("pages: open", Pages(is_open=True)),
        ("pages: {token: {file: t}}", Pages(token=SecretReference(file="t"))),
        (
            FORGE + "pages: {sign-in: [{forge: gitea, client: c, secret: {env: S}}]}",
            Pages(sign_in=(SignIn("gitea", "c", SecretReference(env="S")),)),
        ),
    ],
)
def test_app_yaml_says_who_may_read(text: str, pages: Pages) -> None:
    assert read_installation(text, "app.yaml").pages == pages


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("pages: opn", "'opn' is none of open"),
        ("pages: true", "expected text"),
        ("pages: {token: abc}", "a secret does not stand in this file"),
        ("pages: {tokn: {file: t}}", "unknown key `tokn`"),
        ("pages: {sign-in: [{forge: gitea, client: c, secret: {env: S}}]}", "'gitea' is none of `forges`"),
        (FORGE + "pages: {sign-in: [{forge: gitea, client: c}]}", "`secret` is missing"),
        (FORGE + "pages: {sign-in: [{forge: gitea, secret: {env: S}}]}", "`client` is missing"),
        ("address: http://plumbline.example.org\npages: {token: {file: t}}", "is not https"),
    ],
)
def test_app_yaml_is_told_what_is_wrong_with_its_pages(text: str, problem: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        read_installation(text, "app.yaml")
    assert problem in str(caught.value)

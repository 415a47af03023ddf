"""What is asked for by command line or by a page's button becomes a change request at a real forge, for whom that forge knows."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from bot.forges.port import Permission, State
from plumbline.local_system import ROOT
from sandbox.control_plane import ControlPlane
from sandbox.processes import free_port
from tests.bot.web import form_of
from tests.conftest import DEPLOYMENT
from tests.doubles.gitea_rig import GiteaRig
from tests.journeys.conftest import started
from tests.journeys.shop import Proposal, Shop, manifest
from tests.journeys.system import RiggedSystem
from tests.journeys.test_a_rollback import begun
from tests.journeys.test_orders import merged_and_held, told

PEOPLE = ("ada", "bob")


@pytest.fixture(scope="module")
def rig(gitea: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GiteaRig]:
    made = GiteaRig(tmp_path_factory.mktemp("gitea"), gitea)  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture(scope="module")
def system(
    rig: GiteaRig, control_plane: ControlPlane, tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RiggedSystem]:
    folder, port = tmp_path_factory.mktemp("elsewhere"), free_port()
    tokens = [
        {"name": name, "secret": kept(folder / name, secrets.token_hex(32)), "may": [may], **user}
        for name, may, user in (
            *((login, "write", {"user": rig._login(login)}) for login in PEOPLE),
            ("looks", "read", {}),
        )
    ]
    back = f"http://127.0.0.1:{port}/login/gitea/done"
    client = rig.server.ask(
        "POST",
        "/user/applications/oauth2",
        {"name": "Plumbline", "redirect_uris": [back], "confidential_client": True},
    )
    secret = kept(folder / "client-secret", client["client_secret"])
    pages = {"sign-in": [{"forge": "gitea", "client": client["client_id"], "secret": secret}]}
    more = {"tokens": tokens, "pages": pages}
    yield from started(rig, control_plane, tools, folder, poll="1m", more=more, port=port)


def kept(path: Path, secret: str) -> dict[str, str]:
    """A secret's file, as app.yaml names it."""
    path.touch(mode=0o600)
    path.write_text(secret)
    return {"file": str(path)}


@pytest.fixture
def shop(rig: GiteaRig, system: RiggedSystem, control_plane: ControlPlane, namespace: str) -> Iterator[Shop]:
    made = Shop(rig, system, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
    yield made
    made.end()


def run(shop: Shop, token: str, *words: str, code: int = 0) -> str:
    """What a command of somebody's prints."""
    given = [sys.executable, "-m", "plumbline", *words, "--server", shop.system.address]
    given += ["--token-file", str(shop.system.directory.parent / token)]
    found = subprocess.run(
        given, env=shop.system.environ, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert found.returncode == code, found.stdout + found.stderr
    return found.stdout + found.stderr


def by_api(shop: Shop, token: str, line: str) -> tuple[str, str]:
    """What a line comes to that is sent to the API with somebody's token, and what is answered in plain words."""
    secret = (shop.system.directory.parent / token).read_text()
    headers, at = {"Authorization": f"Bearer {secret}"}, f"{shop.system.address}/api/v1/commands"
    asked = httpx.post(at, json={"line": line}, headers=headers, timeout=30)
    assert asked.status_code == 202, asked.text
    said = httpx.get(f"{at}/{asked.json()['ticket']}", params={"wait": 20}, headers=headers, timeout=30).json()
    return said["outcome"], said["text"]


def opened(shop: Shop, text: str) -> Proposal:
    """The change request whose address an answer gives."""
    found = re.search(rf"{re.escape(gitea_of(shop).server.address)}/{gitea_of(shop).project}/pulls/(\d+)\b", text)
    assert found is not None, text
    request = shop.rig.change_request(int(found[1]))
    assert (request.base, request.author.login) == (shop.branch, shop.rig.bot)
    return shop.opened(Proposal(request.number, "", request.head))


def gitea_of(shop: Shop) -> GiteaRig:
    assert isinstance(shop.rig, GiteaRig)
    return shop.rig


def everything(shop: Shop) -> tuple[dict[str, str], list[int]]:
    """All that is at the forge: the branches with their commits, and the change requests."""
    rig = gitea_of(shop)
    tips = {each["name"]: each["commit"]["id"] for each in rig._pages("/branches")}
    return tips, sorted(each["number"] for each in rig._pages("/pulls", state="all"))


def message_of(shop: Shop, revision: str) -> str:
    return str(gitea_of(shop)._ask("GET", f"/git/commits/{revision}")["commit"]["message"])


def test_by_command_line_a_change_request_is_made_for_whose_token_it_is_and_nothing_for_who_may_not(shop: Shop) -> None:
    good = begun(shop)
    for login in PEOPLE[1:]:
        shop.rig.permit(login, Permission.WRITE)
    asks = shop.declaration().replace("{settle: 1s", "{converge: on-approval, settle: 1s")
    release = shop.rig.push(shop.branch, {"app/web.yaml": DEPLOYMENT, **manifest("flags", a="bad")}, message="Bad")
    shop.status(release, shop.converge, State.SUCCESS)
    before = everything(shop)

    refusals = [run(shop, "looks", "rollback", shop.name, code=1)]
    for line in ("/adopt {}", "/image {} registry.example/x:2", "/hold {}", "/rollback {} --push"):
        outcome, text = by_api(shop, "looks", line.format(shop.name))
        assert outcome == "refused"
        refusals.append(text)
    assert all("needs write permission; app.yaml gives this token read here" in each for each in refusals)
    shop.meddle("flags", a="drifted")
    image = opened(shop, by_api(shop, "ada", f"/image {shop.name} registry.example/x:2")[1])
    assert shop.rig.change_request(image.number).title == f"Use registry.example/x:2 in {shop.name}"
    adopted = opened(shop, run(shop, "ada", "adopt", shop.name, "ConfigMap/flags"))
    assert f"Requested-by: {gitea_of(shop)._login('ada')}\n" in message_of(shop, adopted.head) + "\n"
    after = everything(shop)
    assert after[1] == sorted([*before[1], image.number, adopted.number]), "nothing was made for who may not"
    assert len(after[0]) == len(before[0]) + 2
    assert {name: after[0][name] for name in before[0]} == before[0]

    held = run(shop, "bob", "hold", shop.name, "--reason", "we look")
    assert f"Held by {gitea_of(shop)._login('bob')}" in held
    by_api(shop, "bob", f"/unhold {shop.name}")
    told(shop, shop.rig.merge(adopted.number), State.SUCCESS)
    told(shop, shop.rig.push(shop.branch, {"plumbline.yaml": asks}), State.SUCCESS)
    text = run(shop, "ada", "rollback", shop.name, good)
    back = opened(shop, text)
    assert f"Roll back {shop.name} to {good[:7]}" in text
    assert opened(shop, by_api(shop, "ada", f"/rollback {shop.name} {good}")[1]) == back, "asked for twice it is one"
    assert f"Requested-by: {gitea_of(shop)._login('ada')}\n" in message_of(shop, back.head) + "\n"
    shop.predicted(back)
    merged, code = merged_and_held(shop, back)
    own = run(shop, "ada", "approve", shop.name, code, code=1)
    assert "asked for this change, and the policy wants somebody else" in own
    assert shop.value("flags") == "drifted"
    assert "is applied now" in run(shop, "bob", "approve", shop.name, code)
    told(shop, merged, State.SUCCESS)
    assert shop.value("flags") == "1"


# -- by the pages -------------------------------------------------------------------------------------------------


@contextmanager
def visit(shop: Shop, login: str) -> Iterator[httpx.Client]:
    """Somebody's browser, signed in at the forge with a password, and by that at our pages: every form as the forge has it."""
    rig = gitea_of(shop)
    name = rig._login(login)
    with httpx.Client(follow_redirects=True, timeout=20) as browser:
        page = browser.get(f"{rig.server.address}/user/login")
        browser.post(page.url, data={**hidden(page.text), "user_name": name, "password": rig.server.password})
        asks = browser.get(f"{shop.system.address}/login/gitea")
        assert asks.url.path == "/login/oauth/authorize", asks.url
        found = browser.post(
            urljoin(str(asks.url), "/login/oauth/grant"), data={**hidden(asks.text), "granted": "true"}
        )
        assert str(found.url) == f"{shop.system.address}/", found.text
        assert f"<span>{name}</span>" in found.text
        yield browser


def hidden(page: str) -> dict[str, str]:
    """What a page's forms send along by themselves."""
    inputs = [dict(re.findall(r'([a-z-]+)="([^"]*)"', each)) for each in re.findall(r"<input [^>]*hidden[^>]*>", page)]
    return {each["name"]: each.get("value", "") for each in inputs if "name" in each}


def pressed(browser: httpx.Client, shop: Shop, line: str, **headers: str) -> httpx.Response:
    """The answer to a button's form, once it is whole; whoever presses was asked whether it is meant."""
    page = f"{shop.system.address}/environments/shop/{shop.name}"
    form = form_of(browser.get(page).text)
    seen = browser.post(f"{page}/commands", data={"form": form, "line": line, "sure": "yes"}, headers=headers)

    def is_whole() -> bool:
        nonlocal seen
        if 'http-equiv="refresh"' in seen.text:
            seen = browser.get(seen.url)
        return 'http-equiv="refresh"' not in seen.text

    shop.until(is_whole, f"{line} is answered")
    return seen


def test_by_a_page_s_button_who_may_write_rolls_back_and_who_only_reads_is_offered_nothing_and_refused(
    shop: Shop,
) -> None:
    good = begun(shop)
    bad = shop.rig.push(shop.branch, manifest("flags", a="bad"), message="Bad")
    shop.status(bad, shop.converge, State.SUCCESS)
    shop.rig.permit("rita", Permission.READ)
    page, line = f"{shop.system.address}/environments/shop/{shop.name}", f"/rollback {shop.name}"
    before = everything(shop)

    with visit(shop, "rita") as browser:
        text = browser.get(page).text
        assert bad[:7] in text, "she may look"
        assert 'class="buttons"' not in text
        forged = pressed(browser, shop, line)
        assert "Not done" in forged.text
        assert "needs write permission" in forged.text
        browser.get(f"{shop.system.address}/")
    with visit(shop, "ada") as browser:
        text = browser.get(page).text
        assert all(f">{word}<" in text for word in ("Hold", "Roll back", "Retry"))
        assert ">Adopt drift<" not in text, "nothing drifted"
        form = form_of(text)
        for data, headers in (
            ({"line": line, "sure": "yes"}, {}),
            ({"line": line, "sure": "yes", "form": "x" * 43}, {}),
            ({"line": line, "sure": "yes", "form": form}, {"Origin": gitea_of(shop).server.address}),
            ({"line": line, "sure": "yes", "form": form}, {"Sec-Fetch-Site": "cross-site"}),
        ):
            assert browser.post(f"{page}/commands", data=data, headers=headers).status_code == 400
        assert (
            f"<h1>Roll {shop.name} back?</h1>"
            in browser.post(f"{page}/commands", data={"form": form, "line": line}).text
        )
        shop.all_is_done()
        assert [each for each in everything(shop)[0] if "rollback" in each] == [
            each for each in before[0] if "rollback" in each
        ], "nothing of it made anything"
        answer = pressed(browser, shop, line)
        assert "Done" in answer.text
        back = opened(shop, answer.text)
    assert shop.rig.change_request(back.number).title == f"Roll back {shop.name} to {good[:7]}"
    assert f"Requested-by: {gitea_of(shop)._login('ada')}\n" in message_of(shop, back.head) + "\n"
    assert "bad" in shop.predicted(back)
    shop.status(shop.rig.merge(back.number), shop.converge, State.SUCCESS)
    assert shop.value("flags") == "1"

"""`plumbline setup github`: the manifest goes to GitHub, the secrets go into files, and nothing else happens."""

from __future__ import annotations

import html
import json
import re
import stat
import threading
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

from plumbline import setup_github
from plumbline.__main__ import main
from tests.doubles import github_contract as contract
from tests.loopback_server import Handler, LoopbackServer
from worker.domain.errors import Refused

PEM = "-----BEGIN RSA PRIVATE KEY-----\nthe key\n-----END RSA PRIVATE KEY-----\n"


@pytest.fixture
def github() -> Iterator[str]:
    """A GitHub that gives a new App for the code `good`, as its description says."""

    class Own(Handler):
        def do_POST(self) -> None:
            is_good = self.path == "/api/v3/app-manifests/good/conversions"
            made = contract.example("integration-from-manifest", pem=PEM, webhook_secret="s3cret of the hook")
            body = json.dumps(made).encode() if is_good else b"{}"
            self.send_response(201 if is_good else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = LoopbackServer(Own)
    yield server.address
    server.close()


def page_of(github: str, folder: Path) -> tuple[setup_github.Page, threading.Thread, list[object]]:
    parser = ArgumentParser()
    setup_github.add_arguments(parser)
    given = [
        "--address",
        "https://plumbline.example",
        "--github",
        github,
        "--folder",
        str(folder),
        "--organization",
        "octo",
        "--teams",
    ]
    page = setup_github.Page(parser.parse_args(given))
    ended: list[object] = []

    def wait() -> None:
        try:
            ended.append(page.wait())
        except Refused as refused:
            ended.append(refused)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return page, thread, ended


def got(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_page_posts_the_manifest_and_only_its_own_return_is_taken(github: str, tmp_path: Path) -> None:
    page, thread, ended = page_of(github, tmp_path)
    code, text = got(page.url)
    form = html.unescape(text)
    assert code == 200
    state = re.search(r"/organizations/octo/settings/apps/new\?state=([\w-]+)", form)
    assert state is not None
    sent = re.search(r'value="(\{.*\})"', form)
    assert sent is not None
    manifest = json.loads(sent[1])
    assert manifest["hook_attributes"]["url"] == "https://plumbline.example/webhooks/github"
    assert manifest["default_permissions"]["contents"] == "write"
    assert manifest["default_permissions"]["members"] == "read"
    assert set(manifest["default_events"]) == {
        "check_run",
        "check_suite",
        "issue_comment",
        "merge_group",
        "pull_request",
        "push",
    }
    assert got(f"{page.url}made?code=good&state=forged")[0] == 400
    assert got(f"{page.url}favicon.ico")[0] == 404
    assert ended == []
    answer = got(f"{page.url}made?code=good&state={state[1]}")
    thread.join(10)
    assert answer[0] == 200
    assert "key" not in answer[1]
    assert isinstance(ended[0], dict)
    assert ended[0]["pem"] == PEM


def test_a_code_that_github_refuses_is_said(github: str, tmp_path: Path) -> None:
    page, thread, ended = page_of(github, tmp_path)
    state = re.search(r"state=([\w-]+)", got(page.url)[1])
    assert state is not None
    assert got(f"{page.url}made?code=bad&state={state[1]}")[0] == 502
    thread.join(10)
    assert isinstance(ended[0], Refused)
    assert "begin again" in str(ended[0])


def test_secrets_are_written_for_their_owner_alone_and_never_over_others(tmp_path: Path) -> None:
    setup_github.written(tmp_path / "key", PEM)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert (tmp_path / "key").read_text() == PEM
    with pytest.raises(FileExistsError):
        setup_github.written(tmp_path / "key", "another")


def test_what_is_there_already_stops_it_and_a_dry_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["setup", "github", "--address", "https://plumbline.example", "--folder", str(tmp_path)]
    assert main([*given, "--dry-run"]) == 0
    assert main([*given, "--token"]) == 0
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr().out
    assert "statuses: write" in shown
    assert "github-app.pem with mode 600" in shown
    (tmp_path / "github-app.pem").write_text("mine")
    assert main([*given, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert f"is there    {tmp_path}/github-app.pem: nothing would be made" in shown
    assert "would write" not in shown.replace(f"would write {tmp_path}/github-webhook-secret", "")
    assert main(given) == 1
    assert (tmp_path / "github-app.pem").read_text() == "mine"


APP = """\
address: https://plumbline.example
forges: [{name: github, app: {id: 1, key: {file: k}}, webhook-secret: {file: s}}]
repositories:
- {name: shop, forge: github, project: acme/shop, url: 'https://github.com/acme/shop.git', ceiling: {}, roles: {leads: ROLE}}
"""
TEAM, PERSON = "{teams: [acme/leads]}", "{users: [ann]}"


@pytest.mark.parametrize(
    ("text", "option", "is_asked", "said"),
    [
        (APP.replace("ROLE", TEAM), [], True, "asks for    members: read: roles of shop name teams\n"),
        (APP.replace("ROLE", PERSON), [], False, "leaves out  members: read: no role of app.yaml names a team; "),
        (APP.replace("ROLE", PERSON), ["--teams"], True, "asks for    members: read: as --teams says\n"),
        (None, [], False, "leaves out  members: read: there is no app.yaml yet; roles that name teams need it, and "),
        (None, ["--teams"], True, "asks for    members: read: as --teams says\n"),
        (APP.replace("ROLE", TEAM).replace("forges", "fogres"), [], False, "leaves out  members: read: app.yaml:2: "),
    ],
)
def test_who_is_in_a_team_is_asked_only_where_roles_name_teams(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    option: list[str],
    is_asked: bool,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLUMBLINE_CONFIG", raising=False)
    if text is not None:
        (tmp_path / "app.yaml").write_text(text)
    given = ["setup", "github", "--address", "https://plumbline.example", *option]
    assert main([*given, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(said)
    asked = json.loads(shown[shown.index("{") : shown.rindex("}") + 1])["default_permissions"]
    assert asked.get("members") == ("read" if is_asked else None)
    assert asked["contents"] == "write"
    assert main([*given, "--token"]) == 0
    assert ("   members: read   nobody has a role by a team" in capsys.readouterr().out) is is_asked


@pytest.mark.parametrize("option", ["--address", "--github"])
def test_an_address_without_a_scheme_is_refused_with_the_one_to_write(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["setup", "github", "--address", "https://plumbline.example", "--dry-run", option, "forge.example:8443"]
    with pytest.raises(SystemExit):
        main(given)
    said = capsys.readouterr()
    assert "has no scheme: write https://forge.example:8443" in said.err
    assert said.out == ""


def test_a_folder_that_is_not_there_is_said_before_an_app_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["setup", "github", "--address", "https://plumbline.example", "--folder", str(tmp_path / "nosuch")]
    assert main(given) == 1
    said = capsys.readouterr()
    assert f"{tmp_path / 'nosuch'} is no folder that can be written to" in said.err
    assert "internal" not in said.err
    assert "open " not in said.out, "no page is served"

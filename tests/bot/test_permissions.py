"""What the bot says of its credentials when it starts: on GitHub's and GitLab's doubles, by the process and by itself."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.desk import Desk
from bot.forges.port import Grant
from bot.permissions import Permissions, judged
from bot.settings import Settings
from plumbline.local_system import ROOT, LocalSystem, procfile
from sandbox.processes import Server, stop_all, wait_until
from tests.bot.beside_a_double import environ_of
from tests.doubles.github import Fault
from tests.doubles.github_rig import GithubRig
from tests.doubles.gitlab_rig import GitLabRig
from worker.domain.installation import Repository
from worker.domain.secret_text import SettingsError


@contextmanager
def bot(environ: dict[str, str], folder: Path) -> Iterator[Path]:
    """The bot as the Procfile starts it; its log."""
    log = folder / "bot.log"
    server = Server(
        "bot",
        ["/bin/sh", "-c", f"exec {procfile()['bot']}"],
        log,
        environ=environ,
        directory=ROOT,
        begin=LocalSystem.begin,
    )
    try:
        wait_until(lambda: "ready: repositories shop" in log.read_text(), 30, "the bot is ready")
        yield log
    finally:
        stop_all([server])


def asked(rig: GithubRig | GitLabRig, folder: Path, redis_url: str, more: str = "") -> Permissions:
    return Permissions(Desk.of(Settings.load(environ_of(rig, folder, redis_url, more), with_credentials=True)))


@pytest.fixture
def classic(tmp_path: Path) -> Iterator[GithubRig]:
    """GitHub, and a person's classic token that may do more than is needed."""
    rig = GithubRig(tmp_path / "github", with_app=False)
    rig.double.scopes = "repo, admin:org, delete_repo"
    yield rig
    rig.close()
    assert rig.double.faults == []


def test_what_is_there_and_what_is_missing_is_said_at_the_start(tmp_path: Path, redis_url: str) -> None:
    rig = GithubRig(tmp_path / "github")
    del rig.double.given["checks"]
    with bot(environ_of(rig, tmp_path / "bot", redis_url), tmp_path) as log:
        wait_until(lambda: "missing" in log.read_text(), 20, "what is missing is said")
        text = log.read_text()
    rig.close()
    assert "shop at github: granted: contents: write, deployments: write" in text
    missing = "shop at github: missing: checks: write; without it plan and proof are not shown as a check"
    assert text.count(missing) == 1
    assert text.count("missing:") == 1, "nothing else is missing"
    assert "more than is needed" not in text


def test_a66_a_token_that_may_administer_organizations_is_warned_about_and_the_bot_works(
    classic: GithubRig, tmp_path: Path, redis_url: str
) -> None:
    with bot(environ_of(classic, tmp_path / "bot", redis_url), tmp_path) as log:
        wait_until(lambda: "delete_repo" in log.read_text(), 20, "both scopes are said")
        text = log.read_text()
    assert "WARNING plumbline.permissions shop at github: more than is needed: the scope admin:org" in text
    assert "the scope repo\n" not in text, "what is needed is no excess"
    assert "t0ken" not in text


def test_a66_with_strict_scopes_the_bot_does_not_start_and_says_why_once(
    classic: GithubRig, tmp_path: Path, redis_url: str
) -> None:
    environ = environ_of(classic, tmp_path / "bot", redis_url, "strict-scopes: true")
    run = subprocess.run(
        ["/bin/sh", "-c", f"exec {procfile()['bot']}"], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stderr.count("plumbline bot: `strict-scopes`: the credentials above allow more than is needed") == 1
    assert "admin:org" in run.stderr
    assert "ready" not in run.stderr
    assert "Traceback" not in run.stderr

    classic.double.scopes = "repo"
    with bot(environ, tmp_path) as log:
        assert "more than is needed" not in log.read_text()


def test_a66_an_app_s_permissions_that_nobody_needs_are_named(tmp_path: Path, redis_url: str) -> None:
    rig = GithubRig(tmp_path / "github")
    strict = asked(rig, tmp_path / "bot", redis_url, "strict-scopes: true")
    strict.require_narrow()
    rig.double.given |= {"administration": "write", "issues": "write"}
    forge = Desk.of(Settings.load(environ_of(rig, tmp_path / "bot", redis_url), with_credentials=True)).forge(
        Repository("shop", "", None, "github", rig.repository.project)
    )
    assert set(forge.excesses()) == {"administration: write", "issues: write"}
    with pytest.raises(SettingsError, match="strict-scopes"):
        asked(rig, tmp_path / "bot", redis_url, "strict-scopes: true").require_narrow()
    rig.close()


def test_a66_an_owner_s_token_on_gitlab_is_too_broad(
    tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    rig = GitLabRig(tmp_path / "gitlab")
    caplog.set_level(logging.INFO, "plumbline.permissions")
    asked(rig, tmp_path / "bot", redis_url).ask()
    assert "more than is needed" not in caplog.text
    for member in rig.project.members.values():
        member["access_level"] = 50
    rig.double.tokens = {token: (user, {"api", "sudo"}) for token, (user, _) in rig.double.tokens.items()}
    asked(rig, tmp_path / "bot", redis_url).ask()
    assert "shop at gitlab: more than is needed: the role Owner" in caplog.text
    assert "more than is needed: the scope sudo" in caplog.text
    assert "the scope api" not in caplog.text
    rig.close()


def test_a_forge_that_is_away_delays_nothing_and_is_asked_again(
    classic: GithubRig, tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    classic.double.fault = lambda _method, _path: Fault(503)
    with bot(environ_of(classic, tmp_path / "bot", redis_url), tmp_path) as log:
        wait_until(lambda: "is not known yet" in log.read_text(), 20, "it is said that nothing is known")
        assert "missing:" not in log.read_text()

    caplog.set_level(logging.INFO, "plumbline.permissions")
    strict = asked(classic, tmp_path / "bot", redis_url, "strict-scopes: true")
    strict.require_narrow()
    assert not strict.is_refused, "what is not known is no reason"
    classic.double.fault = lambda _method, _path: None
    ended = threading.Event()
    strict.keep_asking(threading.Event(), ended.set)
    assert ended.is_set()
    assert "admin:org" in caplog.text


def test_what_a_forge_says_is_one_line_of_the_log() -> None:
    said = judged(
        Repository("shop", "", None, "github", "acme/shop"),
        [Grant("a", True, "x"), Grant("b", False, "y\n2026 INFO forged"), Grant("c", None, "z")],
        ["d\n2026 INFO forged", "e"],
    )
    assert said.there == "shop at github: granted: a; the forge does not say: c"
    assert said.missing == ("shop at github: missing: b; without it y 2026 INFO forged",)
    assert [line.count("\n") for line in said.too_much] == [0, 0]

"""`plumbline setup gitlab` as an operator runs it, and the signed deliveries that come of it, on the double."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.forges.gitlab_door import read, verify
from bot.forges.port import Hint, Permission, Rejected
from tests.doubles.gitlab import Fault
from tests.doubles.gitlab_rig import BOT, GitLabRig
from tests.loopback_server import Handler, LoopbackServer
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[GitLabRig]:
    made = GitLabRig(tmp_path / "gitlab")
    yield made
    made.close()


def setup(rig: GitLabRig, folder: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    declared, files = rig.declared, rig.folder
    (folder / "app.yaml").write_text(
        f"address: {address}\n"
        f"forges:\n- name: gitlab\n  address: {declared.address}\n  token: {{file: {files / 'token'}}}\n"
        f"  webhook-secret: {{file: {files / 'secret'}}}\n  signing-key: {{file: {files / 'signing'}}}\n"
        f"repositories:\n- name: shop\n  url: {rig.repository.url}\n  forge: gitlab\n  project: acme/shop\n"
        "  ceiling: {namespaces: [shop]}\n"
    )
    environ = {"PATH": os.environ["PATH"], "PLUMBLINE_CONFIG": str(folder / "app.yaml")}  # no Redis, no key for jobs
    command = [sys.executable, "-m", "plumbline", "setup", "gitlab", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_a_dry_run_registers_nothing_and_a_run_registers_once(rig: GitLabRig, tmp_path: Path) -> None:
    rig.permit(BOT, Permission.ADMIN)
    tried = setup(rig, tmp_path, "https://bot.example", "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "would create webhook https://bot.example/webhooks/gitlab" in tried.stdout
    assert rig.double.hooks == []
    for expected in ("created", "updated"):
        run = setup(rig, tmp_path, "https://bot.example/")
        assert run.returncode == 0, run.stderr
        assert f"{expected}   webhook https://bot.example/webhooks/gitlab" in run.stdout
        assert not any(
            secret in run.stdout + run.stderr for secret in ("glpat-", "whsec_", (rig.folder / "secret").read_text())
        )
    (hook,) = rig.double.hooks
    assert {name for name, value in hook.items() if value is True} == {
        "push_events", "merge_requests_events", "note_events", "enable_ssl_verification",
    }  # fmt: skip
    assert hook["token"] == (rig.folder / "secret").read_text()
    assert hook["signing_token"] == (rig.folder / "signing").read_text()
    hook["note_events"] = False
    mended = setup(rig, tmp_path, "https://bot.example")
    assert "put right: note_events" in mended.stdout
    assert hook["note_events"] is True


def test_what_the_token_may_not_do_is_said_with_what_is_missed(rig: GitLabRig, tmp_path: Path) -> None:
    rig.permit(BOT, Permission.READ)
    run = setup(rig, tmp_path, "https://bot.example")
    assert run.returncode == 1
    assert "missing   status: no statuses on commits" in run.stdout
    assert "granted   read" in run.stdout
    assert "does not permit GET /hooks" in run.stderr
    assert "the text of `webhook-secret` in app.yaml, the signing token: that of `signing-key`" in run.stderr
    assert "Traceback" not in run.stderr
    assert rig.double.hooks == []


def test_a_forge_that_no_repository_names_is_said(rig: GitLabRig, tmp_path: Path) -> None:
    setup(rig, tmp_path, "https://bot.example", "--dry-run")
    text = (tmp_path / "app.yaml").read_text().partition("repositories:")[0]
    (tmp_path / "app.yaml").write_text(text)
    environ = {"PATH": os.environ["PATH"], "PLUMBLINE_CONFIG": str(tmp_path / "app.yaml")}
    command = [sys.executable, "-m", "plumbline", "setup", "gitlab"]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert "no repository in app.yaml has `forge: gitlab`" in run.stderr


def test_f44_a_gitlab_that_is_down_is_said_in_words(rig: GitLabRig, tmp_path: Path) -> None:
    rig.double.fault = lambda _method, _path: Fault(503)
    run = setup(rig, tmp_path, "https://bot.example")
    assert run.returncode == 1
    assert "answers /api/v4/user with 503" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_webhook_secret_that_is_a_signing_token_is_refused(rig: GitLabRig, tmp_path: Path) -> None:
    secret = rig.folder / "secret"
    secret.write_text((rig.folder / "signing").read_text())
    run = setup(rig, tmp_path, "https://bot.example", "--dry-run")
    assert run.returncode == 1
    assert "name it under `signing-key`" in run.stderr
    secret.write_text("s" * 32)
    (rig.folder / "signing").write_text("not a signing token")
    assert "a signing token begins with whsec_" in setup(rig, tmp_path, "https://bot.example", "--dry-run").stderr


class Receiver:
    """Takes deliveries by the door, as web does."""

    def __init__(self, secret: bytes) -> None:
        self.hints: list[Hint | None] = []
        outer = self

        class Own(Handler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = dict(self.headers.items())
                try:
                    verify(headers, body, secret, time.time())
                    outer.hints.append(read(headers, body))
                    code = 200
                except Rejected as refused:
                    code = refused.code
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = LoopbackServer(Own)
        self.address = self._server.address

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize("is_signed", [True, False])
def test_what_happens_at_gitlab_arrives_at_the_door_as_places_to_look_at(tmp_path: Path, is_signed: bool) -> None:
    rig = GitLabRig(tmp_path / "gitlab", is_signed=is_signed)
    receiver = Receiver(rig.webhook_secret)
    try:
        rig.listen(f"{receiver.address}/webhooks/gitlab")
        rig.push("feature", {"a.yaml": "1\n"})
        number = rig.open("feature")
        rig.push("feature", {"a.yaml": "2\n"})
        said = rig.say(number, "/plan")
        rig.edit_comment(number, said, "/rollback")
        rig.edit(number, base="main", title="Draft: still")
        rig.edit(number, is_draft=False)
        rig.merge(number)
        assert {each.code for each in rig.deliveries()} == {200}
        again = rig.redeliver(0)
        assert again.code == 200
        seen = [(each.branch, each.number, each.comment) if each else None for each in receiver.hints]
        assert seen == [
            ("feature", None, ""), ("", 1, ""), ("feature", None, ""), ("", 1, ""), ("", 1, said), None,
            None, ("", 1, ""), None, ("", 1, ""), ("main", None, ""), ("", 1, ""), ("feature", None, ""),
        ]  # fmt: skip
        first, last = receiver.hints[0], receiver.hints[-1]
        assert first is not None
        assert last is not None
        assert first.delivery == last.delivery
        assert len({each.delivery for each in receiver.hints[:-1] if each}) == 9
    finally:
        receiver.close()
        rig.close()


def test_a03_the_door_refuses_a_gitlab_with_another_secret(tmp_path: Path) -> None:
    rig = GitLabRig(tmp_path / "gitlab")
    receiver = Receiver(b"another secret of ours")
    try:
        rig.listen(f"{receiver.address}/webhooks/gitlab")
        rig.push("feature", {"a.yaml": "1\n"})
        assert [each.code for each in rig.deliveries()] == [401]
        assert receiver.hints == []
    finally:
        receiver.close()
        rig.close()


def test_the_readme_s_gitlab_is_what_app_yaml_takes() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    block = readme.split("## Set up with GitLab", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
    (forge,) = read_installation(textwrap.dedent(block), "app.yaml").forges
    assert (forge.kind, forge.address, forge.signing_key) == (
        "gitlab",
        "https://gitlab.com",
        SecretReference(file="gitlab-signing"),
    )

"""`plumbline setup gitea` as an operator runs it, on a real Gitea: from two file names to signed deliveries."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plumbline.forge_system import BOT
from plumbline.setup_gitea import EVENTS, READING, SCOPES, TEAMS
from sandbox.forge import GiteaServer
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference

ADDRESS = "https://bot.example"
HOOK = f"{ADDRESS}/webhooks/forge"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with an app.yaml in a folder; `owner` has the repository `shop`, in which the bot user may do everything."""

    gitea: GiteaServer
    folder: Path
    owner: str

    def declare(self, more: str = "") -> None:
        (self.folder / "app.yaml").write_text(
            f"address: {ADDRESS}/\nforges:\n- name: forge\n  kind: gitea\n  address: {self.gitea.address}\n"
            "  token: {file: forge-token}\n  webhook-secret: {file: forge-secret}\n"
            f"repositories:\n- name: shop\n  forge: forge\n  project: {self.owner}/shop\n"
            f"  url: {self.gitea.address}/{self.owner}/shop.git\n  ceiling: {{namespaces: [shop]}}\n{more}"
        )

    def run(self, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "PLUMBLINE_CONFIG": str(self.folder / "app.yaml")}
        command = [sys.executable, "-m", "plumbline", "setup", "gitea", *arguments]
        run = subprocess.run(
            command, env=environ, input=password + "\n", capture_output=True, text=True, check=False, timeout=60
        )
        for path in self.folder.iterdir():
            if path.name != "app.yaml":
                assert path.read_text().strip() not in run.stdout + run.stderr, f"{path.name} was printed"
        assert self.gitea.password not in run.stdout + run.stderr
        assert "Traceback" not in run.stderr
        return run

    def hooks(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.gitea.ask("GET", f"/repos/{self.owner}/shop/hooks", login=self.owner)
        return found

    def make_private(self) -> None:
        self.gitea.ask("PATCH", f"/repos/{self.owner}/shop", {"private": True}, login=self.owner)


@pytest.fixture
def operator(gitea: GiteaServer, tmp_path: Path) -> Operator:
    owner = f"owner-{secrets.token_hex(3)}"
    gitea.create_user(owner)
    if gitea.request("GET", f"/users/{BOT}")[0] != 200:
        gitea.create_user(BOT)
    gitea.create_repository(owner, "shop", {BOT: "admin"})
    made = Operator(gitea, tmp_path, owner)
    made.declare()
    return made


def test_a_password_makes_the_token_and_one_run_after_another_registers_one_webhook(operator: Operator) -> None:
    tried = operator.run("--user", BOT, "--dry-run")
    assert tried.returncode == 1
    assert f"would write {operator.folder}/forge-token" in tried.stdout
    assert sorted(path.name for path in operator.folder.iterdir()) == ["app.yaml"]
    assert operator.hooks() == []

    first = operator.run("--user", BOT, password=operator.gitea.password)
    assert first.returncode == 0, first.stderr
    assert f"created   webhook {HOOK}" in first.stdout
    assert f"user      {BOT}" in first.stdout
    assert "missing" not in first.stdout + first.stderr
    files = {name: operator.folder / name for name in ("forge-token", "forge-secret")}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    kept = {name: path.read_text() for name, path in files.items()}
    (hook,) = operator.hooks()
    assert set(EVENTS) <= set(hook["events"])
    assert (hook["active"], hook["config"]["url"], hook["config"]["content_type"]) == (True, HOOK, "json")

    again = operator.run()
    assert again.returncode == 0, again.stderr
    assert f"as it was webhook {HOOK}" in again.stdout
    assert "put right" not in again.stdout
    assert {name: path.read_text() for name, path in files.items()} == kept
    assert len(operator.hooks()) == 1


def test_a_webhook_that_was_changed_by_hand_is_put_right_and_not_by_a_dry_run(operator: Operator) -> None:
    assert operator.run("--user", BOT, password=operator.gitea.password).returncode == 0
    (hook,) = operator.hooks()
    at = f"/repos/{operator.owner}/shop/hooks/{hook['id']}"
    operator.gitea.ask("PATCH", at, {"events": ["push"], "active": False}, login=operator.owner)
    tried = operator.run("--dry-run")
    assert "differing: pull_request" in tried.stdout
    assert operator.hooks()[0]["events"] == ["push"]
    mended = operator.run()
    assert "put right: pull_request, pull_request_sync, pull_request_comment, package, active" in mended.stdout
    (hook,) = operator.hooks()
    assert hook["active"] is True
    assert set(EVENTS) <= set(hook["events"])


def test_a_token_that_is_not_there_is_said_with_both_ways_to_make_it(operator: Operator) -> None:
    run = operator.run()
    assert run.returncode == 1
    assert f"{operator.folder}/forge-token is not there" in run.stderr
    assert "--user LOGIN" in run.stderr
    assert f"{operator.gitea.address}/user/settings/applications with {', '.join(SCOPES)}" in run.stderr
    assert f"(umask 077; cat > {operator.folder}/forge-token)" in run.stderr
    assert not (operator.folder / "forge-token").exists()


def test_who_is_in_a_team_is_asked_only_where_roles_name_teams(operator: Operator) -> None:
    without = operator.run("--user", BOT, "--dry-run")
    assert TEAMS not in without.stdout + without.stderr
    operator.declare("  roles: {leads: {teams: [acme/leads]}}\n")
    by_hand = operator.run()
    assert f"applications with {', '.join((*SCOPES, TEAMS))}, and paste it" in by_hand.stderr

    first = operator.run("--user", BOT, password=operator.gitea.password)
    assert first.returncode == 0, first.stderr
    assert f"needs       {TEAMS}: roles of shop name teams" in first.stdout
    assert f"granted   {TEAMS}" in first.stdout
    token = (operator.folder / "forge-token").read_text().strip()
    assert operator.gitea.request("GET", "/user/orgs", token=token)[0] == 200

    (operator.folder / "forge-token").write_text(operator.gitea.create_token(BOT, SCOPES))
    lacking = operator.run()
    assert lacking.returncode == 1
    assert f"missing   {TEAMS}: nobody has a role by a team" in lacking.stdout
    operator.declare("  roles: {leads: {users: [ann]}}\n")
    needless = operator.run()
    assert needless.returncode == 0, needless.stderr
    assert TEAMS not in needless.stdout


def test_a_wrong_password_makes_nothing(operator: Operator) -> None:
    run = operator.run("--user", BOT, password="not-hers")
    assert run.returncode == 1
    assert f"does not let {BOT} make a token by password" in run.stderr
    assert "not-hers" not in run.stdout + run.stderr
    assert not (operator.folder / "forge-token").exists()
    assert operator.hooks() == []


def test_what_the_token_may_not_do_is_said_with_what_is_missed(operator: Operator) -> None:
    token = operator.folder / "forge-token"
    token.touch(mode=0o600)
    token.write_text(operator.gitea.create_token(BOT, READING))
    run = operator.run()
    assert run.returncode == 1
    assert "missing   write:issue: predictions cannot be commented" in run.stdout
    assert "missing   read:user: its own comments cannot be told from others'" in run.stdout
    assert "granted   read:repository" in run.stdout
    assert operator.hooks() == []


def test_a_private_repository_gets_a_token_that_may_read_and_nothing_else(operator: Operator) -> None:
    operator.make_private()
    first = operator.run("--user", BOT, password=operator.gitea.password)
    assert first.returncode == 1
    assert f"the worker cannot fetch {operator.gitea.address}/{operator.owner}/shop.git" in first.stderr
    assert "credentials: {file: shop-read-token}" in first.stderr

    operator.declare("  credentials: {file: shop-read-token}\n")
    second = operator.run("--user", BOT, password=operator.gitea.password)
    assert second.returncode == 0, second.stderr
    assert "by its own token" in second.stdout
    token = (operator.folder / "shop-read-token").read_text().strip()
    assert (operator.folder / "shop-read-token").stat().st_mode & 0o777 == 0o600
    at = f"/repos/{operator.owner}/shop"
    assert operator.gitea.request("GET", at, token=token)[0] == 200
    assert operator.gitea.request("POST", f"{at}/branches", {"new_branch_name": "x"}, token=token)[0] == 403


def test_the_lines_of_a_repository_are_printed_where_app_yaml_has_none(operator: Operator) -> None:
    whole = (operator.folder / "app.yaml").read_text()
    (operator.folder / "app.yaml").write_text(whole.partition("repositories:")[0])
    run = operator.run("--user", BOT, password=operator.gitea.password)
    assert run.returncode == 1
    lines = run.stderr.partition("such lines do:\n")[2]
    (found,) = read_installation((whole.partition("repositories:")[0] + lines).encode(), "app.yaml").repositories
    assert (found.forge, found.project) == ("forge", "OWNER/shop")


def test_the_readme_s_gitea_is_what_app_yaml_takes() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    block = readme.split("## Set up with Gitea", 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]
    installation = read_installation(textwrap.dedent(block).encode(), "app.yaml")
    (forge,), (repository,) = installation.forges, installation.repositories
    assert (forge.kind, forge.token) == ("gitea", SecretReference(file="gitea-token"))
    assert (repository.forge, repository.project) == ("gitea", "acme/shop")

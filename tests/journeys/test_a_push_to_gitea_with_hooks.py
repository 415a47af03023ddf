"""Plumbline's hooks inside a real Gitea: a push prints its prediction there too, and the forge's own pages go on working."""

from __future__ import annotations

import base64
import http.cookiejar
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plumbline.forge_system import ForgeSystem
from plumbline.local_system import ROOT, Clone, git
from sandbox.processes import wait_until
from tests.conftest import DEPLOYMENT, Kubectl, StartForgeSystem, config_map, declaration

HEALTH_SECONDS = 30
"""How long `declaration` lets objects become healthy."""

CONVERGE = "plumbline/converge/production"
WRONG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: flags}\ndata: [a]\n"


class Project:
    """The repository as its owner uses it: by git, and at the forge."""

    def __init__(self, system: ForgeSystem, clone: Clone) -> None:
        self.system = system
        self.clone = clone

    def tip(self, branch: str = "main") -> str:
        return str(self.system.ask("GET", f"/branches/{branch}")["commit"]["id"])

    def propose(self, branch: str, file: str, text: str) -> int:
        """A change request of one file, whose branch is pushed without a word of what it changes."""
        git("checkout", "--quiet", "-B", branch, "origin/main", at=self.clone.folder)
        self.clone.write(file, text)
        self.clone.commit(branch)
        pushed = self.clone.push("origin", branch)
        assert pushed.returncode == 0, pushed.stderr
        made = self.system.ask("POST", "/pulls", {"head": branch, "base": "main", "title": f"Change {branch}"})
        number = int(made["number"])
        wait_until(
            lambda: bool(self.system.ask("GET", f"/pulls/{number}")["mergeable"]),
            20,
            "Gitea says that it can be merged",
        )
        return number

    def is_merged(self, number: int) -> bool:
        return bool(self.system.ask("GET", f"/pulls/{number}")["merged"])

    def statuses(self, revision: str, context: str) -> list[str]:
        """The states that were written, oldest first."""
        found = self.system.ask("GET", f"/commits/{revision}/statuses?limit=50")
        return [each["status"] for each in sorted(found, key=lambda each: each["id"]) if each["context"] == context]

    def status(self, revision: str, context: str) -> str:
        return (self.statuses(revision, context) or [""])[-1]


def is_success(project: Project, revision: str) -> bool:
    return project.status(revision, CONVERGE) == "success"


def said(project: Project, number: int) -> str:
    """All comments on a change request."""
    return "\n".join(each["body"] for each in project.system.ask("GET", f"/issues/{number}/comments"))


class Browser:
    """The owner at the forge's pages, without a script: a session, forms with their token."""

    def __init__(self, system: ForgeSystem) -> None:
        assert system.forge is not None
        self._address = system.forge.address
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self.send("/user/login", "/user/login", {"user_name": system.owner, "password": system.forge.password})

    def page(self, path: str) -> str:
        with self._opener.open(self._address + path, timeout=60) as answer:
            return str(answer.read().decode())

    def send(self, page: str, path: str, fields: dict[str, str]) -> str:
        """Sends a form of a page to its path; what the forge answers, also where it refuses."""
        token = re.search(r'name="_csrf" value="([^"]*)"', self.page(page))
        given = urllib.parse.urlencode({**fields, "_csrf": token[1] if token else ""}).encode()
        headers = {"Origin": self._address, "Referer": self._address + page}
        try:
            with self._opener.open(urllib.request.Request(self._address + path, given, headers), timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return str(refusal.read().decode())

    def merge(self, project: str, number: int) -> str:
        """Presses the merge button of a change request."""
        at = f"/{project}/pulls/{number}"
        self.send(at, f"{at}/merge", {"do": "merge", "merge_title_field": "Merged by the button"})
        return self.page(at)


@pytest.fixture
def project(
    start_forge_system: StartForgeSystem, empty_redis: str, namespace: str, tmp_path: Path
) -> Iterator[Project]:
    """A repository at Gitea with Plumbline's hooks in the forge's own folder, and one converged commit."""
    with start_forge_system(empty_redis, poll="60s", with_hooks=True) as system:
        clone = Clone(tmp_path / "clone", system.remote)
        made = Project(system, clone)
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/flags.yaml", config_map("flags", a="1"))
        first = clone.commit("Start")
        pushed = clone.push()
        assert pushed.returncode == 0, pushed.stderr
        assert f"remote:   create     ConfigMap {namespace}/flags" in pushed.stderr
        wait_until(lambda: made.status(first, CONVERGE) == "success", 40, "the first commit is converged")
        git("fetch", "--quiet", "origin", at=clone.folder)
        yield made


def test_a_push_to_gitea_prints_what_it_changes_and_streams_how_it_converges(
    project: Project, namespace: str, kubectl: Kubectl
) -> None:
    project.clone.write("app/flags.yaml", config_map("flags", a="2"))
    revision = project.clone.commit("Two")
    pushed = project.clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert pushed.returncode == 0, pushed.stderr
    words = [f"configure  ConfigMap {namespace}/flags", "1 -> 2", "applied", "verified", "converged"]
    assert [word for word in words if word not in pushed.stderr] == []
    assert sorted(map(pushed.stderr.index, words)) == [pushed.stderr.index(word) for word in words]
    assert kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout == "2"
    assert pushed.stderr.count("converging production to") == 1, "the push's webhook asked for it once more"
    wait_until(lambda: project.status(revision, CONVERGE) == "success", 20, "the status says it too")
    states = project.statuses(revision, CONVERGE)
    assert states == ["pending"] * (len(states) - 1) + ["success"]


def test_a_push_to_gitea_that_is_not_valid_is_refused(project: Project, namespace: str, kubectl: Kubectl) -> None:
    before = project.tip()
    project.clone.write("app/flags.yaml", WRONG)
    project.clone.commit("Wrong")
    pushed = project.clone.push()
    assert pushed.returncode != 0
    assert "plumbline  refused" in pushed.stderr
    assert "app/flags.yaml" in pushed.stderr
    assert "pre-receive hook declined" in pushed.stderr
    assert project.tip() == before
    assert kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout == "1"


def test_nobody_but_plumbline_writes_its_refs_at_gitea(project: Project) -> None:
    pushed = project.clone.push("origin", "HEAD:refs/plumbline/production/converged")
    assert pushed.returncode != 0
    assert "only Plumbline writes them" in pushed.stderr


def test_the_merge_button_goes_through_the_hooks_and_does_not_wait_for_the_cluster(
    project: Project, namespace: str, kubectl: Kubectl
) -> None:
    slow = DEPLOYMENT.replace("registry.example/x:1", "registry.example/x:never-ready")
    number = project.propose("button", "app/slow.yaml", slow)
    browser = Browser(project.system)
    began = time.monotonic()
    browser.merge(project.system.project, number)
    took = time.monotonic() - began
    assert project.is_merged(number)
    assert took < HEALTH_SECONDS / 2, f"the page waited {took:.1f} s for a rollout that never ends"
    merged = project.tip()
    wait_until(lambda: project.status(merged, CONVERGE) == "pending", 10, "the merge converges")
    kubectl("-n", namespace, "wait", "--for=create", "deployment/d", "--timeout=20s")


def test_a_merge_that_plumbline_refuses_stays_open_and_the_forge_shows_why(project: Project) -> None:
    before = project.tip()
    number = project.propose("wrong", "app/flags.yaml", WRONG)
    shown = Browser(project.system).merge(project.system.project, number)
    assert not project.is_merged(number)
    assert project.tip() == before
    assert "app/flags.yaml" in shown


def test_a_file_that_is_written_at_the_forge_goes_through_the_hooks(
    project: Project, namespace: str, kubectl: Kubectl
) -> None:
    assert project.system.forge is not None
    before, at = project.tip(), f"/repos/{project.system.project}/contents"

    def written(path: str, text: str) -> tuple[int, Any]:
        body = {"content": base64.b64encode(text.encode()).decode(), "message": path, "branch": "main"}
        return project.system.forge.request("POST", f"{at}/{path}", body, login=project.system.owner)  # type: ignore[union-attr]

    status, answer = written("app/wrong.yaml", WRONG)
    assert status >= 400
    assert "app/wrong.yaml" in str(answer)
    assert project.tip() == before
    assert written("app/more.yaml", config_map("more", b="1"))[0] == 201
    wait_until(lambda: project.status(project.tip(), CONVERGE) == "success", 40, "what was written is converged")
    assert kubectl("-n", namespace, "get", "configmap", "more", "-o", "jsonpath={.data.b}").stdout == "1"


def test_a_repository_that_gitea_renames_keeps_its_hooks_and_uninstalling_leaves_gitea_s(
    project: Project,
) -> None:
    folder = project.system.repository
    project.system.ask("PATCH", "", {"name": "store"})
    renamed = folder.with_name("store.git")
    hooks = {path.relative_to(renamed): path.read_bytes() for path in (renamed / "hooks").rglob("*") if path.is_file()}
    assert Path("hooks/pre-receive.d/plumbline") in hooks
    git("remote", "set-url", "origin", project.system.remote.replace("shop.git", "store.git"), at=project.clone.folder)
    project.clone.write("app/flags.yaml", WRONG)
    project.clone.commit("Wrong")
    assert "plumbline  refused" in project.clone.push().stderr
    command = [sys.executable, "-m", "plumbline", "hooks", "uninstall", str(renamed)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    left = {path.relative_to(renamed): path.read_bytes() for path in (renamed / "hooks").rglob("*") if path.is_file()}
    assert left == {path: text for path, text in hooks.items() if path.name != "plumbline"}
    pushed = project.clone.push()
    assert pushed.returncode == 0, pushed.stderr
    assert "plumbline" not in pushed.stderr


@pytest.mark.timed
def test_a_rollback_that_the_bot_pushes_goes_through_the_hooks_too_and_waits_for_nobody(
    start_forge_system: StartForgeSystem, empty_redis: str, namespace: str, tmp_path: Path, kubectl: Kubectl
) -> None:
    with start_forge_system(empty_redis, poll="60s", with_hooks=True) as system:
        project = Project(system, Clone(tmp_path / "clone", system.remote))
        clone = project.clone
        clone.write("plumbline.yaml", declaration(namespace).replace("policy: {", "policy: {rollback: push, "))
        for value in ("1", "bad"):
            clone.write("app/flags.yaml", config_map("flags", a=value))
            revision = clone.commit(value)
            assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
            wait_until(partial(is_success, project, revision), 40, f"{value} is converged")
        git("fetch", "--quiet", "origin", at=clone.folder)
        number = project.propose("talk", "README", "A place to talk\n")
        began = time.monotonic()
        system.ask("POST", f"/issues/{number}/comments", {"body": "/rollback production --push"})
        wait_until(lambda: project.tip() != revision, 40, "the rollback is on the branch")
        made = project.tip()
        wait_until(lambda: f"{made} was pushed to" in said(project, number), 40, "it is answered")
        took = time.monotonic() - began
        assert took < 10, f"{took:.1f} s: the bot's push waited for the bot"
        wait_until(partial(is_success, project, made), 40, "it is converged")
        commit = system.ask("GET", f"/git/commits/{made}")
        assert [each["sha"] for each in commit["parents"]] == [revision]
        assert f"Requested-by: {system.owner}" in commit["commit"]["message"]
        assert kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout == "1"
        branches = {each["name"] for each in system.ask("GET", "/branches")}
        assert branches == {"main", "talk"}, "no draft and no change request's branch is left"
        asked_for = [line for line in system.log("bot").splitlines() if "waits" in line]
        assert asked_for == [], "nothing had to be tried again"

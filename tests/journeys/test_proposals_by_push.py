"""What a commit is asked for by `git push -o` on a plain Git server: a branch of the bot's own, which changes nothing until it is merged."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from tests.conftest import DEPLOYMENT, Kubectl, StartSystem, config_map
from tests.invariants import wait_converged
from tests.journeys.test_commands_by_push import COMMANDS, one_line
from tests.journeys.test_drift import ALERT, edit, value_of, with_policy

RULES: Final = """\
    roles:
      releasers: {users: [ada]}
    commands: {image: releasers, adopt: releasers}
"""
Say = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def system(control_plane: ControlPlane, empty_redis: str, start_system: StartSystem) -> Iterator[LocalSystem]:
    """A system whose hooks know by a variable who pushes, and which lets ada command."""
    with start_system(control_plane.kubeconfig("worker"), empty_redis, more=RULES) as running:
        git("config", "plumbline.pusher", "WHO_PUSHES", at=running.repository)
        yield running


@pytest.fixture
def say(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Pushes nothing but a command, as somebody."""

    def said(option: str, by: str = "ada") -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("WHO_PUSHES", by)
        return clone.push("-o", f"plumbline.{option}", "origin", f"HEAD:{COMMANDS}")

    return said


def branches(system: LocalSystem) -> dict[str, str]:
    """Every branch and its commit."""
    rows = git("for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads", at=system.repository)
    return dict(row.split() for row in rows.splitlines())


def merged(clone: Clone, answer: str) -> tuple[str, str]:
    """What the answer says to do, done: the branch, and what the push of the merge printed."""
    found = re.search(r"git fetch origin (plumbline/\S+) && git merge FETCH_HEAD && git push origin (\S+)", answer)
    assert found is not None, answer
    git("fetch", "--quiet", "origin", found[1], at=clone.folder)
    git("merge", "--quiet", "FETCH_HEAD", at=clone.folder)
    pushed = clone.push("-o", "plumbline.wait=0", "origin", found[2])
    assert pushed.returncode == 0, pushed.stderr
    return found[1], pushed.stderr


def test_an_image_is_a_branch_whose_merge_uses_it(
    system: LocalSystem, clone: Clone, say: Say, kubectl: Kubectl, namespace: str
) -> None:
    def running() -> str:
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return kubectl("-n", namespace, "get", "deployment", "d", "-o", path).stdout

    written = DEPLOYMENT.replace('image: "registry.example/x:1"', "image:   'registry.example/x:1' ") + "# the end\n"
    clone.write("plumbline.yaml", with_policy(namespace, "settle: 1s"))
    clone.write("app/web.yaml", written)
    clone.write("app/a.yaml", config_map("a", image="registry.example/x:1"))
    first = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, first)

    for option, by, why in (
        ("image=production:registry.example/x:2", "eve", "needs the role releasers"),
        ("image=production:registry.example/x:2", "", "who pushes is not known"),
        ("image=production:registry.example/x", "ada", "says no tag and no digest"),
        ("image=production", "ada", "is missing"),
        ("image=production:registry.example/other:2", "ada", "names the image registry.example/other"),
        ("image=production:registry.example/x:1", "ada", "names already"),
    ):
        refused = say(option, by)
        assert refused.returncode == 1, (option, by, refused.stderr)
        assert why in one_line(refused.stderr), refused.stderr
    assert branches(system) == {"main": first}

    asked = say("image=production:registry.example/x:2")
    assert asked.returncode == 0, asked.stderr
    made = branches(system)
    assert made.pop("main") == first, "asking for it changes nothing"
    again = say("image=production:registry.example/x:2")
    assert branches(system) == {"main": first, **made}
    assert one_line(again.stderr) == one_line(asked.stderr)
    assert running() == "registry.example/x:1"
    branch, shown = merged(clone, one_line(asked.stderr))
    assert [branch] == list(made)
    assert "image 1 -> 2" in shown, "the push that merges it says what it changes"
    back = git("rev-parse", "HEAD", at=clone.folder).strip()
    assert back == made[branch], "nothing else was on it"
    wait_converged(system, back)
    assert running() == "registry.example/x:2"
    assert git("diff", "--name-only", first, back, at=clone.folder) == "app/web.yaml\n"
    assert git("show", f"{back}:app/web.yaml", at=clone.folder) == written.replace("x:1", "x:2")
    said = git("log", "-1", "--format=%an%n%cn%n%B", back, at=clone.folder)
    assert said.startswith("Plumbline\nPlumbline\nUse registry.example/x:2 in production\n")
    assert "\nRequested-by: ada\n" in said


def test_what_drifted_is_a_branch_whose_merge_leaves_it_as_it_lives(
    system: LocalSystem, clone: Clone, say: Say, kubectl: Kubectl, namespace: str
) -> None:
    words = (
        "# read this\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata:\n  'n': 'open'   # or shut\n  m: x\n"
    )
    clone.write("plumbline.yaml", with_policy(namespace, ALERT))
    clone.write("app/a.yaml", words)
    clone.write("app/b.yaml", config_map("b", n="open"))
    first = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, first)
    refused = say("adopt=production")
    assert (refused.returncode, "has drifted" in one_line(refused.stderr)) == (1, True), refused.stderr
    edit(kubectl, namespace, "shut")
    edit(kubectl, namespace, "ajar", "b")
    refused = say("adopt=production:ConfigMap/a", "eve")
    assert refused.returncode == 1
    assert "needs the role releasers" in one_line(refused.stderr)
    assert branches(system) == {"main": first}

    asked = say("adopt=production:ConfigMap/a")
    assert asked.returncode == 0, asked.stderr
    made = branches(system)
    assert made.pop("main") == first, "asking for it changes nothing"
    branch, shown = merged(clone, one_line(asked.stderr))
    assert [branch] == list(made)
    back = git("rev-parse", "HEAD", at=clone.folder).strip()
    wait_converged(system, back)
    assert git("diff", "--name-only", first, back, at=clone.folder) == "app/a.yaml\n", shown
    assert git("show", f"{back}:app/a.yaml", at=clone.folder) == words.replace("open", "shut")
    assert ("ajar -> open" in shown, "shut" in shown) == (True, False), shown
    assert (value_of(kubectl, namespace), value_of(kubectl, namespace, "b")) == ("shut", "open")
    assert "Plumbline-Adopt: ConfigMap/" in git("log", "-1", "--format=%B", back, at=clone.folder)

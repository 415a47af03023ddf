"""Commands on a plain Git server, where nobody can comment: `git push -o plumbline.<command>=…`, by whoever app.yaml names."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import Kubectl, StartSystem, config_map
from tests.invariants import note_of, wait_converged
from tests.journeys.test_drift import value_of, with_policy

RULES: Final = """\
    roles:
      releasers: {users: [ada]}
    commands:
      hold: releasers
      unhold: releasers
      approve: releasers
      confirm-prune: releasers
      rollback: releasers
      rollback-push: releasers
"""
Say = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS: Final = "refs/plumbline/commands"
QUOTED: Final = re.compile(r"with the code ([0-9a-z]{8})")


@pytest.fixture
def system(control_plane: ControlPlane, empty_redis: str, start_system: StartSystem) -> Iterator[LocalSystem]:
    """A system whose hooks know by a variable who pushes, and which lets ada command."""
    with start_system(control_plane.kubeconfig("worker"), empty_redis, more=RULES) as running:
        git("config", "plumbline.pusher", "WHO_PUSHES", at=running.repository)
        yield running


@pytest.fixture
def say(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Pushes nothing but commands, as somebody."""

    def said(*options: str, by: str = "ada", to: str = COMMANDS) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("WHO_PUSHES", by)
        given = [part for option in options for part in ("-o", f"plumbline.{option}")]
        return clone.push(*given, "origin", f"HEAD:{to}")

    return said


def one_line(text: str) -> str:
    """What git shows of a hook's words, without its line ends."""
    return " ".join(text.replace("remote:", " ").split())


def committed(clone: Clone, system: LocalSystem, value: str) -> str:
    """A commit of one value, pushed and converged."""
    clone.write("app/a.yaml", config_map("a", n=value))
    revision = clone.commit(value)
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, revision)
    return revision


def test_a_hold_an_answer_and_who_may(
    system: LocalSystem,
    clone: Clone,
    say: Say,
    kubectl: Kubectl,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clone.write("plumbline.yaml", with_policy(namespace, "settle: 1s"))
    first = committed(clone, system, "1")
    for _ in range(2):
        status = say("status=production", by="eve")
        assert status.returncode == 0, status.stderr
        assert "plumbline  /status production" in status.stderr
        assert "production" in one_line(status.stderr)
        assert "in sync" in one_line(status.stderr), status.stderr
        assert git("for-each-ref", COMMANDS, at=system.repository) == "", "the ref does not stay"

    for by, why in (("eve", "needs the role releasers"), ("", "who pushes is not known"), ("a b", "who pushes is not")):
        refused = say("hold=production:mine", by=by)
        assert why in one_line(refused.stderr), refused.stderr
        assert refused.returncode == 1, "a script sees that nothing was done"
    assert "What holds them" not in say("status=production").stderr
    for options, why in (
        ((), "no command was given"),
        (("hold",), "the environment is missing"),
        (("hold=nowhere",), "declares an environment nowhere"),
        (("rolback=production",), "there is no push option"),
        (("revert=1a2b3c4",), "`git revert COMMIT` makes the commit".replace("`", "")),
        (("diff=production",), "every push prints what it would change before it comes in"),
    ):
        mistaken = say(*options)
        assert why in one_line(mistaken.stderr), mistaken.stderr
        assert mistaken.returncode == 1, options
    assert (
        "is pushed alone"
        in clone.push("-o", "plumbline.help", "origin", "HEAD:refs/heads/other", f"HEAD:{COMMANDS}").stderr
    )

    monkeypatch.setenv("WHO_PUSHES", "ada")
    clone.write("app/a.yaml", config_map("a", n="2"))
    second = clone.commit("2")
    pushed = clone.push(
        "-o", "plumbline.hold=production:the migration runs", "-o", "plumbline.wait=0", "origin", "main"
    )
    assert pushed.returncode == 0, pushed.stderr
    assert "Held by ada since" in one_line(pushed.stderr)
    assert "the migration runs" in pushed.stderr
    wait_until(lambda: note_of(system, second).get("state") == "held", 30, "the commit is held")
    assert value_of(kubectl, namespace) == "1"
    assert "the migration runs" in one_line(say("status", by="eve").stderr)

    released = say("unhold=production")
    assert "is not held any more" in one_line(released.stderr), released.stderr
    wait_converged(system, second)
    assert value_of(kubectl, namespace) == "2"
    assert first != second


def test_a_plan_that_waits_is_approved_without_another_commit(
    system: LocalSystem,
    clone: Clone,
    say: Say,
    kubectl: Kubectl,
    namespace: str,
) -> None:
    clone.write("plumbline.yaml", with_policy(namespace, "converge: on-approval, settle: 1s"))
    clone.write("app/a.yaml", config_map("a", n="1"))
    held = clone.commit("1")
    pushed = clone.push("-o", "plumbline.wait=0", "origin", "main")
    (quoted,) = set(QUOTED.findall(one_line(pushed.stderr)))
    wait_until(lambda: note_of(system, held).get("state") == "held", 30, "it is held")
    assert "needs the role releasers" in one_line(say(f"approve=production:{quoted}", by="eve").stderr)
    clone.write("note.txt", "eve's word")
    held = clone.commit("the same plan")
    by_eve = say(f"approve={quoted}", by="eve", to="main")
    assert by_eve.returncode == 0, by_eve.stderr
    assert "the code does not count: /approve needs the role releasers" in one_line(by_eve.stderr)
    wait_until(lambda: note_of(system, held).get("state") == "held", 30, "eve's code is not heard")
    assert "Give the code" in one_line(say("approve=production").stderr)
    assert "it counts if that is the plan" in one_line(say("approve=production:00000000").stderr)
    assert value_of(kubectl, namespace) == ""
    assert "it counts if that is the plan" in one_line(say(f"approve=production:{quoted}").stderr)
    wait_converged(system, held)
    assert value_of(kubectl, namespace) == "1"


def test_a_rollback_is_a_branch_to_merge_or_with_push_the_branch_s_next_commit(
    system: LocalSystem,
    clone: Clone,
    say: Say,
    kubectl: Kubectl,
    namespace: str,
) -> None:
    clone.write("plumbline.yaml", with_policy(namespace, "rollback: push, settle: 1s"))
    committed(clone, system, "1")
    bad = committed(clone, system, "bad")
    asked = say("rollback=production")
    assert asked.returncode == 0, asked.stderr
    found = re.search(r"git fetch origin (plumbline/\S+) && git merge FETCH_HEAD", one_line(asked.stderr))
    assert found is not None, asked.stderr
    assert git("rev-parse", "main", at=system.repository).strip() == bad, "asking for it changes nothing"
    assert value_of(kubectl, namespace) == "bad"
    say("rollback=production")
    branches = git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", at=system.repository).split()
    assert branches == ["main", found[1]]
    git("fetch", "--quiet", "origin", found[1], at=clone.folder)
    git("merge", "--quiet", "FETCH_HEAD", at=clone.folder)
    merged = clone.push("-o", "plumbline.wait=0", "origin", "HEAD:main")
    assert "bad -> 1" in merged.stderr, "the push that merges it says what it changes"
    back = git("rev-parse", "HEAD", at=clone.folder).strip()
    wait_converged(system, back)
    assert value_of(kubectl, namespace) == "1"
    said = git("log", "-1", "--format=%an%n%cn%n%B", back, at=clone.folder)
    assert "Requested-by: ada" in said
    assert said.startswith("Plumbline\nPlumbline\nRoll back production to")

    worse = committed(clone, system, "worse")
    assert "needs the role releasers" in one_line(say("rollback=production --push", by="eve").stderr)
    pushed = say("rollback=production --push")
    tip = git("rev-parse", "main", at=system.repository).strip()
    assert f"{tip} was pushed to main" in one_line(pushed.stderr), pushed.stderr
    assert git("rev-parse", "main^", at=system.repository).strip() == worse
    wait_converged(system, tip)
    assert value_of(kubectl, namespace) == "1"


def test_deletions_that_wait_are_confirmed_by_whom_the_rule_names_and_with_the_code_of_exactly_that_plan(
    system: LocalSystem,
    clone: Clone,
    say: Say,
    kubectl: Kubectl,
    namespace: str,
) -> None:
    def there() -> list[str]:
        names = kubectl("-n", namespace, "get", "configmap", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
        return sorted(set(names) - {"kube-root-ca.crt"})

    clone.write("plumbline.yaml", with_policy(namespace, "rollback: push, prune-budget: 1, settle: 1s"))
    committed(clone, system, "1")
    clone.write("app/b.yaml", config_map("b", n="1"))
    clone.write("app/c.yaml", config_map("c", n="1"))
    committed(clone, system, "2")
    assert say("rollback=production --push").returncode == 0
    tip = git("rev-parse", "main", at=system.repository).strip()
    wait_until(lambda: note_of(system, tip).get("state") == "held", 30, "it would delete more than its budget")
    found = QUOTED.search(note_of(system, tip)["text"])
    assert found is not None
    wrong = "00000000" if found[1] != "00000000" else "11111111"
    for value, by, why in (
        (found[1], "eve", "needs the role releasers"),
        (wrong, "ada", "it changed, look at it again"),
        ("", "ada", "the code is missing"),
    ):
        refused = say(f"confirm-prune=production:{value}", by=by)
        assert (refused.returncode, why in one_line(refused.stderr)) == (1, True), refused.stderr
    assert there() == ["a", "b", "c"], "nothing is deleted"
    confirmed = say(f"confirm-prune=production:{found[1]}")
    assert (confirmed.returncode, "is applied now" in one_line(confirmed.stderr)) == (0, True), confirmed.stderr
    wait_converged(system, tip)
    assert there() == ["a"]
    assert value_of(kubectl, namespace) == "1"

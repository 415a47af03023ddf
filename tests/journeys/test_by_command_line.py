"""The words of comments on the command line, against a running server on plain Git: looked at, held, released, refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plumbline.local_system import ROOT, Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from tests.conftest import Kubectl, StartSystem, config_map, declaration

SECRET = "a-token-that-nobody-prints"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def served(
    control_plane: ControlPlane, empty_redis: str, start_system: StartSystem, tmp_path: Path
) -> Iterator[LocalSystem]:
    """All of Plumbline, with a token that may write and one that may look."""
    secrets = {"writes": SECRET, "looks": f"{SECRET}-2"}
    for name, secret in secrets.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(secret + "\n")
    tokens = "".join(
        f"  - {{name: {name}, secret: {{file: {tmp_path / name}}}, may: [{may}]}}\n"
        for name, may in (("writes", "write"), ("looks", "read"))
    )
    with start_system(control_plane.kubeconfig("worker"), empty_redis, more=f"tokens:\n{tokens}") as running:
        yield running


@pytest.fixture
def run(served: LocalSystem, tmp_path: Path) -> Run:
    """Runs a command against the server, with the token of a file."""

    def command(
        *words: str, token: str = "writes", server: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "plumbline", *words, "--server", server or served.address]
        given += ["--token-file", str(tmp_path / token)] if token else []
        found = subprocess.run(
            given, env={**served.environ, **environ}, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
        )
        assert SECRET not in found.stdout + found.stderr
        return found

    return command


def test_an_environment_is_looked_at_held_released_and_rolled_back_by_command(
    served: LocalSystem, run: Run, namespace: str, kubectl: Kubectl, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "clone", served.repository)
    clone.write("plumbline.yaml", declaration(namespace))
    clone.write("app/flags.yaml", config_map("flags", a="1"))
    first = clone.commit("The first release")
    assert clone.push("-o", "plumbline.wait=60", "origin", "main").returncode == 0
    wait_for(run, first)

    refused = run("hold", "production", token="looks")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "needs write permission; app.yaml gives this token read here" in refused.stderr
    held = run("hold", "production", "--reason", "the migration runs")
    assert held.returncode == 0, held.stderr
    assert held.stdout.startswith("done Held by token:writes since")
    assert "the migration runs" in held.stdout
    shown = run("environments", token="looks")
    assert shown.returncode == 0
    assert "held by token:writes: the migration runs (/unhold production)" in shown.stdout
    assert "\x1b" not in shown.stdout
    clone.write("app/flags.yaml", config_map("flags", a="2"))
    second = clone.commit("The second release")
    clone.push("-o", "plumbline.wait=5", "origin", "main")
    assert value(kubectl, namespace) == "1"

    document = json.loads(run("unhold", "production", "--json").stdout)
    assert (document["outcome"], "is not held any more" in document["text"]) == ("done", True)
    wait_for(run, second)
    assert value(kubectl, namespace) == "2"

    tips = git("for-each-ref", "refs/heads", at=served.repository)
    dry = run("rollback", "production", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"would go back to {first}" in dry.stdout
    assert "app/flags.yaml becomes what it was" in dry.stdout
    assert "Nothing was committed." in dry.stdout
    assert git("for-each-ref", "refs/heads", at=served.repository) == tips
    ticket = run("rollback", "production", first[:10], "--no-wait").stdout.strip()
    answer = run("answer", ticket)
    assert answer.returncode == 0, answer.stderr
    assert "git merge FETCH_HEAD" in answer.stdout
    made = git("for-each-ref", "--format=%(refname)", "refs/heads", at=served.repository).split()
    assert len(made) == 2, "one branch of its own, and the environment's"
    assert git("rev-parse", "main", at=served.repository).strip() == second

    kubectl("-n", namespace, "patch", "configmap", "flags", "-p", '{"data":{"a":"by hand"}}')
    assert run("adopt", "production", token="looks").returncode == 1
    adopted = run("adopt", "production", "ConfigMap/flags")
    assert adopted.returncode == 0, adopted.stderr
    assert "git merge FETCH_HEAD" in adopted.stdout
    unknown = run("image", "production", "registry.example/x:2")
    assert (unknown.returncode, "names the image registry.example/x" in unknown.stderr) == (1, True), unknown.stderr
    made = git("for-each-ref", "--format=%(refname)", "refs/heads/plumbline", at=served.repository).split()
    assert [name.split("/")[3].split("-")[0] for name in made] == ["adopt", "rollback"]
    assert git("rev-parse", "main", at=served.repository).strip() == second

    told = run("history", "production", token="looks").stdout
    assert f"{second[:7]}  converged" in told
    assert "The first release by Ada" in told


def value(kubectl: Kubectl, namespace: str) -> str:
    return kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout


def wait_for(run: Run, revision: str) -> None:
    """Waits until a revision is converged."""
    from sandbox.processes import wait_until

    def is_converged() -> bool:
        (row,) = json.loads(run("environments", "--json").stdout)["environments"]
        return bool(row["revision"] == revision and row["state"] == "converged")

    wait_until(is_converged, 60, f"{revision[:7]} is converged")


def test_what_is_called_wrongly_or_cannot_be_reached_says_so_by_its_code(run: Run, tmp_path: Path) -> None:
    (tmp_path / "open").write_text(SECRET)
    (tmp_path / "open").chmod(0o644)
    for words, more, code, said in (
        (("hold",), {}, 64, "the following arguments are required: environment"),
        (("hold", "production", "--dry-run"), {}, 64, "unrecognized arguments: --dry-run"),
        (("hold", "production", "--timeout", "soon"), {}, 64, "is not a duration"),
        (("hold", "production"), {"token": ""}, 1, "Give --token-file PATH, or set PLUMBLINE_TOKEN"),
        (("hold", "production"), {"token": "open"}, 1, "chmod 600"),
        (("hold", "production"), {"token": "", "PLUMBLINE_TOKEN": "wrong"}, 1, "none of app.yaml's `tokens`"),
        (("hold", "production"), {"server": "http://plumbline.example.org"}, 1, "Use https"),
        (("hold", "production"), {"server": "127.0.0.1:8080"}, 1, "is no address of a server"),
        (("hold", "production"), {"server": "http://127.0.0.1:9"}, 3, "does not answer"),
        (("hold", "production"), {}, 1, "No branch of shop declares an environment production"),
        (("hold", "Production"), {}, 1, "is no environment"),
        (("freeze",), {"token": "looks"}, 1, "Name one: --branch"),
        (("history", "production"), {}, 1, "Nothing was told of an environment production"),
        (("answer", "f" * 32), {}, 1, "no such ticket"),
    ):
        found = run(*words, **more)
        assert (found.returncode, found.stdout) == (code, ""), (words, more, found.stderr)
        assert said in found.stderr

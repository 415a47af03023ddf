"""Starting Plumbline: every process says what it is ready for, or in one sentence why it is not."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from plumbline.local_system import ROOT, Clone, LocalSystem, procfile
from sandbox.processes import wait_until
from tests.conftest import config_map

pytestmark = pytest.mark.usefixtures("as_in_the_procfile")

PROCESSES = ("web", "bot", "worker", "watch")


def started(system: LocalSystem, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A process of the Procfile with other settings, until it ends by itself."""
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {procfile()[name]}"], cwd=ROOT, env={**system.environ, "PORT": "0", **environ},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_process_says_what_it_is_ready_for(system: LocalSystem) -> None:
    port = urlsplit(system.redis_url).port
    said = {
        "web": "ready: repositories shop",
        "bot": "ready: repositories shop; queues v",
        "worker": "ready: clusters sandbox; queues v",
        "watch": "ready: clusters sandbox; repositories shop, looked at every 1 s",
    }
    assert tuple(said) == PROCESSES
    for name, words in said.items():
        wait_until(lambda name=name: "ready" in system.log(name), 20, f"{name} is ready")  # type: ignore[misc]
        (line,) = (line for line in system.log(name).splitlines() if "ready" in line)
        assert words in line
        assert line.endswith(f"Redis at 127.0.0.1:{port}")
    assert "not installed" not in system.log("worker")


@pytest.mark.parametrize("name", PROCESSES)
def test_a_configuration_error_ends_a_process_at_once_with_one_sentence(tmp_path: Path, name: str) -> None:
    run = started(
        LocalSystem(tmp_path, "redis://127.0.0.1:1", tmp_path, 0), name, PLUMBLINE_CONFIG="/nonexistent/app.yaml"
    )
    sentence = f"plumbline {name}: /nonexistent/app.yaml: no such file (set PLUMBLINE_CONFIG to the path of app.yaml)"
    assert run.returncode in (1, 4)
    assert (run.stdout + run.stderr).count(sentence) == 1
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("name", ["worker", "watch"])
def test_a_kubeconfig_that_is_gone_ends_who_needs_it(system: LocalSystem, name: str) -> None:
    app = system.directory / "app.yaml"
    other = system.directory / "other.yaml"
    text, count = re.subn(r"kubeconfig: \{file: .*\}", "kubeconfig: {file: gone}", app.read_text())
    assert count == 1
    other.write_text(text)
    run = started(system, name, PLUMBLINE_CONFIG=str(other))
    assert run.returncode == 1
    gone = system.directory / "gone"
    assert run.stderr == f"plumbline {name}: sandbox.kubeconfig: cannot read {gone} (No such file or directory)\n"


@pytest.mark.parametrize("name", PROCESSES)
def test_f05_a_wrong_redis_password_is_said_without_a_trace(system: LocalSystem, name: str) -> None:
    parts = urlsplit(system.redis_url)
    system.servers[name].kill()
    right, system.redis_url = system.redis_url, f"redis://:wrong@127.0.0.1:{parts.port}/0"
    system.run(name, alias="wrong")
    system.redis_url = right
    said = f"Redis is away (127.0.0.1:{parts.port})", "Redis does not accept the password in its address"
    wait_until(lambda: all(each in system.log("wrong") for each in said), 20, f"{name} says it")
    log = system.log("wrong")
    assert "Traceback" not in log
    assert "wrong" not in log.replace("wrong.log", "")
    assert system.servers["wrong"].is_running


def test_a_worker_without_renderers_works_and_says_what_is_missing(system: LocalSystem, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    system.servers["worker"].kill()
    system.tools = tmp_path / "none"
    system.run("worker", alias="bare")
    wait_until(lambda: "ready" in system.log("bare"), 20, "the worker is ready")
    log = system.log("bare")
    missing = [name for name in ("kustomize", "helm") if f"{name} is not installed: put it on PATH" in log]
    assert missing
    assert "PLUMBLINE_TOOLS=$(plumbline sandbox tools --folder kustomize helm)" in log


@pytest.mark.parametrize("name", ["worker", "bot"])
def test_a_push_is_told_which_process_is_missing(system: LocalSystem, clone: Clone, name: str) -> None:
    system.servers[name].signal(signal.SIGTERM)
    wait_until(lambda: not system.servers[name].is_running, 30, f"{name} ends")
    del system.servers[name]
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.commit("first")
    push = clone.push()
    assert push.returncode != 0
    assert f"refused: nothing can be predicted for main now (no {name} runs" in push.stderr
    assert "HTTP 503" not in push.stderr
    assert "`plumbline hooks install` with --when-away accept" in push.stderr
    assert "plumbline.whenAway" in push.stderr

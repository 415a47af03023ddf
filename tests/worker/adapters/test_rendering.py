"""Rendering in a child with limits, and what is kept of it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from plumbline.local_system import Clone, git
from tests.conftest import config_map
from worker.adapters.checkout import Checkout
from worker.adapters.confined import confinement
from worker.adapters.renderer import Capabilities, Renderer, RenderTools, jail
from worker.adapters.renderer.programs import MissingTool
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits

LIMITS = RenderLimits(seconds=2, memory=256 << 20, file_size=1 << 20)


def confined(script: str, folder: Path) -> str:
    """What a Python script prints in the jail, with `folder` as its tree."""
    output = folder / "home" / "out"
    output.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-I", "-S", "-c", script]
    ended = jail.run(command, output, jail.Tree(folder / "tree", folder), LIMITS, what="it")
    return output.read_text() + ended.error


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time; time.sleep(60)", "took longer than 2 s"),
        ("while True: pass", "longer than 2 s|2 s of CPU"),
        ("print('x' * 9000000)", "wrote more than 1 MiB"),
        ("x = bytearray(1 << 30)", "more than 256 MiB of memory"),
        ("x = [bytearray(1 << 20) for _ in range(1000)]", "more than 256 MiB of memory"),
    ],
    ids=["time", "CPU", "file", "memory", "memory in pieces"],
)
def test_a_child_that_takes_too_much_is_ended_and_said(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(DesiredStateError, match=said):
        raise AssertionError(confined(script, tmp_path))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import socket; socket.socket()", "not permitted"),
        ("import socket; socket.socket(socket.AF_UNIX)", "not permitted"),
        ("import socket; socket.create_connection(('127.0.0.1', PORT))", "not permitted"),
        ("import os; os.fork()", "not permitted"),
        ("import subprocess; subprocess.run(['/usr/bin/env'])", "not permitted"),
        ("open('/etc/passwd')", "denied"),
        ("open('/proc/self/environ')", "denied"),
        ("open('BESIDE/secret')", "denied"),
        ("open('BESIDE/tree/written', 'w')", "denied"),
        ("open('/tmp/written', 'w')", "denied"),
        ("import os; os.kill(os.getppid(), 9)", "not permitted"),
    ],
)
def test_the_kernel_takes_network_processes_and_other_files_from_a_child(
    tmp_path: Path, script: str, said: str
) -> None:
    if jail.shortfalls():
        pytest.skip(f"this machine's kernel takes less from a render: {jail.shortfalls()}")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "own").write_text("own")
    (tmp_path / "secret").write_text("canary")
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0)
        port = canary.getsockname()[1]
        found = confined(script.replace("PORT", str(port)).replace("BESIDE", str(tmp_path)), tmp_path)
        with pytest.raises(BlockingIOError):
            canary.accept()
    assert said in found
    assert "canary" not in found
    assert not (tmp_path / "tree" / "written").exists()
    assert confined(f"print(open({str(tmp_path / 'tree' / 'own')!r}).read())", tmp_path) == "own\n"


def test_what_lies_beside_the_program_is_hidden_from_a_child(tmp_path: Path) -> None:
    """An operator's keys and kubeconfigs may be in the folder that Plumbline is installed in."""
    if jail.shortfalls():
        pytest.skip(f"this machine's kernel takes less from a render: {jail.shortfalls()}")
    (tmp_path / "tree").mkdir()
    beside = jail.PROJECT / "app.yaml"
    assert beside.read_text()
    assert "denied" in confined(f"print(open({str(beside)!r}).read())", tmp_path)


def test_a_machine_whose_kernel_takes_less_from_a_render_says_so_once() -> None:
    assert set(jail.shortfalls()) <= set(confinement.shortfalls())
    assert confinement.shortfalls() == [
        "the network is not taken from it",
        "files outside the repository's tree are not hidden from it",
    ]


def test_a_child_knows_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_REDIS_URL", "canary")
    names = set(confined("import os; print(*os.environ, sep='\\n')", tmp_path).split())
    assert names == {"PATH", "HOME", "LC_ALL", "TMPDIR"}


def test_a_commit_that_touches_other_folders_has_the_same_inputs(checkout: Checkout, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    renderer = Renderer(None, RenderLimits(), RenderTools())
    environment = Environment("r", "e", "main", "app", "c", "ns")
    before = checkout.tip("main")
    clone.write("other/b.yaml", config_map("b", n="2"))
    clone.commit("two")
    clone.push()
    after = checkout.tip("main")
    assert before
    assert after
    assert before != after
    inputs = [renderer.render_revision(checkout, each, environment, Capabilities()).inputs for each in (before, after)]
    assert inputs[0] == inputs[1]
    assert checkout.is_ancestor(before, after)
    assert not checkout.is_ancestor(after, before)
    checkout.close()


def test_a_remote_repository_is_mirrored_and_a_password_in_its_address_is_not_shown(
    tmp_path: Path, checkout: Checkout
) -> None:
    from worker.domain.errors import Unavailable

    away = Checkout.open("https://user:canary@127.0.0.1:1/x.git", tmp_path / "mirror")
    with pytest.raises(Unavailable) as caught:
        away.tips()
    assert "canary" not in str(caught.value)
    checkout.close()


def test_a_program_that_is_missing_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    environment = Environment("r", "e", "main", ".", "c", "ns")
    with pytest.raises(MissingTool, match="plumbline sandbox tools --folder kustomize"):
        Renderer(None, RenderLimits(), RenderTools()).render_folder(tmp_path, environment, Capabilities())


def test_submodules_are_left_out_with_a_warning(checkout: Checkout, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    tip = git("rev-parse", "HEAD", at=clone.folder).strip()
    git("update-index", "--add", "--cacheinfo", f"160000,{tip},app/module.yaml", at=clone.folder)
    git("commit", "--quiet", "-m", "module", at=clone.folder)
    clone.push()
    after = checkout.tip("main")
    assert after
    rendered = Renderer(None, RenderLimits(), RenderTools()).render_revision(
        checkout, after, Environment("r", "e", "main", "app", "c", "ns"), Capabilities()
    )
    assert [resource.key.name for resource in rendered.resources] == ["a"]
    assert "submodule" in rendered.warnings[0]
    checkout.close()

"""Rendering in a child with limits, and what is kept of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from plumbline.local_system import Clone, git
from tests.conftest import config_map
from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Renderer, RenderTools, jail
from worker.adapters.renderer.programs import MissingTool
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits

LIMITS = RenderLimits(seconds=2, memory=256 << 20, file_size=1 << 20)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sleep 60", "took longer than 2 s"),
        ("while :; do :; done", "longer than 2 s|2 s of CPU"),
        ("head -c 9000000 /dev/zero", "wrote more than 1 MiB"),
        ("exec python3 -c 'x = bytearray(1 << 30)'", "more than 256 MiB of memory"),
    ],
    ids=["time", "CPU", "file", "memory"],
)
def test_a_child_that_takes_too_much_is_ended_and_said(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(DesiredStateError, match=said):
        ended = jail.run(["/bin/sh", "-c", script], tmp_path / "out", LIMITS, what="it", home=tmp_path)
        raise AssertionError(ended)


def test_a_child_knows_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_REDIS_URL", "canary")
    jail.run(["/usr/bin/env"], tmp_path / "out", LIMITS, what="env", home=tmp_path)
    names = {line.partition("=")[0] for line in (tmp_path / "out").read_text().splitlines()}
    assert names <= {"PATH", "HOME", "LC_ALL", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "r.git"))
    clone = Clone(tmp_path / "clone", tmp_path / "r.git")
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.write("other/b.yaml", config_map("b", n="1"))
    clone.commit("one")
    clone.push()
    return Checkout.open(str(tmp_path / "r.git"), tmp_path)


def test_what_was_rendered_is_kept_for_its_owner_only_and_a_damaged_entry_is_a_miss(
    checkout: Checkout, tmp_path: Path
) -> None:
    renderer = Renderer(tmp_path / "cache", RenderLimits(), RenderTools())
    environment = Environment("r", "e", "main", "app", "c", "ns")
    tip = checkout.tip("main")
    assert tip is not None
    first = renderer.render_revision(checkout, tip, environment, Capabilities())
    folder = tmp_path / "cache" / "renders"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (entry,) = folder.iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    content = entry.read_bytes()
    for damaged in (content[:-5], b"", content.replace(b'"1"', b'"2"')):
        entry.write_bytes(damaged)
        again = renderer.render_revision(checkout, tip, environment, Capabilities())
        assert again.resources[0].body == first.resources[0].body
        assert again.inputs == first.inputs
    checkout.close()


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
    with pytest.raises(MissingTool, match="plumbline sandbox tools kustomize"):
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

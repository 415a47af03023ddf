"""What a worker is started with is checked before it works, and said by the key of app.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.adapters.renderer import RenderTools
from worker.domain.secret_text import SettingsError
from worker.settings import Settings

APP = """\
signing-key: {file: signing-key}
cache: cache
clusters:
  - name: production
    kubeconfig: {KUBECONFIG}
repositories: []
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("signing-key", "production.kubeconfig"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("k" * 32)
    return tmp_path


def load(folder: Path, kubeconfig: str = "{file: production.kubeconfig}", **environ: str) -> Settings:
    (folder / "app.yaml").write_text(APP.replace("{KUBECONFIG}", kubeconfig))
    return Settings.load({"PLUMBLINE_REDIS_URL": "redis://:pw@127.0.0.1:1/0", **environ})


def test_files_that_are_there_and_private_are_taken(folder: Path) -> None:
    assert load(folder).kubeconfigs == {"production": folder / "production.kubeconfig"}


def test_a_missing_kubeconfig_is_said_at_the_start(folder: Path) -> None:
    (folder / "production.kubeconfig").unlink()
    with pytest.raises(SettingsError, match=r"^production\.kubeconfig: cannot read .*No such file"):
        load(folder)
    with pytest.raises(SettingsError, match=r"^production\.kubeconfig: cannot read .*No such file"):
        load(folder, "{env: PRODUCTION}", PRODUCTION=str(folder / "production.kubeconfig"))
    with pytest.raises(SettingsError, match="the environment variable PRODUCTION is not set"):
        load(folder, "{env: PRODUCTION}")


@pytest.mark.parametrize("name", ["signing-key", "production.kubeconfig"])
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620])
def test_a_secret_that_others_can_read_is_refused(folder: Path, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(SettingsError, match=f"can be read by others: chmod 600 .*{name}"):
        load(folder)


def test_a_tools_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="PLUMBLINE_TOOLS: /nonexistent is not a folder"):
        load(folder, PLUMBLINE_TOOLS="/nonexistent")


def test_missing_programs_are_named_with_a_command_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "helm").touch(mode=0o755)
    said = [str(each) for each in RenderTools().missing()]
    assert len(said) == 1
    assert said[0].startswith("kustomize is not installed")
    assert "export PLUMBLINE_TOOLS=$(plumbline sandbox tools --folder kustomize helm)" in said[0]
    (tmp_path / "kustomize").touch(mode=0o755)
    assert RenderTools().missing() == ()

"""Installing the hooks changes only what it says, and can be undone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.hooks_command import _require_its_user, archive
from plumbline.local_system import git
from worker.domain.errors import Refused

ROOT = Path(__file__).parents[2]


def hooks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plumbline", "hooks", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "a b.git"))
    return tmp_path / "a b.git"


def install(repository: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return hooks("install", str(repository), "--address", "http://127.0.0.1:1", "--name", "shop", *more)


def push(repository: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    if not folder.exists():
        git("clone", "--quiet", str(repository), str(folder))
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "x", at=folder)
    return subprocess.run(
        ["git", "push", "origin", "HEAD:main"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_hooks_that_were_there_run_first_and_come_back(repository: Path, tmp_path: Path) -> None:
    before = repository / "hooks" / "pre-receive"
    before.write_text("#!/bin/sh\ncat > seen\necho mine\n")
    before.chmod(0o755)
    text = before.read_text()
    assert install(repository, "--when-away", "accept").returncode == 0
    assert install(repository, "--when-away", "accept").returncode == 0
    run = push(repository, tmp_path / "clone")
    assert run.returncode == 0, run.stderr
    assert run.stderr.index("mine") < run.stderr.index("not predicted")
    assert "refs/heads/main" in (repository / "seen").read_text()
    assert hooks("uninstall", str(repository)).returncode == 0
    assert before.read_text() == text
    assert not (repository / "hooks" / "post-receive").exists()
    assert not (repository / "plumbline").exists()
    assert "plumbline" not in (repository / "config").read_text()
    assert "plumbline" not in push(repository, tmp_path / "clone").stderr


@pytest.mark.parametrize("before", [None, "true", "false"])
def test_uninstalling_gives_back_the_configuration_as_it_was(repository: Path, before: str | None) -> None:
    if before is not None:
        git("config", "receive.advertisePushOptions", before, at=repository)
    config = (repository / "config").read_bytes()
    for _ in range(2):
        assert install(repository).returncode == 0
    assert git("config", "receive.advertisePushOptions", at=repository).strip() == "true"
    assert hooks("uninstall", str(repository)).returncode == 0
    assert (repository / "config").read_bytes() == config


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8080", "shop", "ftp://x", "http://", "http://x:port", "http://u:p@x", "http://x/?a=b", ""]
)
def test_an_address_that_hooks_cannot_call_is_refused(repository: Path, address: str) -> None:
    run = hooks("install", str(repository), "--address", address, "--name", "shop")
    assert run.returncode == 64
    assert "address" in run.stderr
    assert not (repository / "plumbline").exists()


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("http://bot.example", True),
        ("https://bot.example", False),
        ("http://127.0.0.1:1", False),
        ("http://[::1]:1", False),
    ],
)
def test_an_address_elsewhere_without_encryption_is_warned_of(repository: Path, address: str, warned: bool) -> None:
    run = hooks("install", str(repository), "--address", address, "--name", "shop")
    assert run.returncode == 0
    assert ("use https://" in run.stderr) is warned


def test_a_repository_with_a_work_tree_is_refused(tmp_path: Path) -> None:
    git("init", "--quiet", str(tmp_path / "work"))
    for path in (tmp_path / "work", tmp_path / "work" / ".git"):
        run = install(path)
        assert run.returncode == 1
        assert "has a work tree" in run.stderr
        assert "git clone --bare" in run.stderr
    assert not (tmp_path / "work" / ".git" / "plumbline").exists()


def test_a_hook_that_is_kept_and_the_secret_are_said(repository: Path) -> None:
    before = repository / "hooks" / "pre-receive"
    before.write_text("#!/bin/sh\ncat > /dev/null\n")
    before.chmod(0o755)
    planned = install(repository, "--dry-run").stdout
    assert f"would keep  {before} as pre-receive.before-plumbline; it runs first" in planned
    assert f"would write {repository}/plumbline/secret" in planned
    assert "post-receive.before-plumbline" not in planned
    done = install(repository).stdout
    assert f"kept        {before}.before-plumbline; it was there before and runs first" in done
    again = install(repository, "--dry-run").stdout
    assert f"would keep  {repository}/plumbline/secret" in again


def test_a_dry_run_changes_nothing(repository: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    before = content()
    assert "would write" in install(repository, "--dry-run").stdout
    assert content() == before


def test_the_secret_is_the_owner_s_alone_and_survives_a_second_install(repository: Path) -> None:
    install(repository)
    secret = repository / "plumbline" / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    first = secret.read_text()
    install(repository)
    assert secret.read_text() == first


def test_what_is_not_a_repository_is_said(tmp_path: Path) -> None:
    run = install(tmp_path)
    assert run.returncode == 1
    assert "is not a Git repository" in run.stderr


def test_the_zipapp_is_the_same_bytes_each_time_and_needs_nothing_but_python(tmp_path: Path) -> None:
    assert archive() == archive()
    program = tmp_path / "hooks.pyz"
    program.write_bytes(archive())
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(program), "nonsense"],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.defpath},
        check=False,
    )
    assert run.returncode == 64
    assert "usage" in run.stderr


def test_beside_a_forge_s_own_hooks_ours_have_a_place_of_their_own(repository: Path) -> None:
    for name in ("pre-receive", "post-receive"):
        among = repository / "hooks" / f"{name}.d"
        among.mkdir()
        for hook in (among / "gitea", repository / "hooks" / name):
            hook.write_text("#!/bin/sh\ncat > /dev/null\n")
            hook.chmod(0o755)

    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    before = content()
    planned = install(repository, "--dry-run").stdout
    assert f"{repository}/hooks/pre-receive.d/plumbline" in planned
    assert "would keep  /" not in planned.replace(f"would keep  {repository}/plumbline/secret", "")
    for _ in range(2):
        assert install(repository).returncode == 0
    made = set(content()) - set(before)
    assert {Path(each).relative_to(repository).parts[0] for each in made} == {"hooks", "plumbline"}
    assert sorted(each for each in made if "/hooks/" in each) == [
        f"{repository}/hooks/{name}.d/plumbline" for name in ("post-receive", "pre-receive")
    ]
    assert str(repository) not in (repository / "hooks" / "pre-receive.d" / "plumbline").read_text()
    assert hooks("uninstall", str(repository)).returncode == 0
    assert content() == before


def test_another_user_s_repository_is_refused_with_the_command(tmp_path: Path) -> None:
    folder = Path("/")
    if os.geteuid() == 0:
        folder = tmp_path
        os.chown(folder, 65534, -1)
    with pytest.raises(Refused) as refusal:
        _require_its_user(folder)
    assert "could not read what is installed" in refusal.value.reason
    assert refusal.value.next_step.startswith("run it as that user: sudo -u ")

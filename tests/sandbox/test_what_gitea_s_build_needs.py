"""What the first build of the sandbox's forge needs: where it is missing, the command that brings it is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def found(tmp_path: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """Looks for Gitea with an empty cache of programs and nothing on PATH but these."""
    (tmp_path / "bin").mkdir()
    for name in programs:
        program = tmp_path / "bin" / name
        program.write_text("#!/bin/sh\necho go version go1.99.0 linux/amd64\n")
        program.chmod(0o755)
    environ = {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    code = "from sandbox.gitea_program import find_gitea; from sandbox.processes import SandboxError\n"
    code += "try: find_gitea(print)\nexcept SandboxError as error: print(error)"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_missing_c_compiler_is_said_at_once_with_the_command(tmp_path: Path) -> None:
    run = found(tmp_path, "go")
    assert "missing: a C compiler, to build Gitea" in run.stdout
    assert "apt install gcc libc6-dev" in run.stdout
    assert "building Gitea" not in run.stdout
    assert run.stderr == ""


def test_a_missing_npm_is_said_with_the_command(tmp_path: Path) -> None:
    code = "from sandbox.gitea_program import _bundle; from pathlib import Path; print(_bundle(Path('.'), Path('.'), print))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert "missing: npm" in run.stdout
    assert "apt install npm" in run.stdout
    assert os.linesep + "  or put a gitea 1." in run.stdout

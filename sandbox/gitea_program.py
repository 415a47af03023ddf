"""Gitea with its web pages: found on PATH where the version fits, else in the user's cache, else built from pinned sources.

The program is built by Go and a C compiler (its SQLite is C); the pages' script and style sheets by pnpm and Vite, which a
Node of npm's package `node` runs. Everything is kept in the cache; nothing is installed into the system.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox.processes import SandboxError
from sandbox.requirements_check import COMPILER, NPM, has_compiler
from sandbox.tools import Progress, alone, cache_root, go_build, go_program

MODULE_FOLDER: Final = Path(__file__).parent / "gitea"
MODULE: Final = "code.gitea.io/gitea"
TAGS: Final = "sqlite sqlite_unlock_notify"
COMPILED: Final = 1219
"""Packages that a cold build compiles (counted once); only progress depends on it."""

NODE: Final = ("node@22.23.3", "pnpm@10.33.0")
"""What builds the pages: the Node that Gitea's package.json asks for or later, and the pnpm that it names."""

SERVED: Final = ("public", "templates", "options")
STYLED: Final = Path("public/assets/.vite/manifest.json")


@dataclass(frozen=True, slots=True)
class GiteaProgram:
    """A program and the folder of what it serves (None: both in one, as packaged programs are)."""

    binary: Path
    served: Path | None

    @property
    def is_styled(self) -> bool:
        """Whether its pages look as they should."""
        return self.served is None or (self.served / STYLED).is_file()


def missing(requirement: tuple[str, str]) -> str:
    """What this machine lacks, the command that brings it, and the way around it."""
    what, command = requirement
    return f"missing: {what}\n  {command}\n  or put a gitea {gitea_version()} on PATH; then try again"


def gitea_version() -> str:
    """The version that is built, such as `1.26.0`."""
    match = re.search(rf"^require {re.escape(MODULE)} v(\S+)", (MODULE_FOLDER / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise SandboxError("sandbox/gitea/go.mod does not pin Gitea")
    return match[1]


def cached_gitea() -> Path:
    """Where the program and pages that were built from exactly these sources lie."""
    parts = [(MODULE_FOLDER / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts += [" ".join((sys.platform, platform.machine(), TAGS, *NODE)).encode()]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return cache_root() / f"gitea-{digest[:16]}"


def find_gitea(progress: Progress = lambda _: None) -> GiteaProgram:
    """Gitea, built where it is missing. Raises SandboxError with what to do.

    Pages that cannot be built are no reason to fail: `progress` is told then what Gitea goes without.
    """
    own = shutil.which("gitea")
    if own and _fits(Path(own)):
        return GiteaProgram(Path(own), None)
    if own:
        progress(f"{own} is not Gitea {gitea_version()}, passed over")
    home = cached_gitea()
    home.mkdir(parents=True, exist_ok=True)
    binary, served = home / "bin" / "gitea", home / "served"
    if binary.is_file() and (served / STYLED).is_file():
        return GiteaProgram(binary, served)
    with alone(home / "lock", progress):
        go = go_program(progress)
        if not binary.is_file():
            _build_program(go, binary, progress)
        reason = "" if (served / STYLED).is_file() else _build_pages(go, served, progress)
    if reason:
        progress(f"Gitea runs without its pages' style: {reason}")
    return GiteaProgram(binary, served)


def _fits(program: Path) -> bool:
    try:
        run = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    said = re.search(r"version (\d+\.\d+)\.\d+", run.stdout)
    return run.returncode == 0 and said is not None and said[1] == gitea_version().rpartition(".")[0]


def _build_program(go: Path, binary: Path, progress: Progress) -> None:
    if not has_compiler():  # type: ignore[no-untyped-call]
        raise SandboxError(missing(COMPILER))
    progress(f"building Gitea {gitea_version()} from source; the first time takes about 4 minutes on 2 cores")
    linking = f"-s -w -X main.Version={gitea_version()}"
    with tempfile.TemporaryDirectory(dir=binary.parents[1]) as folder:
        built = Path(folder) / "gitea"
        arguments = ["-trimpath", "-tags", TAGS, "-ldflags", linking, "-o", str(built), MODULE]
        go_build(go, MODULE_FOLDER, arguments, COMPILED, progress, {"CGO_ENABLED": "1"})
        binary.parent.mkdir(exist_ok=True)
        built.replace(binary)


def _build_pages(go: Path, served: Path, progress: Progress) -> str:
    """Makes what Gitea serves; why it has no style, or nothing. Raises SandboxError where not even its templates are there."""
    source = _source(go)
    with tempfile.TemporaryDirectory(dir=served.parent) as folder:
        work = Path(folder) / "source"
        shutil.copytree(source, work, copy_function=_copied, ignore=shutil.ignore_patterns("tests", "docker"))
        for below in (work, *(each for each in work.rglob("*") if each.is_dir())):
            below.chmod(0o755)  # the module cache is read-only
        reason = _bundle(work, Path(folder) / "tools", progress)
        shutil.rmtree(served, ignore_errors=True)
        served.mkdir()
        for name in SERVED:
            (work / name).replace(served / name)
    return reason


def _copied(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    return target


def _source(go: Path) -> Path:
    environ = os.environ | {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [str(go), "list", "-m", "-f", "{{.Dir}}", MODULE]
    run = subprocess.run(command, cwd=MODULE_FOLDER, env=environ, capture_output=True, text=True, check=False)
    if run.returncode != 0 or not run.stdout.strip():
        raise SandboxError(f"Gitea's sources are not in the Go cache: {run.stderr.strip()[-300:]}")
    return Path(run.stdout.strip())


def _bundle(work: Path, tools: Path, progress: Progress) -> str:
    if not shutil.which("npm"):
        return missing(NPM)
    package = work / "package.json"
    described = json.loads(package.read_text())
    described.pop("packageManager", None)  # pnpm would fetch another of itself
    package.write_text(json.dumps(described))
    tools.mkdir()
    programs = tools / "node_modules" / ".bin"
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    steps: list[tuple[str, Sequence[str | Path], Path]] = [
        ("fetching Node", ["npm", "install", *quiet, "--prefix", str(tools), *NODE], tools),
        ("fetching the pages' parts", [programs / "pnpm", "install", "--frozen-lockfile", "--ignore-scripts"], work),
        ("building the pages", [work / "node_modules" / ".bin" / "vite", "build"], work),
    ]
    environ = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "CI": "1"}
    for words, command, at in steps:
        progress(f"Gitea's pages: {words}")
        if failed := _failure(command, at, environ):
            return f"{words} failed: {failed}"
    return "" if (work / STYLED).is_file() else "the build made no style sheets"


def _failure(command: Sequence[str | Path], at: Path, environ: Mapping[str, str]) -> str:
    try:
        run = subprocess.run(
            command,
            cwd=at,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "it took longer than 10 minutes"
    except OSError as error:
        return str(error)
    said = (run.stderr.strip() or run.stdout.strip() or "no reason given").splitlines()
    return "" if run.returncode == 0 else said[-1][:300]

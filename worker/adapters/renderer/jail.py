"""One child process for what a repository says: confined, with an empty environment, and ended when its time is over.

The child is `worker/adapters/confined`: it takes from itself what the kernel can take (network, other processes, all files
but the repository's tree, memory, CPU seconds, sizes), looks at the files, and only then becomes kustomize or helm, or
reads the text. Wall time is watched here and ends the whole process group.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from worker.adapters.confined import child
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits

ERROR_BYTES: Final = 64 << 10
PROJECT: Final = Path(__file__).resolve().parents[3]
CHILD: Final = Path(child.__file__).resolve()


def _folder_of(package: str) -> Path:
    """The folder of a package."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).resolve().parent


PACKAGES: Final = (PROJECT / "worker", _folder_of("yaml"))
"""All that the child imports: it starts without site-packages, which saves it a third of its start.

It finds them by links in a folder of its own, because what lies beside them may be the operator's keys.
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files that a child may see: `root` and all below it; files are named relative to `names`."""

    root: Path
    names: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, and the end of what it wrote to stderr."""

    code: int
    error: str


def run(
    command: Sequence[str | Path],
    output: Path,
    tree: Tree,
    limits: RenderLimits,
    *,
    what: str,
    looks: dict[str, Any] | None = None,
    readable: Iterable[Path] = (),
) -> Ended:
    """Looks at the files that `looks` describes (see `references.problems`), then runs a command, confined.

    Its stdout goes to the file `output`, whose folder is all that it may write. Raises DesiredStateError where the files
    are refused or a limit was passed.
    """
    program = Path(command[0]).resolve()
    work = {
        "does": "run" if looks is None else "look and run",
        "command": [str(program), *(str(part) for part in command[1:])],
        **(looks or {}),
    }
    return _child(work, output, tree, limits, what, (program, *readable))


def look(output: Path, tree: Tree, limits: RenderLimits, *, what: str, looks: dict[str, Any]) -> None:
    """Only looks at the files. Raises DesiredStateError where they are refused or a limit was passed."""
    _child({"does": "look", **looks}, output, tree, limits, what, ())


def read(names: Sequence[str], output: Path, tree: Tree, limits: RenderLimits) -> list[Any]:
    """[file, line, value] of every document of files below `tree.root`. Raises DesiredStateError with every problem."""
    ended = _child({"does": "read", "files": list(names)}, output, tree, limits, "reading", ())
    if ended.code != 0:
        raise DesiredStateError([Problem("the files cannot be read: " + _last_line(ended.error))])
    documents: list[Any] = orjson.loads(output.read_bytes())["documents"]
    return documents


def shortfalls() -> list[str]:
    """What the kernel of this machine does not take from a render, each as the end of a sentence; empty if nothing."""
    with tempfile.TemporaryDirectory(prefix="plumbline-jail-") as folder:
        home = Path(folder)
        _child({"does": "probe"}, home / "answer", Tree(home, home), RenderLimits(), "the probe", ())
        found: list[str] = json.loads((home / "answer").read_bytes())["shortfalls"]
    return found


def _child(
    work: dict[str, Any], output: Path, tree: Tree, limits: RenderLimits, what: str, readable: Iterable[Path]
) -> Ended:
    home = output.parent
    imports = home / "imports"
    imports.mkdir(exist_ok=True)
    for package in PACKAGES:
        with contextlib.suppress(FileExistsError):
            (imports / package.name).symlink_to(package)
    description = home / "work.json"
    description.write_text(
        json.dumps(
            {
                **work,
                "imports": [str(imports)],
                "limits": asdict(limits),
                "tree": str(tree.root),
                "names": str(tree.names),
                "readable": [str(path) for path in (tree.root, *PACKAGES, Path(sys.base_prefix), *readable)],
                "writable": str(home),
            }
        )
    )
    with output.open("wb") as target:
        running = subprocess.Popen(
            [sys.executable, "-I", "-S", CHILD, description],
            env={"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C.UTF-8", "TMPDIR": str(home)},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, error = running.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            _end(running)
            raise DesiredStateError([_too_much(what, f"took longer than {limits.seconds} s")]) from None
        except BaseException:
            _end(running)
            raise
    return _judged(running.returncode, error, output, limits, what)


def _judged(code: int, error: bytes, output: Path, limits: RenderLimits, what: str) -> Ended:
    if code == child.PROBLEMS:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            problems = [Problem.from_json(each) for each in orjson.loads(output.read_bytes())["problems"]]
            raise DesiredStateError(problems)
    if code == -signal.SIGXCPU:
        raise DesiredStateError([_too_much(what, f"used more than {limits.seconds} s of CPU")])
    if code == -signal.SIGXFSZ or (code != 0 and output.stat().st_size >= limits.file_size):
        raise DesiredStateError([_too_much(what, f"wrote more than {limits.file_size >> 20} MiB")])
    text = error[-ERROR_BYTES:].decode(errors="replace")
    if code != 0 and ("MemoryError" in text or "out of memory" in text or code == -signal.SIGKILL):
        raise DesiredStateError([_too_much(what, f"needed more than {limits.memory >> 20} MiB of memory")])
    return Ended(code, text)


def _end(running: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


def _last_line(error: str) -> str:
    return (error.strip().splitlines() or ["no reason given"])[-1]


def _too_much(what: str, message: str) -> Problem:
    return Problem(
        f"{what} {message}", suggestion="make it smaller, or let the operator raise render-limits in app.yaml"
    )

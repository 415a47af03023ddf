"""One child process with an empty environment and limits of time, memory and file size.

The limits are the kernel's, set by the shell's `ulimit` before the program starts: CPU seconds, private writable memory
(RLIMIT_DATA counts what a Go program really uses, unlike its reserved address space), size of any file written, no core
file. Wall time is watched here and ends the whole process group. Network access is not taken away by the kernel: plain
text and helm templates have no way to ask for it, and kustomize's remote references are refused before it runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.domain.errors import DesiredStateError, Problem
from worker.domain.installation import RenderLimits

SHELL: Final = 'ulimit -c 0 -t "$1" 2>/dev/null; ulimit -d "$2" 2>/dev/null; ulimit -f "$3"; shift 3; exec "$@"'
ERROR_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: its exit code, and the end of what it wrote to stderr."""

    code: int
    error: str


def run(command: Sequence[str | Path], output: Path, limits: RenderLimits, *, what: str, home: Path) -> Ended:
    """Runs a command with its stdout in the file `output`. Raises DesiredStateError where it passed a limit."""
    limited = [
        "/bin/sh", "-c", SHELL, "sh",
        str(limits.seconds), str(limits.memory >> 10), str(max(limits.file_size >> 9, 1)),
        *(str(part) for part in command),
    ]  # fmt: skip
    environ = {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C.UTF-8", "TMPDIR": str(home)}
    with output.open("wb") as target:
        child = subprocess.Popen(
            limited,
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, error = child.communicate(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DesiredStateError([_too_much(what, f"took longer than {limits.seconds} s")]) from None
        except BaseException:
            _end(child)
            raise
    if child.returncode in (-signal.SIGXCPU, 128 + signal.SIGXCPU):
        raise DesiredStateError([_too_much(what, f"used more than {limits.seconds} s of CPU")])
    if child.returncode in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
        raise DesiredStateError([_too_much(what, f"wrote more than {limits.file_size >> 20} MiB")])
    text = error[-ERROR_BYTES:].decode(errors="replace")
    if child.returncode != 0 and (
        "MemoryError" in text or "out of memory" in text or child.returncode == -signal.SIGKILL
    ):
        raise DesiredStateError([_too_much(what, f"needed more than {limits.memory >> 20} MiB of memory")])
    return Ended(child.returncode, text)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _too_much(what: str, message: str) -> Problem:
    return Problem(
        f"{what} {message}", suggestion="make it smaller, or let the operator raise render-limits in app.yaml"
    )

"""Servers as child processes: tied to this one, logged to a file, waited for, stopped in time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

TETHER = Path(__file__).with_name("tether.py")
POLL, LONGEST_POLL = 0.03, 0.15
SHARE = 0.05
"""Of the time waited so far: so much later than it happens something is seen at most."""


class SandboxError(Exception):
    """The sandbox cannot do what was asked; the text says why and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for a condition, looking every 30 ms, and less often the longer it takes. Raises SandboxError after `seconds`.

    Looking costs: a question to Gitea takes about as long as the pause, and what is waited for gets what is left.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > seconds:
            raise SandboxError(f"{what}: not within {seconds:.0f} s")
        time.sleep(max(POLL, min(waited * SHARE, LONGEST_POLL)))


class Program(Protocol):
    """A program that was started, in as far as `subprocess.Popen` is used here."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The return code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The return code, once it has ended. Raises TimeoutExpired."""

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, if it still runs."""


Begin = Callable[[Sequence[str], Path, Mapping[str, str] | None, Path | None], Program]
"""Starts a program: its command, where its output goes, its environment and its folder (None: those of this process)."""


def begin_tethered(
    command: Sequence[str], log: Path, environ: Mapping[str, str] | None, directory: Path | None
) -> Program:
    """Starts a program as a child of this process that ends with it."""
    tethered = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]
    with log.open("ab") as output:
        return subprocess.Popen(
            tethered,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            cwd=directory,
            start_new_session=True,
        )


class Server:
    """One running program. It ends when this process ends, however that happens."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
        begin: Begin = begin_tethered,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        self._environ = dict(environ) if environ is not None else None
        self._directory = directory
        self._begin = begin
        self._process = self._start()

    def _start(self) -> Program:
        return self._begin(self._command, self.log, self._environ, self._directory)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    def require_running(self) -> None:
        """Raises SandboxError with the end of the log where the program has ended."""
        if not self.is_running:
            raise SandboxError(
                f"{self.name} ended with code {self._process.returncode}; the end of {self.log}:\n{tail(self.log)}"
            )

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, if the program still runs."""
        if self.is_running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends the program at once and waits for it."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Starts the program again with the same arguments (after it was killed)."""
        self.kill()
        self._process = self._start()

    def wait_ended(self, seconds: float) -> bool:
        """Whether the program ended within `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def stop_all(servers: Sequence[Server], seconds: float = 3.0) -> None:
    """Asks all to end at once, and kills after `seconds` what has not."""
    for server in servers:
        server.signal(signal.SIGCONT)
        server.signal(signal.SIGTERM)
    until = time.monotonic() + seconds
    for server in servers:
        if not server.wait_ended(max(0.0, until - time.monotonic())):
            server.kill()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"

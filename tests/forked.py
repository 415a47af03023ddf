"""Plumbline's processes for tests, forked from one that has imported them already.

A test starts four of them, and each would spend a second or two of processor time on imports: together that was a quarter of
the whole suite (measured on two cores). What runs in them is the Procfile's command line with the same arguments, environment
and folder; that the Procfile itself works is shown by the tests that start it as it is.

`python -m tests.forked SOCKET` is the process that is forked. A client connects, sends one line of JSON and hears the process'
id, and once it has ended its return code, each on a line of its own.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import re
import runpy
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sandbox.processes import Server, wait_until
from sandbox.tether import PR_SET_PDEATHSIG

ROOT: Final = Path(__file__).parents[1]
SHELL: Final = ("/bin/sh", "-c")
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class Forked:
    """One process that was forked; what `subprocess.Popen` is to one that was started."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._said = b""
        self.returncode: int | None = None
        while b"\n" not in self._said:
            self._said += self._read()
        pid, _, self._said = self._said.partition(b"\n")
        self.pid = int(pid)

    def _read(self) -> bytes:
        found = self._connection.recv(64)
        if not found:
            raise RuntimeError("the process that is forked has ended")
        return found

    def poll(self) -> int | None:
        """The return code; None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The return code, once it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        while self.returncode is None:
            ready, _, _ = select.select([self._connection], [], [], timeout)
            if not ready:
                return None
            self._said += self._read()
            if self._said.endswith(b"\n"):
                self.returncode = int(self._said)
                self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Forks:
    """The process that is forked, as its clients see it."""

    def __init__(self, folder: Path) -> None:
        self._address = folder / "forks"
        environ = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.forked", str(self._address)]
        self._server = Server("forks", command, folder / "forks.log", environ=environ, directory=ROOT)
        wait_until(self._answers, 60, "the process that is forked has imported everything")

    def _answers(self) -> bool:
        self._server.require_running()
        return self._address.exists()

    def start(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None, directory: Path | None
    ) -> Forked:
        """Forks a process that does what a line of the Procfile says (`/bin/sh -c "exec …"`); the way of `Server.begin`."""
        assert tuple(command[:2]) == SHELL
        log.touch()  # who looks at it at once finds it, as with a child of one's own
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._address))
        asked = {
            "line": command[2].removeprefix("exec "),
            "log": str(log),
            "environ": dict(os.environ if environ is None else environ),
            "directory": str(directory or Path.cwd()),
        }
        connection.sendall(json.dumps(asked).encode() + b"\n")
        return Forked(connection)

    def close(self) -> None:
        """Ends it, and with it all that were forked."""
        self._server.kill()


def serve(address: str) -> dict[str, Any]:
    """Forks a child for each who asks, and tells of its end. Returns in the children only: what was asked."""
    listener = socket.socket(socket.AF_UNIX)
    hears, wakes = socket.socketpair()
    for each in (hears, wakes):
        each.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    children: dict[int, socket.socket] = {}
    parent = os.getpid()
    with selectors.DefaultSelector() as selector:
        listener.bind(f"{address}.new")
        listener.listen(64)
        Path(f"{address}.new").rename(address)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(hears, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is hears:
                    hears.recv(4096)
                    _bury(children)
                    continue
                client, _ = listener.accept()
                with client.makefile("rb") as lines:
                    asked: dict[str, Any] = json.loads(lines.readline())
                if (pid := os.fork()) == 0:
                    _begin(asked, parent)
                    return asked
                children[pid] = client
                client.sendall(f"{pid}\n".encode())


def _bury(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with children.pop(pid) as client:
            client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _begin(asked: Mapping[str, Any], parent: int) -> None:
    """Makes a child what a process is that was just started."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(number, target)
    os.closerange(3, 1024)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    random.seed()


def run(line: str) -> None:
    """Does what a line of the Procfile says. Raises SystemExit."""
    words = shlex.split(VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[2] or "", line))
    if words[0] == "env":
        words.pop(0)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            os.environ[name] = value
    if words[0] == "gunicorn":
        from gunicorn.app.wsgiapp import run as run_gunicorn

        sys.argv = words
        run_gunicorn(prog="gunicorn")  # type: ignore[no-untyped-call]
        return
    assert words[:2] == ["python", "-m"], words
    sys.argv = words[2:]
    sys.modules.pop(f"{words[2]}.__main__", None) or sys.modules.pop(
        words[2], None
    )  # it is run anew, all else is there
    runpy.run_module(words[2], run_name="__main__", alter_sys=True)


def main() -> None:
    """Imports what the Procfile's processes import, and is forked; in a child: does what was asked."""
    import gunicorn.app.wsgiapp

    import bot.__main__
    import bot.app
    import bot.server
    import worker.__main__
    import worker.watch

    assert all((gunicorn.app.wsgiapp, bot.__main__, bot.app, bot.server, worker.__main__, worker.watch))
    gc.collect()
    gc.freeze()
    run(serve(sys.argv[1])["line"])


if __name__ == "__main__":
    main()

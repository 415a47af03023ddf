"""`python -m sandbox DIRECTORY`: one sandbox in the foreground until SIGTERM or Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from sandbox.control_plane import ControlPlane
from sandbox.processes import SandboxError
from sandbox.tools import find, version_of


def main() -> int:
    """Runs the sandbox of one directory; writes state.json there once it is ready."""
    directory = Path(sys.argv[1])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        tools = find(progress=print)
        with ControlPlane.start(directory, tools, print) as plane:
            _write_state(directory, plane, tools)
            print(f"kubeconfig: {plane.kubeconfig()}  (Ctrl-C stops it)", flush=True)
            while not stop.wait(1.0):
                for server in plane.servers.values():
                    server.require_running()
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        (directory / "state.json").unlink(missing_ok=True)
    return 0


def _write_state(directory: Path, plane: ControlPlane, tools: dict[str, Path]) -> None:
    state = {
        "pid": os.getpid(),
        "started": _started(),
        "since": time.time(),
        "version": version_of("kubectl"),
        "address": plane.address,
        "kubeconfig": str(plane.kubeconfig()),
        "kubectl": str(tools["kubectl"]),
        "servers": {name: server.pid for name, server in plane.servers.items()},
    }
    fresh = directory / "state.json.new"
    fresh.write_text(json.dumps(state))
    fresh.rename(directory / "state.json")


def _started() -> str:
    try:
        return Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


if __name__ == "__main__":
    sys.exit(main())

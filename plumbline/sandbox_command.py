"""`plumbline sandbox`: a real control plane on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IDENTITIES = ("admin", "worker", "viewer", "namespaced", "nobody")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    below = parser.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, words: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = below.add_parser(
            name, help=words, description=words[0].upper() + words[1:] + "."
        )
        made.add_argument("--name", default="default", help="which sandbox (default)")
        made.set_defaults(run=run)
        return made

    up = action("up", "start a control plane and wait until it is ready", run_up)
    up.add_argument("--foreground", action="store_true", help="stay here, and stop it with Ctrl-C")
    down = action("down", "stop a control plane", run_down)
    down.add_argument("--all", action="store_true", help="every sandbox of this user")
    status = action("status", "say what runs", run_status)
    status.add_argument("-o", "--output", choices=("text", "json"), default="text")
    kubeconfig = action("kubeconfig", "print the path of a kubeconfig", run_kubeconfig)
    kubeconfig.add_argument("--identity", choices=IDENTITIES, default="admin", help="who to log in as (admin)")
    tools = action("tools", "find or build the programs, and print where they are", run_tools)
    tools.add_argument("--folder", action="store_true", help="print only the folder that they lie in")
    tools.add_argument("--forge", action="store_true", help="Gitea and its pages too")
    tools.add_argument("names", nargs="*", metavar="PROGRAM", help="only these")


def home() -> Path:
    """Where sandboxes lie: ${XDG_STATE_HOME:-~/.local/state}/plumbline/sandboxes, mode 700."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "plumbline" / "sandboxes"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class Progress:
    """One live line on a terminal, a line every 30 seconds elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = 0.0
        self._text = ""

    def __call__(self, text: str) -> None:
        """Shows where things are."""
        kind = text.split(":", maxsplit=1)[0]
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]:<{width}}", end="", file=sys.stderr, flush=True)
        elif kind != self._text or time.monotonic() - self._last >= 30:
            print(text, file=sys.stderr, flush=True)
            self._last, self._text = time.monotonic(), kind

    def end(self) -> None:
        """Leaves the live line."""
        if self._live:
            print(file=sys.stderr)


def run_up(arguments: argparse.Namespace) -> int:
    """Starts a sandbox; one that runs already is fine."""
    from sandbox.tools import find
    from worker.domain.errors import Refused

    folder = home() / arguments.name
    found = _state(folder)
    if found is not None:
        print(f"{arguments.name} is up already: {found['kubeconfig']}")
        return 0
    progress = Progress()
    _guarded(lambda: find(progress=progress))
    if arguments.foreground:
        return subprocess.call([sys.executable, "-m", "sandbox", str(folder)])
    began = time.monotonic()
    folder.mkdir(exist_ok=True, mode=0o700)
    log = folder / "sandbox.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "sandbox", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=Path(__file__).parents[1],
        )
    while _state(folder) is None:
        if child.poll() is not None:
            progress.end()
            end = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            raise Refused(f"the sandbox did not start; the end of {log}:\n{end}")
        progress(f"starting: {time.monotonic() - began:.0f} s")
        time.sleep(0.05)
    progress.end()
    state = _state(folder) or {}
    print(f"ready in {time.monotonic() - began:.1f} s: {state.get('address')}")
    print(f"try  export KUBECONFIG={state.get('kubeconfig')}")
    print(f"     {state.get('kubectl')} get nodes")
    return 0


def run_down(arguments: argparse.Namespace) -> int:
    """Stops one sandbox, or all of this user's."""
    names = [path.name for path in home().iterdir() if path.is_dir()] if arguments.all else [arguments.name]
    for name in names:
        folder = home() / name
        state = _state(folder)
        if state is None:
            print(f"{name} does not run")
            continue
        os.kill(state["pid"], signal.SIGTERM)
        until = time.monotonic() + 10
        while _alive(state) and time.monotonic() < until:
            time.sleep(0.05)
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{name} is down")
    return 0


def run_status(arguments: argparse.Namespace) -> int:
    """Says what runs; 1 where the sandbox does not."""
    folder = home() / arguments.name
    state = _state(folder)
    document: dict[str, Any] = {"name": arguments.name, "up": state is not None}
    if state is not None:
        servers = {name: Path(f"/proc/{pid}").exists() for name, pid in state["servers"].items()}
        document |= {**state, "running": servers, "age": round(time.time() - state["since"])}
    if arguments.output == "json":
        print(json.dumps(document, indent=2))
    elif state is None:
        died = " (it ended without being stopped)" if (folder / "state.json").exists() else ""
        print(f"{arguments.name}: down{died}")
    else:
        print(f"{arguments.name}: up for {document['age']} s, Kubernetes {state['version']}, {state['address']}")
        for name, runs in document["running"].items():
            print(f"  {name:<24} {'runs' if runs else 'has ended'}  pid {state['servers'][name]}")
        print(f"  kubeconfig               {state['kubeconfig']}")
    return 0 if state is not None else 1


def run_kubeconfig(arguments: argparse.Namespace) -> int:
    """Prints the path of an identity's kubeconfig."""
    from worker.domain.errors import Refused

    folder = home() / arguments.name
    if _state(folder) is None:
        raise Refused(f"the sandbox {arguments.name} does not run", f"start it with {_up(arguments.name)}")
    print(folder / f"{arguments.identity}.kubeconfig")
    return 0


def _up(name: str) -> str:
    return "plumbline sandbox up" + ("" if name == "default" else f" --name {shlex.quote(name)}")


def run_tools(arguments: argparse.Namespace) -> int:
    """Finds or builds the programs, and prints each path, or (`--folder`) the one folder that has them all."""
    from sandbox.gitea_program import find_gitea
    from sandbox.tools import PACKAGES, find
    from worker.domain.errors import Refused

    progress = Progress()
    found = dict(_guarded(lambda: find(arguments.names or PACKAGES, progress)))
    forge = _guarded(lambda: find_gitea(progress)).binary if arguments.forge else None
    progress.end()
    if arguments.folder:
        folders = {path.parent for path in found.values()}
        if len(folders) > 1:
            places = ", ".join(f"{name} in {path.parent}" for name, path in found.items())
            raise Refused(f"they do not lie in one folder ({places})", "put all of these folders on PATH")
        print(*folders)
        return 0
    for name, path in found.items():
        print(f"{name:<24} {path}")
    if forge is not None:
        print(f"{'gitea':<24} {forge}")
    return 0


def _guarded(work: Callable[[], Any]) -> Any:
    from sandbox.processes import SandboxError
    from worker.domain.errors import Refused

    try:
        return work()
    except SandboxError as error:
        raise Refused(str(error)) from None


def _state(folder: Path) -> dict[str, Any] | None:
    """What the supervisor wrote, None where it does not run."""
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError):
        return None
    return state if _alive(state) else None


def _alive(state: dict[str, Any]) -> bool:
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return False
    return str(state["started"]) == _start_of(state["pid"])


def _start_of(pid: int) -> str:
    """When a process was started, so that another one with the same number is not taken for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""

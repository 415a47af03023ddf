"""`plumbline demo`: the whole of it, played for real on this machine, with Gitea as the forge."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plumbline.demo.stage import Stage
    from sandbox.gitea_program import GiteaProgram

OWNER: Final = "ada"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--once", action="store_true", help="play, check every step, and end (exit 1 if one is missing)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Plays the demo; stays up until Ctrl-C unless `--once`."""
    from plumbline.demo.stage import StepMissing
    from plumbline.sandbox_command import Progress
    from sandbox.gitea_program import find_gitea, missing
    from sandbox.processes import SandboxError
    from sandbox.requirements_check import NPM
    from sandbox.tools import find

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    progress = Progress()
    began = time.monotonic()
    try:
        gitea = find_gitea(progress)  # first: it may say at once what this machine lacks
        tools = find(progress=progress)
        progress.end()
        if not gitea.is_styled:
            _say(f"Gitea's pages will have no style. {missing(NPM)}")
        with tempfile.TemporaryDirectory(prefix="plumbline-demo-") as folder:
            _say(f"Kubernetes, Gitea, Redis and Plumbline's four processes start on 127.0.0.1 ({folder}).")
            with _stage(Path(folder), tools, gitea) as stage:
                stage.fact(f"everything is up after {time.monotonic() - began:.1f} s")
                _play(stage)
                if arguments.once:
                    _say(f"\nEvery step happened, in {time.monotonic() - began:.0f} s.")
                    return 0
                _closing(stage, tools["kubectl"])
                _wait_for_the_end()
    except (StepMissing, SandboxError) as error:
        progress.end()
        print(f"\n{_paint('the demo stopped', '31;1')}: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _stage(folder: Path, tools: dict[str, Path], gitea: GiteaProgram) -> Iterator[Stage]:
    """Starts everything, and ends everything."""
    from plumbline.demo.access import opened
    from plumbline.demo.shop import NAMESPACES
    from plumbline.demo.stage import Stage
    from plumbline.forge_system import ForgeSystem
    from plumbline.local_system import Clone, git
    from sandbox.control_plane import ControlPlane
    from sandbox.forge import GiteaServer
    from sandbox.processes import free_port
    from sandbox.redis_server import RedisServer

    with contextlib.ExitStack() as running:
        redis_url = os.environ.get("PLUMBLINE_REDIS_URL")
        if not redis_url:
            redis = RedisServer(folder / "redis")
            running.callback(redis.stop)
            redis_url = redis.url
        plane = running.enter_context(ControlPlane.start(folder / "cluster", tools, _note))
        forge = running.enter_context(GiteaServer.start(folder / "gitea", gitea, _note))
        port, own = free_port(), folder / "plumbline"
        system = running.enter_context(
            ForgeSystem.beside(
                forge,
                own,
                kubeconfig=plane.kubeconfig("worker"),
                redis_url=redis_url,
                tools=tools["helm"].parent,
                namespaces=NAMESPACES,
                with_hooks=True,
                owner=OWNER,
                more=opened(forge, own, f"http://127.0.0.1:{port}", OWNER),
                port=port,
            )
        )
        clone = Clone(folder / "shop", system.remote)
        git("config", "user.email", f"{OWNER}@forge.invalid", at=clone.folder)  # what Gitea knows her by
        yield Stage(plane, forge, system, clone, tools["kubectl"])


def _play(stage: Stage) -> None:
    from plumbline.demo.acts import ACTS
    from plumbline.demo.stage import named

    for number, (words, act) in enumerate(ACTS, start=1):
        print(f"\n{_paint(f'Act {number}', '36;1')}  {words}", flush=True)
        with named(f"act {number} ({words.partition('.')[0]})"):
            act(stage)


def _closing(stage: Stage, kubectl: Path) -> None:
    """What to click, who to be there, and what to try."""
    from plumbline.demo.access import TOKEN

    kubectl_here = f"{kubectl} --kubeconfig {stage.plane.kubeconfig()}"
    asked = f"--server {stage.system.address} --token-file {stage.system.directory / TOKEN}"
    rows = (
        ("Gitea", f"{stage.url}/pulls?state=closed", "the pull requests with their comments"),
        ("", f"{stage.url}/commits/branch/main", "the commits with their statuses"),
        ("", f"sign in as {OWNER} / {stage.forge.password}", "(the administrator has the same password)"),
        ("Plumbline", stage.system.address, "every environment, its proof, history and buttons; sign in with gitea"),
        ("Kubernetes", f"{kubectl_here} -n shop get all", ""),
    )
    print()
    _say("That was it. What to look at:")
    for name, place, words in rows:
        print(f"  {name:<11} {place}" + (_paint(f"   {words}", "2") if words else ""))
    print()
    _say("What to try next:")
    for line in (
        f"cd {stage.clone.folder}   # git pull, change production/cart.yaml, commit, git push",
        "edit a file on Gitea's pages and propose it as a pull request: the comment comes by itself",
        "push more to that branch, or something else to main: the comment follows",
        "say `/status`, `/help` or `/hold production because I look` in a comment on a pull request",
        f"{Path(sys.executable).parent}/plumbline environments {asked}   # and `rollback production --dry-run`, `hold`, …",
        "images tagged `missing`, `crashing` and `never-ready` fail as their names say; everything else runs",
        f"{kubectl_here} -n shop set image deployment/cart cart=x:1   # undone at once",
        "Ctrl-C ends all of it and leaves nothing behind.",
    ):
        print(f"  {line}")


def _wait_for_the_end() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    _say("\nEnding everything.")


def _say(text: str) -> None:
    print(_paint(text, "1"), flush=True)


def _note(text: str) -> None:
    print(f"  {text}", flush=True)


def _paint(text: str, code: str) -> str:
    from plumbline.screen import coloured

    return coloured(text, code)

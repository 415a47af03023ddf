"""`plumbline demo`: the whole of it, played for real on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

SETTLE: Final = "3s"

DECLARATION: Final = f"""\
environments:
  - name: production
    path: production
    cluster: sandbox
    namespace: shop
    policy: {{settle: {SETTLE}}}
"""

MANIFESTS: Final = """\
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: cart-flags}}
data: {{checkout: "{flag}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: cart-db}}
stringData: {{password: correct-horse-battery}}
---
apiVersion: v1
kind: Service
metadata: {{name: cart}}
spec:
  selector: {{app: cart}}
  ports: [{{port: 80, targetPort: 8080}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: cart}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: cart}}}}
  template:
    metadata: {{labels: {{app: cart}}}}
    spec:
      containers:
        - name: cart
          image: registry.example/acme/cart:{tag}
          ports: [{{containerPort: 8080}}]
          resources: {{limits: {{memory: {memory}}}}}
"""


class StepMissing(Exception):
    """A step of the play did not happen; the text says which."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--once", action="store_true", help="play, check every step, and end (exit 1 if one is missing)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Plays the demo; stays up until Ctrl-C unless `--once`."""
    from plumbline.sandbox_command import Progress
    from sandbox.processes import SandboxError
    from sandbox.tools import find

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    progress = Progress()
    began = time.monotonic()
    try:
        tools = find(progress=progress)
        progress.end()
        with tempfile.TemporaryDirectory(prefix="plumbline-demo-") as folder:
            return _play(Path(folder), tools, once=arguments.once, began=began)
    except (StepMissing, SandboxError) as error:
        progress.end()
        print(f"\n{_paint('the demo stopped', '31;1')}: {error}", file=sys.stderr)
        return 1


def _play(folder: Path, tools: dict[str, Path], *, once: bool, began: float) -> int:
    from plumbline.local_system import Clone, LocalSystem, git
    from sandbox.control_plane import ControlPlane
    from sandbox.redis_server import RedisServer

    _say(f"A control plane, Redis and Plumbline's four processes start on 127.0.0.1 ({folder}).")
    own_redis = os.environ.get("PLUMBLINE_REDIS_URL")
    redis = None if own_redis else RedisServer(folder / "redis")
    redis_url = own_redis or (redis.url if redis else "")
    try:
        with (
            ControlPlane.start(folder / "cluster", tools, _note) as plane,
            LocalSystem.start(
                folder / "plumbline",
                kubeconfig=plane.kubeconfig("worker"),
                redis_url=redis_url,
                tools=tools["helm"].parent,
            ) as system,
        ):
            _note(f"everything is up after {time.monotonic() - began:.1f} s")
            clone = Clone(folder / "shop", system.repository)
            _acts(clone, git)
            if once:
                _say("\nEvery step happened.")
                return 0
            _closing(plane.kubeconfig(), tools["kubectl"], clone.folder)
            stop = threading.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
            stop.wait()
            _say("\nEnding everything.")
    finally:
        if redis is not None:
            redis.stop()
    return 0


def _acts(clone: object, git: object) -> None:
    from plumbline.local_system import Clone

    assert isinstance(clone, Clone)
    assert callable(git)
    good = {"replicas": 3, "tag": "1.4.1", "memory": "256Mi", "flag": "old"}

    _act(1, "A first commit: an environment with five objects, declared in plumbline.yaml.")
    clone.write("plumbline.yaml", DECLARATION)
    clone.write("production/cart.yaml", MANIFESTS.format(**good))
    clone.commit("The shop's cart")
    _push(clone, ["create", "applied", "healthy", "verified", "converged", "written"])

    _act(2, "A change: a new image and more memory. The push says what it will do, then shows it done.")
    good |= {"tag": "1.5.0", "memory": "512Mi"}
    clone.write("production/cart.yaml", MANIFESTS.format(**good))
    revision = clone.commit("Cart 1.5.0")
    _push(clone, ["image 1.4.1 -> 1.5.0", "limits.memory 256Mi -> 512Mi", "verified", "as predicted", "converged"])
    git("fetch", "--quiet", "origin", "+refs/notes/*:refs/notes/*", at=clone.folder)
    note = git("notes", "--ref", "plumbline", "show", revision, at=clone.folder)
    print(f"  $ git notes --ref plumbline show {revision[:7]}\n  {note.splitlines()[0]}")
    if "Converged" not in note:
        raise StepMissing("the note on the commit does not say that it converged")

    _act(3, "A mistake: `replicas: three`. The API server itself is asked, and the push is refused.")
    clone.write("production/cart.yaml", MANIFESTS.format(**{**good, "replicas": '"three"'}))
    clone.commit("Three replicas")
    _push(clone, ["refused", "production/cart.yaml:", "replicas"], accepted=False)
    git("reset", "--quiet", "--hard", revision, at=clone.folder)

    _act(4, "An image that does not exist. The Pod's own reason is told, not a deadline ten minutes later.")
    clone.write("production/cart.yaml", MANIFESTS.format(**{**good, "tag": "missing"}))
    clone.commit("Cart from nowhere")
    _push(clone, ["degraded", "ImagePullBackOff"], until="ImagePullBackOff")

    _act(5, "The next good commit takes over at once.")
    good |= {"tag": "1.6.0", "flag": "new"}
    clone.write("production/cart.yaml", MANIFESTS.format(**good))
    clone.commit("Cart 1.6.0")
    _push(clone, ["verified", "converged"])


def _push(clone: object, expected: list[str], *, accepted: bool = True, until: str = "") -> None:
    """Pushes, shows what the pusher sees, and checks that each expected word came, in this order."""
    from plumbline.local_system import Clone

    assert isinstance(clone, Clone)
    options = ["-o", "plumbline.wait=60"]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        options += ["-o", "plumbline.colour=1"]
    print(_paint("  $ git push origin main", "1"), flush=True)
    left, code, seen = list(expected), "", []
    for line in clone.pushed(*options, "origin", "main"):
        if line.startswith("exit "):
            code = line
            break
        seen.append(line)
        print(f"  {line}", flush=True)
        while left and left[0] in line:
            left.pop(0)
        if until and until in line:
            break
    if left:
        raise StepMissing(f"`{left[0]}` did not come in the push's output")
    if not until and (code == "exit 0") is not accepted:
        raise StepMissing("the push was " + ("refused" if accepted else "accepted"))


def _closing(kubeconfig: Path, kubectl: Path, clone: Path) -> None:
    print()
    _say("That was it. What to look at and to try next:")
    print(f"  export KUBECONFIG={kubeconfig}")
    print(f"  {kubectl} -n shop get all,configmaps --show-managed-fields=false")
    print(f"  cd {clone}   # edit production/cart.yaml, commit, git push")
    print(
        "  git fetch origin '+refs/notes/*:refs/notes/*' '+refs/plumbline/*:refs/plumbline/*'; git log --notes=plumbline"
    )
    print("  images tagged `missing`, `crashing` and `never-ready` fail as their names say; everything else runs")
    print("  Ctrl-C ends all of it and leaves nothing behind.")


def _act(number: int, text: str) -> None:
    print(f"\n{_paint(f'Act {number}', '36;1')}  {text}", flush=True)


def _say(text: str) -> None:
    print(_paint(text, "1"), flush=True)


def _note(text: str) -> None:
    print(f"  {text}", flush=True)


def _paint(text: str, code: str) -> str:
    from plumbline.screen import coloured

    return coloured(text, code)

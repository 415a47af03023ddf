"""The arguments that plan, apply and status share, and the workbench that they make of them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.adapters.cluster import Cluster
    from worker.adapters.inventory import StateStore
    from worker.adapters.renderer import Rendered, RenderTools
    from worker.domain.environment import Environment
    from worker.operations.preparing import Target

REPOSITORY = "local"
"""What an environment of the command line belongs to, where no repository is named."""


def add_target(parser: argparse.ArgumentParser) -> None:
    """The cluster and the environment in it."""
    parser.add_argument(
        "--environment", "-e", required=True, type=_environment_name, metavar="NAME", help="the environment's name"
    )
    parser.add_argument("--repository", default=REPOSITORY, metavar="NAME", help="the repository it belongs to (local)")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="the cluster's kubeconfig (KUBECONFIG)")
    parser.add_argument("--context", metavar="NAME", help="the context in the kubeconfig (its current one)")
    parser.add_argument(
        "--namespace", "-n", default="default", metavar="N", help="where objects without one go (default)"
    )
    parser.add_argument(
        "--state-namespace", default="plumbline-system", metavar="N", help="where records are kept (plumbline-system)"
    )


def _environment_name(text: str) -> str:
    from worker.domain.declaration import NAME

    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: use lower-case letters, digits and '-', at most 63")
    return text


def add_source(parser: argparse.ArgumentParser) -> None:
    """The folder and how it is rendered."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder with the desired state")
    parser.add_argument("--renderer", choices=("auto", "yaml", "kustomize", "helm"), default="auto", help="how (auto)")
    parser.add_argument(
        "--values",
        action="append",
        default=[],
        metavar="FILE",
        help="a helm values file, relative to PATH (once, or more often)",
    )
    parser.add_argument("--release", default="", metavar="NAME", help="the helm release's name (the environment's)")


def cluster_of(arguments: argparse.Namespace) -> Cluster:
    """The cluster that the arguments name; KUBECONFIG and the default file count when none is given."""
    from worker.adapters.cluster import Cluster, connect

    kubeconfig = arguments.kubeconfig
    if kubeconfig is None and os.environ.get("KUBECONFIG"):
        kubeconfig = Path(os.environ["KUBECONFIG"].split(os.pathsep)[0])
    return Cluster(connect(kubeconfig, arguments.context))


def environment_of(arguments: argparse.Namespace) -> Environment:
    """The environment that the arguments describe."""
    from worker.domain.environment import DEFAULT_INSTANCE, Environment, Policy

    policy = Policy(
        prune=bool(getattr(arguments, "prune", False)),
        settle=float(getattr(arguments, "settle", 0.0)),
        health_timeout=float(getattr(arguments, "timeout", 120.0)),
    )
    return Environment(
        repository=arguments.repository,
        name=arguments.environment,
        branch="",
        path=".",
        cluster="",
        namespace=arguments.namespace,
        renderer=getattr(arguments, "renderer", "auto"),
        policy=policy,
        values=tuple(getattr(arguments, "values", ())),
        release=getattr(arguments, "release", "") or arguments.environment,
        instance=getattr(arguments, "instance", "") or DEFAULT_INSTANCE,
    )


def target_of(arguments: argparse.Namespace, cluster: Cluster) -> Target:
    """What is planned against: no ceiling but the user's own rights."""
    from worker.domain.environment import Ceiling
    from worker.operations.preparing import Target

    return Target(cluster, environment_of(arguments), Ceiling(), arguments.state_namespace)


def gathered(arguments: argparse.Namespace) -> tuple[Target, Rendered]:
    """The target and the rendered folder; what needs no cluster is rendered while the connection is made."""
    from concurrent.futures import ThreadPoolExecutor

    from worker.adapters.renderer import Capabilities, Renderer
    from worker.domain.installation import RenderLimits

    renderer = Renderer(cache_folder(), RenderLimits(), tools())
    environment = environment_of(arguments)

    def render(capabilities: Capabilities) -> Rendered:
        return renderer.render_folder(arguments.path.resolve(), environment, capabilities)

    if arguments.renderer == "helm" or (arguments.path / "Chart.yaml").is_file():
        target = target_of(arguments, cluster_of(arguments))
        cluster = target.cluster
        return target, render(Capabilities(cluster.version(), cluster.discovery.api_versions()))
    with ThreadPoolExecutor(1) as pool:
        rendering = pool.submit(render, Capabilities())
        target = target_of(arguments, cluster_of(arguments))
        return target, rendering.result()


def states_of(arguments: argparse.Namespace, cluster: Cluster) -> StateStore:
    """The records of the cluster."""
    from worker.adapters.cluster import Records
    from worker.adapters.inventory import StateStore

    return StateStore(Records(cluster.connection, arguments.state_namespace), cluster.uid)


def tools() -> RenderTools:
    """Where kustomize and helm are looked for: PLUMBLINE_TOOLS, the sandbox's cache, PATH."""
    from sandbox.tools import cached_folder
    from worker.adapters.renderer import RenderTools

    named = os.environ.get("PLUMBLINE_TOOLS")
    return RenderTools(Path(named) if named else cached_folder())


def cache_folder() -> Path | None:
    """Where what was read is kept for the next time (mode 700); None where this user has no such place."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plumbline" / "command"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def local_key() -> bytes:
    """The key that fingerprints are made with where no cluster keeps one: a file of the user's own, mode 600."""
    import secrets

    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "plumbline"
    path = home / "key"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(secrets.token_bytes(32))
    return path.read_bytes()

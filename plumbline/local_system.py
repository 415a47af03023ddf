"""All of Plumbline on this machine: a Git repository with its hooks, and the Procfile's processes. For demo and tests."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from sandbox.processes import Begin, SandboxError, Server, begin_tethered, free_port, stop_all, tail, wait_until

ROOT = Path(__file__).parents[1]
REPOSITORY = "shop"

APP = """\
address: http://127.0.0.1:{port}
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{file: signing-key}}
cache: {cache}
poll: {poll}
state-namespace: {state_namespace}
clusters:
  - name: sandbox
    kubeconfig: {{file: {kubeconfig}}}
repositories:
  - name: {repository}
    url: {url}
    secret: {{file: {url}/plumbline/secret}}
    branches: [main, "release/*"]
    ceiling:
      namespaces: [{namespaces}]
      cluster-scoped: [{cluster_scoped}]
"""


@dataclass(slots=True)
class LocalSystem:
    """The running processes and their repository. `start`, use as a context manager, or `stop`.

    `begin` is how its processes are started.
    """

    directory: Path
    redis_url: str
    tools: Path
    port: int
    servers: dict[str, Server] = field(default_factory=dict)
    begin: ClassVar[Begin] = staticmethod(begin_tethered)

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        kubeconfig: Path,
        redis_url: str,
        tools: Path,
        namespaces: Sequence[str] = (REPOSITORY,),
        cluster_scoped: Sequence[str] = (),
        state_namespace: str = "plumbline-system",
        poll: str = "30s",
        more: str = "",
    ) -> Self:
        """Makes the repository, installs the hooks, writes app.yaml (`more` at its end) and starts the Procfile's processes."""
        directory.mkdir(parents=True, exist_ok=True)
        system = cls(directory, redis_url, tools, free_port())
        git("init", "--quiet", "--bare", "--initial-branch=main", str(system.repository))
        system.install_hooks()
        key = directory / "signing-key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32))
        (directory / "app.yaml").write_text(
            APP.format(
                port=system.port,
                cache=directory / "cache",
                poll=poll,
                state_namespace=state_namespace,
                kubeconfig=kubeconfig,
                repository=REPOSITORY,
                url=system.repository,
                namespaces=", ".join(f'"{name}"' for name in namespaces),
                cluster_scoped=", ".join(f'"{name}"' for name in cluster_scoped),
            )
            + more
        )
        system.launch()
        return system

    def launch(self, processes: Sequence[str] | None = None) -> None:
        """Starts the Procfile's processes, or these of them, and waits until they listen; ends them where one does not."""
        try:
            for name in procfile() if processes is None else processes:
                self.run(name)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def repository(self) -> Path:
        """The bare repository that people push to."""
        return self.directory / f"{REPOSITORY}.git"

    @property
    def address(self) -> str:
        """Where the web process is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What every process is given."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": os.environ.get("HOME", "/"),
            "LC_ALL": "C.UTF-8",
            "PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
            "PLUMBLINE_CONFIG": str(self.directory / "app.yaml"),
            "PLUMBLINE_REDIS_URL": self.redis_url,
            "PLUMBLINE_TOOLS": str(self.tools),
        }

    def install_hooks(self) -> None:
        """Installs the hooks as a person does."""
        command = [sys.executable, "-m", "plumbline", "hooks", "install", str(self.repository)]
        command += ["--address", self.address, "--name", REPOSITORY]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)

    def run(self, name: str, alias: str = "") -> Server:
        """Starts a process of the Procfile (once more, under another name, where `alias` is given)."""
        command = ["/bin/sh", "-c", f"exec {procfile()[name]}"]
        log = self.directory / f"{alias or name}.log"
        server = Server(alias or name, command, log, environ=self.environ, directory=ROOT, begin=type(self).begin)
        self.servers[alias or name] = server
        return server

    def wait_ready(self) -> None:
        """Waits until the web process answers and the workers listen. Raises SandboxError with the end of a log."""
        wait_until(self._answers, 30, "the web process answers")
        wait_until(self._listens, 30, "bot and worker listen to the queue")

    def _answers(self) -> bool:
        for server in self.servers.values():
            server.require_running()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def _listens(self) -> bool:
        import redis

        from worker.domain.messages import INTAKE_QUEUE, PREVIEWS_QUEUE

        for server in self.servers.values():
            server.require_running()
        with contextlib.closing(redis.Redis.from_url(self.redis_url)) as connection:
            listening = [int(connection.scard(f"rq:workers:{name}") or 0) for name in (INTAKE_QUEUE, PREVIEWS_QUEUE)]
        return all(listening)

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return tail(self.directory / f"{name}.log", 60)

    def stop(self) -> None:
        """Stops every process."""
        stop_all(list(self.servers.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Clone:
    """A person's clone of the repository: files, commits, pushes."""

    def __init__(self, folder: Path, remote: Path | str) -> None:
        self.folder = folder
        git("clone", "--quiet", str(remote), str(folder))
        git("symbolic-ref", "HEAD", "refs/heads/main", at=folder) if self._is_empty() else None
        for name, value in (("user.name", "Ada"), ("user.email", "ada@example.com"), ("commit.gpgsign", "false")):
            git("config", name, value, at=folder)

    def _is_empty(self) -> bool:
        return (
            subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.folder, capture_output=True, check=False).returncode
            != 0
        )

    def write(self, name: str, text: str) -> None:
        """Writes a file of the clone."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, subject: str) -> str:
        """Commits everything; the new commit's id."""
        git("add", "--all", at=self.folder)
        git("commit", "--quiet", "--allow-empty", "-m", subject, at=self.folder)
        return git("rev-parse", "HEAD", at=self.folder).strip()

    def push(self, *arguments: str, seconds: float = 180) -> subprocess.CompletedProcess[str]:
        """`git push` with arguments (default: origin main); stderr has what the hooks printed."""
        given = arguments or ("origin", "main")
        return subprocess.run(
            ["git", "push", *given], cwd=self.folder, capture_output=True, text=True, timeout=seconds, check=False
        )

    def pushed(self, *arguments: str) -> Iterator[str]:
        """`git push` line by line, as it is printed; the last item is `exit N`."""
        run = subprocess.Popen(
            ["git", "push", *(arguments or ("origin", "main"))],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert run.stderr is not None
        try:
            for line in run.stderr:
                yield line.rstrip("\n")
            yield f"exit {run.wait()}"
        finally:
            run.terminate()
            run.wait()
            run.stderr.close()


def procfile() -> dict[str, str]:
    """The Procfile: name -> command."""
    rows = (line.partition(":") for line in (ROOT / "Procfile").read_text().splitlines() if line.strip())
    return {name.strip(): command.strip() for name, _, command in rows}


def git(*arguments: str, at: Path | None = None) -> str:
    """What a git command prints. Raises SandboxError with git's own words."""
    run = subprocess.run(["git", *arguments], cwd=at, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SandboxError(f"git {' '.join(arguments[:2])} failed: {run.stderr.strip()}")
    return run.stdout

"""A real Gitea on 127.0.0.1, with SQLite, its pages and an administrator; for trying Plumbline out and for its tests."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from sandbox.gitea_program import GiteaProgram
from sandbox.json_http import JsonClient
from sandbox.processes import SandboxError, Server, free_port, stop_all, tail, wait_until

ADMIN: Final = "root-of-the-forge"
STARTS: Final = 3
"""A port may be taken between looking and listening; then it is started again on another."""

Progress = Callable[[str], None]

CONFIGURATION: Final = """\
APP_NAME = Forge
RUN_MODE = prod
WORK_PATH = {directory}
{as_root}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
{served}
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false

[database]
DB_TYPE = sqlite3
PATH = {directory}/gitea.db
SQLITE_JOURNAL_MODE = WAL
SQLITE_TIMEOUT = 20000

[repository]
ROOT = {directory}/repositories
DEFAULT_BRANCH = main

[security]
INSTALL_LOCK = true
SECRET_KEY = {key}
PASSWORD_HASH_ALGO = pbkdf2$1$8

[service]
DISABLE_REGISTRATION = true

[webhook]
ALLOWED_HOST_LIST = loopback
DELIVER_TIMEOUT = 5

[queue]
TYPE = channel

[session]
PROVIDER = memory

[log]
MODE = console
LEVEL = Warn

[oauth2]
JWT_SIGNING_ALGORITHM = ES256

[actions]
ENABLED = false

[cron]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[mailer]
ENABLED = false

[other]
SHOW_FOOTER_VERSION = false
"""


class GiteaServer:
    """One running forge in its own directory. Use `start`, or as a context manager."""

    def __init__(self, directory: Path, program: GiteaProgram) -> None:
        self.directory = directory.resolve()
        self.password = secrets.token_urlsafe(18)
        self.server: Server | None = None
        self._program = program
        self._port = 0
        self._client = JsonClient(self._connection)

    @classmethod
    def start(cls, directory: Path, program: GiteaProgram, progress: Progress = lambda _: None) -> Self:
        """Starts a forge and waits until it answers. Raises SandboxError with the log of what failed."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for attempt in range(1, STARTS + 1):
            forge = cls(directory, program)
            try:
                forge._boot()
            except SandboxError:
                forge.stop()
                if attempt == STARTS or "address already in use" not in tail(forge._log, 40):
                    raise
            except BaseException:
                forge.stop()
                raise
            else:
                progress(f"Gitea is at {forge.address}")
                return forge
        raise AssertionError("unreachable")

    def _boot(self) -> None:
        self._port = free_port()
        configuration = self.directory / "app.ini"
        configuration.touch(mode=0o600)
        served = self._program.served
        configuration.write_text(
            CONFIGURATION.format(
                directory=self.directory,
                port=self._port,
                served=f"STATIC_ROOT_PATH = {served}" if served else "",
                as_root="I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true" if os.geteuid() == 0 else "",
                key=secrets.token_hex(32),
            )
        )
        if not (self.directory / "gitea.db").exists():
            self._command("migrate")
            self._command(
                "admin", "user", "create", "--admin", "--username", ADMIN, "--password", self.password,
                "--email", "admin@forge.invalid", "--must-change-password=false",
            )  # fmt: skip
        self.server = Server("gitea", self._argv("web"), self._log, environ=self._environ(), directory=self.directory)
        wait_until(self._is_healthy, 60, "Gitea answers")

    @property
    def _log(self) -> Path:
        return self.directory / "gitea.log"

    def _argv(self, *arguments: str) -> list[str | Path]:
        return [self._program.binary, "--config", self.directory / "app.ini", *arguments]

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "USER": "git",
            "GITEA_WORK_DIR": str(self.directory),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
        }

    def _command(self, *arguments: str) -> str:
        run = subprocess.run(
            self._argv(*arguments), cwd=self.directory, env=self._environ(), capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            said = (run.stderr + run.stdout).replace(self.password, "***").strip()
            raise SandboxError(f"gitea {' '.join(arguments[:3])} failed: {said[-600:]}")
        return run.stdout

    def _is_healthy(self) -> bool:
        assert self.server is not None
        self.server.require_running()
        try:
            return self.request("GET", "/api/healthz", root="")[0] == 200
        except OSError:
            return False

    # -- talking to it -------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where people and programs reach it."""
        return f"http://127.0.0.1:{self._port}"

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        login: str = ADMIN,
        token: str = "",
        root: str = "/api/v1",
    ) -> tuple[int, Any]:
        """One request, as the administrator, as another person or with a token; HTTP status and JSON or None.

        People are known by the shared password: a token takes Gitea 5 ms of processor time more (10,000 rounds of PBKDF2,
        every time; a third of all that it did in journeys, profiled).
        """
        basic = base64.b64encode(f"{login}:{self.password}".encode()).decode()
        return self._client.request(method, root + path, body, f"token {token}" if token else f"Basic {basic}")

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, *, login: str = ADMIN, token: str = "") -> Any:
        """The answer of a request that has to succeed. Raises SandboxError with the forge's own words."""
        status, answer = self.request(method, path, body, login=login, token=token)
        if not 200 <= status < 300:
            raise SandboxError(f"{method} {path}: {status} {json.dumps(answer)[:400]}")
        return answer

    def create_user(self, name: str) -> None:
        """A person with the forge's shared password."""
        self.ask("POST", "/admin/users", {
            "username": name, "email": f"{name}@forge.invalid", "password": self.password,
            "must_change_password": False,
        })  # fmt: skip

    def create_token(self, name: str, scopes: Sequence[str] = ("all",)) -> str:
        """A token of somebody's, asked of the running server: what another process writes beside it may be lost."""
        wanted = {"name": secrets.token_hex(6), "scopes": list(scopes)}
        return str(self.ask("POST", f"/users/{quote(name)}/tokens", wanted, login=name)["sha1"])

    def create_repository(self, owner: str, name: str, collaborators: Mapping[str, str] | None = None) -> Path:
        """A repository of somebody's without commits, with collaborators (login -> read, write, admin); its bare folder."""
        self.ask("POST", f"/admin/users/{quote(owner)}/repos", {"name": name, "default_branch": "main"})
        for login, permission in (collaborators or {}).items():
            path = f"/repos/{quote(owner)}/{quote(name)}/collaborators/{quote(login)}"
            self.ask("PUT", path, {"permission": permission})
        return self.folder(owner, name)

    def folder(self, owner: str, name: str) -> Path:
        """The bare repository on this machine."""
        return self.directory / "repositories" / owner.lower() / f"{name.lower()}.git"

    def clone_url(self, owner: str, name: str, login: str) -> str:
        """An address to clone and push as somebody; it holds the password, so it is for tests and trials only."""
        return f"http://{quote(login)}:{quote(self.password)}@127.0.0.1:{self._port}/{quote(owner)}/{quote(name)}.git"

    # -- the end -------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends the server."""
        self._client.close()
        if self.server is not None:
            stop_all([self.server])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

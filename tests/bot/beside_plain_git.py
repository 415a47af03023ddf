"""The bot in this process at a bare repository on this machine, on a real Redis: a test speaks for the worker."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from bot.answers import Origin
from bot.desk import Desk
from bot.settings import Settings
from tests.doubles.bare_git import BareGit

APP = """\
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{env: SIGNING}}
clusters: [{{name: blue}}]
repositories:
  - name: shop
    url: {url}
    secret: {{env: HOOK}}
    ceiling: {{namespaces: [shop]}}
    roles: {{releasers: {{users: [ada]}}, everybody: {{permission: read}}}}
    {more}
"""
TICKET = "f" * 32


class BesidePlainGit:
    """The bot's desk, and the repository."""

    def __init__(self, folder: Path, redis_url: str, more: str = "") -> None:
        self.git = BareGit(folder / "shop.git")
        (folder / "app.yaml").write_text(APP.format(url=self.git.folder, more=more))
        environ = {
            "PLUMBLINE_CONFIG": str(folder / "app.yaml"), "PLUMBLINE_REDIS_URL": redis_url, "SIGNING": "k" * 32, "HOOK": "h" * 32,
        }  # fmt: skip
        self.desk = Desk.of(Settings.load(environ, with_credentials=True))
        self.redis = self.desk.requests.queue.connection
        self.origin = Origin("ada", ticket=TICKET).to_json()

    @property
    def tip(self) -> str:
        """The newest commit of main."""
        return self.git.tip("refs/heads/main")

    def push(self, files: dict[str, str], branch: str = "main") -> str:
        """A commit of somebody's on main, or on a branch at main's tip where that is new."""
        name = f"refs/heads/{branch}"
        made = self.git.commit(self.git.tip(name) or self.tip, files, "A commit")
        self.git.set_ref(name, made)
        return made

    def branches(self) -> list[str]:
        """Those besides main."""
        return [name.removeprefix("refs/heads/") for name in self.git.refs("refs/heads/") if name != "refs/heads/main"]

    def said(self) -> str:
        """What was answered to the ticket last."""
        return self.desk.tickets.said(TICKET).text

    def asked(self, queue: str) -> list[dict[str, Any]]:
        """The messages of the jobs that wait in a queue."""
        found = []
        for job in self.redis.lrange(f"rq:queue:{queue}", 0, -1):
            assert isinstance(job, bytes)
            data = self.redis.hget(f"rq:job:{job.decode()}", "data")
            assert isinstance(data, bytes)
            _, _, (body, *_), _ = json.loads(zlib.decompress(data))
            found.append(json.loads(body))
        return found

"""All of Plumbline on this machine beside a repository of a real Gitea. For demo and tests."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from bot.forges.gitea import Gitea
from plumbline.local_system import REPOSITORY, LocalSystem
from plumbline.setup_gitea import EVENTS, SCOPES
from sandbox.forge import GiteaServer
from sandbox.processes import free_port

BOT: Final = "plumbline-bot"
APP: Final = """\
address: http://127.0.0.1:{port}
redis: {{env: PLUMBLINE_REDIS_URL}}
signing-key: {{file: signing-key}}
cache: {directory}/cache
poll: {poll}
state-namespace: {state_namespace}
clusters:
  - name: sandbox
    kubeconfig: {{file: {kubeconfig}}}
forges:
  - name: gitea
    address: {forge}
    webhook-secret: {{file: webhook-secret}}
    token: {{file: forge-token}}
repositories:
  - name: {repository}
    url: {forge}/{owner}/{repository}.git
    forge: gitea
    project: {owner}/{repository}
{hooks}    branches: [main, "release/*"]
    ceiling:
      namespaces: [{namespaces}]
      cluster-scoped: [{cluster_scoped}]
"""

HOOKS: Final = "    secret: {{file: {}/plumbline/secret}}\n"


@dataclass(slots=True)
class ForgeSystem(LocalSystem):
    """The running processes, and their repository `<owner>/shop` at a forge that runs already.

    `remote` is an address to clone and push as the owner (it holds the password).
    """

    forge: GiteaServer | None = None
    owner: str = ""

    @classmethod
    def beside(
        cls,
        forge: GiteaServer,
        directory: Path,
        *,
        kubeconfig: Path,
        redis_url: str,
        tools: Path,
        namespaces: Sequence[str] = (REPOSITORY,),
        cluster_scoped: Sequence[str] = (),
        state_namespace: str = "plumbline-system",
        poll: str = "30s",
        with_webhook: bool = True,
        with_hooks: bool = False,
        owner: str = "",
        more: str = "",
        port: int = 0,
        processes: Sequence[str] | None = None,
    ) -> Self:
        """Makes people, repository and webhook at the forge, writes app.yaml and starts the Procfile's processes.

        `with_hooks` installs the server-side hooks into the forge's own folder, `owner` is somebody new, `more` are lines
        at the end of app.yaml, `port` is where web listens (0: a free one).
        """
        directory.mkdir(parents=True, exist_ok=True)
        owner = owner or f"ada-{secrets.token_hex(3)}"
        forge.create_user(owner)
        if forge.request("GET", f"/users/{BOT}")[0] != 200:
            forge.create_user(BOT)
        forge.create_repository(owner, REPOSITORY, {BOT: "admin"})
        system = cls(directory, redis_url, tools, port or free_port(), forge=forge, owner=owner)
        webhook_secret, token = secrets.token_hex(32), forge.create_token(BOT, SCOPES)
        for name, text in (
            ("signing-key", secrets.token_hex(32)),
            ("webhook-secret", webhook_secret),
            ("forge-token", token),
        ):
            (directory / name).touch(mode=0o600)
            (directory / name).write_text(text)
        if with_hooks:
            system.install_hooks()
        (directory / "app.yaml").write_text(
            APP.format(
                port=system.port,
                directory=directory,
                poll=poll,
                state_namespace=state_namespace,
                kubeconfig=kubeconfig,
                forge=forge.address,
                owner=owner,
                repository=REPOSITORY,
                hooks=HOOKS.format(system.repository) if with_hooks else "",
                namespaces=", ".join(f'"{name}"' for name in namespaces),
                cluster_scoped=", ".join(f'"{name}"' for name in cluster_scoped),
            )
            + more
        )
        if with_webhook:
            with contextlib.closing(Gitea(forge.address, system.project, token)) as speaker:
                speaker.put_hook(f"{system.address}/webhooks/gitea", webhook_secret, EVENTS)
        system.launch(processes)
        return system

    @property
    def project(self) -> str:
        """The forge's own name of the repository."""
        return f"{self.owner}/{REPOSITORY}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the forge answers the owner about the repository; `path` is what comes after its name."""
        assert self.forge is not None
        return self.forge.ask(method, f"/repos/{self.project}{path}", body, login=self.owner)

    @property
    def repository(self) -> Path:
        """The bare repository in the forge's folder; people push through `remote`."""
        assert self.forge is not None
        return self.forge.folder(self.owner, REPOSITORY)

    @property
    def remote(self) -> str:
        """An address to clone and push as the owner; it holds the password."""
        assert self.forge is not None
        return self.forge.clone_url(self.owner, REPOSITORY, self.owner)

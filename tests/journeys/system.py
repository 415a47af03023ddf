"""All of Plumbline beside a forge, real or a double: app.yaml written from what the rig says of itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from plumbline.local_system import LocalSystem
from sandbox.processes import free_port
from tests.doubles.forge_rig import ForgeRig
from worker.domain.secret_text import SecretReference

RELEASES = "release/*"
"""Branches that a journey may have for itself."""


class RiggedSystem(LocalSystem):
    """The Procfile's processes, told of a rig's forge and of its repository."""

    @classmethod
    def beside(
        cls,
        rig: ForgeRig,
        directory: Path,
        *,
        kubeconfig: Path,
        redis_url: str,
        tools: Path,
        namespaces: Sequence[str],
        state_namespace: str,
        poll: str,
        more: Mapping[str, Any] | None = None,
        port: int = 0,
    ) -> Self:
        """Writes app.yaml (with `more` sections) and starts the processes; the forge's webhooks are sent to them."""
        directory.mkdir(parents=True, exist_ok=True)
        system = cls(directory, redis_url, tools, port or free_port())
        key = directory / "signing-key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32))
        declared = {
            "address": system.address,
            "redis": {"env": "PLUMBLINE_REDIS_URL"},
            "signing-key": {"file": str(key)},
            "cache": str(directory / "cache"),
            "poll": poll,
            "state-namespace": state_namespace,
            "clusters": [{"name": "sandbox", "kubeconfig": {"file": str(kubeconfig)}}],
            "forges": [_forge(rig)],
            "repositories": [_repository(rig, namespaces)],
            **(more or {}),
        }
        (directory / "app.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        rig.listen(f"{system.address}/webhooks/{rig.declared.name}")
        system.launch()
        return system


def _forge(rig: ForgeRig) -> dict[str, Any]:
    forge = rig.declared
    value: dict[str, Any] = {
        "name": forge.name,
        "kind": forge.kind,
        "address": forge.address,
        "webhook-secret": _named(forge.webhook_secret),
    }
    if forge.token is not None:
        value["token"] = _named(forge.token)
    if forge.app_key is not None:
        value["app"] = {"id": int(forge.app), "key": _named(forge.app_key)}
    if forge.signing_key is not None:
        value["signing-key"] = _named(forge.signing_key)
    return value


def _repository(rig: ForgeRig, namespaces: Sequence[str]) -> dict[str, Any]:
    repository = rig.repository
    value: dict[str, Any] = {
        "name": repository.name,
        "url": repository.url,
        "forge": repository.forge,
        "project": repository.project,
        "branches": ["main", RELEASES],
        "drafts": False,
        "ceiling": {"namespaces": list(namespaces)},
    }
    return value | ({"credentials": _named(repository.credentials)} if repository.credentials else {})


def _named(reference: SecretReference) -> dict[str, str]:
    return {"file": reference.file} if reference.file else {"env": reference.env or ""}

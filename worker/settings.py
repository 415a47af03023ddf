"""The worker's settings: app.yaml and the environment, read in this one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker.domain.installation import Installation
from worker.domain.secret_text import SecretReference, SecretText, SettingsError
from worker.installation_files import CONFIG, installation_of, read_private, redis_url_of, secret, signing_key_of

TOOLS: Final = "PLUMBLINE_TOOLS"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker process is given: the installation, its own secrets, its cache and its tools."""

    installation: Installation
    redis_url: SecretText
    signing_key: SecretText
    cache: Path
    tools: Path | None
    kubeconfigs: Mapping[str, Path | None]
    credentials: Mapping[str, SecretText]

    @staticmethod
    def load(environ: Mapping[str, str]) -> Settings:
        """Settings by `PLUMBLINE_CONFIG` (default ./app.yaml). Raises SettingsError or DesiredStateError in plain words."""
        path = Path(environ.get(CONFIG, "app.yaml"))
        installation = installation_of(path)
        root = path.resolve().parent
        return Settings(
            installation=installation,
            redis_url=redis_url_of(installation, environ, root),
            signing_key=signing_key_of(installation, environ, root),
            cache=_cache(installation, environ),
            tools=_tools(environ),
            kubeconfigs={
                cluster.name: _kubeconfig(cluster.kubeconfig, f"{cluster.name}.kubeconfig", environ, root)
                for cluster in installation.clusters
            },
            credentials={
                repository.name: secret(repository.credentials, f"{repository.name}.credentials", environ, root)
                for repository in installation.repositories
                if repository.credentials is not None
            },
        )


def _kubeconfig(reference: SecretReference | None, name: str, environ: Mapping[str, str], root: Path) -> Path | None:
    if reference is None:
        return None
    path = root / (reference.file or "")
    if reference.env is not None:
        value = environ.get(reference.env)
        if not value:
            raise SettingsError(f"{name}: the environment variable {reference.env} is not set")
        path = Path(value)
    read_private(path, name)
    return path


def _tools(environ: Mapping[str, str]) -> Path | None:
    folder = environ.get(TOOLS)
    if folder and not Path(folder).is_dir():
        raise SettingsError(f"{TOOLS}: {folder} is not a folder")
    return Path(folder) if folder else None


def _cache(installation: Installation, environ: Mapping[str, str]) -> Path:
    default = (
        Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "/") / ".cache") / "plumbline" / "worker"
    )
    cache = Path(installation.cache) if installation.cache else default
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.access(cache, os.W_OK):
        cache.chmod(0o700)
        return cache
    raise SettingsError(f"cache: {cache} cannot be written")

"""The bot's settings: app.yaml and the environment, read in this one place. No cluster's credentials are among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.domain.installation import Installation
from worker.domain.secret_text import SecretText
from worker.installation_files import CONFIG, installation_of, redis_url_of, secret, signing_key_of


@dataclass(frozen=True, slots=True)
class Settings:
    """What a bot process is given: the installation, the queue's secrets, and each repository's hook secret."""

    installation: Installation
    redis_url: SecretText
    signing_key: SecretText
    hook_secrets: Mapping[str, SecretText]

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
            hook_secrets={
                repository.name: secret(repository.secret, f"{repository.name}.secret", environ, root)
                for repository in installation.repositories
            },
        )

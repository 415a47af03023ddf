"""The bot's settings: app.yaml and the environment, read in this one place. No cluster's credentials are among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.forges.gitlab_door import KEY_PREFIX, signing_key
from bot.forges.port import Credentials
from worker.domain.alerting import Receiver
from worker.domain.errors import Refused
from worker.domain.installation import Forge, Installation
from worker.domain.secret_text import SecretReference, SecretText, SettingsError
from worker.installation_files import CONFIG, SHORTEST_KEY, installation_of, redis_url_of, secret, signing_key_of

KINDS: Final = {"github": "GitHub", "gitlab": "GitLab", "gitea": "Gitea"}
"""What people call each kind of forge."""


@dataclass(frozen=True, slots=True)
class WebhookSecrets:
    """What one forge signs its deliveries with: the shared secret, and GitLab's signing key where it has one."""

    shared: SecretText
    signing: SecretText | None = None

    @property
    def proof(self) -> bytes:
        """What a door verifies deliveries with: the signing key wherever there is one, for the shared secret proves less."""
        return (self.signing or self.shared).opened_bytes()


@dataclass(frozen=True, slots=True)
class Settings:
    """What a bot process is given: the installation, the queue's secrets, and each repository's hook secret."""

    installation: Installation
    redis_url: SecretText
    signing_key: SecretText
    hook_secrets: Mapping[str, SecretText]
    webhook_secrets: Mapping[str, WebhookSecrets] = field(default_factory=dict)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    pages_token: SecretText | None = None
    sign_in_secrets: Mapping[str, SecretText] = field(default_factory=dict)
    metrics_token: SecretText | None = None
    receiver_secrets: Mapping[str, SecretText] = field(default_factory=dict)
    images_secret: SecretText | None = None
    registry_passwords: Mapping[str, SecretText] = field(default_factory=dict)
    token_secrets: Mapping[str, SecretText] = field(default_factory=dict)

    @staticmethod
    def load(environ: Mapping[str, str], *, with_credentials: bool = False) -> Settings:
        """Settings by `PLUMBLINE_CONFIG` (default ./app.yaml). Raises SettingsError or DesiredStateError in plain words.

        Only the bot asks for the forges' credentials and the receivers' secrets; web verifies deliveries and needs none. Only web
        asks for the secrets of the API's tokens.
        """
        installation, root = installation_by(environ)
        return Settings(
            installation=installation,
            redis_url=redis_url_of(installation, environ, root),
            signing_key=signing_key_of(installation, environ, root),
            hook_secrets={
                repository.name: secret(repository.secret, f"{repository.name}.secret", environ, root)
                for repository in installation.repositories
                if repository.secret is not None
            },
            webhook_secrets={forge.name: _webhook_secrets(forge, environ, root) for forge in installation.forges},
            credentials={forge.name: _credentials(forge, environ, root) for forge in installation.forges}
            if with_credentials
            else {},
            pages_token=_pages_token(installation, environ, root),
            sign_in_secrets={
                each.forge: secret(each.secret, f"pages.sign-in.{each.forge}.secret", environ, root)
                for each in installation.pages.sign_in
            },
            metrics_token=_metrics_token(installation, environ, root),
            receiver_secrets={
                each.name: _receiver_secret(each, environ, root) for each in installation.alerts.receivers
            }
            if with_credentials
            else {},
            images_secret=_images_secret(installation, environ, root),
            registry_passwords={
                each.host: secret(each.password, f"registries.{each.host}.password", environ, root)
                for each in installation.registries
                if each.password is not None
            }
            if with_credentials
            else {},
            token_secrets={} if with_credentials else _token_secrets(installation, environ, root),
        )


@dataclass(frozen=True, slots=True)
class ForgeSettings:
    """What registering with one forge needs: the installation and that forge's own secrets, and nothing of the queue."""

    installation: Installation
    declared: Forge
    webhook_secrets: WebhookSecrets
    credentials: Credentials

    @staticmethod
    def load(environ: Mapping[str, str], kind: str, name: str | None = None) -> ForgeSettings:
        """The settings of the only forge of a kind (`gitea`, `gitlab`), or of the one that is named.

        Raises SettingsError or DesiredStateError in plain words, Refused where there is no such forge or several.
        """
        installation, root = installation_by(environ)
        declared = declared_forge(installation, kind, name)
        return ForgeSettings(
            installation, declared, _webhook_secrets(declared, environ, root), _credentials(declared, environ, root)
        )


def installation_by(environ: Mapping[str, str]) -> tuple[Installation, Path]:
    """The installation of `PLUMBLINE_CONFIG` (default ./app.yaml), and the folder that its secrets' paths start from."""
    path = Path(environ.get(CONFIG, "app.yaml"))
    return installation_of(path), path.resolve().parent


def declared_forge(installation: Installation, kind: str, name: str | None = None) -> Forge:
    """The only forge of a kind, or the one that is named. Raises Refused where there is none or several."""
    found = [forge for forge in installation.forges if forge.kind == kind and name in {None, forge.name}]
    if not found:
        raise Refused(
            f"app.yaml declares no such {KINDS[kind]}", f"add it under `forges`, with kind: {kind} and a token"
        )
    if len(found) > 1:
        several = ", ".join(forge.name for forge in found)
        raise Refused(f"app.yaml declares several {KINDS[kind]}s", f"name one with --forge: {several}")
    return found[0]


def _metrics_token(installation: Installation, environ: Mapping[str, str], root: Path) -> SecretText | None:
    reference = installation.metrics_token
    return secret(reference, "metrics-token", environ, root) if reference else None


def _images_secret(installation: Installation, environ: Mapping[str, str], root: Path) -> SecretText | None:
    if installation.images_secret is None:
        return None
    found = secret(installation.images_secret, "images-secret", environ, root)
    if len(found.opened()) < SHORTEST_KEY:
        raise SettingsError(f"images-secret: needs at least {SHORTEST_KEY} characters (openssl rand -hex 32 makes one)")
    return found


def _receiver_secret(receiver: Receiver, environ: Mapping[str, str], root: Path) -> SecretText:
    """What a webhook is signed with, or apprise's address."""
    if receiver.apprise is not None:
        return secret(receiver.apprise, f"alerts.{receiver.name}.apprise", environ, root)
    name = f"alerts.{receiver.name}.secret"
    found = secret(receiver.secret or SecretReference(), name, environ, root)
    try:
        signing_key(found.opened())
    except ValueError as error:
        raise SettingsError(f'{name}: {error} (printf "whsec_%s" "$(openssl rand -base64 32)" makes one)') from None
    return found


def _webhook_secrets(forge: Forge, environ: Mapping[str, str], root: Path) -> WebhookSecrets:
    own = secret(forge.webhook_secret, f"{forge.name}.webhook-secret", environ, root)
    if len(own.opened()) < SHORTEST_KEY:
        raise SettingsError(f"{forge.name}.webhook-secret: needs at least {SHORTEST_KEY} characters")
    if own.opened().startswith(KEY_PREFIX):
        raise SettingsError(f"{forge.name}.webhook-secret: is a signing token; name it under `signing-key`")
    key = secret(forge.signing_key, f"{forge.name}.signing-key", environ, root) if forge.signing_key else None
    if key:
        try:
            signing_key(key.opened())
        except ValueError as error:
            raise SettingsError(f"{forge.name}.signing-key: {error}") from None
    return WebhookSecrets(own, key)


def _pages_token(installation: Installation, environ: Mapping[str, str], root: Path) -> SecretText | None:
    if installation.pages.token is None:
        return None
    token = secret(installation.pages.token, "pages.token", environ, root)
    if len(token.opened()) < SHORTEST_KEY:
        raise SettingsError(f"pages.token: needs at least {SHORTEST_KEY} characters (openssl rand -hex 32 makes one)")
    return token


def _token_secrets(installation: Installation, environ: Mapping[str, str], root: Path) -> Mapping[str, SecretText]:
    """The secret of each token of the API; two that are the same would be one token with two names."""
    found: dict[str, SecretText] = {}
    for token in installation.tokens:
        own = secret(token.secret, f"tokens.{token.name}.secret", environ, root)
        if len(own.opened()) < SHORTEST_KEY:
            raise SettingsError(
                f"tokens.{token.name}.secret: needs at least {SHORTEST_KEY} characters (openssl rand -hex 32)"
            )
        twin = next((name for name, each in found.items() if each.opened() == own.opened()), "")
        if twin:
            raise SettingsError(
                f"tokens.{token.name}.secret: is that of {twin}; make each its own (openssl rand -hex 32)"
            )
        found[token.name] = own
    return found


def _credentials(forge: Forge, environ: Mapping[str, str], root: Path) -> Credentials:
    token = secret(forge.token, f"{forge.name}.token", environ, root) if forge.token else None
    key = secret(forge.app_key, f"{forge.name}.app.key", environ, root) if forge.app_key else None
    return Credentials(token, forge.app, key)

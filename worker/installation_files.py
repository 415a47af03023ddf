"""app.yaml and the secrets that it names, read from files and the environment; bot and worker both stand on it."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from worker.domain.installation import Installation
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference, SecretText, SettingsError

CONFIG: Final = "PLUMBLINE_CONFIG"
REDIS: Final = "PLUMBLINE_REDIS_URL"
SHORTEST_KEY: Final = 16
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def installation_of(path: Path) -> Installation:
    """The installation that a file declares."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file (set {CONFIG} to the path of app.yaml)") from None
    return read_installation(text, str(path))


def secret(reference: SecretReference, name: str, environ: Mapping[str, str], root: Path) -> SecretText:
    """The secret that a reference points to. Raises SettingsError where it is missing or others could read it."""
    if reference.env is not None:
        value = environ.get(reference.env, "")
        if not value:
            raise SettingsError(f"{name}: the environment variable {reference.env} is not set")
        return SecretText(value)
    return SecretText(read_private(root / (reference.file or ""), name))


def read_private(path: Path, name: str) -> str:
    """The text of a file that holds a secret. Raises SettingsError where it is missing, empty or open to others."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(f"{name}: cannot read {path} ({why})") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(f"{name}: {path} can be read by others: chmod 600 {path}")
    if not text:
        raise SettingsError(f"{name}: {path} is empty")
    return text


def redis_url_of(installation: Installation, environ: Mapping[str, str], root: Path) -> SecretText:
    """The address of Redis: `PLUMBLINE_REDIS_URL`, else what app.yaml names; refused where it is not safe."""
    own = environ.get(REDIS)
    return checked_redis_url(SecretText(own) if own else secret(installation.redis, "redis", environ, root))


def signing_key_of(installation: Installation, environ: Mapping[str, str], root: Path) -> SecretText:
    """The key that bot and worker sign their jobs with."""
    key = secret(installation.signing_key, "signing-key", environ, root)
    if len(key.opened()) < SHORTEST_KEY:
        raise SettingsError(f"signing-key: needs at least {SHORTEST_KEY} characters (openssl rand -hex 32 makes one)")
    return key


def checked_redis_url(url: SecretText) -> SecretText:
    """The address of a Redis that may be used: with a password, on this machine or over TLS.

    Raises SettingsError otherwise: whoever can write to the queue can ask for work.
    """
    parts = urlsplit(url.opened())
    if parts.scheme not in ("redis", "rediss"):
        raise SettingsError("the Redis address must start with redis:// or rediss://")
    if not parts.password:
        raise SettingsError(
            f"the Redis at {parts.hostname} has no password in its address: set one (requirepass or an ACL user) and "
            "write redis://:PASSWORD@HOST"
        )
    if parts.scheme == "redis" and parts.hostname not in LOOPBACK:
        raise SettingsError(
            f"the Redis at {parts.hostname} is reached without TLS: use rediss://, or one on this machine"
        )
    return url

"""How git is run: with our configuration and nobody else's, under limits, and with credentials only where it fetches."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.domain.secret_text import SecretText

FETCH_SECONDS: Final = 60
LARGEST_BLOB: Final = 64 << 20
LARGEST_PACK: Final = 4 << 30
GIT_MEMORY: Final = 1 << 30
ANY_USER: Final = "x-access-token"
"""Who is named beside a token that says by itself whose it is."""

_LIMITED: Final = 'ulimit -c 0 -d "$1" -f "$2" 2>/dev/null; shift 2; exec git "$@"'
HARMLESS: Final = ("badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode")
"""Mistakes that old tools left in honest histories; everything else that `git fsck` knows is refused."""


def git_environ(git_dir: Path, *, remote: bool = False, credentials: SecretText | None = None) -> dict[str, str]:
    """Nothing of this process's environment but the path to programs: no user's or system's configuration.

    `remote` is for a process that talks to another machine: it alone is given the `credentials`.
    """
    settings = {
        "safe.directory": "*",
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        "core.attributesFile": "/dev/null",
        "core.bigFileThreshold": str(LARGEST_BLOB),
        "protocol.allow": "never",
        "gc.auto": "0",
        "maintenance.auto": "false",
    }
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_DIR": str(git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
    }
    if remote:
        settings |= {
            "fetch.unpackLimit": "1",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": str(FETCH_SECONDS // 2),
        }
        environ |= {name: os.environ[name] for name in ("SSH_AUTH_SOCK", "GIT_SSH_COMMAND") if name in os.environ}
        settings |= {f"protocol.{each}.allow": "always" for each in ("https", "http", "ssh", "git")}
        settings |= {"fetch.fsckObjects": "true", **{f"fetch.fsck.{name}": "ignore" for name in HARMLESS}}
        settings |= {"fetch.recurseSubmodules": "false", "credential.helper": ""}
        if credentials is not None:
            settings["http.extraHeader"] = f"Authorization: {basic(credentials)}"
            settings["http.followRedirects"] = "false"
    return environ | _as_environ(settings)


def basic(credentials: SecretText) -> str:
    """A token (or `user:token`, for GitLab's deploy tokens) as every git server takes it; GitHub and GitLab take no bearer."""
    user, _, token = credentials.opened().rpartition(":")
    return f"Basic {base64.b64encode(f'{user or ANY_USER}:{token}'.encode()).decode()}"


def _as_environ(settings: Mapping[str, str]) -> dict[str, str]:
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def limited(*arguments: str) -> list[str]:
    """A git command under limits of memory (KiB) and of the files that it writes (512 bytes), for it and its children."""
    limits = (str(GIT_MEMORY >> 10), str(LARGEST_PACK >> 9))
    return ["/bin/sh", "-c", _LIMITED, "git", *limits, *arguments]


def last_words(said: bytes) -> str:
    """The last line of what git said of a failure."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no reason given"

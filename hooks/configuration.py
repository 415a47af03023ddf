"""The hook's settings: from the repository's own git configuration and one secret file, never from what is pushed."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess

KEEP = (
    "PATH", "GIT_DIR", "GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)  # fmt: skip
"""What git itself gives a hook and its children need; everything else of the environment is dropped."""


class Misconfigured(Exception):
    """The hook cannot work as it is installed; the text says what to do."""


class Configuration:
    """Where the bot is, who this repository is, and what happens when the bot is away."""

    def __init__(self, values: dict[str, str], secret: bytes, git_dir: str) -> None:
        self.address = values.get("plumbline.address", "")
        self.repository = values.get("plumbline.repository", "")
        self.when_away = values.get("plumbline.whenaway", "")
        self.protected = values.get("plumbline.protect", "main").split()
        self.pusher = values.get("plumbline.pusher", "")
        self.colour = values.get("plumbline.colour", "") == "always"
        self.secret = secret
        self.git_dir = git_dir


def environ() -> dict[str, str]:
    """A clean environment for git: nothing of the pusher's, no configuration but the repository's."""
    kept = {name: os.environ[name] for name in KEEP if name in os.environ}
    return {
        **kept,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "LC_ALL": "C",
    }


def load() -> Configuration:
    """The configuration of the repository that this hook runs in. Raises Misconfigured with the way out."""
    git_dir = os.path.realpath(os.environ.get("GIT_DIR", "."))
    run = subprocess.run(
        ["git", "config", "--file", os.path.join(git_dir, "config"), "--null", "--get-regexp", r"^plumbline\."],
        env=environ(),
        capture_output=True,
        check=False,
    )
    values: dict[str, str] = {}
    for entry in run.stdout.decode(errors="replace").split("\0"):
        name, separator, value = entry.partition("\n")
        if separator:
            values[name] = f"{values[name]} {value}" if name == "plumbline.protect" and name in values else value
    return Configuration(values, _secret(os.path.join(git_dir, "plumbline", "secret")), git_dir)


def pusher(configuration: Configuration) -> str:
    """Who pushes: by the variable that the repository's owner named, else the account that the hook runs as; empty: unknown.

    A variable counts only where it was named: by default nothing that a pusher could set is believed.
    """
    if configuration.pusher:
        return os.environ.get(configuration.pusher, "")[:100]
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _secret(path: str) -> bytes:
    again = "run `plumbline hooks install` again"
    try:
        found = os.lstat(path)
    except OSError:
        raise Misconfigured(f"the hook has no secret: {again}") from None
    if not stat.S_ISREG(found.st_mode):
        raise Misconfigured(f"the hook's secret is not a plain file: {again}")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Misconfigured("the hook's secret can be read by others: chmod 600 plumbline/secret in the repository")
    if found.st_uid not in (os.geteuid(), 0):
        raise Misconfigured(f"the hook's secret belongs to somebody else: {again}")
    with open(path, "rb") as source:
        secret = source.read().strip()
    if not secret:
        raise Misconfigured(f"the hook's secret is empty: {again}")
    return secret

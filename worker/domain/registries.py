"""The `registries` of app.yaml: which registries are asked for an image's tags. No other is ever contacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from worker.domain.alerting import Reach, WebAddress
from worker.domain.images import DOCKER, ImageError, read_image
from worker.domain.reach_section import read_reach
from worker.domain.schema import Section
from worker.domain.secret_section import secret_at
from worker.domain.secret_text import SecretReference

POLL: Final = 300.0
OFTEN: Final = 10.0
"""Seconds: no registry is asked more often by itself."""

DOCKER_ADDRESS: Final = "https://registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry: its `host` as images name it, where it answers, who asks, and which addresses it may have.

    `forge` names the forge whose package events are about it (empty: none); `poll_seconds` is how often it is asked.
    """

    host: str
    address: str
    username: str = ""
    password: SecretReference | None = None
    reach: Reach = field(default_factory=Reach)
    forge: str = ""
    poll_seconds: float = POLL


def read_registries(top: Section, forges: Sequence[str]) -> tuple[Registry, ...]:
    """Every registry of the file; mistakes are noted."""
    return tuple(_registry(section, forges) for section in top.sections("registries"))


def _registry(section: Section, forges: Sequence[str]) -> Registry:
    host = section.text("host", required=True)
    registry = Registry(
        host=host.lower(),
        address=section.text("address", DOCKER_ADDRESS if host == DOCKER else f"https://{host}").rstrip("/"),
        username=section.text("username"),
        password=secret_at(section, "password"),
        reach=read_reach(section),
        forge=section.text("forge", choices=("", *forges)),
        poll_seconds=section.seconds("poll", POLL, least=OFTEN),
    )
    if host and not _is_host(host):
        section.problem("host", f"`host`: {host!r} is not how an image names a registry", "write it like ghcr.io")
    address = WebAddress.of(registry.address)
    if address is None or address.target != "/":
        section.problem("address", "`address`: is no web address of a registry", "write it like https://ghcr.io")
    elif not address.is_encrypted and not registry.reach.is_inward:
        section.problem(
            "address", "`address`: is not https", "only a registry with allow-private or networks may have http"
        )
    if bool(registry.username) != section.has("password"):
        section.problem("host", "`username` and `password` belong together", "write password: {file: PATH}")
    section.end()
    return registry


def _is_host(host: str) -> bool:
    try:
        return read_image(f"{host}/x").registry == host.lower()
    except ImageError:
        return False

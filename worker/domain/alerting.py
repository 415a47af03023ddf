"""Who is told of what happens: receivers, the routes that lead to them, and the addresses that a receiver may have.

`worker.domain.alerting_file` reads them from app.yaml.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from worker.domain.secret_text import SecretReference

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class AlertType(enum.StrEnum):
    """What an alert is about."""

    CHANGE_COMMITTED = "change-committed"
    DIFF = "diff"
    FIGHT = "fight"
    FAILED = "failed"
    CONVERGED = "converged"
    LEFT = "left"
    HELD = "held"


class Severity(enum.StrEnum):
    """How much an alert matters, least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Its place in the order."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses besides public ones a receiver may have: those of private networks and this machine, or networks by name.

    Link-local addresses (a cloud's metadata service among them), multicast and reserved ones only by name.
    """

    private: bool = False
    networks: tuple[Network, ...] = ()

    @property
    def is_inward(self) -> bool:
        """Whether anything that is not public is open: only there may messages go unencrypted."""
        return self.private or bool(self.networks)

    def refusal(self, address: Address, *, encrypted: bool = True) -> str:
        """Why nothing is sent to an address; empty where it may be. Unencrypted messages go to no public address."""
        inner = _embedded(address)
        if any(inner in network for network in self.networks if network.version == inner.version):
            return ""
        if inner.is_global and not (inner.is_multicast or inner.is_reserved or _is_local(inner)):
            return "" if encrypted else f"{address} is public, and http is for private addresses only"
        kind = _kind(inner)
        if self.private and kind in ("private", "loopback"):
            return ""
        return f"{address} is a {kind} address, which this receiver may not have"


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A webhook's address in its parts, read in this one place; `target` is path and query."""

    is_encrypted: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the `Host` header says: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_encrypted else 80) else f"{host}:{self.port}"

    @staticmethod
    def of(text: str) -> WebAddress | None:
        """The parts of `https://host:port/path?query`; None for anything else, also with a user, a password or a fragment."""
        found = _WEB_ADDRESS.fullmatch(text)
        if found is None:
            return None
        is_encrypted = found["scheme"] == "https"
        port = int(found["port"] or (443 if is_encrypted else 80))
        target = found["target"] or "/"
        target = target if target.startswith("/") else f"/{target}"
        return WebAddress(is_encrypted, found["host"].strip("[]").lower(), port, target) if 0 < port < 65536 else None


_WEB_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?][!\"$-\[\]-~]*)?"
)
"""Printable ASCII without `#` and the backslash, which other readers take for a slash."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Somebody who is told: by a signed webhook (its address and secret), or through apprise (whose address is a secret)."""

    name: str
    webhook: str = ""
    secret: SecretReference | None = None
    apprise: SecretReference | None = None
    reach: Reach = field(default_factory=Reach)


@dataclass(frozen=True, slots=True)
class Route:
    """Which alerts go to which receivers: patterns of names, types, and the least severity."""

    receivers: tuple[str, ...]
    repositories: tuple[str, ...] = ("*",)
    environments: tuple[str, ...] = ("*",)
    types: tuple[AlertType, ...] = tuple(AlertType)
    severity: Severity = Severity.INFO

    def takes(self, repository: str, environment: str, alert_type: AlertType, severity: Severity) -> bool:
        """Whether such an alert goes this way."""
        return (
            any(fnmatchcase(repository, pattern) for pattern in self.repositories)
            and any(fnmatchcase(environment, pattern) for pattern in self.environments)
            and alert_type in self.types
            and severity.rank >= self.severity.rank
        )


@dataclass(frozen=True, slots=True)
class Alerts:
    """Everything that app.yaml says of alerts. Without routes every receiver is told everything."""

    receivers: tuple[Receiver, ...] = ()
    routes: tuple[Route, ...] = ()

    def receiver(self, name: str) -> Receiver | None:
        """The receiver of that name."""
        return next((each for each in self.receivers if each.name == name), None)

    def told(self, repository: str, environment: str, alert_type: AlertType, severity: Severity) -> tuple[str, ...]:
        """The names of the receivers of such an alert, each once, in the order of app.yaml."""
        names = [each.name for each in self.receivers]
        if not self.routes:
            return tuple(names)
        ways = [each for each in self.routes if each.takes(repository, environment, alert_type, severity)]
        return tuple(name for name in names if any(name in way.receivers for way in ways))


_TRANSLATED: Final = (
    (ipaddress.ip_network("64:ff9b::/96"), 0),
    (ipaddress.ip_network("::/96"), 0),
    (ipaddress.ip_network("2002::/16"), 80),
)
"""Networks of IPv6 whose addresses stand for one of IPv4, and by how many bits that one is shifted (RFC 6052, 4291, 3056)."""


_LOCAL_TRANSLATED: Final = ipaddress.ip_network("64:ff9b:1::/48")
"""Stands for addresses of IPv4 in a way that each network chooses (RFC 8215)."""


def _embedded(address: Address) -> Address:
    """The address of IPv4 that one of IPv6 leads to (mapped, translated, 6to4, Teredo); else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.is_loopback or address.is_unspecified:
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.teredo is not None:
        return address.teredo[1]
    for network, shift in _TRANSLATED:
        if address in network:
            return ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return address


def _is_local(address: Address) -> bool:
    return isinstance(address, ipaddress.IPv6Address) and (address.is_site_local or address in _LOCAL_TRANSLATED)


def _kind(address: Address) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address.is_reserved:
        return "reserved"
    return "private"


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as they are written (`10.1.0.0/16`, a single address). Raises ValueError for anything else."""
    return tuple(ipaddress.ip_network(text) for text in texts)

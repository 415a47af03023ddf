"""What an API server serves: kinds, their paths, and whether they live in a namespace."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from worker.adapters.cluster.connection import Connection
from worker.domain.errors import Unavailable, Unfit
from worker.domain.resource import ResourceKey

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


STALE_SECONDS: Final = 2.0
"""A kind that is not known is asked for again, but not more often than this: somebody may have installed it meanwhile."""


class AccessDenied(Unfit):
    """The credentials lack a right that everything needs."""


@dataclass(frozen=True, slots=True)
class ApiResource:
    """One served kind in one version; `plural` is its name in paths.

    `has_status` says that its status is written through a door of its own, so that applying the object ignores one.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]
    has_status: bool = False

    @property
    def root(self) -> str:
        """The path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str, name: str = "") -> str:
        """The path of one object, or of the collection (in a namespace, or in all where that is empty)."""
        place = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{self.root}{place}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


class Discovery:
    """The server's kinds, read once (two requests) and again when asked for. Threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._served: dict[tuple[str, str], dict[str, ApiResource]] = {}
        self._broken: frozenset[str] = frozenset()
        self._preferred: dict[tuple[str, str], str] = {}
        self._read_at = -STALE_SECONDS

    def refresh(self) -> None:
        """Reads everything again. Raises Unavailable or AccessDenied where the server does not tell."""
        served: dict[tuple[str, str], dict[str, ApiResource]] = {}
        broken: set[str] = set()
        preferred: dict[tuple[str, str], str] = {}
        for path in ("/api", "/apis"):
            answer = self._connection.request("GET", path, accept=AGGREGATED)
            if answer.status == 403:
                raise AccessDenied(
                    f"the API server at {self._connection.address} lets these credentials see nothing (HTTP 403): "
                    "check the kubeconfig's user"
                )
            if answer.status != 200:
                raise Unavailable(f"the API server at {self._connection.address} does not list its kinds")
            document = answer.json()
            if document.get("kind") != "APIGroupDiscoveryList":
                raise Unavailable(
                    f"the API server at {self._connection.address} has no aggregated discovery: "
                    "Kubernetes 1.27 or later is needed"
                )
            for group in document["items"]:
                self._read_group(group, served, preferred, broken)
        self._served, self._preferred, self._broken = served, preferred, frozenset(broken)
        self._read_at = time.monotonic()

    @staticmethod
    def _read_group(
        group: dict[str, Any],
        served: dict[tuple[str, str], dict[str, ApiResource]],
        preferred: dict[tuple[str, str], str],
        broken: set[str],
    ) -> None:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            if version.get("freshness") == "Stale":
                broken.add(name)
            for resource in version.get("resources", ()):
                kind = resource["responseKind"]["kind"]
                found = ApiResource(
                    group=name,
                    version=version["version"],
                    kind=kind,
                    plural=resource["resource"],
                    namespaced=resource["scope"] == "Namespaced",
                    verbs=frozenset(resource["verbs"]),
                    has_status=any(each["subresource"] == "status" for each in resource.get("subresources", ())),
                )
                versions = served.setdefault((name, kind), {})
                if found.version not in versions:
                    versions[found.version] = found
                preferred.setdefault((name, kind), found.version)

    def unanswered(self) -> tuple[str, ...]:
        """The API groups whose server does not answer, so that nobody knows what is in them; sorted."""
        if self._broken and time.monotonic() - self._read_at > STALE_SECONDS:
            self.refresh()
        return tuple(sorted(self._broken))

    def find(self, group: str, kind: str, version: str = "") -> ApiResource | None:
        """The served kind (in `version`, or the preferred one); None where the server does not serve it.

        Raises Unavailable where the kind's group is served by something that is down: unknown is not "not served".
        """
        found = self._known(group, kind, version)
        if found is None and time.monotonic() - self._read_at > STALE_SECONDS:
            self.refresh()
            found = self._known(group, kind, version)
        if found is None and group in self._broken:
            raise Unavailable(f"the API group {group} is not answering now, so {kind} cannot be judged")
        return found

    def _known(self, group: str, kind: str, version: str) -> ApiResource | None:
        versions = self._served.get((group, kind), {})
        return versions.get(version or self._preferred.get((group, kind), ""))

    def versions(self, group: str, kind: str) -> tuple[str, ...]:
        """The versions in which a kind is served, preferred first as the server lists them."""
        return tuple(self._served.get((group, kind), {}))

    def scope(self, group: str, kind: str) -> bool | None:
        """Whether a kind lives in a namespace; None where it is not served."""
        found = self.find(group, kind)
        return found.namespaced if found else None

    def of(self, key: ResourceKey, version: str = "") -> ApiResource | None:
        """The served kind of an object."""
        return self.find(key.group, key.kind, version)

    def readable(self, key: ResourceKey, version: str) -> ApiResource | None:
        """The served kind of an object in any version: what was applied in one lives on when that is served no more."""
        return self.of(key, version) or self.of(key)

    def api_versions(self) -> tuple[str, ...]:
        """Every served `group/version` and `group/version/Kind`, sorted, as helm's capabilities want them."""
        if not self._served:
            self.refresh()
        names: set[str] = set()
        for versions in self._served.values():
            for resource in versions.values():
                root = f"{resource.group}/{resource.version}" if resource.group else resource.version
                names.update((root, f"{root}/{resource.kind}"))
        return tuple(sorted(names))

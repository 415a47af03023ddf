"""One watch on one kind: what there is, then each change, resumed where it broke off. Metadata only, so that it costs little.

The API server ends every watch after some minutes, sends a bookmark about once a minute while nothing happens, and answers 410
where it no longer knows the place to go on from (https://kubernetes.io/docs/reference/using-api/api-concepts/): then
everything is listed again. A connection on which not even a bookmark comes is dead, whatever TCP says.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from worker.adapters.cluster.bodies import decoded
from worker.adapters.cluster.connection import Connection
from worker.adapters.cluster.discovery import AccessDenied, ApiResource
from worker.domain.errors import Unavailable
from worker.domain.resource import ResourceKey

ONE: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
MANY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE: Final = "500"

WATCH_SECONDS: Final = 300
SILENT_SECONDS: Final = 90.0
"""Without a byte for so long, a watch is dead: a bookmark comes every minute."""

LONGEST_LINE: Final = 16 << 20
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as a watch shows it; `metadata` is what it was last where the object `is_gone`."""

    key: ResourceKey
    metadata: Mapping[str, Any]
    is_gone: bool = False


class Following:
    """The objects of one kind with a label, in a namespace (or in all, where that is empty).

    `silent` is after how many seconds without a byte the connection counts as dead.
    """

    def __init__(
        self,
        connection: Connection,
        served: ApiResource,
        namespace: str,
        label: str,
        *,
        silent: float = SILENT_SECONDS,
    ) -> None:
        self._connection = connection
        self._served = served
        self._path = served.path(namespace)
        self._label = label
        self._silent = silent
        self._version = ""
        self.has_listed = False
        self._response: urllib3.BaseHTTPResponse | None = None
        self._guard = threading.Lock()
        self._closed = False

    def round(self, seen: Mapping[ResourceKey, Any]) -> Iterator[Seen]:
        """What is new until the watch ends; the next round goes on from there.

        `has_listed` is true once everything that there was has been yielded: what comes after that is new.
        `seen` are the keys that are known: where everything is listed again, those that are not there any more are gone.
        Raises Unavailable where the server does not answer, and AccessDenied.
        """
        if not self._version:
            known = set(seen)
            for key, metadata in self._listed():
                known.discard(key)
                yield Seen(key, metadata)
            for key in known:
                yield Seen(key, {}, is_gone=True)
            self.has_listed = True
        yield from self._watched()

    def close(self) -> None:
        """Ends a round that waits, from another thread."""
        with self._guard:
            self._closed = True
            if self._response is not None:
                with contextlib.suppress(OSError):  # it has just ended by itself, in its own thread
                    self._response.shutdown()  # closing it would wait for the read that it is to end

    def _listed(self) -> Iterator[tuple[ResourceKey, Mapping[str, Any]]]:
        query = {"labelSelector": self._label, "limit": PAGE}
        while True:
            answer = self._connection.request("GET", self._path, query=query, accept=MANY)
            if answer.status == GONE and query.pop("continue", ""):
                continue
            self._check(answer.status)
            document = answer.json()
            try:
                found = [(self._key(item["metadata"]), item["metadata"]) for item in document["items"] or ()]
                version, rest = str(document["metadata"]["resourceVersion"]), document["metadata"].get("continue")
            except (KeyError, TypeError, AttributeError) as error:
                raise Unavailable(
                    f"the list of {self._served.plural} cannot be read ({type(error).__name__})"
                ) from None
            yield from found
            self._version, query["continue"] = version, rest or ""
            if not query["continue"]:
                return

    def _watched(self) -> Iterator[Seen]:
        query = {
            "labelSelector": self._label,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = self._connection.stream(self._path, query, self._silent, accept=ONE)
        with self._guard:
            if self._closed:
                response.close()
                return
            self._response = response
        try:
            if response.status == GONE:
                self._version = ""
                return
            self._check(response.status)
            for line in _lines(response):
                event = decoded(line)
                body = event["object"]
                if event["type"] == "ERROR":
                    if body.get("code") != GONE:
                        raise Unavailable(f"the watch on {self._served.plural} broke off ({body.get('reason')})")
                    self._version = ""
                    return
                metadata = body["metadata"]
                self._version = str(metadata["resourceVersion"])
                if event["type"] != "BOOKMARK":
                    yield Seen(self._key(metadata), metadata, is_gone=event["type"] == "DELETED")
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not self._closed:
                raise Unavailable(f"the watch on {self._served.plural} broke off ({type(error).__name__})") from None
        finally:
            with self._guard:
                self._response = None
            response.close()

    def _check(self, status: int) -> None:
        if status == 403:
            raise AccessDenied(f"these credentials may not watch {self._served.plural} ({self._path})")
        if status != 200:
            raise Unavailable(f"the API server does not let {self._served.plural} be watched (HTTP {status})")

    def _key(self, metadata: Mapping[str, Any]) -> ResourceKey:
        namespace = str(metadata.get("namespace") or "")
        return ResourceKey(self._served.group, self._served.kind, namespace, str(metadata["name"]))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The lines of an answer as they come. Raises ValueError for one that does not end."""
    rest = b""
    while chunk := response.read1(1 << 16):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
        if len(rest) > LONGEST_LINE:
            raise ValueError("a line without an end")

"""Objects of a cluster: read many at once, try a server-side apply, apply for real, delete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import orjson

from worker.adapters.cluster.bodies import encoded, revealed, spellings
from worker.adapters.cluster.connection import WRITE_SECONDS, Answer, Connection
from worker.adapters.cluster.discovery import AccessDenied, ApiResource, Discovery
from worker.adapters.cluster.failures import failure, status_of
from worker.adapters.cluster.reading import Observation, Reading, all_ended
from worker.domain.environment import OWNER_LABEL
from worker.domain.errors import Conflict, Denied, FieldOwner, Moved, PlumblineError, Unavailable
from worker.domain.field_paths import located, without
from worker.domain.resource import Body, Resource, ResourceKey, SecretValue, resource_of, seal
from worker.domain.rules import Resolution, usual

THREADS: Final = 8
"""Requests at once: 8 bring nothing more than 4 on two cores and more on a real control plane (sandbox figures)."""

GETS_BEFORE_LIST: Final = 8
"""From this many objects of one kind that the selected LIST did not show, one unselected LIST is cheaper."""

FEW: Final = 24
"""Up to so many objects of one kind are read one by one, at once: a GET takes a millisecond, but a LIST may wait 100 ms
for the API server's cache to hear that nothing of the kind has changed, whenever anything else has (measured on 1.37)."""

NAMESPACES_BEFORE_ALL: Final = 4
PAGE: Final = "1000"
APPLY_PATCH: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
SOME: Final = "500"
NOT_SERVED: Final = "NotServed"

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Applied:
    """What a server-side apply (or its dry run) made of an object, and whose fields it took or left."""

    resource: Resource
    forced: tuple[FieldOwner, ...] = ()
    kept: tuple[FieldOwner, ...] = ()


class Cluster:
    """One cluster's objects. Threads may share it."""

    def __init__(self, connection: Connection, discovery: Discovery | None = None) -> None:
        self.connection = connection
        self.discovery = discovery or Discovery(connection)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cluster")
        self._protected: tuple[Resource, ...] = ()

    def acting_as(self, user: str, groups: Sequence[str]) -> Cluster:
        """The same cluster with the rights of somebody else; what it serves is known to both."""
        return Cluster(self.connection.acting_as(user, groups), self.discovery)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def protect(self, resources: Iterable[Resource]) -> None:
        """Names the objects whose secret values no error text may quote."""
        self._protected = tuple(resource for resource in resources if resource.key.kind == "Secret")

    def each(self, function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
        """`function` of every item, in parallel, in order; the first failure is raised after all have ended."""
        if len(items) <= 1:
            return [function(item) for item in items]
        futures = [self._pool.submit(function, item) for item in items]
        return all_ended(futures)

    # -- reading -------------------------------------------------------------------------------------------------

    def uid(self) -> str:
        """The uid of the kube-system namespace, which stands for the cluster's identity."""
        found = self.get(ResourceKey("", "Namespace", "", "kube-system"), "v1")
        if found is None:
            raise Unavailable("the cluster has no kube-system namespace to know it by")
        return found.uid

    def version(self) -> str:
        """The server's version, such as `v1.37.2`."""
        answer = self.connection.request("GET", "/version")
        if answer.status != 200:
            raise Unavailable("the API server does not tell its version")
        return str(answer.json()["gitVersion"])

    def get(self, key: ResourceKey, version: str = "") -> Resource | None:
        """One live object, or None where it (or its kind) does not exist."""
        served = self.discovery.readable(key, version)
        if served is None:
            return None
        answer = self.connection.request("GET", served.path(key.namespace, key.name))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._reading_failed(served, key.namespace, answer)
        return resource_of(answer.json())

    def select(self, served: ApiResource, namespace: str, *, label: str = "", fields: str = "") -> tuple[Resource, ...]:
        """Every object of a kind in a namespace (or in all, where that is empty), by label and field selector."""
        query = {"labelSelector": label} if label else {"limit": PAGE}
        if fields:
            query["fieldSelector"] = fields
        found: list[Resource] = []
        while True:
            answer = self.connection.request("GET", served.path(namespace), query=query)
            if answer.status == 404 and self._is_gone(served):
                return ()
            if answer.status != 200:
                raise self._reading_failed(served, namespace, answer)
            document = answer.json()
            found += _listed(document["items"] or (), served)
            token = document["metadata"].get("continue")
            if not token:
                return tuple(found)
            query["continue"] = token

    def _is_gone(self, served: ApiResource) -> bool:
        """Whether the server serves a kind no more; a 404 for one that it does serve says nothing about its objects."""
        self.discovery.refresh()
        return self.discovery.find(served.group, served.kind, served.version) is None

    def metadata(self, keys: Mapping[ResourceKey, str]) -> dict[ResourceKey, Resource]:
        """The metadata alone of live objects (key -> version); what does not exist is not among them.

        Each is read from the API server's own cache, which may be behind by moments, so that asking often costs little.
        """

        def one(item: tuple[ResourceKey, str]) -> Resource | None:
            key, version = item
            served = self.discovery.readable(key, version)
            if served is None:
                return None
            path = served.path(key.namespace, key.name)
            answer = self.connection.request("GET", path, query={"resourceVersion": "0"}, accept=METADATA)
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise self._reading_failed(served, key.namespace, answer)
            return Resource(key, version, {"metadata": answer.json()["metadata"]})

        return {found.key: found for found in self.each(one, list(keys.items())) if found is not None}

    def read(self, wanted: Mapping[ResourceKey, str], owner_label: str) -> Observation:
        """The live objects of `wanted` (key -> version)."""
        return self.begin_reading(wanted, owner_label).observation()

    def begin_reading(self, wanted: Mapping[ResourceKey, str], owner_label: str) -> Reading:
        """The same, begun: the answer comes in while the caller does something else.

        A few objects of a kind are read one by one, more by one LIST per kind and namespace by the label; what that does
        not show is read one by one, or by one unselected LIST where that is cheaper.
        """
        served: dict[tuple[str, str, str], ApiResource | None] = {}
        readable: dict[tuple[str, str, str], ApiResource | None] = {}
        places: dict[ApiResource, list[ResourceKey]] = defaultdict(list)
        for key, version in wanted.items():
            kind = (key.group, key.kind, version)
            if kind not in served:
                served[kind] = self.discovery.of(key, version)
                readable[kind] = served[kind] or self.discovery.of(key)
            if (resource := readable[kind]) is not None:
                places[resource].append(key)
        label = f"{OWNER_LABEL}={owner_label}"
        asked: set[ResourceKey] = set()
        reads: list[Future[tuple[Resource, ...]]] = []
        for resource, keys in places.items():
            if len(keys) <= FEW:
                asked.update(keys)
                reads += [self._pool.submit(self._get_one, key, resource.version) for key in keys]
                continue
            namespaces = {key.namespace if resource.namespaced else "" for key in keys}
            for namespace in sorted(namespaces) if len(namespaces) < NAMESPACES_BEFORE_ALL else [""]:
                reads.append(self._pool.submit(self._list_or_narrow, resource, namespace, namespaces, label))
        return Reading(self.read_missing, wanted, served, readable, frozenset(asked), reads)

    def begin_reading_others(self, places: Mapping[tuple[str, str, str, str], str]) -> Callable[[], list[Resource]]:
        """Begins to read the metadata of objects by (group, kind, version, namespace) and label selector.

        One page of each place at most: it is for people to look at. The result gives them, when they are there, and raises
        Unavailable; what may not be listed is left out.
        """
        reads = [
            self._pool.submit(self._metadata_of, served, namespace, label)
            for (group, kind, version, namespace), label in places.items()
            if (served := self.discovery.find(group, kind, version)) is not None
        ]
        return lambda: [found for several in all_ended(reads) for found in several]

    def _metadata_of(self, served: ApiResource, namespace: str, label: str) -> tuple[Resource, ...]:
        query = {"limit": SOME} | ({"labelSelector": label} if label else {})
        answer = self.connection.request("GET", served.path(namespace), query=query, accept=METADATA_LIST)
        if answer.status in (403, 404):
            return ()
        if answer.status != 200:
            raise self._reading_failed(served, namespace, answer)
        return tuple(_listed([{"metadata": item["metadata"]} for item in answer.json()["items"] or ()], served))

    def _get_one(self, key: ResourceKey, version: str) -> tuple[Resource, ...]:
        found = self.get(key, version)
        return () if found is None else (found,)

    def read_missing(self, keys: Mapping[tuple[ApiResource, str], list[ResourceKey]]) -> Iterator[Resource]:
        """Objects by kind and namespace that no selected LIST showed."""
        for found in self.each(self._read_missing, list(keys.items())):
            yield from found

    def _list_or_narrow(
        self, served: ApiResource, namespace: str, namespaces: set[str], label: str
    ) -> tuple[Resource, ...]:
        try:
            return self.select(served, namespace, label=label)
        except AccessDenied:
            if namespace or not served.namespaced:
                raise
            return tuple(found for each in sorted(namespaces) for found in self.select(served, each, label=label))

    def _read_missing(self, place: tuple[tuple[ApiResource, str], list[ResourceKey]]) -> tuple[Resource, ...]:
        (served, namespace), keys = place
        if len(keys) > GETS_BEFORE_LIST:
            return self.select(served, namespace)
        found = (self.get(key, served.version) for key in keys)
        return tuple(resource for resource in found if resource is not None)

    def _reading_failed(self, served: ApiResource, namespace: str, answer: Answer) -> PlumblineError:
        place = f" in {namespace}" if namespace else ""
        if answer.status == 403:
            return AccessDenied(
                f"these credentials may not read {served.plural}{place} (HTTP 403): give them get and list"
            )
        return Unavailable(f"reading {served.plural}{place} failed (HTTP {answer.status})")

    # -- writing -------------------------------------------------------------------------------------------------

    def apply(
        self,
        desired: Resource,
        manager: str,
        *,
        dry_run: bool,
        force: bool,
        live: Resource | None = None,
        resolve: Callable[[FieldOwner], Resolution] | None = None,
    ) -> Applied:
        """A server-side apply of `desired` as `manager`, first unforced; `dry_run` writes nothing.

        `live` is the object that was judged: a real write carries its uid and resourceVersion. `resolve` says what becomes of a
        field that somebody else owns; without it that is what is usual, where `force` says whether `Update` managers' fields
        are taken. Raises Denied, Conflict (with the owners that are not overruled), Moved or Unavailable.
        """
        served = self.discovery.of(desired.key, desired.version)
        if served is None:
            others = self.discovery.versions(desired.key.group, desired.key.kind)
            group = f"{desired.key.group}/" if desired.key.group else ""
            known = f"; it serves {', '.join(group + version for version in others)}" if others else ""
            reason = f"the server does not serve {desired.key.kind} as {desired.api_version}{known}"
            raise Denied(str(desired.key), 404, NOT_SERVED, reason)
        body: Mapping[str, Any] = desired.body
        if live is not None and not dry_run:
            identity = {"uid": live.uid, "resourceVersion": live.resource_version}
            body = {**body, "metadata": {**body["metadata"], **identity}}
        try:
            return Applied(self._patch(served, desired.key, body, manager, dry_run=dry_run, force=False))
        except Conflict as conflict:
            decide = resolve or partial(usual, force=force)
            decided = [(owner, decide(owner)) for owner in conflict.owners]
            refused, kept, taken = (
                tuple(owner for owner, resolution in decided if resolution is each)
                for each in (Resolution.REFUSE, Resolution.KEEP, Resolution.FORCE)
            )
            if refused:
                raise Conflict(conflict.subject, refused) from None
        for owner in kept:
            body = without(body, located(owner.field, body) or ())
        applied = self._patch(served, desired.key, body, manager, dry_run=dry_run, force=bool(taken))
        return Applied(applied, forced=taken, kept=kept)

    def _patch(
        self,
        served: ApiResource,
        key: ResourceKey,
        body: Mapping[str, Any],
        manager: str,
        *,
        dry_run: bool,
        force: bool,
    ) -> Resource:
        query = {"fieldManager": manager, "force": "true" if force else "false", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        answer = self.connection.request(
            "PATCH",
            served.path(key.namespace, key.name),
            query=query,
            body=encoded(body),
            content_type=APPLY_PATCH,
            seconds=WRITE_SECONDS,
        )
        if answer.status not in (200, 201):
            raise self._refusal(key, answer)
        made = resource_of(answer.json())
        if made.key != key:
            raise Denied(str(key), 409, "Conflict", f"the server answered with another object ({made.key})")
        return made

    def patch(
        self, live: Resource, operations: Sequence[Mapping[str, Any]], manager: str, *, dry_run: bool = False
    ) -> Resource:
        """What JSON patch operations make of exactly this version of an object. Raises Denied, Moved or Unavailable."""
        served = self.discovery.of(live.key, live.version)
        if served is None:
            raise Moved(str(live.key))
        fenced = [{"op": "replace", "path": "/metadata/resourceVersion", "value": live.resource_version}, *operations]
        answer = self.connection.request(
            "PATCH",
            served.path(live.key.namespace, live.key.name),
            query={"fieldManager": manager} | ({"dryRun": "All"} if dry_run else {}),
            body=orjson.dumps(fenced, default=revealed),
            content_type=JSON_PATCH,
            seconds=WRITE_SECONDS,
        )
        if answer.status != 200:
            raise self._refusal(live.key, answer)
        return resource_of(answer.json())

    def delete(self, key: ResourceKey, version: str, *, uid: str, resource_version: str = "") -> Resource | None:
        """Deletes exactly the object with this uid (and resourceVersion): None where it is gone, else what still is there.

        Its dependents go in the background. Raises Moved where another object has the name now.
        """
        served = self.discovery.readable(key, version)
        if served is None:
            return None
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        answer = self.connection.request(
            "DELETE",
            served.path(key.namespace, key.name),
            body=orjson.dumps({"propagationPolicy": "Background", "preconditions": preconditions}),
            seconds=WRITE_SECONDS,
        )
        if answer.status == 404:
            return None
        if answer.status not in (200, 202):
            raise self._refusal(key, answer)
        document = answer.json()
        if document.get("kind") == "Status":
            return None
        left = resource_of(document)
        return left if left.metadata.get("deletionTimestamp") else None

    def _refusal(self, key: ResourceKey, answer: Answer) -> PlumblineError:
        refused = failure(key, answer, self._scrubbed())
        if isinstance(refused, Denied) and refused.code == 409 and status_of(answer).get("reason") == "Conflict":
            return Moved(str(key))
        return refused

    def _scrubbed(self) -> dict[str, str]:
        """Every spelling of the protected Secrets' values that could stand in a message."""
        texts: dict[str, str] = {}
        for secret in self._protected:
            for value in (secret.body.get("data") or {}).values():
                if isinstance(value, SecretValue):
                    texts.update(spellings(value))
        return texts


def _listed(items: Iterable[Body], served: ApiResource) -> Iterator[Resource]:
    """The items of a LIST, which leaves out what all of them have in common: their kind and version."""
    group, kind, version = served.group, served.kind, served.version
    api_version = f"{group}/{version}" if group else version
    sealed = kind == "Secret" and not group
    for item in items:
        item["apiVersion"], item["kind"] = api_version, kind
        metadata = item["metadata"]
        key = ResourceKey(group, kind, metadata.get("namespace", ""), metadata["name"])
        yield Resource(key, version, seal(item) if sealed else item)

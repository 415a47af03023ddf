"""The plain objects that Plumbline keeps for itself in its own namespace: read, create, replace, delete."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson

from worker.adapters.cluster.connection import WRITE_SECONDS, Answer, Connection
from worker.adapters.cluster.failures import status_of
from worker.domain.errors import Unavailable, Unfit

PATHS: Final = {
    "ConfigMap": ("v1", "/api/v1/namespaces/{namespace}/configmaps"),
    "Secret": ("v1", "/api/v1/namespaces/{namespace}/secrets"),
    "Lease": ("coordination.k8s.io/v1", "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
}


METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class RecordDenied(Unfit):
    """The credentials may not keep Plumbline's own records; the text says which right is missing."""


class Records:
    """ConfigMaps, Leases and the key Secret in the state namespace."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        self._connection = connection
        self.namespace = namespace

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """The record, None where there is none."""
        answer = self._connection.request("GET", f"{self._path(kind)}/{name}")
        if answer.status == 404:
            return None
        return self._body(answer, "read", kind)

    def read_at(self, kind: str, name: str) -> tuple[dict[str, Any] | None, float]:
        """The record and the Unix time at which the API server answered, by its own clock."""
        answer = self._connection.request("GET", f"{self._path(kind)}/{name}")
        return (None if answer.status == 404 else self._body(answer, "read", kind)), answer.at

    def list(self, kind: str, label: str) -> tuple[list[dict[str, Any]], str]:
        """All records with a label, and the resourceVersion to watch from."""
        answer = self._connection.request("GET", self._path(kind), query={"labelSelector": label})
        if answer.status == 404:
            return [], ""
        document = self._body(answer, "list", kind)
        return document["items"] or [], document["metadata"]["resourceVersion"]

    def versions(self, kind: str, label: str) -> dict[str, str]:
        """The resourceVersion of every record with a label, by its name; the records themselves are not read."""
        answer = self._connection.request("GET", self._path(kind), query={"labelSelector": label}, accept=METADATA_LIST)
        if answer.status == 404:
            return {}
        items = self._body(answer, "list", kind)["items"] or ()  # null where there are none
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in items}

    def create(self, kind: str, name: str, labels: dict[str, str], members: dict[str, Any]) -> dict[str, Any] | None:
        """The new record, or None where one of that name exists already; makes the namespace when it is missing."""
        body = {
            "apiVersion": PATHS[kind][0],
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            **members,
        }
        answer = self._write("POST", self._path(kind), body)
        if answer.status == 404:
            self._make_namespace()
            answer = self._write("POST", self._path(kind), body)
        if answer.status == 409:
            return None
        return self._body(answer, "create", kind)

    def replace(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """The record as stored, or None where somebody else wrote it since it was read (its resourceVersion)."""
        kind = record["kind"]
        answer = self._write("PUT", f"{self._path(kind)}/{record['metadata']['name']}", record)
        if answer.status in (404, 409):
            return None
        return self._body(answer, "update", kind)

    def delete(self, kind: str, name: str) -> None:
        """Deletes the record; one that is gone is fine."""
        answer = self._connection.request("DELETE", f"{self._path(kind)}/{name}", seconds=WRITE_SECONDS)
        if answer.status not in (200, 202, 404):
            self._body(answer, "delete", kind)

    def key(self, name: str, fresh: bytes) -> bytes:
        """The key in the Secret of that name; `fresh` (32 random bytes) becomes it where there is none yet."""
        found = self.read("Secret", name)
        if found is None:
            members = {"type": "plumbline.io/key", "data": {"key": base64.b64encode(fresh).decode()}}
            found = self.create("Secret", name, {}, members) or self.read("Secret", name)
        return self._key_in(found, name)

    def existing_key(self, name: str) -> bytes | None:
        """The key in the Secret of that name, None where it is not there or may not be read."""
        try:
            found = self.read("Secret", name)
        except RecordDenied:
            return None
        return self._key_in(found, name) if found else None

    def _key_in(self, record: dict[str, Any] | None, name: str) -> bytes:
        encoded = ((record or {}).get("data") or {}).get("key")
        if not encoded:
            raise Unavailable(f"the Secret {self.namespace}/{name} holds no key: delete it, and it is made again")
        return base64.b64decode(encoded)

    def _make_namespace(self) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        answer = self._write("POST", "/api/v1/namespaces", body)
        if answer.status not in (201, 409):
            raise RecordDenied(
                f"the namespace {self.namespace} for Plumbline's records does not exist and may not be created "
                f"(HTTP {answer.status}): create it, or name another as state-namespace"
            )

    def _write(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        return self._connection.request(method, path, body=orjson.dumps(body), seconds=WRITE_SECONDS)

    def _path(self, kind: str) -> str:
        return PATHS[kind][1].format(namespace=self.namespace)

    def _body(self, answer: Answer, verb: str, kind: str) -> dict[str, Any]:
        if answer.status in (200, 201):
            document: dict[str, Any] = answer.json()
            document.setdefault("kind", kind)
            document.setdefault("apiVersion", PATHS[kind][0])
            return document
        if answer.status in (401, 403):
            raise RecordDenied(
                f"these credentials may not {verb} {kind} objects in {self.namespace} (HTTP {answer.status}): "
                "grant it, or name another namespace as state-namespace"
            )
        reason = status_of(answer).get("reason") or f"HTTP {answer.status}"
        raise Unavailable(f"cannot {verb} the {kind} record in {self.namespace} ({reason})")

"""A Kubernetes object as the program sees it: its key, its body, and secret values that cannot be shown."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeAlias

Body: TypeAlias = dict[str, Any]
"""A Kubernetes object in JSON types, where the values of a Secret are `SecretValue`."""

MASK = "•••••"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
COPIES = (LAST_APPLIED, "kapp.k14s.io/original", "objectset.rio.cattle.io/applied", "banzaicloud.com/last-applied")
"""Where kubectl, kapp, Rancher's wrangler and Banzai Cloud's objectmatch keep the whole object, plain or packed."""


class SecretValue:
    """Bytes that the program may compare and send, and nobody may read.

    It has no useful repr, str, JSON or pickle form. `reveal` is called by the cluster adapter alone (a house test
    holds that).
    Values of a Secret's `data` are held decoded, so two base64 spellings of the same bytes are equal.
    """

    __slots__ = ("_bytes", "_is_text")

    def __init__(self, value: bytes, *, is_text: bool = False) -> None:
        self._bytes = value
        self._is_text = is_text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and hmac.compare_digest(self._bytes, other._bytes)

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret value cannot be pickled")

    def __format__(self, _spec: str) -> str:
        return MASK

    def reveal(self) -> str:
        """The canonical base64 text that the API takes in a Secret's `data`; a text that is no member of it as it is."""
        if self._is_text:
            return self._bytes.decode()
        return base64.b64encode(self._bytes).decode("ascii")

    def digest(self, key: bytes) -> str:
        """A keyed SHA-256 (hex) that stands for the value in fingerprints; useless without the key."""
        return hmac.new(key, b"secret-value\0" + self._bytes, hashlib.sha256).hexdigest()


class ResourceKey(NamedTuple):
    """What names an object in a cluster; `group` and `namespace` are empty where there is none.

    A tuple, because plans of thousands of objects look keys up all the time and a tuple's hash and equality are C.
    """

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def group_kind(self) -> str:
        """`Deployment.apps`, or the bare kind in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def to_json(self) -> dict[str, str]:
        """The four parts as JSON."""
        return {"group": self.group, "kind": self.kind, "namespace": self.namespace, "name": self.name}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ResourceKey:
        """The inverse of `to_json`."""
        return ResourceKey(value["group"], value["kind"], value["namespace"], value["name"])


@dataclass(frozen=True, slots=True)
class Source:
    """Where a desired object was written: a file relative to the rendered root, and a line from 1 (None if unknown)."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One object, desired or live. `body` must not be changed by anyone: copy it first."""

    key: ResourceKey
    version: str
    body: Body = field(repr=False, compare=False)
    source: Source | None = None

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.key.group}/{self.version}" if self.key.group else self.version

    @property
    def metadata(self) -> Body:
        """The object's metadata, empty where it has none."""
        value = self.body.get("metadata")
        return value if isinstance(value, dict) else {}

    @property
    def uid(self) -> str:
        """The uid that the API server gave, empty for a desired object."""
        return str(self.metadata.get("uid", ""))

    @property
    def resource_version(self) -> str:
        """The live object's resourceVersion, empty for a desired object."""
        return str(self.metadata.get("resourceVersion", ""))

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations, empty where there are none (or where what stands there is no mapping)."""
        value = self.metadata.get("annotations")
        return value if isinstance(value, dict) else {}

    @property
    def labels(self) -> dict[str, str]:
        """The labels, empty where there are none (or where what stands there is no mapping)."""
        value = self.metadata.get("labels")
        return value if isinstance(value, dict) else {}


def key_of(body: Mapping[str, Any]) -> tuple[ResourceKey, str]:
    """The key and the version of a body that has apiVersion, kind and metadata.name as text."""
    api_version = str(body["apiVersion"])
    group, _, version = api_version.rpartition("/")
    metadata = body["metadata"]
    return ResourceKey(group, str(body["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])), version


def resource_of(body: Body, source: Source | None = None) -> Resource:
    """A Resource of a well-formed body; a Secret's values are sealed on the way in."""
    key, version = key_of(body)
    if key.kind == "Secret" and not key.group:
        body = seal(body)
    return Resource(key, version, body, source)


class MalformedSecret(ValueError):
    """A Secret whose `data` is not base64 text; `field` names the place and the value is never quoted."""

    def __init__(self, field_path: str, expected: str) -> None:
        self.field = field_path
        self.expected = expected
        super().__init__(f"{field_path}: expected {expected}")


def seal(secret: Body) -> Body:
    """A copy of a Secret's body in which every value is a SecretValue.

    `stringData` is folded into `data` as the API server does it (it wins over `data`), and the copies of the object that
    `kubectl apply` and others leave in annotations are sealed as a whole.
    Raises MalformedSecret where a value is not what the API would take.
    """
    sealed = {name: value for name, value in secret.items() if name not in ("data", "stringData")}
    data: dict[str, SecretValue] = {}
    for name, value in _entries(secret, "data"):
        data[name] = value if isinstance(value, SecretValue) else SecretValue(_decoded(name, value))
    for name, value in _entries(secret, "stringData"):
        if isinstance(value, SecretValue):
            data[name] = value
        elif isinstance(value, str) or value is None:
            data[name] = SecretValue((value or "").encode())
        else:
            raise MalformedSecret(f"stringData.{name}", "text")
    if "data" in secret or data:
        sealed["data"] = data
    metadata = secret.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict):
        copies = {name: text for name in COPIES if isinstance(text := annotations.get(name), str)}
        if copies:
            hidden = {name: SecretValue(text.encode(), is_text=True) for name, text in copies.items()}
            sealed["metadata"] = {**secret["metadata"], "annotations": {**annotations, **hidden}}
    return sealed


def _entries(secret: Body, member: str) -> list[tuple[str, Any]]:
    values = secret.get(member)
    if values is None:
        return []
    if not isinstance(values, dict):
        raise MalformedSecret(member, "a mapping of names to text")
    return [(str(name), value) for name, value in values.items()]


def _decoded(name: str, value: object) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise MalformedSecret(f"data.{name}", "base64 text")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedSecret(f"data.{name}", "base64 text") from None

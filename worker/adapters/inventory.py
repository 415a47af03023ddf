"""The durable record of an environment in its cluster: state and inventory, signed, bound to that cluster.

Both lie in ConfigMaps of Plumbline's own namespace. Whoever edits one, or copies one from another cluster, breaks its
signature; then nothing is pruned, and it is said. A large inventory is cut into shards that are written before the
state names them, so a crash between the two leaves the old ones in force.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from worker.adapters.cluster import Records
from worker.domain.convergence import EnvironmentState
from worker.domain.environment import Environment
from worker.domain.errors import Moved, Unavailable
from worker.domain.inventory import Inventory
from worker.domain.locks import Lock, Locks

SHARD: Final = 512 * 1024
"""Characters of inventory in one ConfigMap: half of the API server's limit of 1 MiB, so the state fits beside it."""

KEY_RECORD: Final = "plumbline-key"
RECORD_LABEL: Final = "plumbline.io/record"
OPEN_LABEL: Final = "plumbline.io/operation"
MANAGED: Final = {"app.kubernetes.io/managed-by": "plumbline"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """State and inventory as read; `trusted` is false where the signature or the cluster does not fit.

    An untrusted record is used for nothing but to be replaced: its inventory is empty, and `alarm` says why.
    """

    state: EnvironmentState
    inventory: Inventory
    trusted: bool = True
    alarm: str = ""
    known: bool = False
    record: dict[str, Any] | None = field(default=None, repr=False, compare=False)


class StateStore:
    """Reads and writes the records of environments in one cluster."""

    def __init__(self, records: Records, cluster_uid: Callable[[], str]) -> None:
        self._records = records
        self._ask_uid = cluster_uid
        self._uid = ""
        self._key: bytes | None = None

    @property
    def _cluster_uid(self) -> str:
        if not self._uid:
            self._uid = self._ask_uid()
        return self._uid

    @property
    def records(self) -> Records:
        """The plain records, for the leases beside them."""
        return self._records

    def key(self) -> bytes:
        """The installation's key in this cluster, made by the first that needs it."""
        if self._key is None:
            self._key = self._records.key(KEY_RECORD, secrets.token_bytes(32))
        return self._key

    def existing_key(self) -> bytes | None:
        """The key where there is one already: for who only reads."""
        if self._key is None:
            self._key = self._records.existing_key(KEY_RECORD)
        return self._key

    def read(self, environment: Environment) -> Recorded:
        """What is recorded of an environment; a fresh state where nothing is."""
        fresh = EnvironmentState(environment.slug, self._cluster_uid)
        record = self._records.read("ConfigMap", environment.state_name)
        if record is None:
            return Recorded(fresh, Inventory(()))
        return self._opened(record, fresh)

    def find(self, repository: str, environment: str, instance: str) -> Recorded:
        """What is recorded under a repository's and an environment's name."""
        return self.read(Environment(repository, environment, "", "", "", "", instance=instance))

    def opened(self, record: dict[str, Any]) -> Recorded:
        """What a state ConfigMap (from a LIST or a watch) says."""
        return self._opened(record, EnvironmentState("", self._cluster_uid))

    def _opened(self, record: dict[str, Any], fresh: EnvironmentState) -> Recorded:
        name = record["metadata"]["name"]
        data = record.get("data") or {}
        text = data.get("state", "")
        if not self._signed(name, text, data.get("signature", "")):
            closed = replace(fresh, locks=_closed_by(text, record))
            alarm = self._alarm(name, "its signature")
            return Recorded(closed, Inventory(()), trusted=False, alarm=alarm, record=record)
        document = json.loads(text)
        try:
            state = EnvironmentState.from_json(document["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"the record {self._records.namespace}/{name} was written by another version of Plumbline ({error}): "
                "use that version, or delete the record (nothing is pruned until the next apply has written it again)"
            ) from None
        if state.cluster_uid != self._cluster_uid:
            alarm = self._alarm(name, "the cluster that it was written for")
            closed = replace(fresh, locks=state.locks.closing)
            return Recorded(closed, Inventory(()), trusted=False, alarm=alarm, record=record)
        shards = [data.get("inventory", "")] if not document["shards"] else []
        for shard, digest in document["shards"]:
            found = self._records.read("ConfigMap", shard)
            shards.append(((found or {}).get("data") or {}).get("inventory", ""))
            if _digest(shards[-1]) != digest:
                alarm = self._alarm(shard, "its digest")
                return Recorded(state, Inventory(()), trusted=False, alarm=alarm, known=True, record=record)
        if _digest("".join(shards)) != document["inventory"]:
            alarm = self._alarm(name, "its inventory's digest")
            return Recorded(state, Inventory(()), trusted=False, alarm=alarm, known=True, record=record)
        return Recorded(state, Inventory.from_json(json.loads("".join(shards))), known=True, record=record)

    def _alarm(self, name: str, what: str) -> str:
        return (
            f"the record {self._records.namespace}/{name} is not as Plumbline wrote it ({what} does not fit): "
            "pruning is off until the next full apply has written it again"
        )

    def write(
        self, environment: Environment, recorded: Recorded, state: EnvironmentState, inventory: Inventory
    ) -> Recorded:
        """Stores state and inventory over what `recorded` was read from.

        Raises Moved where somebody else wrote it meanwhile.
        """
        name = environment.state_name
        entries = json.dumps(inventory.to_json(), separators=(",", ":"))
        pieces = [entries[start : start + SHARD] for start in range(0, len(entries), SHARD)]
        shards: list[tuple[str, str]] = []
        if len(pieces) > 1:
            generation = secrets.token_hex(4)
            for number, piece in enumerate(pieces):
                shard = f"{name}-{generation}-{number}"
                labels = {**MANAGED, RECORD_LABEL: "inventory"}
                if self._records.create("ConfigMap", shard, labels, {"data": {"inventory": piece}}) is None:
                    raise Unavailable(f"the inventory shard {shard} exists already")
                shards.append((shard, _digest(piece)))
        document = {"state": state.to_json(), "shards": shards, "inventory": _digest(entries)}
        text = json.dumps(document, separators=(",", ":"))
        data = {"state": text, "signature": self._signature(name, text)}
        if not shards:
            data["inventory"] = entries
        is_open = state.episode is not None or (state.operation is not None and state.operation.phase.is_open)
        labels = {**MANAGED, RECORD_LABEL: "state", OPEN_LABEL: "open" if is_open else "closed"}
        if recorded.record is None:
            stored = self._records.create("ConfigMap", name, labels, {"data": data})
        else:
            metadata = {**recorded.record["metadata"], "labels": labels}
            stored = self._records.replace({**recorded.record, "metadata": metadata, "data": data})
        if stored is None:
            raise Moved(f"the record of {environment.name}")
        self._forget_shards(recorded, {shard for shard, _ in shards})
        return replace(recorded, state=state, inventory=inventory, trusted=True, alarm="", known=True, record=stored)

    def _forget_shards(self, recorded: Recorded, kept: set[str]) -> None:
        text = ((recorded.record or {}).get("data") or {}).get("state", "")
        if not recorded.trusted or not text:
            return
        for shard, _ in json.loads(text)["shards"]:
            if shard not in kept:
                self._records.delete("ConfigMap", shard)

    def _signature(self, name: str, text: str) -> str:
        message = "\0".join(("plumbline-state", self._cluster_uid, name, text))
        return hmac.new(self.key(), message.encode(), hashlib.sha256).hexdigest()

    def _signed(self, name: str, text: str, signature: str) -> bool:
        return hmac.compare_digest(self._signature(name, text), signature)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _closed_by(text: str, record: dict[str, Any]) -> Locks:
    """What an unsigned record says of holds and freezes; where it says nothing that can be read, a hold of Plumbline's own.

    It only stops, and people release it: damage must not let go of what somebody held.
    """
    try:
        found = Locks.from_json(json.loads(text)["state"].get("locks") or Locks().to_json()).closing
    except (ValueError, KeyError, TypeError, AttributeError):
        found = None
    if found is not None and all(_is_lock(each) for each in (found.hold, found.freeze) if each is not None):
        return found
    made = datetime.fromisoformat(record["metadata"]["creationTimestamp"]).timestamp()
    return Locks(hold=Lock("Plumbline", made, "its record cannot be read, so whether somebody held it is not known"))


def _is_lock(lock: Lock) -> bool:
    return isinstance(lock.by, str) and isinstance(lock.reason, str) and isinstance(lock.since, float | int)

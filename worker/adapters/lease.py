"""One writer per environment: a Lease in the cluster, and the knowledge whether it is still ours.

A check is not a fence: every write also carries the uid and resourceVersion of what was judged, and its time-out is
shorter than the lease. The figures are the design's: 8 s, renewed every 2 s. How old a renewal is, is told by the API
server's clock alone (when it stored the renewal, and what time it says it is now): clocks of workers may differ or jump.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from worker.adapters.cluster import Records
from worker.domain.errors import LeaseLost, PlumblineError, Unavailable

DURATION: Final = 8.0
RENEW_EVERY: Final = 2.0
STILL_FOR: Final = 3.0
"""A holder that lives renews within 2 s: an old lease that stood still this long under our eyes has no holder."""

PATIENCE: Final = 4.0
"""Seconds that a job looks at a held lease before it goes back to the queue; enough to see that nobody renews it."""

POLL: Final = 0.1
LABELS: Final = {"app.kubernetes.io/managed-by": "plumbline", "plumbline.io/record": "lease"}


class Lease:
    """A held lease: renewed by a thread until released."""

    def __init__(self, records: Records, record: dict[str, Any], environment: str, holder: str) -> None:
        self._records = records
        self._record = record
        self._environment = environment
        self._holder = holder
        self._renewed = time.monotonic()
        self._taken_by: str | None = None
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises LeaseLost where the lease is no longer certainly ours; nothing may be written then."""
        if self._taken_by is not None:
            raise LeaseLost(self._environment, self._taken_by)
        if time.monotonic() - self._renewed > DURATION - RENEW_EVERY:
            raise LeaseLost(self._environment)

    def _keep(self) -> None:
        while not self._stop.wait(RENEW_EVERY):
            with contextlib.suppress(PlumblineError):
                if not self._renew():
                    return

    def _renew(self) -> bool:
        with self._guard:
            if self._stop.is_set():
                return False
            if time.monotonic() - self._renewed > DURATION:
                self._taken_by = "nobody that is known (it ran out)"
                return False
            asked = time.monotonic()
            stored = self._records.replace(_held(self._record, self._holder))
            if stored is None:
                found = self._records.read("Lease", self._record["metadata"]["name"])
                holder = (found or {}).get("spec", {}).get("holderIdentity")
                if holder != self._holder:
                    self._taken_by = holder or "nobody"
                    return False
                self._record = found or self._record
                return True
            self._record, self._renewed = stored, asked
            return True

    def release(self) -> None:
        """Gives the lease back, so that the next writer need not wait."""
        self._stop.set()
        with self._guard, contextlib.suppress(PlumblineError):
            if self._taken_by is None:
                self._records.replace(_held(self._record, ""))
        self._thread.join(timeout=1)


@contextlib.contextmanager
def held(records: Records, name: str, environment: str, holder: str) -> Iterator[Lease]:
    """Holds the environment's lease for the block. Raises Unavailable where another writer keeps holding it."""
    lease = Lease(records, _acquire(records, name, environment, holder), environment, holder)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(records: Records, name: str, environment: str, holder: str) -> dict[str, Any]:
    started = time.monotonic()
    seen: tuple[str, float] | None = None
    while True:
        found, server_time = records.read_at("Lease", name)
        if found is None:
            fresh = {"spec": _spec(holder, 0)}
            if (created := records.create("Lease", name, LABELS, fresh)) is not None:
                return created
            continue
        version = found["metadata"]["resourceVersion"]
        if seen is None or seen[0] != version:
            seen = (version, time.monotonic())
        owner = found.get("spec", {}).get("holderIdentity") or ""
        still = time.monotonic() - seen[1]
        if not owner or (_age(found, server_time) > DURATION and still >= STILL_FOR):
            if (taken := records.replace(_held(found, holder))) is not None:
                return taken
            continue
        if time.monotonic() - started > PATIENCE:
            raise Unavailable(f"{environment} is being written by {owner}", retry_after=1)
        time.sleep(POLL)


def _held(record: dict[str, Any], holder: str) -> dict[str, Any]:
    spec = record.get("spec", {})
    changed = int(spec.get("leaseTransitions") or 0) + (spec.get("holderIdentity") != holder)
    return {**record, "spec": _spec(holder, changed)}


def _spec(holder: str, transitions: int) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": int(DURATION),
        "leaseTransitions": transitions,
        "renewTime": now,
    }


def _age(record: dict[str, Any], server_time: float) -> float:
    """Seconds since the record was last written, by the server's clock (which counts whole seconds: one less is certain)."""
    written = [entry["time"] for entry in record["metadata"].get("managedFields") or () if entry.get("time")]
    if not written:
        return DURATION + 1
    return server_time - max(datetime.fromisoformat(time).timestamp() for time in written) - 1

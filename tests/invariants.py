"""What must hold after any fault, asked of the real parts: cluster, record, lease, note, logs, Redis, cache."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import redis

from plumbline.local_system import REPOSITORY, LocalSystem, git
from sandbox.processes import Server, wait_until
from worker.adapters.inventory import Recorded
from worker.domain.environment import Environment
from worker.jobs import LOOKED_AT
from worker.previews import predict_revision
from worker.settings import Settings
from worker.workbench import Workbench


def note_of(system: LocalSystem, revision: str, environment: str = "production") -> dict[str, Any]:
    """What is written back of a revision in one environment; at most one line may be."""
    listed = git("notes", "--ref", "plumbline", "list", at=system.repository) if _has_notes(system) else ""
    if revision not in listed:
        return {}
    text = git("notes", "--ref", "plumbline", "show", revision, at=system.repository)
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    mine = [row for row in rows if row["environment"] == environment]
    assert len(mine) < 2, text
    assert "Traceback" not in text
    return mine[0] if mine else {}


def _has_notes(system: LocalSystem) -> bool:
    return bool(git("for-each-ref", "refs/notes/plumbline", at=system.repository))


def wait_converged(system: LocalSystem, revision: str, seconds: float = 60, environment: str = "production") -> None:
    """Waits until a revision's note says that it is converged."""
    what = f"{revision[:7]} is converged"
    wait_until(lambda: note_of(system, revision, environment).get("state") == "converged", seconds, what)


def recorded_of(system: LocalSystem, environment: str = "production") -> Recorded:
    """What the cluster's record says of an environment."""
    bench = _bench(system)
    try:
        return bench.bench("sandbox").states.find(REPOSITORY, environment, "default")
    finally:
        bench.queue.connection.close()


def assert_invariants(
    system: LocalSystem,
    revision: str,
    *,
    environment: str = "production",
    secrets: Iterable[str] = (),
    deletes: Iterable[str] | None = None,
    requests: Iterable[tuple[str, str]] = (),
) -> None:
    """Asserts what must hold once an environment is converged at a revision, whatever happened on the way.

    The cluster holds exactly what Git says, and one record and one note say so (1, 2, 5); only `deletes` (names) were
    deleted, as the proxied `requests` show (4); `secrets` are in no log and nowhere in Redis (6); no living worker holds the
    lease, and the cache is clean (8); no trace of ours and no internal error is in any log or note (9).
    """
    bench = _bench(system)
    try:
        repository = bench.repository(REPOSITORY)
        checkout = bench.checkout(repository)
        declaration = bench.declaration(checkout, repository, revision, "main")
        found = declaration.environment(environment)
        assert found is not None
        side = bench.bench(found.cluster)

        def at_rest() -> bool:
            operation = side.states.read(found).state.operation
            return operation is not None and operation.phase not in LOOKED_AT

        wait_until(at_rest, 30, "the operation is over")
        prediction = predict_revision(bench, repository, checkout, found, revision)
        assert prediction.plan.is_empty, prediction.plan.to_json()
        recorded = side.states.read(found)
        desired = set(prediction.desired.keys)
        assert {entry.key for entry in recorded.inventory.entries} == desired
        assert all(entry.uid for entry in recorded.inventory.entries)
        assert _owned(bench, found) == {key.name for key in desired if key.kind == "ConfigMap"}
        converged = [each["revision"] for each in recorded.state.history if each["outcome"] == "converged"]
        assert converged.count(revision) == 1, recorded.state.history
        assert recorded.state.applied is not None
        assert recorded.state.applied.revision == revision
        checkout.close()

        def released() -> bool:
            lease = side.states.records.read("Lease", found.state_name)
            holder = str((lease or {}).get("spec", {}).get("holderIdentity") or "")
            return not holder or holder.rpartition("-")[2] not in {str(each.pid) for each in alive(system)}

        wait_until(released, 15, "no living worker holds the lease")
    finally:
        bench.queue.connection.close()
    assert note_of(system, revision, environment)["state"] == "converged"
    if deletes is not None:
        gone = {path.partition("?")[0].rpartition("/")[2] for method, path in requests if method == "DELETE"}
        assert gone <= set(deletes), gone
    _assert_clean(system, list(secrets))


def alive(system: LocalSystem) -> list[Server]:
    """The processes of a system that run."""
    return [server for server in system.servers.values() if server.is_running]


def _assert_clean(system: LocalSystem, secrets: list[str]) -> None:
    for log in system.directory.glob("*.log"):
        text = log.read_text(errors="replace")
        assert "internal error" not in text, log
        assert "Traceback" not in text, log
        assert not [secret for secret in secrets if secret in text], log
    with redis.Redis.from_url(system.redis_url) as connection:
        for key in connection.keys("*"):
            dumped = connection.dump(key) or b""
            assert not [secret for secret in secrets if secret.encode() in dumped], key
    left = [*(system.directory / "cache").rglob("tmp_*"), *(system.directory / "cache").rglob("draft-*")]
    assert left == []
    assert list(system.repository.rglob("*.lock")) == []


def _bench(system: LocalSystem) -> Workbench:
    return Workbench.of(Settings.load(system.environ))


def _owned(bench: Workbench, environment: Environment) -> set[str]:
    """The ConfigMaps that carry the environment's label."""
    cluster = bench.bench(environment.cluster).cluster
    served = cluster.discovery.find("", "ConfigMap", "v1")
    assert served is not None
    label = f"plumbline.io/environment={environment.owner_label}"
    return {found.key.name for found in cluster.select(served, environment.namespace, label=label)}

"""Attacks and faults of the queue; each name begins with the threat's number."""

from __future__ import annotations

import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map, declaration
from worker.domain.messages import CONVERGE, KEYS, PREVIEW, PREVIEWS_QUEUE, applies_queue
from worker.domain.secret_text import SecretText, SettingsError
from worker.installation_files import checked_redis_url
from worker.signed_queue import SignedQueue


def forged(redis_url: str, witness: Path) -> list[str]:
    """Puts every kind of forged job that a writer to Redis could think of on a queue; their ids."""
    connection = redis.Redis.from_url(redis_url)
    queue = Queue(PREVIEWS_QUEUE, connection=connection, serializer=JSONSerializer)
    command = f"touch {witness}"
    ids = [
        queue.enqueue("subprocess.getoutput", command).id,
        queue.enqueue(PREVIEW, json.dumps({"schema": 1}), "0" * 64).id,
    ]
    mine = SignedQueue(redis_url, b"another key than the one of the installation")
    mine.enqueue(PREVIEWS_QUEUE, PREVIEW, {"schema": 1}, job_id="signed-by-another")
    ids.append("signed-by-another")

    class Payload:
        def __reduce__(self) -> Any:
            return os.system, (command,)

    pickled = queue.enqueue(PREVIEW, "x", "y")
    connection.hset(pickled.key, "data", zlib.compress(pickle.dumps((PREVIEW, None, (Payload(),), {}))))
    called_back = queue.enqueue(PREVIEW, "x", "y")
    for name in ("success_callback_name", "failure_callback_name", "stopped_callback_name"):
        connection.hset(called_back.key, name, "subprocess.getoutput")
    instance = queue.enqueue(PREVIEW, "x", "y")
    connection.hset(instance.key, "data", zlib.compress(json.dumps([PREVIEW, command, ["x", "y"], {}]).encode()))
    connection.close()
    mine.connection.close()
    return [*ids, pickled.id, called_back.id, instance.id]


class TestA59:
    def test_forged_jobs_run_nothing_are_said_and_disturb_nobody(
        self, system: LocalSystem, clone: Clone, redis_url: str, tmp_path: Path
    ) -> None:
        witness = tmp_path / "witness"
        ids = forged(redis_url, witness)
        with redis.Redis.from_url(redis_url) as connection:

            def ended() -> bool:
                return all(connection.hget(Job.key_for(each), "status") == b"failed" for each in ids)

            wait_until(ended, 30, "every forged job is refused")
        assert not witness.exists()
        assert system.log("worker").count("ALERT forged job refused") >= 3
        clone.write("app/a.yaml", config_map("a", n="1"))
        clone.commit("1")
        push = clone.push()
        assert push.returncode == 0
        assert "verified" in push.stderr

    def test_a_job_of_ours_on_another_queue_or_under_another_id_is_refused(
        self, system: LocalSystem, redis_url: str
    ) -> None:
        key = (system.directory / "signing-key").read_text().strip().encode()
        ours = SignedQueue(redis_url, key)
        body = json.dumps({"schema": 1})
        signature = ours.sign("first", applies_queue("sandbox"), CONVERGE, body)
        queue = Queue(PREVIEWS_QUEUE, connection=ours.connection, serializer=JSONSerializer)
        job = queue.enqueue(CONVERGE, body, signature, job_id="first")
        wait_until(lambda: ours.connection.hget(job.key, "status") == b"failed", 20, "it is refused")
        assert "ALERT forged job refused" in system.log("worker")
        ours.connection.close()

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://127.0.0.1:6379/0", "no password"),
            ("redis://:pw@redis.example:6379/0", "without TLS"),
            ("http://:pw@127.0.0.1/", "must start with"),
        ],
    )
    def test_a_redis_that_anybody_could_write_to_is_refused_at_the_start(self, url: str, said: str) -> None:
        with pytest.raises(SettingsError, match=said) as caught:
            checked_redis_url(SecretText(url))
        assert "pw" not in str(caught.value)
        assert checked_redis_url(SecretText("rediss://:pw@redis.example:6379/0"))

    def test_a_parcel_that_was_changed_is_not_taken(self, redis_url: str) -> None:
        queue = SignedQueue(redis_url, b"k" * 32)
        queue.put_parcel("one", b"content")
        assert b"content" not in (queue.connection.get(KEYS + ":parcel:one") or b"")
        queue.connection.append(KEYS + ":parcel:one", b"x")
        assert queue.take_parcel("one") is None
        queue.put_parcel("two", b"content")
        queue.connection.rename(KEYS + ":parcel:two", KEYS + ":parcel:three")
        assert queue.take_parcel("three") is None
        queue.put_parcel("four", b"content")
        assert queue.take_parcel("four") == b"content"
        assert queue.take_parcel("four") is None
        queue.connection.close()


class TestA60:
    def test_callbacks_and_job_classes_of_the_hash_are_not_imported(
        self, system: LocalSystem, redis_url: str, tmp_path: Path
    ) -> None:
        key = (system.directory / "signing-key").read_text().strip().encode()
        ours = SignedQueue(redis_url, key)
        (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'witness')!r}, 'w')\n")
        system.servers["worker"].kill()
        late = {
            "schema": 1,
            "ticket": "t",
            "repository": "shop",
            "updates": [],
            "has_objects": False,
            "deadline": 0,
            "approvals": [],
        }
        assert ours.enqueue(PREVIEWS_QUEUE, PREVIEW, late, job_id="authentic")
        name = Job.key_for("authentic")
        for field in ("success_callback_name", "failure_callback_name", "stopped_callback_name", "job_class"):
            ours.connection.hset(name, field, "evil.anything")
        system.run("worker", "worker-2")
        wait_until(lambda: not ours.connection.exists(name), 30, "the job is done")
        assert not (tmp_path / "witness").exists()
        assert "evil" not in system.log("worker-2")
        ours.connection.close()


class TestF09:
    @pytest.mark.timeout(400)
    def test_a_worker_killed_at_any_write_loses_nothing(
        self,
        control_plane: ControlPlane,
        redis_url: str,
        tools: dict[str, Path],
        namespace: str,
        tmp_path: Path,
        kubectl: Kubectl,
        proxy: ApiProxy,
    ) -> None:
        with redis.Redis.from_url(redis_url) as connection:
            connection.flushall()
        with LocalSystem.start(
            tmp_path / "system",
            kubeconfig=proxy.kubeconfig,
            redis_url=redis_url,
            tools=tools["helm"].parent,
            namespaces=[namespace],
            state_namespace=f"state-{namespace}",
            poll="2s",
        ) as system:
            clone = Clone(tmp_path / "clone", system.repository)
            clone.write("plumbline.yaml", declaration(namespace, settle="1s"))
            for number in range(4):
                clone.write(f"app/c{number}.yaml", config_map(f"c{number}", n="0"))
            clone.commit("0")
            assert clone.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
            for kill_at in range(1, 6):
                revision = _push_and_kill(system, clone, proxy, kill_at)

                def converged(tip: str = revision) -> bool:
                    name = "refs/plumbline/production/converged"
                    return tip in git("for-each-ref", "--format=%(objectname)", name, at=system.repository)

                wait_until(converged, 60, f"another worker finishes what was killed at write {kill_at}")
                listed = kubectl("-n", namespace, "get", "configmaps", "-o", "json").stdout
                live = {item["metadata"]["name"]: item["data"] for item in json.loads(listed)["items"]}
                wanted = {f"c{number}": {"n": str(kill_at)} for number in range(4)} | {f"new{kill_at}": {"a": "1"}}
                assert {name: data for name, data in live.items() if name != "kube-root-ca.crt"} == wanted


def _push_and_kill(system: LocalSystem, clone: Clone, proxy: ApiProxy, kill_at: int) -> str:
    """Pushes a change of four objects, a new one and a prune; kills the worker at its n-th write; starts another."""
    for number in range(4):
        clone.write(f"app/c{number}.yaml", config_map(f"c{number}", n=str(kill_at)))
    clone.write(f"app/new{kill_at}.yaml", config_map(f"new{kill_at}", a="1"))
    (clone.folder / f"app/new{kill_at - 1}.yaml").unlink(missing_ok=True)
    revision = clone.commit(str(kill_at))
    name = next(name for name, server in system.servers.items() if name.startswith("worker") and server.is_running)
    count = 0

    def rule(method: str, path: str) -> int | None:
        nonlocal count
        if method in ("PATCH", "DELETE", "PUT", "POST") and "dryRun" not in path and "/leases" not in path:
            count += 1
            if count == kill_at:
                system.servers[name].kill()
        return None

    proxy.rule = rule
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_until(lambda: not system.servers[name].is_running, 30, "the worker is killed")
    proxy.rule = lambda method, path: None
    system.run("worker", f"worker-{kill_at}-again")
    return revision

"""What somebody who can write to Redis could try: nothing runs, nothing is believed, and it is said."""

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

from plumbline.local_system import Clone, LocalSystem
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
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


def test_a59_forged_jobs_run_nothing_are_said_and_disturb_nobody(
    system: LocalSystem, clone: Clone, redis_url: str, tmp_path: Path
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


def test_a59_a_job_of_ours_on_another_queue_or_under_another_id_is_refused(system: LocalSystem, redis_url: str) -> None:
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
def test_a59_a_redis_that_anybody_could_write_to_is_refused_at_the_start(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        checked_redis_url(SecretText(url))
    assert "pw" not in str(caught.value)
    assert checked_redis_url(SecretText("rediss://:pw@redis.example:6379/0"))


def test_a59_a_parcel_that_was_changed_is_not_taken(redis_url: str) -> None:
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


def test_a60_callbacks_and_job_classes_of_the_hash_are_not_imported(
    system: LocalSystem, redis_url: str, tmp_path: Path
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


def test_a59_forged_hints_predictions_and_lines_are_not_believed(
    system: LocalSystem, clone: Clone, redis_url: str, kubectl: Kubectl, namespace: str
) -> None:
    """What Redis holds besides jobs decides nothing: Git says what is wanted, the signature what was predicted."""
    clone.write("app/a.yaml", config_map("a", n="1"))
    revision = clone.commit("1")
    with redis.Redis.from_url(redis_url) as connection:
        connection.set(f"{KEYS}:head:shop:production", "f" * 40)
        connection.set(f"{KEYS}:told:shop:production", f"{revision} converged")
        for slug in ("shop/production", "default:shop/production"):
            body = json.dumps({"fingerprint": "f" * 32, "summary": {}, "at": 0})
            forged_prediction = json.dumps({"body": body, "signature": "0" * 64})
            connection.set(f"{KEYS}:prediction:{slug}:{revision}", forged_prediction)
        connection.xadd(f"{KEYS}:stream:shop:{revision}", {"line": "\x1b[2J\x1b]0;owned\x07remote: deploy OK"})
        push = clone.push("-o", "plumbline.wait=30", "origin", "main")
        assert push.returncode == 0, push.stderr
        assert "as predicted" in push.stderr
        assert "converged" in push.stderr
        assert "\x1b" not in push.stderr
        assert "\x07" not in push.stderr
    live = kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.data.n}").stdout
    assert live == "1"

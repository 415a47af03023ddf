"""The queue between bot and worker: RQ with signed JSON jobs, a fixed table of functions, and a sweeper.

The only speaker of RQ in the program; `bot` and `worker` both stand on it. What RQ takes from Redis on trust is not
trusted here: a job names one of the functions that its worker was started with, carries an HMAC over its id, queue,
function and message (the key is not in Redis), and has no callbacks, webhooks, instances or pickles.

Jobs run in the worker's own process: connections and caches stay warm, and what is dangerous (rendering) has a child of
its own. A thread keeps the heartbeat while a job runs; a worker that is killed or stopped loses it, and within
`HEARTBEAT_SECONDS` any other worker's sweeper puts the job back in front of its queue.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import redis
from rq import Queue, Retry, SimpleWorker
from rq.exceptions import DuplicateJobError
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now

from worker.domain.errors import PlumblineError, Unavailable

HEARTBEAT_SECONDS: Final = 12
"""A running job without a sign of life for this long is given to another worker; longer than the 8 s lease."""

SWEEP_SECONDS: Final = 1.0
BACKOFF_SECONDS: Final = (1, 2, 5, 10, 30, 60, 120, 300)
"""Waits between tries of a job that met `Unavailable`; then it fails and the poller is what brings it back."""

MAX_ATTEMPTS: Final = 5
"""How often a job whose worker died under it is started again before it counts as the cause."""

FAILURE_SECONDS: Final = 24 * 3600
"""How long a failed job can be looked at; RQ's own default is a year."""

JobFunction = Callable[[dict[str, Any]], object]

log = logging.getLogger("plumbline.queue")


class ForgedJob(Exception):
    """A job whose signature, function or shape is not one of ours; it is not run."""


class SignedQueue:
    """One end of the queue: enqueues signed jobs and passes encrypted parcels.

    `url` is the Redis address with its password, `key` the secret that bot and worker share (at least 16 bytes).
    """

    def __init__(self, url: str, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError("the signing key needs at least 16 bytes")
        self.connection = redis.Redis.from_url(url, socket_keepalive=True, health_check_interval=15)
        self._job_key = _derived(key, b"jobs")
        self._parcel_key = _derived(key, b"parcels")

    def enqueue(
        self,
        queue: str,
        job: str,
        payload: Mapping[str, Any],
        *,
        job_id: str,
        timeout: int = 60,
        delay: float = 0.0,
    ) -> bool:
        """Puts a job on a queue unless one of the same id waits or runs already.

        `job` is a name of `worker.domain.messages.JOBS`, `payload` its message as JSON types, `timeout` and `delay` are
        seconds. Returns whether it was put there. Raises Unavailable when Redis does not answer.
        """
        body = json.dumps(payload, separators=(",", ":"), sort_keys=True)
        signature = self.sign(job_id, queue, job, body)
        target = Queue(queue, connection=self.connection, serializer=JSONSerializer, job_class=SignedJob)
        prepared = target.create_job(
            job,
            args=(body, signature),
            job_id=job_id,
            timeout=timeout,
            result_ttl=0,
            failure_ttl=FAILURE_SECONDS,
            description=job,
        )
        try:
            self._forget_ended(job_id)
            if delay > 0:
                due = now() + timedelta(seconds=delay)
                target.schedule_job(prepared, due, unique=True)
            else:
                target.enqueue_job(prepared, unique=True)
        except DuplicateJobError:
            return False
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from None
        return True

    def _forget_ended(self, job_id: str) -> None:
        """A failed job of the same id must not stand in the way of asking again."""
        status = self.connection.hget(Job.key_for(job_id), "status")
        if status in (b"failed", b"stopped", b"canceled", b"finished"):
            self.connection.delete(Job.key_for(job_id))

    def sign(self, job_id: str, queue: str, job: str, body: str) -> str:
        """The hex HMAC-SHA256 that binds a message to one job id, queue and function."""
        return hmac.new(self._job_key, "\0".join((job_id, queue, job, body)).encode(), hashlib.sha256).hexdigest()

    def put_parcel(self, name: str, data: bytes, seconds: int = 60) -> None:
        """Keeps bytes for `seconds`, encrypted with a key that Redis does not hold (AES-256-GCM, bound to the name)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(self._parcel_key).encrypt(nonce, data, name.encode())
        try:
            self.connection.set(_parcel(name), sealed, ex=seconds)
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer ({type(error).__name__})") from None

    def take_parcel(self, name: str) -> bytes | None:
        """The bytes of a parcel, which is gone afterwards; None when it expired or is not what was put there."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sealed = self.connection.getdel(_parcel(name))
        if not isinstance(sealed, bytes) or len(sealed) < 28:
            return None
        try:
            return AESGCM(self._parcel_key).decrypt(sealed[:12], sealed[12:], name.encode())
        except InvalidTag:
            log.error("parcel refused name=%s: it is not what was put there", name)
            return None


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"plumbline/" + purpose, hashlib.sha256).digest()


def _parcel(name: str) -> str:
    return f"plumbline:parcel:{name}"


class SignedJob(Job):
    """An RQ job that runs only what its worker's table names, and only with a valid signature."""

    queue_end: SignedQueue | None = None
    table: Mapping[str, JobFunction] = {}

    def restore(self, raw_data: Any) -> Any:
        """Reads the job, and drops everything that RQ would import or call because the hash says so."""
        result = super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []
        self.repeats_left = None
        self.repeat_intervals = None
        self._dependency_ids = []
        self.timeout = min(self.timeout or 60, 3600) if isinstance(self.timeout, int) else 60
        return result

    @property
    def func(self) -> Any:
        """The function of the table that this job names; raises ForgedJob where there is none."""
        return self._authentic()[0]

    def _authentic(self) -> tuple[JobFunction, dict[str, Any]]:
        assert self.queue_end is not None
        name, args = self.func_name, self.args
        if self.instance is not None or self.kwargs or len(args) != 2 or not all(isinstance(arg, str) for arg in args):
            raise ForgedJob(f"job {self.id} has a shape that is not ours")
        body, signature = args
        expected = self.queue_end.sign(self.id, self.origin, str(name), body)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise ForgedJob(f"job {self.id} has no valid signature")
        function = self.table.get(str(name))
        if function is None:
            raise ForgedJob(f"job {self.id} names a function that this worker does not run")
        return function, json.loads(body)

    def _execute(self) -> Any:
        function, message = self._authentic()
        try:
            function(message)
        except Unavailable as error:
            tried = self.number_of_retries or 0
            if tried >= len(BACKOFF_SECONDS):
                raise
            wait = max(int(error.retry_after or 0), BACKOFF_SECONDS[tried])
            log.warning("job will be tried again id=%s function=%s in=%ds: %s", self.id, self.func_name, wait, error)
            return Retry(max=len(BACKOFF_SECONDS), interval=wait)
        return None


class SignedWorker(SimpleWorker):
    """Our RQ worker: JSON only, signed jobs only, in one process, with a heartbeat thread and a sweeper."""

    job_class = SignedJob

    def subscribe(self) -> None:
        """Takes no commands over Redis' channels: signals are how this process is told to stop."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Seconds until a running job without a heartbeat counts as lost."""
        return HEARTBEAT_SECONDS

    def run_maintenance_tasks(self) -> None:
        """RQ would fail lost jobs here; the sweeper brings them back instead."""
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares it as None

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Runs the job while a thread keeps its heartbeat."""
        with self._beating(job, execution):
            return bool(super().perform_job(job, queue, execution))

    @contextlib.contextmanager
    def _beating(self, job: Job, execution: Execution) -> Iterator[None]:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS / 4):
                with contextlib.suppress(redis.RedisError):
                    self.maintain_heartbeats(job, execution)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Writes one line to the log; the trace only where the fault is ours."""
        error = exc_info[1]
        if isinstance(error, ForgedJob):
            log.error("ALERT forged job refused queue=%s: %s", job.origin, error)
        elif isinstance(error, PlumblineError):
            log.error("job failed id=%s: %s", job.id, error)
        else:
            log.error("internal error, reference %s", job.id, exc_info=exc_info)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Keeps no trace in Redis: what is said of a failed job is where to look for it."""
        del exc_string
        said = f"see the worker's log, reference {job.id}"
        super().handle_job_failure(job, queue, started_job_registry, exc_string=said, execution=execution)


class Sweeper:
    """Brings back what RQ alone would leave: retries that are due, and jobs whose worker is gone."""

    _DUE = """
    if redis.call('zrem', KEYS[1], ARGV[1]) == 1 and redis.call('exists', KEYS[3]) == 1 then
      redis.call('hset', KEYS[3], 'status', 'queued')
      redis.call('sadd', KEYS[4], KEYS[2])
      redis.call('rpush', KEYS[2], ARGV[1])
      return 1
    end
    return 0"""

    _LOST = """
    if redis.call('zrem', KEYS[1], ARGV[1]) == 1 and redis.call('exists', KEYS[3]) == 1 then
      local tries = redis.call('hincrby', KEYS[3], 'plumbline_attempts', 1)
      if tries >= tonumber(ARGV[3]) then
        redis.call('hset', KEYS[3], 'status', 'failed')
        redis.call('expire', KEYS[3], ARGV[4])
        return -1
      end
      redis.call('hset', KEYS[3], 'status', 'queued')
      redis.call('sadd', KEYS[4], KEYS[2])
      redis.call('lpush', KEYS[2], ARGV[2])
      return 1
    end
    return 0"""

    def __init__(self, queue: SignedQueue, queues: Sequence[str]) -> None:
        self._connection = queue.connection
        self._queues = tuple(queues)
        self._due = self._connection.register_script(self._DUE)
        self._lost = self._connection.register_script(self._LOST)

    def sweep(self, at: float) -> int:
        """Moves every due and every lost job of the queues to where a worker takes it; returns how many.

        `at` is a Unix time. Two sweepers may run at once: removing the entry is what claims it.
        """
        moved = 0
        for name in self._queues:
            for member in self._members(f"rq:scheduled:{name}", at):
                moved += int(self._due(keys=self._keys(f"rq:scheduled:{name}", name, member), args=[member]))
            for member in self._members(f"rq:wip:{name}", at):
                job_id = member.rsplit(":", 1)[0]
                outcome = int(
                    self._lost(
                        keys=self._keys(f"rq:wip:{name}", name, job_id),
                        args=[member, job_id, MAX_ATTEMPTS, FAILURE_SECONDS],
                    )
                )
                if outcome == 1:
                    log.warning("job of a lost worker is put back id=%s queue=%s", job_id, name)
                elif outcome == -1:
                    log.error("job is given up, its worker died %d times id=%s queue=%s", MAX_ATTEMPTS, job_id, name)
                moved += max(outcome, 0)
        return moved

    def _members(self, key: str, at: float) -> list[str]:
        found = self._connection.zrangebyscore(key, 1, int(at))
        return [member.decode() for member in found]  # type: ignore[union-attr]

    def _keys(self, registry: str, queue: str, job_id: str) -> list[str]:
        return [registry, f"rq:queue:{queue}", Job.key_for(job_id), "rq:queues"]


def run_worker(queue: SignedQueue, queues: Sequence[str], table: Mapping[str, JobFunction], *, name: str) -> None:
    """Works on `queues` (first ones first) with the functions of `table` until SIGTERM or SIGINT.

    A job that runs is finished first. `name` is what logs call this worker; several may have the same.
    """
    job_class = type("BoundJob", (SignedJob,), {"queue_end": queue, "table": dict(table)})
    worker = SignedWorker(
        list(queues),
        connection=queue.connection,
        name=f"{name}-{secrets.token_hex(6)}",
        job_class=job_class,
        serializer=JSONSerializer,
        worker_ttl=60,
        default_result_ttl=0,
    )
    sweeper = Sweeper(queue, queues)
    stop = threading.Event()

    def sweep() -> None:
        while not stop.wait(SWEEP_SECONDS):
            try:
                sweeper.sweep(time.time())
            except redis.RedisError as error:
                log.warning("Redis does not answer (%s), trying again", type(error).__name__)

    thread = threading.Thread(target=sweep, name="sweeper", daemon=True)
    thread.start()
    try:
        worker.work(logging_level="WARNING")
    finally:
        stop.set()
        thread.join(timeout=5)

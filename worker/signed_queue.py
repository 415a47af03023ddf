"""The queue between bot and worker: signed JSON messages to a fixed table of functions, and encrypted parcels.

`signed_queue`, `sweeper` and `queue_worker` are the only speakers of RQ in the program; `bot` and `worker` both stand on
them. What RQ takes from Redis on trust is not trusted here: a job names one of the functions that its worker was started
with, carries an HMAC over its id, queue, function and message (the key is not in Redis), and has no callbacks, webhooks,
instances or pickles.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry as Retrying
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now

from worker.domain.errors import Unavailable
from worker.domain.messages import KEYS, UnknownMessage, checked
from worker.domain.secret_text import SettingsError
from worker.outage import Outage

ANSWERS_WITHIN: Final = 5.0
"""Seconds that Redis has for one answer; every blocking read of ours is shorter."""

MOST_CONNECTIONS: Final = 512
"""More than web has threads, each of which may hold one: the library's own 100 would turn away the others."""

FAILURE_SECONDS: Final = 24 * 3600
"""How long a failed job can be looked at; RQ's own default is a year."""

ENDED: Final = frozenset({b"failed", b"stopped", b"canceled", b"finished"})

JobFunction = Callable[[dict[str, Any]], object]

log = logging.getLogger("plumbline.queue")


class ForgedJob(Exception):
    """A job whose signature, function or shape is not one of ours; it is not run."""


def redis_failed(error: redis.RedisError) -> Unavailable:
    """What to say of a Redis that does not do its work, without its address."""
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return Unavailable("Redis is full (maxmemory): give it more, nothing is accepted until then")
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return Unavailable("Redis is a read-only replica: point the address at its primary")
    if isinstance(error, redis.exceptions.AuthenticationError):
        return Unavailable("Redis does not accept the password in its address")
    return Unavailable(f"Redis does not answer ({type(error).__name__})")


@contextlib.contextmanager
def redis_answering() -> Iterator[None]:
    """Around whatever is asked of Redis: raises Unavailable, with what to do, where Redis does not do it."""
    try:
        yield
    except redis.RedisError as error:
        raise redis_failed(error) from None


class ForeignJob(Exception):
    """A job that another version of Plumbline signed; it is not read here."""


class SignedQueue:
    """One end of the queue: enqueues signed jobs and passes encrypted parcels.

    `url` is the Redis address with its password, `key` the secret that bot and worker share (at least 16 bytes),
    `answers_within` how many seconds Redis has for one answer. A connection that was reset is opened again and the
    command repeated; an answer that does not come is not waited for twice.
    """

    def __init__(self, url: str, key: bytes, *, answers_within: float = ANSWERS_WITHIN) -> None:
        if len(key) < 16:
            raise ValueError("the signing key needs at least 16 bytes")
        again = Retrying(ExponentialBackoff(cap=0.2, base=0.02), 3, (redis.ConnectionError,))
        self.connection = redis.Redis.from_url(
            url,
            socket_keepalive=True,
            socket_connect_timeout=min(2.0, answers_within),
            socket_timeout=answers_within,
            health_check_interval=15,
            retry=again,
            max_connections=MOST_CONNECTIONS,
        )
        self.outage = Outage("Redis", self.address, time.monotonic)
        self._ahead: float | None = None
        self._read_at = 0.0
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
        with redis_answering():
            return _is_put(target, prepared, delay) or (
                self._forgets_ended(job_id) and _is_put(target, prepared, delay)
            )

    def _forgets_ended(self, job_id: str) -> bool:
        """A failed job of the same id must not stand in the way of asking again, but one that was given up does."""
        status, given_up = self._fields(Job.key_for(job_id), "status", "plumbline_given_up")
        if status in ENDED and not given_up:
            self.forget(job_id)
            return True
        return False

    def standing(self, *job_ids: str) -> list[str]:
        """Where each job is: `queued`, `started`, `scheduled` (to be tried again); empty without one. Raises Unavailable."""
        with redis_answering(), self.connection.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hget(Job.key_for(job_id), "status")
            found = pipeline.execute()
        return [status.decode() if isinstance(status, bytes) else "" for status in found]

    def forget(self, job_id: str) -> None:
        """Lets a job that was given up be asked for again, once that is recorded where it lasts."""
        self.connection.delete(Job.key_for(job_id))

    def _fields(self, key: str, *names: str) -> Any:
        return self.connection.hmget(key, names)

    def now(self, within: float = 0.0) -> float:
        """Unix time by the one clock that all processes share, Redis'; while it is away, as it went on.

        The last reading may be `within` seconds old. Raises Unavailable where it was never read.
        """
        if self._ahead is None or time.monotonic() - self._read_at >= within:
            try:
                self._ahead = redis_time(self.connection) - time.monotonic()
                self._read_at = time.monotonic()
            except redis.RedisError as error:
                if self._ahead is None:
                    raise redis_failed(error) from None
        return time.monotonic() + self._ahead

    @property
    def address(self) -> str:
        """Where Redis is, without its password: `127.0.0.1:6379`."""
        found = self.connection.connection_pool.connection_kwargs
        return f"{found.get('host', 'localhost')}:{found.get('port', 6379)}"

    def length(self, queue: str) -> int:
        """How many jobs of a queue have not begun. Raises Unavailable."""
        with redis_answering():
            found: Any = self.connection.llen(f"rq:queue:{queue}")
        return int(found)

    def is_served(self, queue: str) -> bool:
        """Whether a process works on a queue; one that was killed counts for another 80 s. Raises Unavailable."""
        with redis_answering():
            return any(self.connection.exists(worker) for worker in self.connection.smembers(f"rq:workers:{queue}"))

    def require_lasting(self) -> None:
        """Raises SettingsError where Redis may throw away what it was given, and Unavailable where it does not answer."""
        with redis_answering():
            policy = self.connection.info("memory").get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise SettingsError(
                f"Redis may throw jobs away when it is full (maxmemory-policy {policy}): set maxmemory-policy noeviction"
            )

    def sign(self, job_id: str, queue: str, job: str, body: str) -> str:
        """The hex HMAC-SHA256 that binds a message to one job id, queue and function."""
        return hmac.new(self._job_key, "\0".join((job_id, queue, job, body)).encode(), hashlib.sha256).hexdigest()

    def put_parcel(self, name: str, data: bytes, seconds: int = 60) -> None:
        """Keeps bytes for `seconds`, encrypted with a key that Redis does not hold (AES-256-GCM, bound to the name)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(self._parcel_key).encrypt(nonce, data, name.encode())
        with redis_answering():
            self.connection.set(_parcel(name), sealed, ex=seconds)

    def take_parcel(self, name: str) -> bytes | None:
        """The bytes of a parcel, which is gone afterwards; None when it expired or is not what was put there."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        with redis_answering():
            sealed = self.connection.getdel(_parcel(name))
        if not isinstance(sealed, bytes) or len(sealed) < 28:
            return None
        try:
            return AESGCM(self._parcel_key).decrypt(sealed[:12], sealed[12:], name.encode())
        except InvalidTag:
            log.error("parcel refused name=%s: it is not what was put there", name)
            return None


def _is_put(target: Queue, prepared: Job, delay: float) -> bool:
    """Whether a job is on its queue now, and was not before: RQ writes it and looks for its like in one step."""
    try:
        if delay > 0:
            target.schedule_job(prepared, now() + timedelta(seconds=delay), unique=True)
        else:
            target.enqueue_job(prepared, unique=True)
    except DuplicateJobError:
        return False
    return True


def redis_time(connection: redis.Redis) -> float:
    """Redis' own Unix time."""
    answer: Any = connection.time()
    return float(answer[0]) + float(answer[1]) / 1e6


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"plumbline/" + purpose, hashlib.sha256).digest()


def _parcel(name: str) -> str:
    return f"{KEYS}:parcel:{name}"


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
        message = json.loads(body)
        try:
            checked(message)
        except UnknownMessage as error:
            raise ForeignJob(f"job {self.id} is of another version of Plumbline ({error})") from None
        return function, message

    def message(self) -> dict[str, Any]:
        """What the job was asked to do. Raises ForgedJob and ForeignJob."""
        return self._authentic()[1]

    def _execute(self) -> Any:
        function, message = self._authentic()
        function(message)

"""A process that works on queues: RQ's simple worker, told to trust nothing, to outlive Redis and to stop in time.

Jobs run in the worker's own process: connections and caches stay warm, and what is dangerous (rendering) has a child of
its own. A thread keeps the heartbeat while a job runs; a worker that is killed or stopped loses it, and within
`HEARTBEAT_SECONDS` any other worker's sweeper puts the job back in front of its queue.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Final

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.utils import now

from worker.domain.errors import PlumblineError, Stopping, Unavailable
from worker.signed_queue import ForeignJob, ForgedJob, JobFunction, SignedJob, SignedQueue, redis_failed, redis_time
from worker.sweeper import HEARTBEAT_SECONDS, SWEEP_SECONDS, Sweeper

BACKOFF_SECONDS: Final = (1, 2, 5, 10, 30, 60, 120, 300)
"""Waits between tries of a job that met `Unavailable`; then it fails and the poller is what brings it back."""

WORKER_SECONDS: Final = 18
"""RQ's `worker_ttl`: an idle worker asks anew 15 s before it ends, so each blocking read takes 3 s, less than an answer may."""

STOP_SECONDS: Final = 12.0
"""A job that has not come to one of its steps by then (a long render) is broken off and goes back to the queue."""

EXIT_SECONDS: Final = 22.0
"""Then the process ends, whatever it does; the sweeper of another brings the job back."""

TOGETHER_SECONDS: Final = 1.0
"""Signals within this time are one word: Ctrl-C reaches all processes of a terminal, and their supervisor sends TERM after it."""

RECONNECT_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

log = logging.getLogger("plumbline.queue")


class SignedWorker(SimpleWorker):
    """Our RQ worker: JSON only, signed jobs only, in one process, with a heartbeat thread."""

    job_class = SignedJob
    max_connection_wait_time = 2.0
    waits = False
    performs = False

    def subscribe(self) -> None:
        """Takes no commands over Redis' channels: signals are how this process is told to stop."""

    def unsubscribe(self) -> None:
        """Nothing was subscribed."""

    def _install_signal_handlers(self) -> None:
        """They are the process's own: it may outlive this worker."""

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002
        """Seconds until a running job without a heartbeat counts as lost."""
        return HEARTBEAT_SECONDS

    def run_maintenance_tasks(self) -> None:
        """RQ would fail lost jobs here; the sweeper brings them back instead."""
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares it as None

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Waits for a job; only here may a signal end the waiting."""
        self.waits = True
        try:
            if self._stop_requested:
                raise StopRequested
            found: tuple[Job, Queue] | None = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            return found
        finally:
            self.waits = False

    def prepare_execution(self, job: Job) -> Execution:
        """Registers the job as running, until a time by Redis' clock."""
        execution: Execution = super().prepare_execution(job)
        self._extend(job, execution)
        return execution

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Runs the job while a thread keeps its heartbeat."""
        with self._beating(job, execution):
            self.performs = True
            try:
                return bool(super().perform_job(job, queue, execution))
            finally:
                self.performs = False

    def _extend(self, job: Job, execution: Execution) -> None:
        until = redis_time(self.connection) + HEARTBEAT_SECONDS
        self.connection.zadd(f"rq:wip:{job.origin}", {execution.composite_key: until}, xx=True)

    @contextlib.contextmanager
    def _beating(self, job: Job, execution: Execution) -> Iterator[None]:
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS / 4):
                with contextlib.suppress(redis.RedisError, OSError):
                    self.heartbeat(WORKER_SECONDS + 60)
                    self._extend(job, execution)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _finalize_success(self, job: Job, queue: Queue, execution: Execution, return_value: Any) -> None:  # noqa: ARG002
        """Forgets the job: nothing waits for its result, and RQ's own way cannot cope with a Redis that was emptied."""
        self.performs = False
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            pipeline.delete(job.key)
            pipeline.execute()

    def _finalize_failure(self, job: Job, queue: Queue, execution: Execution, exc_info: ExcInfo) -> None:
        """A job that was interrupted, or met something that will pass, goes back to its queue; any other has failed."""
        self.performs = False
        error = exc_info[1]
        if isinstance(error, Stopping):
            log.info("job is left to another worker id=%s", job.id)
            self._put_back(job, queue, execution, wait=0.0)
            return
        if isinstance(error, Unavailable):
            tried = int(self.connection.hincrby(job.key, "plumbline_tries", 1)) - 1
            if tried < len(BACKOFF_SECONDS):
                wait = max(float(error.retry_after or 0), BACKOFF_SECONDS[tried])
                log.warning("job will be tried again id=%s function=%s in=%gs: %s", job.id, job.func_name, wait, error)
                self._put_back(job, queue, execution, wait=wait)
                return
        super()._finalize_failure(job, queue, execution, exc_info)

    def _put_back(self, job: Job, queue: Queue, execution: Execution, *, wait: float) -> None:
        due = redis_time(self.connection) + wait
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline=pipeline, execution=execution)
            pipeline.hset(job.key, "status", "scheduled" if wait else "queued")
            if wait:
                pipeline.zadd(f"rq:scheduled:{queue.name}", {job.id: due})
            else:
                pipeline.lpush(queue.key, job.id)
            pipeline.execute()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Writes one line to the log; the trace only where the fault is ours."""
        error = exc_info[1]
        if isinstance(error, ForgedJob):
            log.error("ALERT forged job refused queue=%s: %s", job.origin, error)
        elif isinstance(error, ForeignJob):
            log.error("ALERT job refused queue=%s: %s", job.origin, error)
        elif isinstance(error, PlumblineError):
            log.error("job failed id=%s: %s", job.id, error)
        elif isinstance(error, redis.RedisError):  # a question of RQ's own: the sweeper puts the job back
            log.warning("job interrupted id=%s: %s", job.id, redis_failed(error))
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


class ThreadWorker(SignedWorker):
    """The same in a thread, where no signal ends a job that takes too long."""

    death_penalty_class = TimerDeathPenalty


class Stop:
    """How this process is told to stop: `asked` is set by SIGTERM and SIGINT, and jobs look at it at their steps."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.worker: SignedWorker | None = None
        self.beside: list[tuple[threading.Thread, SignedWorker]] = []
        self._signals = itertools.count()
        self._asked_at = math.inf

    def finish(self, seconds: float) -> None:
        """Waits for the jobs of other threads; what is not done by then another process does again."""
        until = time.monotonic() + seconds
        for thread, worker in self.beside:
            if not worker.waits:
                thread.join(max(0.0, until - time.monotonic()))

    def install(self) -> None:
        """Takes the signals; one that comes later breaks the running job off at once."""
        told, self._tells = os.pipe()
        threading.Thread(target=self._end, args=(told,), name="stop", daemon=True).start()
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGUSR1, self._break_off)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Takes no lock, since it interrupts whatever the main thread does, another signal's handling among it."""
        if next(self._signals):
            if time.monotonic() - self._asked_at > TOGETHER_SECONDS:
                self._break_off(number, frame)
            return
        self._asked_at = time.monotonic()
        os.write(self._tells, b".")
        self._request()
        if self.worker is not None and self.worker.waits:
            raise StopRequested

    def _request(self) -> None:
        """What RQ's own handler does, after asking Redis."""
        for worker in (self.worker, *(each for _, each in self.beside)):
            if worker is not None:
                worker._stop_requested = True  # noqa: SLF001

    def _end(self, told: int) -> None:
        """Waits for the first signal in a thread of its own, and ends what does not end by itself."""
        os.read(told, 1)
        self.asked.set()
        self._request()  # a worker that was made just before the signal came
        time.sleep(STOP_SECONDS)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(EXIT_SECONDS - STOP_SECONDS)
        os._exit(0)

    def _break_off(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Only a job is broken off: RQ's own work around it is short, and would tell of it by a trace."""
        if self.asked.is_set() and self.worker is not None and self.worker.performs:
            raise Stopping


def run_worker(
    queue: SignedQueue,
    queues: Sequence[str],
    table: Mapping[str, JobFunction],
    *,
    name: str,
    serves: str,
    stop: Stop | None = None,
    beside: Sequence[str] = (),
) -> None:
    """Works on `queues` (first ones first) with the functions of `table` until SIGTERM or SIGINT.

    A running job comes to its next step first. A Redis that is away is waited for. `name` is what logs call this worker;
    several may have the same. `serves` is what the log says it is ready for, besides its queues.
    `beside` are the queues that threads of this process work on (`work_beside`): their lost jobs are looked for too.
    Raises SettingsError where Redis may lose jobs.
    """
    stop = stop or Stop()
    stop.install()
    logging.getLogger("rq.worker").addFilter(WithoutRedisTraces())
    thread = threading.Thread(
        target=_sweep, args=(Sweeper(queue, (*queues, *beside), table), stop.asked), name="sweeper", daemon=True
    )
    thread.start()
    waits = iter(RECONNECT_SECONDS)
    try:
        while not stop.asked.is_set():
            try:
                queue.require_lasting()
                if back := queue.outage.back():
                    log.info("%s", back)
                log.info("ready: %s; queues %s; Redis at %s", serves, ", ".join(queues), queue.address)
                waits = iter(RECONNECT_SECONDS)
                _work(queue, queues, table, name, stop)
            except (redis.RedisError, Unavailable, OSError) as error:
                _log_outage(queue, error)
            stop.asked.wait(next(waits, RECONNECT_SECONDS[-1]))
    except (StopRequested, Stopping):
        pass
    finally:
        stop.asked.set()
        thread.join(timeout=2)


def work_beside(
    queue: SignedQueue, queues: Sequence[str], table: Mapping[str, JobFunction], *, name: str, stop: Stop
) -> None:
    """Works on other queues in a thread of this process, so that nothing on them keeps `run_worker` waiting.

    A Redis that is away is waited for. The thread ends with the process.
    """

    def run() -> None:
        while not stop.asked.is_set():
            try:
                worker = _made(ThreadWorker, queue, queues, table, name)
                stop.beside = [each for each in stop.beside if each[0] is not thread]
                stop.beside.append((thread, worker))
                worker.work(logging_level="WARNING")
            except (redis.RedisError, Unavailable, OSError) as error:
                _log_outage(queue, error)
            stop.asked.wait(RECONNECT_SECONDS[-1])

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()


def _log_outage(queue: SignedQueue, error: redis.RedisError | Unavailable | OSError) -> None:
    """Logs that Redis is away in our words: which thread meets it first, and in whose code, is chance."""
    if said := queue.outage.away(redis_failed(error) if isinstance(error, redis.RedisError) else error):
        log.warning("%s", said)


def _work(queue: SignedQueue, queues: Sequence[str], table: Mapping[str, JobFunction], name: str, stop: Stop) -> None:
    """One RQ worker's life: until the process stops or Redis goes away."""
    worker = stop.worker = _made(SignedWorker, queue, queues, table, name)
    if not stop.asked.is_set():
        worker.work(logging_level="WARNING")


def _made(
    kind: type[SignedWorker], queue: SignedQueue, queues: Sequence[str], table: Mapping[str, JobFunction], name: str
) -> SignedWorker:
    job_class = type("BoundJob", (SignedJob,), {"queue_end": queue, "table": dict(table)})
    return kind(
        list(queues),
        connection=queue.connection,
        name=f"{name}-{secrets.token_hex(6)}",
        job_class=job_class,
        serializer=JSONSerializer,
        worker_ttl=WORKER_SECONDS,
        default_result_ttl=0,
    )


class WithoutRedisTraces(logging.Filter):
    """A Redis that went away is a line in the log, not a trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass, some shortened."""
        if record.exc_info and isinstance(record.exc_info[1], redis.RedisError):
            record.msg = f"{record.msg} ({type(record.exc_info[1]).__name__})"
            record.exc_info = record.exc_text = None
        return True


def _sweep(sweeper: Sweeper, stop: threading.Event) -> None:
    while not stop.wait(SWEEP_SECONDS):
        try:
            sweeper.sweep()
        except (redis.RedisError, Unavailable, OSError) as error:
            log.warning("cannot look for lost jobs (%s), trying again", type(error).__name__)

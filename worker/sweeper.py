"""Brings back the jobs that RQ alone would leave lying: due ones, those of dead workers, and strays.

Every time here is Redis' own, so clocks of machines that differ neither delay a job nor make a living worker look dead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from worker.domain.giving_up import GiveUp
from worker.domain.messages import GIVE_UP
from worker.signed_queue import FAILURE_SECONDS, ForeignJob, ForgedJob, JobFunction, SignedJob, SignedQueue, redis_time

HEARTBEAT_SECONDS: Final = 9
"""A running job without a sign of life for this long is given to another worker; longer than the 8 s lease."""

SWEEP_SECONDS: Final = 1.0
STRAY_ROUNDS: Final = 5
"""Every how manieth sweep looks for strays; one that is a stray twice in a row is put back."""

MAX_ATTEMPTS: Final = 3
"""How often a job is started whose worker dies under it; then it is the cause."""

_DUE: Final = """
if redis.call('zrem', KEYS[1], ARGV[1]) == 1 and redis.call('exists', KEYS[3]) == 1 then
  redis.call('hset', KEYS[3], 'status', 'queued')
  redis.call('sadd', KEYS[4], KEYS[2])
  redis.call('rpush', KEYS[2], ARGV[1])
  return 1
end
return 0"""

_LOST: Final = """
if redis.call('zrem', KEYS[1], ARGV[1]) == 1 and redis.call('exists', KEYS[3]) == 1 then
  local tries = redis.call('hincrby', KEYS[3], 'plumbline_attempts', 1)
  if tries >= tonumber(ARGV[3]) then
    redis.call('hset', KEYS[3], 'status', 'failed', 'plumbline_given_up', '1')
    redis.call('expire', KEYS[3], ARGV[4])
    return -1
  end
  redis.call('hset', KEYS[3], 'status', 'queued')
  redis.call('sadd', KEYS[4], KEYS[2])
  redis.call('lpush', KEYS[2], ARGV[2])
  return 1
end
return 0"""

_STRAY: Final = """
if redis.call('exists', KEYS[3]) == 0 or redis.call('lpos', KEYS[2], ARGV[1]) then
  return 0
end
redis.call('hset', KEYS[3], 'status', 'queued')
redis.call('sadd', KEYS[4], KEYS[2])
redis.call('lpush', KEYS[2], ARGV[1])
return 1"""

UNDER_WAY: Final = frozenset({b"queued", b"started", b"scheduled"})

log = logging.getLogger("plumbline.queue")


class Sweeper:
    """Sweeps the queues of one worker; several may sweep the same at once, removing an entry is what claims it."""

    def __init__(self, queue: SignedQueue, queues: Sequence[str], table: Mapping[str, JobFunction]) -> None:
        self._queue = queue
        self._table = table
        self._connection = queue.connection
        self._queues = tuple(queues)
        self._due, self._lost, self._stray = (
            self._connection.register_script(script) for script in (_DUE, _LOST, _STRAY)
        )
        self._round = 0
        self._suspects: frozenset[str] = frozenset()

    def sweep(self) -> int:
        """Moves every due, lost and stray job of the queues to where a worker takes it; returns how many."""
        at = redis_time(self._connection)
        moved = 0
        for name in self._queues:
            for member in self._members(f"rq:scheduled:{name}", at):
                moved += int(self._due(keys=self._keys(f"rq:scheduled:{name}", name, member), args=[member]))
            for member in self._members(f"rq:wip:{name}", at):
                moved += self._bring_back(name, member)
        self._round += 1
        if self._round % STRAY_ROUNDS == 0:
            moved += self._sweep_strays()
        return moved

    def _bring_back(self, queue: str, member: str) -> int:
        job_id = member.rsplit(":", 1)[0]
        outcome = int(
            self._lost(
                keys=self._keys(f"rq:wip:{queue}", queue, job_id),
                args=[member, job_id, MAX_ATTEMPTS, FAILURE_SECONDS],
            )
        )
        if outcome == 1:
            log.warning("job of a lost worker is put back id=%s queue=%s", job_id, queue)
        elif outcome == -1:
            self._give_up(queue, job_id)
        return max(outcome, 0)

    def _give_up(self, queue: str, job_id: str) -> None:
        """Says that a job is given up, and asks for its being recorded where a person will look."""
        log.error("ALERT job is given up, %d workers died under it id=%s queue=%s", MAX_ATTEMPTS, job_id, queue)
        bound: Any = type("GivenUpJob", (SignedJob,), {"queue_end": self._queue, "table": self._table})
        try:
            job = bound.fetch(job_id, connection=self._connection, serializer=JSONSerializer)
            given_up = GiveUp(str(job.func_name), job.message(), job_id, MAX_ATTEMPTS)
        except (ForgedJob, ForeignJob, NoSuchJobError) as error:
            log.error("ALERT %s", error)
            return
        if GIVE_UP in self._table and job.func_name != GIVE_UP:
            self._queue.enqueue(queue, GIVE_UP, given_up.to_json(), job_id=given_up.job_id)

    def _sweep_strays(self) -> int:
        """A job that says it is under way, and is in no list: whoever took it died, or the answer to it got lost."""
        found = self._strays()
        again, self._suspects = found.keys() & self._suspects, frozenset(found)
        moved = 0
        for job_id in again:
            queue = found[job_id]
            if int(self._stray(keys=self._keys("", queue, job_id), args=[job_id])):
                log.warning("job that nobody had is put back id=%s queue=%s", job_id, queue)
                moved += 1
        return moved

    def _strays(self) -> dict[str, str]:
        """Id and queue of every job of ours that no list, schedule or worker holds."""
        held: set[str] = set()
        for name in self._queues:
            held |= {_text(each) for each in self._range(f"rq:queue:{name}")}
            held |= {_text(each) for each in self._scores(f"rq:scheduled:{name}")}
            held |= {_text(each).rsplit(":", 1)[0] for each in self._scores(f"rq:wip:{name}")}
        found: dict[str, str] = {}
        for key in self._connection.scan_iter(match=f"{Job.key_for('')}*", count=500, _type="hash"):
            job_id = _text(key).removeprefix(Job.key_for(""))
            if job_id in held:
                continue
            status, origin = self._fields(_text(key))
            if status in UNDER_WAY and origin is not None and _text(origin) in self._queues:
                found[job_id] = _text(origin)
        return found

    def _fields(self, key: str) -> Any:
        return self._connection.hmget(key, ["status", "origin"])

    def _range(self, key: str) -> Any:
        return self._connection.lrange(key, 0, -1)

    def _scores(self, key: str) -> Any:
        return self._connection.zrange(key, 0, -1)

    def _members(self, key: str, at: float) -> list[str]:
        found: Any = self._connection.zrangebyscore(key, 1, at)
        return [_text(member) for member in found]

    def _keys(self, registry: str, queue: str, job_id: str) -> list[str]:
        return [registry, f"rq:queue:{queue}", Job.key_for(job_id), "rq:queues"]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

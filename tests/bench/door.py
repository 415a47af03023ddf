"""The door for webhooks: deliveries at a forge's pace, a crowd of them for one branch, and Redis away meanwhile."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from plumbline.local_system import git
from sandbox.processes import wait_until
from sandbox.redis_server import RedisServer
from tests.bench.deliveries import deliver, signed
from tests.bench.forging import CONVERGE, Shop, shop
from tests.bench.ground import Figures, Ground
from tests.bench.pushing import Live, config_map
from tests.bot.web import web
from worker.domain.messages import INTAKE_QUEUE

SECRET = b"w" * 32
A_SECOND, SECONDS = 200, 60
EVERY = 20
"""Every how manieth delivery is sent a second time, as a forge's button does."""

FORGES = """\
forges:
  - {name: gitea, address: "http://127.0.0.1:1", token: {env: TOKEN}, webhook-secret: {env: WEBHOOK}}
"""


CROWD, CROWD_A_SECOND = 5000, 500
AWAY_SECONDS = 5
POLL = 5


def measure_door(ground: Ground) -> Figures:
    """The door by itself, then with a crowd of deliveries for one branch, then without Redis."""
    return _steady(ground) | _crowd(ground) | _away(ground)


def _steady(ground: Ground) -> Figures:
    """200 signed deliveries a second for a minute, on the shipped web server; nobody works on the jobs."""
    with (
        _redis(ground, "steady") as own,
        web(ground.root, own.url, FORGES, forge="gitea", TOKEN="t", WEBHOOK=SECRET.decode()) as running,
        contextlib.closing(redis.Redis.from_url(own.url)) as connection,
    ):
        sent = _with_repeats([_opened(running.address, number) for number in range(A_SECOND * SECONDS)])
        acknowledged = deliver(running.address, sent, A_SECOND)
        queued = int(connection.llen(f"rq:queue:{INTAKE_QUEUE}"))
    return {
        "door_lost": float(len(set(sent)) - queued),
        "door_not_taken": float(sum(count for code, count in acknowledged.codes.items() if code not in (200, 202))),
        "door_p50_ms": acknowledged.milliseconds(0.5),
        "door_p99_ms": acknowledged.milliseconds(0.99),
        "door_late_ms": acknowledged.late * 1000,
    }


def _opened(address: str, number: int) -> bytes:
    """A change request of its own, so that every delivery has a job of its own to be found."""
    payload = {"repository": {"full_name": "acme/shop"}, "pull_request": {"number": number + 1}}
    return signed(address, SECRET, f"delivery-{number}", payload, "pull_request")


def _with_repeats(firsts: Sequence[bytes]) -> list[bytes]:
    sent = list(firsts)
    for number in range(EVERY, len(firsts), EVERY):
        sent[number] = firsts[number - EVERY + 1]
    return sent


@contextlib.contextmanager
def _redis(ground: Ground, name: str) -> Iterator[RedisServer]:
    """A Redis of its own."""
    own = RedisServer(ground.root / f"redis-{name}")
    try:
        yield own
    finally:
        own.stop()


def _crowd(ground: Ground) -> Figures:
    """5,000 deliveries about one branch in 10 s, which moves before the first and amid them; what came of them."""
    with shop(ground, ground.redis_url, "crowd") as made, ThreadPoolExecutor(1) as pool:
        secret = (made.system.directory / "webhook-secret").read_bytes()
        sent = [_pushed(made, secret, number) for number in range(CROWD)]
        renders, looks = _renders(made), _looks(made)
        _push_main(made, "first")
        running = pool.submit(deliver, made.system.address, sent, CROWD_A_SECOND)
        time.sleep(CROWD / CROWD_A_SECOND / 2)
        last = _push_main(made, "last")
        acknowledged = running.result()
        wait_until(lambda: made.status(last, CONVERGE) == "success", 60, "the last commit is converged")
        return {
            "crowd_not_taken": float(
                sum(count for code, count in acknowledged.codes.items() if code not in (200, 202))
            ),
            "crowd_most_ms": max(each.seconds for each in acknowledged.answers) * 1000,
            "crowd_p99_ms": acknowledged.milliseconds(0.99),
            "crowd_renders": float(_renders(made) - renders),
            "crowd_looks": float(_looks(made) - looks),
        }


def _pushed(made: Shop, secret: bytes, number: int) -> bytes:
    payload = {"ref": "refs/heads/main", "repository": {"full_name": made.system.project}}
    return signed(made.system.address, secret, f"crowd-{number}", payload)


def _push_main(made: Shop, value: str) -> str:
    """A commit on main with one changed line, by git."""
    git("checkout", "--quiet", "main", at=made.clone.folder)
    made.clone.write("app/c7.yaml", config_map(7, value))
    revision = made.clone.commit(value)
    git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=made.clone.folder)
    return revision


def _renders(made: Shop) -> int:
    """How many renders the worker has kept: each that was made is."""
    return sum(1 for each in _kept(made).iterdir() if each.is_file())


def _kept(made: Shop) -> Path:
    return made.system.directory / "cache" / "renders"


def _looks(made: Shop) -> int:
    """How often the forge was asked for its branches."""
    return (made.system.directory / "bot.log").read_text().count("/branches?")


def _away(ground: Ground) -> Figures:
    """Deliveries while Redis stands still, then while it is gone; a push meanwhile, and what the poller makes of it."""
    with _redis(ground, "away") as own, shop(ground, own.url, "away", poll=f"{POLL}s") as made:
        live = Live(ground.plane, "away", "c7")
        secret = (made.system.directory / "webhook-secret").read_bytes()
        sent = [_pushed(made, secret, number) for number in range(A_SECOND * AWAY_SECONDS)]
        own.server.signal(signal.SIGSTOP)
        stalled = deliver(made.system.address, sent, A_SECOND)
        own.server.kill()
        gone = deliver(made.system.address, sent, A_SECOND)
        _push_main(made, "unheard")
        own.server.restart()
        back = time.perf_counter()
        seconds = live.wait("unheard", 60) - back
    return {
        "stalled_most_ms": max(each.seconds for each in stalled.answers) * 1000,
        "gone_most_ms": max(each.seconds for each in gone.answers) * 1000,
        "away_not_503": float(sum(each.code != 503 for each in (*stalled.answers, *gone.answers))),
        "unheard_live_seconds": seconds,
    }

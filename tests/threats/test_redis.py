"""Redis as it fails: away, killed, emptied, full, slow, swapped. Nothing is lost and nothing is done twice."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from plumbline.local_system import Clone, LocalSystem
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from sandbox.redis_server import RedisServer
from tests.api_proxy import ApiProxy
from tests.conftest import StartSystem, config_map, declaration
from tests.invariants import assert_invariants, note_of, recorded_of, wait_converged
from worker.domain.errors import Unavailable
from worker.domain.secret_text import SettingsError
from worker.signed_queue import SignedQueue


@pytest.fixture
def own_system(own_redis: RedisServer, proxy: ApiProxy, start_system: StartSystem) -> Iterator[LocalSystem]:
    """All of Plumbline on that Redis, with the recording proxy before the API server."""
    with start_system(proxy.kubeconfig, own_redis.url) as running:
        yield running


@pytest.fixture
def own_clone(own_system: LocalSystem, namespace: str, tmp_path: Path) -> Clone:
    """A clone with one converged commit."""
    made = Clone(tmp_path / "clone", own_system.repository)
    made.write("plumbline.yaml", declaration(namespace))
    made.write("app/a.yaml", config_map("a", n="0"))
    first = made.commit("0")
    push = made.push("-o", "plumbline.wait=30", "origin", "main")
    assert push.returncode == 0, push.stderr
    wait_converged(own_system, first)
    return made


def asked(system: LocalSystem, path: str, seconds: float = 10) -> tuple[int, float]:
    """The status of a GET, and how long it took."""
    began = time.monotonic()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", system.port, timeout=seconds)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status, time.monotonic() - began


def is_open(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def push_unheard(system: LocalSystem, clone: Clone, n: str) -> str:
    """Pushes a commit whose prediction and alert may get lost."""
    from plumbline.local_system import git

    git("config", "plumbline.whenAway", "accept", at=system.repository)
    clone.write("app/a.yaml", config_map("a", n=n))
    revision = clone.commit(n)
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    return revision


@pytest.mark.timed
@pytest.mark.parametrize("how", ["gone", "stopped"])
def test_f04_f05_a_redis_that_is_away_is_answered_with_503_in_two_seconds(
    own_system: LocalSystem, own_redis: RedisServer, how: str
) -> None:
    own_redis.server.signal(signal.SIGKILL if how == "gone" else signal.SIGSTOP)
    status, seconds = asked(own_system, "/readyz")
    assert status == 503
    assert seconds < 3
    assert asked(own_system, "/healthz")[0] == 200
    if how == "stopped":
        own_redis.server.signal(signal.SIGCONT)
    else:
        own_redis.server.restart()
    wait_until(lambda: asked(own_system, "/readyz")[0] == 200, 20, "web answers again")


def test_f05_everything_starts_without_redis_and_works_once_it_comes(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer
) -> None:
    own_redis.server.kill()
    for name in ("web", "bot", "worker", "watch"):
        own_system.servers[name].restart()
    wait_until(lambda: "Redis is away" in own_system.log("worker"), 20, "the worker says that Redis is away")
    wait_until(lambda: "Redis is away" in own_system.log("bot"), 20, "the bot says so too")
    wait_until(lambda: "Redis is away" in own_system.log("web"), 30, "web has started, and says so too")
    wait_until(lambda: is_open(own_system.port), 10, "web listens")
    assert asked(own_system, "/readyz")[0] == 503
    own_redis.server.restart()
    own_system.wait_ready()
    revision = push_unheard(own_system, own_clone, "1")
    wait_converged(own_system, revision)
    assert_invariants(own_system, revision)


@pytest.mark.parametrize("aof", [False, True], ids=["empty again", "with its journal"])
def test_f05_a_redis_killed_while_a_job_writes_neither_loses_nor_doubles_it(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer, proxy: ApiProxy, tmp_path: Path, aof: bool
) -> None:
    if aof:
        configuration = tmp_path / "redis" / "redis.conf"
        configuration.write_text(configuration.read_text() + "appendonly yes\nappendfsync always\n")
        own_redis.server.restart()
        wait_until(lambda: asked(own_system, "/readyz")[0] == 200, 20, "web answers again")
    writing, killed = threading.Event(), threading.Event()

    def before(method: str, path: str) -> None:
        if method == "PATCH" and "dryRun" not in path and not writing.is_set():
            writing.set()
            assert killed.wait(30)

    proxy.before = before
    mark = len(proxy.requests)
    revision = push_unheard(own_system, own_clone, "1")
    assert writing.wait(30)
    own_redis.server.restart()
    killed.set()
    wait_converged(own_system, revision, 90)
    assert_invariants(own_system, revision, deletes=(), requests=proxy.requests)
    patches = [path for method, path in proxy.requests[mark:] if method == "PATCH" and "dryRun" not in path]
    assert len(patches) == 1, patches


def test_f05_a_flush_while_a_job_writes_stops_nothing_and_everything_is_found_again(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer, proxy: ApiProxy
) -> None:
    flushed = threading.Event()

    def before(method: str, path: str) -> None:
        if method == "PATCH" and "dryRun" not in path and not flushed.is_set():
            with redis.Redis.from_url(own_redis.url) as connection:
                connection.flushall()
            flushed.set()

    proxy.before = before
    revision = push_unheard(own_system, own_clone, "1")
    wait_converged(own_system, revision, 60)
    assert flushed.is_set()
    assert_invariants(own_system, revision, deletes=(), requests=proxy.requests)


def test_f05_a_result_that_was_recorded_and_not_heard_is_told_again(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer
) -> None:
    own_system.servers["bot"].signal(signal.SIGSTOP)
    own_clone.write("app/a.yaml", config_map("a", n="1"))
    revision = own_clone.commit("1")
    own_system.servers["bot"].signal(signal.SIGCONT)
    assert own_clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_until(lambda: "converging" in str(note_or_log(own_system)), 20, "the bot hears of it")
    own_system.servers["bot"].kill()

    def ended() -> bool:
        state = recorded_of(own_system).state
        return state.converged is not None and state.converged.revision == revision

    wait_until(ended, 30, "it is recorded as converged")
    with redis.Redis.from_url(own_redis.url) as connection:
        connection.flushall()
    assert note_of(own_system, revision).get("state") != "converged"
    own_system.run("bot", "bot-2")
    wait_converged(own_system, revision, 30)
    assert_invariants(own_system, revision)


def note_or_log(system: LocalSystem) -> str:
    return (system.directory / "bot.log").read_text()


def test_f06_a_redis_that_may_evict_is_refused_and_one_that_is_full_says_so(own_redis: RedisServer) -> None:
    queue = SignedQueue(own_redis.url, b"k" * 32)
    queue.require_lasting()
    for policy in ("allkeys-lru", "volatile-ttl", "allkeys-random"):
        queue.connection.config_set("maxmemory-policy", policy)
        with pytest.raises(SettingsError, match=f"maxmemory-policy {policy}.*set maxmemory-policy noeviction"):
            queue.require_lasting()
    queue.connection.config_set("maxmemory-policy", "noeviction")
    queue.connection.config_set("maxmemory", 1)
    with pytest.raises(Unavailable, match="Redis is full"):
        queue.enqueue("previews", "worker.previews.preview", {"schema": 1}, job_id="one")
    with pytest.raises(Unavailable, match="Redis is full"):
        queue.put_parcel("one", b"x")
    assert queue.connection.keys("rq:job:*") == []
    queue.connection.close()


def test_f06_no_process_starts_on_a_redis_that_may_evict(own_system: LocalSystem, own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as connection:
        connection.config_set("maxmemory-policy", "allkeys-lru")
    assert asked(own_system, "/readyz")[0] == 503
    for name in ("web", "bot", "worker", "watch"):
        own_system.servers[name].kill()
        server = own_system.run(name, f"{name}-again")
        assert server.wait_ended(20), name
        assert "set maxmemory-policy noeviction" in own_system.log(f"{name}-again")
        assert "Traceback" not in own_system.log(f"{name}-again")


def test_f06_a_push_to_a_full_redis_is_told_and_found_once_there_is_room(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer
) -> None:
    with redis.Redis.from_url(own_redis.url) as connection:
        connection.config_set("maxmemory", 1)
        own_clone.write("app/a.yaml", config_map("a", n="1"))
        own_clone.commit("1")
        refused = own_clone.push("-o", "plumbline.wait=0", "origin", "main")
        assert refused.returncode != 0
        assert "nothing can be predicted for main now" in refused.stderr
        revision = push_unheard(own_system, own_clone, "2")
        connection.config_set("maxmemory", 0)
    wait_converged(own_system, revision, 90)
    assert_invariants(own_system, revision)


def test_f07_another_redis_under_the_same_address_does_not_make_two_writers(
    own_system: LocalSystem, own_clone: Clone, own_redis: RedisServer, proxy: ApiProxy, tmp_path: Path
) -> None:
    writing, swapped = threading.Event(), threading.Event()

    def before(method: str, path: str) -> None:
        if method == "PATCH" and "dryRun" not in path and not writing.is_set():
            writing.set()
            assert swapped.wait(30)

    # Both are there before the write begins, whichever takes it: a process that only starts then may come too late.
    own_system.run("worker", "worker-2")
    wait_until(lambda: "ready:" in own_system.log("worker-2"), 60, "the second worker is ready")
    proxy.before = before
    mark = len(proxy.requests)
    revision = push_unheard(own_system, own_clone, "1")
    assert writing.wait(30)
    own_redis.server.kill()
    (tmp_path / "redis" / "dump.rdb").unlink(missing_ok=True)
    own_redis.server.restart()

    # The lease is read by the other worker while the first one holds it: that is the moment of danger.
    def other_looks() -> bool:
        return any("is being written by" in own_system.log(name) for name in ("worker", "worker-2"))

    wait_until(other_looks, 30, "the other worker finds the environment taken")
    assert [m for m, p in proxy.requests[mark:] if m == "PATCH" and "dryRun" not in p] == ["PATCH"]
    swapped.set()
    wait_converged(own_system, revision, 60)
    patches = [path for method, path in proxy.requests[mark:] if method == "PATCH" and "dryRun" not in path]
    assert len(patches) == 1
    assert_invariants(own_system, revision, deletes=(), requests=proxy.requests)


class SlowRedis:
    """A TCP proxy before Redis that waits before each answer and resets the connection at every n-th."""

    def __init__(self, url: str, *, delay: float) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._delay, self.reset_every = delay, 0
        self._count = 0
        self.resets = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://:{parts.password}@127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:  # the test is over, and its Redis gone before its system
                    client.close()
                    continue
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if answers:
                    time.sleep(self._delay)
                    self._count += 1
                    if self.reset_every and self._count % self.reset_every == 0:
                        self.resets += 1
                        break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self._listener.close()


def test_f08_a_slow_redis_that_resets_connections_loses_no_job(
    control_plane: ControlPlane, own_redis: RedisServer, start_system: StartSystem, namespace: str, tmp_path: Path
) -> None:
    slow = SlowRedis(own_redis.url, delay=0.02)
    try:
        with start_system(control_plane.kubeconfig("worker"), slow.url, poll="300s") as system:
            clone = Clone(tmp_path / "clone", system.repository)
            clone.write("plumbline.yaml", declaration(namespace))
            slow.reset_every = 20
            for number in range(4):
                push_unheard(system, clone, f"{number}.")
                revision = push_unheard(system, clone, f"{number}!")
                wait_converged(system, revision, 60)
            slow.reset_every = 0
            assert slow.resets > 3
            assert_invariants(system, revision)
    finally:
        slow.close()

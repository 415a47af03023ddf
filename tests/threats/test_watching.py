"""What watches meet: cut, silent, told that their place is gone. Nothing that moved is missed, and nothing is said twice."""

from __future__ import annotations

import gc
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import urllib3
from kubernetes import client

from plumbline.local_system import ROOT, Clone, LocalSystem
from sandbox.processes import Server, wait_until
from tests.api_proxy import ApiProxy, Fault
from tests.conftest import Kubectl, config_map
from tests.invariants import recorded_of, wait_converged
from tests.journeys.test_drift import HEAL, edit, events_of, value_of, with_policy
from tests.loopback_server import Handler, LoopbackServer
from worker.adapters.cluster import Cluster, Following, Seen, connect
from worker.adapters.cluster.connection import Connection, Session
from worker.adapters.cluster.discovery import ApiResource
from worker.domain.environment import OWNER_LABEL
from worker.domain.episodes import Event
from worker.domain.errors import Unavailable
from worker.domain.resource import ResourceKey


class Watched:
    """A watch on the labelled ConfigMaps of a namespace, and what it has shown."""

    def __init__(self, proxy: ApiProxy, kubectl: Kubectl, namespace: str, silent: float = 30) -> None:
        self.cluster = Cluster(connect(proxy.kubeconfig))
        served = self.cluster.discovery.find("", "ConfigMap", "v1")
        assert served is not None
        self.following = Following(self.cluster.connection, served, namespace, OWNER_LABEL, silent=silent)
        self.kubectl, self.namespace = kubectl, namespace
        self.known: dict[ResourceKey, str] = {}
        self.failures = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for seen in self.following.round(self.known):
                    if seen.is_gone:
                        self.known.pop(seen.key, None)
                    else:
                        self.known[seen.key] = str(seen.metadata["resourceVersion"])
            except Unavailable:
                self.failures += 1
                self._stop.wait(0.02)

    def shows(self) -> dict[str, str]:
        """What it knows: the objects' names and their versions."""
        return {key.name: version for key, version in self.known.items()}

    def truth(self) -> dict[str, str]:
        """What there is."""
        template = "{range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}"
        listed = self.kubectl(
            "-n", self.namespace, "get", "configmaps", "-l", OWNER_LABEL, "-o", f"jsonpath={template}"
        )
        return dict(pair.split("=") for pair in listed.stdout.split())

    def make(self, name: str, value: str = "1") -> None:
        """Makes or changes an object."""
        text = (
            "apiVersion: v1\nkind: ConfigMap\n"
            f"metadata: {{name: {name}, labels: {{{OWNER_LABEL}: x}}}}\ndata: {{n: '{value}'}}\n"
        )
        self.kubectl("-n", self.namespace, "apply", "--server-side", "-f", "-", text=text)

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self.following.close()
        self._thread.join(timeout=5)
        self.cluster.close()


@pytest.fixture
def watched(proxy: ApiProxy, kubectl: Kubectl, namespace: str) -> Iterator[Watched]:
    """A watch that has begun, on one object."""
    made = Watched(proxy, kubectl, namespace)
    made.make("first")
    made.start()
    wait_until(lambda: made.following.has_listed, 10, "it has listed")
    yield made
    proxy.cut_watches()
    made.close()


def lists(proxy: ApiProxy) -> int:
    return sum("configmaps" in path and "limit=" in path for _, path in proxy.requests)


def test_f26_a_watch_that_is_cut_goes_on_where_it_was_and_lists_nothing_again(
    watched: Watched, proxy: ApiProxy
) -> None:
    for number in range(6):
        proxy.cut_watches()
        watched.make(f"o{number}")
    wait_until(lambda: watched.shows() == watched.truth(), 10, "everything is known")
    assert sum("watch=true" in path for _, path in proxy.requests) > 3, "it was not cut"
    assert lists(proxy) == 1


def test_f26_where_its_place_is_gone_everything_is_listed_again_and_what_went_meanwhile_is_known(
    watched: Watched, proxy: ApiProxy, kubectl: Kubectl, namespace: str
) -> None:
    gone = threading.Event()
    proxy.rule = lambda _method, path: 410 if "watch=true" in path and not gone.is_set() else None
    proxy.cut_watches()
    kubectl("-n", namespace, "delete", "configmap", "first")
    watched.make("second")
    gone.set()
    wait_until(lambda: watched.shows() == watched.truth(), 10, "everything is known")
    assert set(watched.shows()) == {"second"}
    assert lists(proxy) > 1


def test_f26_a_connection_on_which_nothing_comes_is_given_up(proxy: ApiProxy, kubectl: Kubectl, namespace: str) -> None:
    watched = Watched(proxy, kubectl, namespace, silent=1)
    try:
        watched.make("first")
        watched.start()
        wait_until(lambda: watched.following.has_listed, 10, "it has listed")
        proxy.silent = True
        watched.make("first", "2")
        wait_until(lambda: watched.failures > 0, 10, "the dead connection is given up")
        proxy.silent = False
        wait_until(lambda: watched.shows() == watched.truth(), 10, "what it missed is known")
    finally:
        proxy.cut_watches()
        watched.close()


def test_f26_a_thousand_reconnects_cost_no_memory(watched: Watched, proxy: ApiProxy) -> None:
    proxy.rule = lambda _method, path: Fault(cut="before") if "watch=true" in path else None
    proxy.cut_watches()
    served = watched.cluster.discovery.find("", "ConfigMap", "v1")
    assert served is not None
    following = Following(watched.cluster.connection, served, watched.namespace, OWNER_LABEL)

    def reconnect(times: int) -> int:
        for _ in range(times):
            with pytest.raises(Unavailable):
                list(following.round({}))
        proxy.requests.clear()
        proxy.bodies.clear()
        proxy.impersonated.clear()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = reconnect(200)
    after = reconnect(1000)
    assert after - before < 8 * 1024, f"{(after - before) / 1024:.1f} MiB more"


@pytest.fixture
def healing(proxied: LocalSystem, namespace: str, tmp_path: Path) -> LocalSystem:
    """An environment that heals, with two objects, converged."""
    clone = Clone(tmp_path / "clone", proxied.repository)
    clone.write("plumbline.yaml", with_policy(namespace, HEAL))
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.write("app/b.yaml", config_map("b", n="1"))
    revision = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(proxied, revision)
    return proxied


def is_healed(kubectl: Kubectl, namespace: str, name: str) -> bool:
    return value_of(kubectl, namespace, name) == "1"


def test_f26_drift_is_healed_while_every_watch_is_cut_twice_a_second(
    healing: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str
) -> None:
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.5):
            proxy.cut_watches()

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    try:
        for number in range(3):
            edit(kubectl, namespace, f"9{number}", name="ab"[number % 2], manager=f"bob-{number}")
            wait_until(partial(is_healed, kubectl, namespace, "ab"[number % 2]), 20, "it is healed")
    finally:
        stop.set()
        thread.join()
    wait_until(lambda: recorded_of(healing).state.episode is None, 20, "the episode is closed")
    assert "Traceback" not in healing.log("watch")


def test_two_watchers_and_a_redis_that_is_emptied_double_nothing(
    healing: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str
) -> None:
    healing.run("watch", "watch-2")
    wait_until(lambda: "ready" in healing.log("watch-2"), 20, "the second one is ready")
    mark = len(proxy.writes())
    edit(kubectl, namespace, "9")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 10, "it is healed")
    with redis.Redis.from_url(healing.redis_url) as connection:
        connection.flushall()
    wait_until(lambda: Event.CONVERGED in events_of(healing), 20, "the episode is closed all the same")
    ours = [path for method, path in proxy.writes()[mark:] if method == "PATCH"]
    assert [path for path in ours if "force=true" in path] == ours[1:], ours
    assert len(ours) == 2, "asked once without force, which the server refuses and names the owner, then written once"
    assert events_of(healing).count(Event.OPENED) == 1
    assert events_of(healing).count(Event.CONVERGED) == 1


def test_a_watch_that_was_away_finds_what_moved_meanwhile(
    healing: LocalSystem, kubectl: Kubectl, namespace: str
) -> None:
    healing.servers["watch"].signal(signal.SIGKILL)
    edit(kubectl, namespace, "9")
    healing.run("watch", "watch-2")
    wait_until(lambda: value_of(kubectl, namespace) == "1", 20, "it is healed")


def test_f25_an_api_server_that_was_away_is_no_difference_and_what_moved_is_found(
    healing: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str
) -> None:
    away = threading.Event()
    away.set()
    proxy.rule = lambda _method, _path: Fault(cut="before") if away.is_set() else None
    proxy.cut_watches()
    edit(kubectl, namespace, "9")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2, 5, "it is away for a while")
    assert value_of(kubectl, namespace) == "9"
    away.clear()
    wait_until(lambda: value_of(kubectl, namespace) == "1", 60, "it is healed")
    opened = [each for each in recorded_of(healing).state.news if each.event is Event.OPENED]
    assert len(opened) == 1
    assert {each.key.name for each in opened[0].episode.drift} == {"a"}


JUMPING = """
import datetime, pathlib, runpy, sys, time
shift, true = pathlib.Path(sys.argv.pop(1)), time.time
time.time = lambda: true() + float(shift.read_text())
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=float(shift.read_text()))
datetime.datetime = Jumping
runpy.run_module("worker.watch", run_name="__main__")
"""


def test_f16_a_watch_whose_clock_jumps_misses_nothing_and_says_nothing_twice(
    healing: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    shift, log = tmp_path / "shift", healing.directory / "jumping.log"
    shift.write_text("0")
    healing.servers["watch"].kill()
    command = [sys.executable, "-c", JUMPING, str(shift)]
    healing.servers["jumping"] = Server("jumping", command, log, environ=healing.environ, directory=ROOT)
    wait_until(lambda: "ready" in healing.log("jumping"), 20, "it watches")
    began, mark = time.time(), len(proxy.writes())
    for turn, (hours, name) in enumerate(((0, "a"), (2, "b"), (-2, "a")), start=1):
        shift.write_text(str(hours * 3600))
        edit(kubectl, namespace, f"9{turn}", name=name)
        wait_until(partial(is_healed, kubectl, namespace, name), 10, f"it is healed at {hours} h")
        wait_until(lambda: recorded_of(healing).state.episode is None, 20, "the episode is closed")
        news = recorded_of(healing).state.news
        assert [each.event for each in news] == [Event.OPENED, Event.HEALED, Event.CLOSING, Event.CONVERGED]
        at = [each.at for each in news]
        assert at == sorted(at)
        assert began - 5 < at[0] <= at[-1] < time.time() + 5, "no time is that of the clock that jumped"
    written = [path for method, path in proxy.writes()[mark:] if method == "PATCH" and "configmaps" in path]
    assert len([path for path in written if "force=true" in path]) == 3, "each was put back once"
    assert "nothing is recorded of" not in healing.log("jumping"), "no commit was taken for one that is stuck"
    assert "Traceback" not in healing.log("jumping")


def test_f24_a_slow_api_server_piles_nothing_up_and_drift_is_healed_once(
    healing: LocalSystem, proxy: ApiProxy, kubectl: Kubectl, namespace: str
) -> None:
    proxy.rule = lambda _method, _path: Fault(delay=0.7)
    longest = 0

    def is_over() -> bool:
        nonlocal longest
        with redis.Redis.from_url(healing.redis_url) as connection:
            queues = connection.keys("rq:queue:*-looks-*") + connection.keys("rq:queue:*-applies-*")
            longest = max(longest, sum(int(connection.llen(queue)) for queue in queues))
        return Event.CONVERGED in events_of(healing)

    mark = len(proxy.writes())
    edit(kubectl, namespace, "9")
    wait_until(is_over, 90, "the drift is healed and its episode closed")
    assert value_of(kubectl, namespace) == "1"
    assert longest <= 3, "a look that waits is not asked for again"
    assert events_of(healing).count(Event.OPENED) == 1
    assert events_of(healing).count(Event.CONVERGED) == 1
    forced = [path for method, path in proxy.writes()[mark:] if method == "PATCH" and "force=true" in path]
    assert len(forced) == 1
    log = healing.log("watch") + healing.log("worker")
    assert "lease lost" not in log
    assert "Traceback" not in log
    proxy.rule = lambda _method, _path: None
    edit(kubectl, namespace, "8", name="b", manager="eve")
    wait_until(partial(is_healed, kubectl, namespace, "b"), 10, "a fast server is used as one again")


@pytest.mark.parametrize(
    "line", [b"[]", b"7", b'{"type":"ADDED","object":null}', b'{"type":"ADDED","object":{"metadata":[]}}']
)
def test_f26_a_line_that_is_no_event_ends_one_watch_and_not_the_watching(line: bytes) -> None:
    with pytest.raises(Unavailable, match="broke off"):
        list(followed(line=line))


@pytest.mark.parametrize("listed", [b"[]", b"{}", b'{"items":[{}]}', b'{"items":[],"metadata":null}'])
def test_f26_a_list_that_is_none_is_an_outage(listed: bytes) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        list(followed(listed=listed))


def test_f26_a_server_to_which_every_place_is_gone_is_not_asked_without_a_pause() -> None:
    with pytest.raises(Unavailable, match="HTTP 410"):
        list(followed(status=410))


class Answers(Handler):
    """Something in the place of an API server: one answer to each list, one line to each watch."""

    status = 200
    listed = b'{"items":[],"metadata":{"resourceVersion":"1"}}'
    line = b""

    def do_GET(self) -> None:
        """Answers."""
        body = self.line + b"\n" if "watch=true" in self.path else self.listed
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def followed(**answers: Any) -> Iterator[Seen]:
    """One round of a watch on a server that answers so."""
    server = LoopbackServer(type("Answering", (Answers,), answers))
    try:
        configuration = client.Configuration()
        configuration.host = server.address
        connection = Connection(lambda: Session(urllib3.PoolManager(), configuration))
        served = ApiResource("", "v1", "ConfigMap", "configmaps", True, frozenset({"watch"}))
        yield from Following(connection, served, "n", OWNER_LABEL).round({})
    finally:
        server.close()

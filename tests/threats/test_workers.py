"""Workers as they fail: killed at any write, stopped, frozen, told to end, poisoned, with wrong clocks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from plumbline.local_system import REPOSITORY, ROOT, Clone, LocalSystem, git, procfile
from sandbox.processes import Server, wait_until
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map, declaration
from tests.invariants import assert_invariants, note_of, recorded_of, wait_converged
from tests.world import World
from worker import jobs
from worker.adapters.lease import held
from worker.domain.environment import Environment
from worker.domain.errors import PlumblineError, Unavailable
from worker.domain.messages import PREVIEWS_QUEUE, ConvergeRequest
from worker.settings import Settings
from worker.workbench import Workbench

RESUMED_WITHIN = 15.0
Met = Callable[[str, str], None]


def is_write(method: str, path: str) -> bool:
    """Whether a request writes an object or a record (a lease is neither)."""
    return method in ("PATCH", "DELETE", "PUT", "POST") and "dryRun" not in path and "/leases" not in path


@pytest.fixture
def cloned(proxied: LocalSystem, namespace: str, tmp_path: Path) -> Clone:
    """A clone of it, with four objects converged."""
    made = Clone(tmp_path / "clone", proxied.repository)
    made.write("plumbline.yaml", declaration(namespace, settle="1s"))
    revision = write_four(made, "0")
    assert made.push("-o", "plumbline.wait=30", "origin", "main").returncode == 0
    wait_converged(proxied, revision)
    return made


def write_four(clone: Clone, n: str) -> str:
    """Commits four objects with a value."""
    for number in range(4):
        clone.write(f"app/c{number}.yaml", config_map(f"c{number}", n=n))
    return clone.commit(n)


def write_two_groups(clone: Clone, n: str) -> str:
    """Commits the four objects, and one that is applied in a group after them."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": {"n": n}}}
    clone.write("app/s.yaml", json.dumps({**service, "spec": {"ports": [{"port": 80}], "selector": {"app": "s"}}}))
    return write_four(clone, n)


def at_write(proxy: ApiProxy, number: int, action: Callable[[], None]) -> threading.Event:
    """Does something when the n-th write from now is about to be passed on."""
    done = threading.Event()
    count = 0

    def before(method: str, path: str) -> None:
        nonlocal count
        if is_write(method, path) and not done.is_set():
            count += 1
            if count == number:
                action()
                done.set()

    proxy.before = before
    return done


def holder(system: LocalSystem) -> str:
    """The name of the worker process that holds the environment's lease, empty where none does."""
    bench = Workbench.of(Settings.load(system.environ))
    name = Environment(REPOSITORY, "production", "", "", "", "").state_name
    lease = bench.bench("sandbox").states.records.read("Lease", name) or {}
    bench.queue.connection.close()
    pid = str(lease.get("spec", {}).get("holderIdentity") or "").rpartition("-")[2]
    return next((each for each, server in system.servers.items() if str(server.pid) == pid), "")


def run_beside(system: LocalSystem, alias: str) -> Server:
    """Starts another worker and waits until it listens."""
    before = listening(system)
    server = system.run("worker", alias)
    wait_until(lambda: listening(system) > before, 30, f"{alias} listens")
    return server


def listening(system: LocalSystem) -> int:
    """How many workers listen for previews."""
    with redis.Redis.from_url(system.redis_url) as connection:
        return int(connection.scard(f"rq:workers:{PREVIEWS_QUEUE}") or 0)


# -- F09 -------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_f09_a_worker_killed_at_any_write_is_followed_by_another_within_fifteen_seconds(
    proxied: LocalSystem, cloned: Clone, proxy: ApiProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kills at every n-th write of an apply of four changes, a new object and a prune; all of them in the long run."""
    took: dict[int, float] = {}
    for kill_at in range(1, 40) if os.environ.get("PLUMBLINE_ALL_FAULTS") else (1, 3, 7, 8, 9, 40):
        for number in range(4):
            cloned.write(f"app/c{number}.yaml", config_map(f"c{number}", n=str(kill_at)))
        for left in (cloned.folder / "app").glob("new*.yaml"):
            left.unlink()
        cloned.write(f"app/new{kill_at}.yaml", config_map(f"new{kill_at}", a="1"))
        revision = cloned.commit(str(kill_at))
        run_beside(proxied, f"worker-{kill_at}")
        times = {"killed": 0.0, "resumed": 0.0}

        def kill(times: dict[str, float] = times) -> None:
            proxied.servers[holder(proxied)].kill()
            times["killed"] = time.monotonic()

        killed = at_write(proxy, kill_at, kill)
        meet = proxy.before

        def before(method: str, path: str, times: dict[str, float] = times, meet: Met = meet) -> None:
            if times["killed"] and not times["resumed"] and method != "GET" and "/leases" not in path:
                times["resumed"] = time.monotonic()
            meet(method, path)

        proxy.before = before
        mark = len(proxy.requests)
        assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        wait_converged(proxied, revision, 60)
        requests = proxy.requests[mark:]
        gone = {f"new{number}" for number in range(40)} - {f"new{kill_at}"}
        assert_invariants(proxied, revision, deletes=gone, requests=requests)
        if not killed.is_set():
            break
        if times["resumed"]:
            took[kill_at] = times["resumed"] - times["killed"]
    assert not killed.is_set(), "the last round goes through without a kill"
    assert len(took) >= 3
    assert max(took.values()) <= RESUMED_WITHIN, took
    with capsys.disabled():
        print(f"\n  resumed after a kill at write {', '.join(f'{at}: {each:.1f} s' for at, each in took.items())}")


# -- F11 -------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_f11_in_two_hundred_races_of_two_workers_the_older_commit_never_lands_after_the_newer(
    system: LocalSystem, namespace: str, kubectl: Kubectl
) -> None:
    for server in ("web", "bot", "worker", "watch"):
        system.servers[server].kill()
    (system.repository / "hooks" / "pre-receive").unlink()
    (system.repository / "hooks" / "post-receive").unlink()
    benches = [Workbench.of(Settings.load(system.environ)) for _ in range(2)]
    for number, bench in enumerate(benches):
        bench.holder = f"racer-{number}"
    commits = iter(imported(system, namespace, 300))
    states = benches[0].bench("sandbox").states
    crossed: list[str] = []
    for race in range(200):
        revisions = [next(commits) for _ in range(2 if race % 2 else 1)]
        git("update-ref", "refs/heads/main", revisions[-1], at=system.repository)
        asked = [ConvergeRequest(REPOSITORY, "production", "main", each, "sandbox", time.time()) for each in revisions]
        start = threading.Barrier(2)

        def run(bench: Workbench, request: ConvergeRequest, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                jobs.converge(bench, request.to_json())
            except PlumblineError as error:
                crossed.append(str(error))

        threads = [
            threading.Thread(target=run, args=(bench, request))
            for bench, request in zip(benches, (asked[0], asked[-1]), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        applied = states.find(REPOSITORY, "production", "default").state.applied
        assert applied is not None
        assert applied.revision == revisions[-1]
    assert crossed == []
    live = json.loads(kubectl("-n", namespace, "get", "configmap", "a", "-o", "json").stdout)
    assert live["data"] == {"n": "299"}
    history = [each["revision"] for each in states.find(REPOSITORY, "production", "default").state.history]
    assert len(history) == len(set(history)), "no revision is recorded twice"
    for bench in benches:
        bench.checkout(bench.repository(REPOSITORY)).close()
        bench.queue.connection.close()


def imported(system: LocalSystem, namespace: str, count: int) -> list[str]:
    """A history of commits, each with another value of one object, made at once; main stays where it is."""
    text = declaration(namespace, settle="0s")
    lines = [f"blob\nmark :1\ndata {len(text)}\n{text}\n"]
    for number in range(count):
        body = config_map("a", n=str(number))
        lines.append(
            f"commit refs/heads/made\nmark :{number + 2}\ncommitter Ada <ada@example.com> {number + 1} +0000\n"
            f"data 1\n.\nM 644 :1 plumbline.yaml\nM 644 inline app/a.yaml\ndata {len(body)}\n{body}\n"
        )
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=system.repository, input="".join(lines), text=True, check=True
    )
    return git("rev-list", "--reverse", "refs/heads/made", at=system.repository).split()


# -- F12 -------------------------------------------------------------------------------------------------------------


def test_f12_a_worker_frozen_while_it_holds_the_lease_writes_nothing_once_it_thaws(
    proxied: LocalSystem, cloned: Clone, proxy: ApiProxy
) -> None:
    run_beside(proxied, "worker-2")
    frozen: list[str] = []

    def freeze() -> None:
        frozen.append(holder(proxied))
        proxied.servers[frozen[0]].signal(signal.SIGSTOP)

    at_write(proxy, 2, freeze)
    revision = write_two_groups(cloned, "1")
    assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(proxied, revision, 60)
    mark = len(proxy.requests)
    server = proxied.servers[frozen[0]]
    server.signal(signal.SIGCONT)
    log = proxied.directory / f"{frozen[0]}.log"
    wait_until(lambda: "lease lost" in log.read_text(), 20, "the thawed worker says that it lost the lease")
    wait_until(lambda: server.is_running, 5, "it lives")
    late = [(method, path) for method, path in proxy.requests[mark:] if is_write(method, path)]
    assert [each for each in late if f"/namespaces/{cloned_namespace(cloned)}/" in each[1]] == []
    assert_invariants(proxied, revision, deletes=(), requests=proxy.requests)


def cloned_namespace(clone: Clone) -> str:
    """The namespace that the clone's declaration names."""
    text = (clone.folder / "plumbline.yaml").read_text()
    return text.partition("namespace: ")[2].split()[0]


# -- F14 -------------------------------------------------------------------------------------------------------------


def test_f14_a_worker_told_to_end_while_it_writes_hands_over_at_its_next_step(
    proxied: LocalSystem, cloned: Clone, proxy: ApiProxy
) -> None:
    run_beside(proxied, "worker-2")
    told: list[str] = []

    def tell() -> None:
        told.append(holder(proxied))
        proxied.servers[told[0]].signal(signal.SIGTERM)

    at_write(proxy, 2, tell)
    revision = write_two_groups(cloned, "1")
    assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_until(lambda: bool(told), 30, "it is told to end")
    began = time.monotonic()
    assert proxied.servers[told[0]].wait_ended(25)
    assert time.monotonic() - began < 8, "a step of an apply is short"
    wait_converged(proxied, revision, 20)
    assert "job is left to another worker" in proxied.log(told[0])
    state = recorded_of(proxied).state
    assert not [each for each in state.history if each["outcome"] == "failed"]
    assert_invariants(proxied, revision, deletes=(), requests=proxy.requests)


def test_f14_a_worker_told_to_end_while_it_renders_ends_in_time_and_leaves_no_child(
    proxied: LocalSystem, cloned: Clone, tools: dict[str, Path], tmp_path: Path
) -> None:
    slow = tmp_path / "tools"
    slow.mkdir()
    (slow / "helm").symlink_to(tools["helm"])
    kustomize = slow / "kustomize"
    kustomize.write_text("#!/bin/sh\nwhile :; do :; done\n")
    kustomize.chmod(0o755)
    environ = {**proxied.environ, "PLUMBLINE_TOOLS": str(slow)}
    proxied.servers["worker"].kill()
    command = ["/bin/sh", "-c", f"exec {procfile()['worker']}"]
    server = Server("slow", command, proxied.directory / "slow.log", environ=environ, directory=ROOT)
    proxied.servers["slow"] = server
    wait_until(lambda: listening(proxied) >= 2, 30, "the slow worker listens")
    git("config", "plumbline.whenAway", "accept", at=proxied.repository)
    cloned.write("app/kustomization.yaml", "resources: [c0.yaml, c1.yaml, c2.yaml, c3.yaml]\n")
    revision = cloned.commit("kustomize")
    assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_until(lambda: bool(children(server.pid, "kustomize")), 30, "it renders")
    kept = children(server.pid, "kustomize")
    server.signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.wait_ended(25)
    assert time.monotonic() - began <= 25
    assert [pid for pid in kept if pid in running()] == []
    run_beside(proxied, "worker-2")
    wait_converged(proxied, revision, 40)
    assert not [each for each in recorded_of(proxied).state.history if each["outcome"] == "failed"]


def running() -> set[int]:
    """Every process that is not just waiting to be forgotten."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(int(stat.parent.name))
    return found


def children(pid: int, name: str) -> list[int]:
    """The descendants of a process that run a program of this name."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, _, after = stat.read_text().rpartition(")")
            number = int(stat.parent.name)
            names[number], parents[number] = before.partition("(")[2], int(after.split()[1])

    def descends(each: int) -> bool:
        while each in parents and each != pid:
            each = parents[each]
        return each == pid

    return [each for each, known in names.items() if known == name and descends(each)]


def test_f14_an_idle_worker_ends_at_once_and_says_nothing_of_a_failure(proxied: LocalSystem) -> None:
    for name in ("worker", "bot", "watch"):
        proxied.servers[name].signal(signal.SIGTERM)
        began = time.monotonic()
        assert proxied.servers[name].wait_ended(10), name
        assert time.monotonic() - began < 6, name
        assert "Traceback" not in proxied.log(name), proxied.log(name)


def test_f14_int_and_term_together_are_one_word_and_leave_no_trace(proxied: LocalSystem) -> None:
    for name in ("worker", "bot", "watch", "web"):
        server = proxied.servers[name]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            server.signal(number)
        assert server.wait_ended(10), name
        log = proxied.log(name)
        assert "Traceback" not in log, log
        assert "unhandled" not in log, log


def test_f14_rolling_restarts_under_load_fail_nothing(proxied: LocalSystem, cloned: Clone) -> None:
    revision = ""
    name = "worker"
    for turn in range(6):
        revision = write_four(cloned, f"turn {turn}")
        assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        run_beside(proxied, f"worker-{turn}")
        proxied.servers[name].signal(signal.SIGTERM)
        proxied.servers["bot"].signal(signal.SIGTERM)
        assert proxied.servers[name].wait_ended(25)
        assert proxied.servers["bot"].wait_ended(25)
        proxied.servers["bot"].restart()
        name = f"worker-{turn}"
    wait_converged(proxied, revision, 40)
    assert not [each for each in recorded_of(proxied).state.history if each["outcome"] == "failed"]
    assert_invariants(proxied, revision)


# -- F50 -------------------------------------------------------------------------------------------------------------

POISONED = """
import os, runpy, signal
from worker.operations import converging
true = converging.predict
def poisoned(target, revision, rendered, *rest, **named):
    rendered = tuple(rendered)
    if any(each.key.name == "poison" for each in rendered):
        os.kill(os.getpid(), signal.SIGKILL)
    return true(target, revision, rendered, *rest, **named)
converging.predict = poisoned
runpy.run_module("worker", run_name="__main__")
"""


@pytest.mark.timeout(300)
def test_f50_a_job_that_kills_every_worker_is_given_up_after_three_tries_and_it_is_said(
    proxied: LocalSystem, cloned: Clone
) -> None:
    """The workers are the real ones, with a fault in them that the operating system ends: three die, nobody else does."""
    proxied.servers["worker"].kill()
    for number in range(5):
        command = [sys.executable, "-c", POISONED]
        log = proxied.directory / f"worker-{number}.log"
        proxied.servers[f"worker-{number}"] = Server(
            f"worker-{number}", command, log, environ=proxied.environ, directory=ROOT
        )
    wait_until(lambda: listening(proxied) >= 6, 40, "the workers listen")
    cloned.write("app/poison.yaml", config_map("poison", a="1"))
    revision = cloned.commit("poison")
    push = cloned.push("-o", "plumbline.wait=100", "origin", "main")
    assert push.returncode == 0, push.stderr
    assert "given up: 3 workers died" in push.stderr, push.stderr
    assert note_of(proxied, revision)["state"] == "failed"
    assert "push another commit" in note_of(proxied, revision)["text"]
    dead = [name for name, each in proxied.servers.items() if name.startswith("worker-") and not each.is_running]
    assert len(dead) == 3, dead
    logs = "".join((proxied.directory / f"worker-{number}.log").read_text() for number in range(5))
    assert "ALERT job is given up, 3 workers died under it" in logs
    (cloned.folder / "app/poison.yaml").unlink()
    healed = write_four(cloned, "healed")
    assert cloned.push("-o", "plumbline.wait=60", "origin", "main").returncode == 0
    wait_converged(proxied, healed, 30)
    assert_invariants(proxied, healed, deletes=["poison"])
    assert sum(each.is_running for name, each in proxied.servers.items() if name.startswith("worker-")) == 2


# -- F16 -------------------------------------------------------------------------------------------------------------

SHIFTED = """
import datetime, runpy, sys, time
by = float(sys.argv.pop(1))
true = time.time
time.time = lambda: true() + by
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=by)
datetime.datetime = Shifted
runpy.run_module("worker", run_name="__main__")
"""


@pytest.mark.parametrize("hours", [2, -2])
def test_f16_a_worker_whose_clock_is_hours_off_neither_takes_a_lease_nor_loses_one(
    proxied: LocalSystem, cloned: Clone, proxy: ApiProxy, hours: int
) -> None:
    command = [sys.executable, "-c", SHIFTED, str(hours * 3600)]
    log = proxied.directory / "shifted.log"
    proxied.servers["shifted"] = Server("shifted", command, log, environ=proxied.environ, directory=ROOT)
    wait_until(lambda: listening(proxied) >= 2, 30, "the shifted worker listens")
    for turn in range(3):
        revision = write_four(cloned, f"turn {turn}")
        assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
        wait_converged(proxied, revision, 60)
    assert "is put back" not in proxied.log("shifted") + proxied.log("worker")
    assert "lease lost" not in proxied.log("shifted") + proxied.log("worker")
    times = note_of(proxied, revision)["times"]
    assert times["converged"] >= times["verified"] - 1 or hours
    proxied.servers["worker"].kill()
    revision = write_four(cloned, "shifted only")
    assert cloned.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(proxied, revision, 60)
    with redis.Redis.from_url(proxied.redis_url) as connection:
        for key in connection.keys("plumbline:v1:stream:*"):
            for _, fields in connection.xrange(key):
                if b"report" in fields:
                    assert json.loads(fields[b"report"])["seconds"] >= 0
    assert_invariants(proxied, revision)


def test_f16_a_dead_writer_s_lease_is_taken_by_the_server_s_clock_alone(world: World) -> None:
    """The holder's own times in the lease say whatever they like: long ago, or far in the future."""
    name = world.environment.state_name
    for said in ("2020-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"):
        with held(world.states.records, name, "test", "one"):
            record, at = world.states.records.read_at("Lease", name)
            assert record is not None
            assert abs(at - time.time()) < 5
            record["spec"]["renewTime"] = said
            began = time.monotonic()
            with pytest.raises(Unavailable), held(world.states.records, name, "test", "two"):
                pass
            assert time.monotonic() - began < 8
        stale = world.states.records.read("Lease", name)
        assert stale is not None
        stale["spec"] = {**stale["spec"], "holderIdentity": "gone", "renewTime": said}
        assert world.states.records.replace(stale) is not None
        began = time.monotonic()
        while True:
            try:
                with held(world.states.records, name, "test", "three"):
                    break
            except Unavailable:
                assert time.monotonic() - began < 15
        assert 7 < time.monotonic() - began < 13

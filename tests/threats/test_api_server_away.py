"""An API server that is not there, loses answers, refuses credentials or dies; each name begins with the fault's number."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.control_plane import ControlPlane
from sandbox.processes import free_port
from tests.api_proxy import ApiProxy, Fault, Rule
from tests.conftest import Kubectl, config_map, config_maps
from tests.world import World, resources
from worker.adapters.cluster import Cluster, Records, connect
from worker.adapters.cluster.objects import FEW
from worker.adapters.inventory import Recorded, StateStore
from worker.domain.convergence import EnvironmentState, Phase
from worker.domain.errors import LeaseLost, PlumblineError, Unavailable
from worker.domain.inventory import Inventory
from worker.domain.reports import Step
from worker.operations.predicting import predict
from worker.operations.preparing import Target


def is_write(method: str, path: str) -> bool:
    return method in ("PATCH", "DELETE") and "dryRun" not in path and "/namespaces/state-" not in path


def pointed_elsewhere(kubeconfig: Path, folder: Path, server: str) -> Path:
    document = json.loads(kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = server
    made = folder / "elsewhere.kubeconfig"
    made.write_text(json.dumps(document))
    return made


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port where connections are neither taken nor refused: its queue is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        waiting.append(one)
    yield port
    for one in (*waiting, listener):
        one.close()


def told(world: World, kubeconfig: Path) -> str:
    """What planning says on a cluster that cannot be reached."""
    cluster = Cluster(connect(kubeconfig))
    target = Target(cluster, world.environment, world.ceiling, world.state_namespace)
    nothing = Recorded(EnvironmentState(world.environment.slug, "u"), Inventory(()))
    try:
        predict(target, "r", resources(config_map("one", a="1")), nothing, b"k" * 32)
    except Unavailable as error:
        return str(error)
    finally:
        cluster.close()
    pytest.fail("a plan was made of a cluster that is not there")


def test_f17_a_refused_connection_is_no_plan(world: World, tmp_path: Path) -> None:
    said = told(world, pointed_elsewhere(world.kubeconfig, tmp_path, f"https://127.0.0.1:{free_port()}"))
    assert said.startswith("cluster unreachable: ")
    assert said.endswith("does not answer (connection refused)")


def test_f17_a_name_that_nobody_knows_is_no_plan(world: World, tmp_path: Path) -> None:
    said = told(world, pointed_elsewhere(world.kubeconfig, tmp_path, "https://no-such-host.invalid:6443"))
    assert said.startswith("cluster unreachable: ")
    assert said.endswith("(its name is not known)")


def test_f17_a_server_that_takes_no_connection_is_no_plan(world: World, tmp_path: Path, black_hole: int) -> None:
    began = time.monotonic()
    said = told(world, pointed_elsewhere(world.kubeconfig, tmp_path, f"https://127.0.0.1:{black_hole}"))
    assert said.startswith("cluster unreachable: ")
    assert said.endswith("(no connection in time)")
    assert time.monotonic() - began < 12


def test_f17_a_certificate_of_somebody_else_is_no_plan(world: World, tmp_path: Path, other_plane: ControlPlane) -> None:
    said = told(world, pointed_elsewhere(world.kubeconfig, tmp_path, other_plane.address))
    assert said.startswith("cluster unreachable: ")
    assert said.endswith("(its certificate is not trusted by the kubeconfig)")


def test_f17_a_server_that_does_not_speak_tls_is_no_plan(world: World, tmp_path: Path, proxy: ApiProxy) -> None:
    port = json.loads(proxy.kubeconfig.read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2]
    said = told(world, pointed_elsewhere(world.kubeconfig, tmp_path, f"https://127.0.0.1:{port}"))
    assert said.endswith("(it does not speak TLS as it should)")


def test_f17_a_list_without_an_answer_is_no_empty_cluster(world: World, proxy: ApiProxy) -> None:
    world.converge(config_maps("a", "b", x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    listing = "/configmaps"

    def failing(fault: Fault) -> Rule:
        return lambda method, path: fault if listing in path and method == "GET" else None

    for fault in (Fault(cut="before"), Fault(cut="after"), Fault(503), Fault(504), Fault(500)):
        proxy.rule = failing(fault)
        with pytest.raises(Unavailable):
            proxied.plan(config_maps("a", x="1"))
        with pytest.raises(Unavailable):
            proxied.converge(config_maps("a", x="1"))
        assert not proxied.said(Step.VERIFIED)
    assert proxy.writes() == []


def test_f17_a_list_that_is_not_found_of_a_kind_that_is_served_is_no_empty_cluster(
    world: World, proxy: ApiProxy
) -> None:
    names = [f"c{number}" for number in range(FEW + 1)]
    world.converge(config_maps(*names, x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    proxy.rule = lambda method, path: Fault(404) if "/configmaps?" in path and method == "GET" else None
    with pytest.raises(Unavailable):
        proxied.plan(config_maps(*names, x="1"))
    assert any("/configmaps?" in path for _, path in proxy.requests), "no LIST was asked for"
    assert proxy.writes() == []


def once(fault: Fault, *, method: str = "PATCH", part: str = "/one?") -> Rule:
    faults = iter([fault])
    return lambda verb, path: next(faults, None) if verb == method and is_write(verb, path) and part in path else None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, {"Retry-After": "1"}),
        Fault(503),
        Fault(504),
        Fault(500),
        Fault(cut="before"),
        Fault(cut="after"),
    ],
    ids=["429", "503", "504", "500", "cut before it was taken", "cut after it was taken"],
)
@pytest.mark.parametrize("exists", [True, False], ids=["configured", "created"])
def test_f22_a_write_whose_answer_is_lost_is_looked_at_and_tried_again(
    world: World, proxy: ApiProxy, kubectl: Kubectl, fault: Fault, exists: bool
) -> None:
    if exists:
        world.converge(config_maps("one", "two", a="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    proxied.states.key()
    proxy.rule = once(fault)
    began = time.monotonic()
    recorded = proxied.converge(config_maps("one", "two", a="2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, proxied.facts
    assert recorded.state.operation.verdict == "as predicted"
    assert proxied.said(Step.APPLIED) == "2 of 2"
    if "Retry-After" in fault.headers:
        assert time.monotonic() - began >= 1
    writes = [path for method, path in proxy.writes() if method == "PATCH"]
    reads = [path for method, path in proxy.requests if method == "GET" and path.endswith("/configmaps/one")]
    assert len(writes) == 3
    assert reads, "it was written again without a look"
    listed = kubectl("-n", world.namespace, "get", "configmaps", "-o", "jsonpath={.items[*].data.a}").stdout
    assert listed == "2 2"
    version = kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.metadata.managedFields}")
    assert json.loads(version.stdout)[0]["operation"] == "Apply"
    assert len(json.loads(version.stdout)) == 1


def test_f22_a_server_that_asks_for_a_long_wait_is_not_pressed(world: World, proxy: ApiProxy) -> None:
    proxied = World(proxy.kubeconfig, world.namespace)
    proxy.rule = lambda method, path: Fault(429, {"Retry-After": "60"}) if is_write(method, path) else None
    with pytest.raises(Unavailable) as caught:
        proxied.converge(config_map("one", a="1"))
    assert caught.value.retry_after == 60
    assert [method for method, _ in proxy.writes()].count("PATCH") == 1
    assert proxied.said(Step.RETRYING).startswith("applied 0 of 1")


def test_f22_a_delete_whose_answer_is_lost_is_done_once(world: World, proxy: ApiProxy, kubectl: Kubectl) -> None:
    world.converge(config_maps("a", "b", "c", x="1"))
    proxied = World(proxy.kubeconfig, world.namespace)
    proxy.rule = once(Fault(cut="after"), method="DELETE", part="/c")
    with pytest.raises(Unavailable):
        proxied.converge(config_maps("a", "b", x="1"))
    assert not proxied.said(Step.FAILED)
    recorded = proxied.converge(config_maps("a", "b", x="1"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED
    assert [entry.key.name for entry in recorded.inventory.entries] == ["a", "b"]


def test_f23_a_token_that_was_rotated_under_way_is_read_again(world: World, proxy: ApiProxy, tmp_path: Path) -> None:
    text = config_maps("a", "b", "c", x="1")
    good = proxy.kubeconfig.read_text()
    expired = json.loads(good)
    expired["users"][0]["user"]["token"] = "expired"
    kubeconfig = tmp_path / "rotated.kubeconfig"
    kubeconfig.write_text(json.dumps(expired))
    rotating = World(kubeconfig, world.namespace)
    kubeconfig.write_text(good)
    assert rotating.plan(text).summary["create"] == 3
    refused = iter([401])
    proxy.rule = lambda method, path: next(refused, None) if is_write(method, path) else None
    recorded = rotating.converge(text)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, rotating.facts
    assert recorded.state.operation.verdict == "as predicted"


def test_f23_credentials_that_stay_refused_are_said_without_being_shown(
    world: World, control_plane: ControlPlane, tmp_path: Path
) -> None:
    document = json.loads(world.kubeconfig.read_text())
    token = "canary-token-5d1e"
    document["users"][0]["user"]["token"] = token
    kubeconfig = tmp_path / "wrong.kubeconfig"
    kubeconfig.write_text(json.dumps(document))
    with pytest.raises(PlumblineError) as caught:
        World(kubeconfig, world.namespace).plan(config_map("one", a="1"))
    assert "refuses these credentials (HTTP 401), also after they were read again" in str(caught.value)
    assert token not in str(caught.value)


def test_f24_a_slow_server_keeps_the_lease_and_it_is_said_how_far_it_is(world: World, proxy: ApiProxy) -> None:
    proxied = World(proxy.kubeconfig, world.namespace)
    proxied.states.key()
    proxy.rule = lambda method, path: Fault(delay=0.8) if method != "GET" and "dryRun" not in path else None
    names = [f"c{number:03}" for number in range(120)]
    recorded = proxied.converge(config_maps(*names, a="1"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, proxied.facts
    said = [fact.text for fact in proxied.facts if fact.step is Step.APPLYING]
    done = [int(text.split(" of 120")[0]) for text in said]
    assert len(done) >= 5, said
    assert done == sorted(done)
    assert recorded.state.operation.applied - recorded.state.operation.started > 8, "shorter than a lease"


@pytest.fixture(scope="module")
def other_plane(tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster that may be killed."""
    with ControlPlane.start(tmp_path_factory.mktemp("other"), tools) as plane:
        yield plane


def test_f25_an_api_server_that_is_killed_half_way_loses_nothing_and_doubles_nothing(
    other_plane: ControlPlane, tmp_path: Path
) -> None:
    status, _ = other_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "half"}}
    )
    assert status == 201
    names = [f"c{number:03}" for number in range(60)]
    proxy = ApiProxy(other_plane.kubeconfig(), tmp_path)
    world = World(proxy.kubeconfig, "half")
    world.converge(config_maps(*names, "gone", a="1"))
    passed = threading.Event()
    guard = threading.Lock()
    written: list[str] = []

    def kill_at_the_twentieth(method: str, path: str) -> None:
        if not is_write(method, path):
            return
        with guard:
            written.append(path)
            if len(written) == 20:
                other_plane.kill("kube-apiserver")
                passed.set()

    proxy.before = kill_at_the_twentieth
    with pytest.raises(PlumblineError):
        world.converge(config_maps(*names, a="2"), revision="e" * 40)
    assert passed.is_set()
    assert not world.said(Step.VERIFIED)
    assert not world.said(Step.FAILED), "a server that is away is no failure of the commit"
    other_plane.restart("kube-apiserver")
    until = time.monotonic() + 60
    while True:
        try:
            recorded = world.converge(config_maps(*names, a="2"), revision="e" * 40)
            break
        except PlumblineError as error:
            assert time.monotonic() < until, error
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    _, listed = other_plane.request("GET", "/api/v1/namespaces/half/configmaps")
    values = {item["metadata"]["name"]: (item.get("data") or {}).get("a") for item in listed["items"]}
    values.pop("kube-root-ca.crt", None)
    assert values == dict.fromkeys(names, "2")
    store = StateStore(Records(world.cluster.connection, world.state_namespace), world.cluster.uid)
    assert len(store.read(world.environment).inventory.entries) == 60
    assert world.plan(config_maps(*names, a="2")).is_empty
    proxy.close()


def test_f17_an_api_server_that_stands_still_half_way_stops_the_writer_and_loses_nothing(
    other_plane: ControlPlane, tmp_path: Path
) -> None:
    status, _ = other_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "still"}}
    )
    assert status == 201
    names = [f"c{number:03}" for number in range(40)]
    world = World(other_plane.kubeconfig(), "still")
    world.states.key()
    stopped = threading.Event()
    written = iter(range(1000))

    def stand_still() -> None:
        if next(written) == 20:
            other_plane.pause("kube-apiserver")
            stopped.set()

    began = time.monotonic()
    try:
        with pytest.raises((LeaseLost, Unavailable)):
            world.converge(config_maps(*names, a="1"), before_write=stand_still)
    finally:
        took = time.monotonic() - began
        other_plane.resume("kube-apiserver")
    assert stopped.is_set()
    assert took < 60
    assert not world.said(Step.VERIFIED)
    assert not world.said(Step.FAILED)
    until = time.monotonic() + 60
    while True:
        try:
            recorded = world.converge(config_maps(*names, a="1"), holder="another")
            break
        except PlumblineError as error:
            assert time.monotonic() < until, error
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert len(recorded.inventory.entries) == 40

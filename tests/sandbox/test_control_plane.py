"""The sandbox: real health, identities, several at once, nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from sandbox.control_plane import ControlPlane
from sandbox.processes import SandboxError, wait_until
from sandbox.redis_server import RedisServer
from sandbox.tools import PACKAGES, find, fits, version_of
from tests.conftest import Kubectl

ROOT = Path(__file__).parents[2]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: "registry.example/cart:%s"}]}
"""


def ready(kubectl: Kubectl, namespace: str) -> str:
    return kubectl("-n", namespace, "get", "deployment", "cart", "-o", "jsonpath={.status.readyReplicas}").stdout


def states(kubectl: Kubectl, namespace: str) -> str:
    path = "jsonpath={.items[*].status.containerStatuses[*].state}{.items[*].status.containerStatuses[*].lastState}"
    return kubectl("-n", namespace, "get", "pods", "-o", path).stdout


def test_pods_become_ready_fail_by_their_tag_and_recover(kubectl: Kubectl, namespace: str) -> None:
    for tag, said in (("missing", "ImagePullBackOff"), ("crashing", "CrashLoopBackOff"), ("never-ready", "running")):
        kubectl("-n", namespace, "apply", "-f", "-", text=DEPLOYMENT % tag)
        wait_until(lambda word=said: word in states(kubectl, namespace), 20, said)  # type: ignore[misc]
        assert ready(kubectl, namespace) in ("", "1", "2")
        kubectl("-n", namespace, "apply", "-f", "-", text=DEPLOYMENT % f"good-{tag}")
        wait_until(lambda: ready(kubectl, namespace) == "2", 20, "a good image recovers")
        wait_until(
            lambda: len(kubectl("-n", namespace, "get", "pods", "-o", "name").stdout.split()) == 2,
            20,
            "failing Pods go",
        )


def test_identities_have_different_rights(control_plane: ControlPlane, tools: dict[str, Path], namespace: str) -> None:
    def may(identity: str, *what: str) -> bool:
        command = [
            str(tools["kubectl"]),
            "--kubeconfig",
            str(control_plane.kubeconfig(identity)),
            "auth",
            "can-i",
            *what,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "yes"

    assert may("worker", "create", "deployments", "-n", namespace)
    assert may("viewer", "list", "pods", "-n", namespace)
    assert not may("viewer", "create", "pods", "-n", namespace)
    assert not may("nobody", "list", "pods", "-n", namespace)
    control_plane.grant_namespace("namespaced", namespace)
    assert may("namespaced", "create", "pods", "-n", namespace)
    assert not may("namespaced", "create", "pods", "-n", "default")
    assert (control_plane.kubeconfig("admin").stat().st_mode & 0o077) == 0


def test_everything_listens_on_loopback_only(control_plane: ControlPlane) -> None:
    if not Path("/proc/net/tcp").exists():
        raise SandboxError("this test reads /proc/net/tcp: run it on Linux")
    inodes = set()
    for server in control_plane.servers.values():
        for handle in Path(f"/proc/{server.pid}/fd").iterdir():
            target = str(handle.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    listening = [row.split() for row in rows if row.split()[3] == "0A" and row.split()[9] in inodes]
    assert listening
    loopback = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    assert {row[1].split(":")[0] for row in listening} <= set(loopback)


def test_a_killed_supervisor_leaves_no_process_and_two_sandboxes_live_side_by_side(
    tools: dict[str, Path], tmp_path: Path, control_plane: ControlPlane
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "sandbox", str(folder)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until((folder / "state.json").exists, 60, "the second sandbox is up")
        state = json.loads((folder / "state.json").read_text())
        assert state["address"] != control_plane.address
        assert control_plane.request("GET", "/readyz")[0] == 200
    finally:
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
    for pid in state["servers"].values():
        wait_until(lambda pid=pid: not _lives(pid), 20, f"process {pid} ends with its parent")  # type: ignore[misc]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_of_another_version_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, same = tmp_path / "old", tmp_path / "same"
    for folder, version in ((old, "v1.20.3"), (same, f"{version_of('kubectl').rsplit('.', 1)[0]}.99")):
        folder.mkdir()
        (folder / "kubectl").write_text(f"#!/bin/sh\necho 'Client Version: {version}'\n")
        (folder / "kubectl").chmod(0o755)
    assert not fits("kubectl", old / "kubectl")
    assert fits("kubectl", same / "kubectl")
    said: list[str] = []
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(old))
    assert find(["kubectl"], said.append)["kubectl"] != old / "kubectl"
    assert "passed over" in said[0]
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(same))
    assert find(["kubectl"])["kubectl"] == same / "kubectl"
    with pytest.raises(SandboxError, match="there is no program kubectx"):
        find(["kubectx"])
    assert len(PACKAGES) == 8


def test_redis_takes_nobody_without_its_password(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    try:
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis.from_url(server.url) as friend:
            assert friend.ping()
        assert server.url.split(":")[2].split("@")[0] not in Path(f"/proc/{server.server.pid}/cmdline").read_text()
    finally:
        server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0

"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok as one cluster on 127.0.0.1."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.json_http import JsonClient
from sandbox.processes import SandboxError, Server, free_port, stop_all, wait_until

STAGES = Path(__file__).with_name("stages.yaml")
IDENTITIES = ("admin", "worker", "viewer", "namespaced", "nobody")
"""Who may log in: everything; everything by RBAC; read all; what `grant_namespace` gives; nothing."""

STARTS = 3
"""A port may be taken between looking and listening; then everything is started again on others."""

Progress = Callable[[str], None]


class ControlPlane:
    """One running cluster in its own directory. Use `start`, or as a context manager."""

    def __init__(self, directory: Path, tools: Mapping[str, Path]) -> None:
        self.directory = directory
        self._tools = tools
        self._tokens = {identity: secrets.token_urlsafe(24) for identity in IDENTITIES}
        self._servers: dict[str, Server] = {}
        self._port = 0
        self._etcd_port = 0
        self._client = JsonClient(self._connection)

    @classmethod
    def start(cls, directory: Path, tools: Mapping[str, Path], progress: Progress = lambda _: None) -> Self:
        """Starts a cluster and waits until Pods can become ready. Raises SandboxError with the log of what failed."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for attempt in range(1, STARTS + 1):
            plane = cls(directory, tools)
            try:
                plane._boot(progress)
            except SandboxError:
                plane.stop()
                if attempt == STARTS or "address already in use" not in _read(directory / "kube-apiserver.log"):
                    raise
            except BaseException:
                plane.stop()
                raise
            else:
                return plane
        raise AssertionError("unreachable")

    def _boot(self, progress: Progress) -> None:
        began = time.monotonic()
        self._write_credentials()
        self._etcd_port, peer, self._port = free_port(), free_port(), free_port()
        client_url, peer_url = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{peer}"
        self._run("etcd", [
            "--data-dir", self.directory / "etcd",
            "--listen-client-urls", client_url, "--advertise-client-urls", client_url,
            "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
            "--initial-cluster", f"default={peer_url}", "--unsafe-no-fsync", "--log-level", "warn",
        ])  # fmt: skip
        self._run("kube-apiserver", [
            "--etcd-servers", client_url, "--secure-port", str(self._port), "--bind-address", "127.0.0.1",
            "--endpoint-reconciler-type=none", "--cert-dir", self.directory / "certificates",
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", self.directory / "sa.pub",
            "--service-account-signing-key-file", self.directory / "sa.key",
            "--token-auth-file", self.directory / "tokens.csv", "--authorization-mode", "RBAC",
            "--service-cluster-ip-range", "10.96.0.0/16", "--allow-privileged=true",
        ])  # fmt: skip
        wait_until(self._has_certificate, 30, "kube-apiserver makes its certificate")
        self._write_kubeconfigs()
        wait_until(self._is_ready, 60, "kube-apiserver is ready")
        progress(f"API server ready after {time.monotonic() - began:.1f} s")
        admin = self.kubeconfig("admin")
        self._run("kube-controller-manager", [
            "--kubeconfig", admin, "--service-account-private-key-file", self.directory / "sa.key",
            "--leader-elect=false", "--secure-port", "0", "--use-service-account-credentials=false",
            "--kube-api-qps=500", "--kube-api-burst=1000",  # 20 a second, its default, would be the clock of everything
        ])  # fmt: skip
        self._run("kube-scheduler", ["--kubeconfig", admin, "--leader-elect=false", "--secure-port", "0"])
        self._run(
            "kwok",
            [
                "--kubeconfig", admin, "--manage-all-nodes=true", "--config", STAGES, "--server-address", "",
                # without leases the node counts as lost between two of its heartbeats, and its Pods with it
                "--node-lease-duration-seconds", "40",
            ],
        )  # fmt: skip
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda make: make(), (self._make_node, self._grant_worker, self._grant_viewer)))
        wait_until(self._runs_pods, 60, "the node and the default service account are ready")
        progress(f"control plane ready after {time.monotonic() - began:.1f} s")

    def _run(self, name: str, arguments: list[str | Path]) -> None:
        self._servers[name] = Server(name, [self._tools[name], *arguments], self.directory / f"{name}.log")

    # -- credentials ---------------------------------------------------------------------------------------------

    def _write_credentials(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._private("sa.key", private)
        self._private("sa.pub", public)
        rows = [f"{self._tokens['admin']},admin,admin,system:masters\n"]
        rows += [f"{token},{name},{name}\n" for name, token in self._tokens.items() if name != "admin"]
        self._private("tokens.csv", "".join(rows).encode())

    def _private(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    @property
    def _certificate(self) -> Path:
        return self.directory / "certificates" / "apiserver.crt"

    def _has_certificate(self) -> bool:
        for server in self._servers.values():
            server.require_running()
        return self._certificate.is_file() and b"END CERTIFICATE" in self._certificate.read_bytes()

    def _write_kubeconfigs(self) -> None:
        authority = base64.b64encode(self._certificate.read_bytes()).decode()
        for identity, token in self._tokens.items():
            document = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "sandbox",
                "clusters": [
                    {"name": "sandbox", "cluster": {"server": self.address, "certificate-authority-data": authority}}
                ],
                "users": [{"name": identity, "user": {"token": token}}],
                "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": identity}}],
            }
            self._private(f"{identity}.kubeconfig", json.dumps(document, indent=2).encode())

    def kubeconfig(self, identity: str = "admin") -> Path:
        """The kubeconfig file of an identity (mode 600)."""
        return self.directory / f"{identity}.kubeconfig"

    def token(self, identity: str) -> str:
        """The bearer token of an identity."""
        return self._tokens[identity]

    @property
    def address(self) -> str:
        """The API server's https address."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def etcd_address(self) -> str:
        """etcd's http address, for what has to be done beneath the API server."""
        return f"http://127.0.0.1:{self._etcd_port}"

    # -- talking to it -------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request as admin: the HTTP status and the decoded JSON (None where there is none)."""
        return self._client.request(method, path, body, f"Bearer {self._tokens['admin']}")

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=self._trust)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._certificate))

    def _is_ready(self) -> bool:
        for server in self._servers.values():
            server.require_running()
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def _runs_pods(self) -> bool:
        for server in self._servers.values():
            server.require_running()
        account, _ = self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        _, node = self.request("GET", "/api/v1/nodes/node-0")
        conditions = ((node or {}).get("status") or {}).get("conditions") or []
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return account == 200 and ready

    def _make_node(self) -> None:
        capacity = {"cpu": "256", "memory": "1Ti", "pods": "10000", "ephemeral-storage": "1Ti"}
        self._create("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node-0", "annotations": {"kwok.x-k8s.io/node": "fake"},
                         "labels": {"kubernetes.io/hostname": "node-0", "kubernetes.io/os": "linux"}},
            "status": {"capacity": capacity, "allocatable": capacity},
        })  # fmt: skip

    def _grant_worker(self) -> None:
        rules: list[dict[str, Any]] = [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["get"]},
        ]
        self._bind("plumbline-worker", rules, "worker")

    def _grant_viewer(self) -> None:
        self._bind("viewer", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}], "viewer")

    def _bind(self, role: str, rules: list[dict[str, Any]], identity: str) -> None:
        api = "rbac.authorization.k8s.io/v1"
        root = f"/apis/{api}"
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": identity}
        metadata = {"name": role}
        self._create(
            f"{root}/clusterroles", {"apiVersion": api, "kind": "ClusterRole", "metadata": metadata, "rules": rules}
        )
        self._create(f"{root}/clusterrolebindings", {
            "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": reference, "subjects": [subject],
        })  # fmt: skip

    def grant_namespace(self, identity: str, namespace: str) -> None:
        """Lets an identity do everything inside one namespace."""
        api = "rbac.authorization.k8s.io/v1"
        root = f"/apis/{api}/namespaces/{namespace}"
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": identity}
        rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
        self._create(
            f"{root}/roles", {"apiVersion": api, "kind": "Role", "metadata": {"name": identity}, "rules": rules}
        )
        self._create(f"{root}/rolebindings", {
            "apiVersion": api, "kind": "RoleBinding", "metadata": {"name": identity},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": identity},
            "subjects": [subject],
        })  # fmt: skip

    def _create(self, path: str, body: dict[str, Any]) -> None:
        status, answer = self.request("POST", path, body)
        if status not in (200, 201, 409):
            raise SandboxError(
                f"creating {body['kind']} {body['metadata']['name']} failed: {(answer or {}).get('message')}"
            )

    # -- faults and the end --------------------------------------------------------------------------------------

    @property
    def servers(self) -> Mapping[str, Server]:
        """The running programs by name."""
        return self._servers

    def pause(self, name: str) -> None:
        """Stops a server's clock (SIGSTOP): it neither answers nor refuses."""
        self._servers[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Lets a paused server go on."""
        self._servers[name].signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """Kills a server."""
        self._servers[name].kill()

    def restart(self, name: str) -> None:
        """Starts a killed server again and waits until the cluster answers."""
        self._servers[name].restart()
        wait_until(self._is_ready, 60, f"{name} is back")

    def stop(self) -> None:
        """Ends everything; the state is disposable, so etcd and the API server get no time to say goodbye."""
        self._client.close()
        for name in ("kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._servers:
                self._servers[name].signal(signal.SIGCONT)
                self._servers[name].signal(signal.SIGKILL)
        stop_all(list(self._servers.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""

"""An admission webhook as clusters have them: a real HTTPS server on 127.0.0.1 that the API server calls."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox.control_plane import ControlPlane
from tests.loopback_server import Handler, LoopbackServer

API: Final = "admissionregistration.k8s.io/v1"
Review = dict[str, Any]

EVERYTHING: Final = (
    "configmaps", "secrets", "services", "deployments", "jobs", "serviceaccounts",
)  # fmt: skip


def allow(_: Review) -> dict[str, Any]:
    """Lets everything through as it is."""
    return {"allowed": True}


def deny(text: str) -> Callable[[Review], dict[str, Any]]:
    """Refuses everything with these words."""
    return lambda _: {"allowed": False, "status": {"code": 403, "message": text}}


def patch(*operations: dict[str, Any]) -> Callable[[Review], dict[str, Any]]:
    """Lets everything through, changed by a JSON patch."""
    encoded = _base64(json.dumps(list(operations)).encode())
    return lambda _: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


class AdmissionWebhook:
    """A webhook `name` that is asked about one namespace's objects; `answer` decides, after `delay` seconds.

    `asked` has the operation, resource, name and dry-run mark of every request, in order. `stop_listening` leaves it
    registered and down.
    """

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        namespace: str,
        answer: Callable[[Review], dict[str, Any]] = allow,
        *,
        mutating: bool = False,
        side_effects: str = "None",
        operations: tuple[str, ...] = ("CREATE", "UPDATE"),
        resources: tuple[str, ...] = EVERYTHING,
        timeout: int = 5,
    ) -> None:
        self.answer = answer
        self.delay = 0.0
        self.asked: list[tuple[str, str, str, bool]] = []
        self.name = f"hook.{namespace}.example.com"
        self._plane = plane
        certificate, key = _certificate(folder)
        webhook = self

        class Own(Handler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                webhook.asked.append(
                    (
                        request["operation"],
                        request["resource"]["resource"],
                        request["name"],
                        bool(request.get("dryRun")),
                    )
                )
                time.sleep(webhook.delay)
                response = {"uid": request["uid"], **webhook.answer(request)}
                review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
                content = json.dumps(review).encode()
                with contextlib.suppress(OSError):  # the API server may have given up waiting
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

        self._server = LoopbackServer(Own, (certificate, key))
        kind = "MutatingWebhookConfiguration" if mutating else "ValidatingWebhookConfiguration"
        self._path = f"/apis/{API}/{kind.lower()}s"
        accepted = side_effects if side_effects in ("None", "NoneOnDryRun") else "None"
        status, said = plane.request("POST", self._path, {
            "apiVersion": API, "kind": kind, "metadata": {"name": self.name},
            "webhooks": [{
                "name": self.name,
                "clientConfig": {
                    "url": f"{self._server.address}/",
                    "caBundle": _base64(certificate.read_bytes()),
                },
                "rules": [{
                    "apiGroups": ["*"], "apiVersions": ["*"], "operations": list(operations),
                    "resources": list(resources),
                }],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "sideEffects": accepted, "admissionReviewVersions": ["v1"], "timeoutSeconds": timeout,
                "failurePolicy": "Fail",
            }],
        })  # fmt: skip
        assert status == 201, said
        if accepted != side_effects:
            self._rewrite_stored(kind, {**said, "webhooks": [{**said["webhooks"][0], "sideEffects": side_effects}]})
        self._await_effect(namespace)
        while accepted != side_effects and self._takes_dry_runs(namespace):
            time.sleep(0.05)
        self.asked.clear()

    def _rewrite_stored(self, kind: str, stored: dict[str, Any]) -> None:
        """Changes the configuration beneath the API server: one that is as old as v1beta1 may say what v1 takes no more."""
        key = f"/registry/{kind.lower()}s/{self.name}"
        stored = {**stored, "metadata": {**stored["metadata"], "managedFields": None, "resourceVersion": None}}
        pair = {"key": _base64(key.encode()), "value": _base64(json.dumps(stored).encode())}
        answer = urllib3.request("POST", f"{self._plane.etcd_address}/v3/kv/put", json=pair)
        assert answer.status == 200, answer.data

    def _takes_dry_runs(self, namespace: str) -> bool:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "does-it-take-dry-runs"}}
        return self._plane.request("POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", body)[0] == 201

    def _await_effect(self, namespace: str) -> None:
        """The API server reads configurations in the background: a first request shows that it has read this one."""
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "is-the-webhook-asked"}}
        probe = f"/api/v1/namespaces/{namespace}/configmaps"
        answer, self.answer = self.answer, deny("probe")
        until = time.monotonic() + 20
        while not self.asked:
            status, _ = self._plane.request("POST", probe, body)
            if status == 201:
                self._plane.request("DELETE", f"{probe}/is-the-webhook-asked")
            assert time.monotonic() < until, "the webhook is never asked"
            time.sleep(0.05)
        self.asked.clear()
        self.answer = answer

    def stop_listening(self) -> None:
        """From now on it cannot be reached."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._plane.request("DELETE", f"{self._path}/{self.name}")
        self.stop_listening()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admission webhook of a test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "webhook.crt", folder / "webhook.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file

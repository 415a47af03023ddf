"""An image that was built becomes a commit on a plain Git server too: on the branch, or on one of the bot's own to merge."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import DEPLOYMENT, Kubectl, StartSystem
from tests.invariants import wait_converged
from tests.journeys.test_drift import with_policy
from tests.journeys.test_proposals_by_push import branches

SECRET = "i" * 32
POLICIES = """\
images:
- {name: web, image: registry.example/web, policy: {semver: 1.x}, update-by: commit}
- {name: api, image: registry.example/api, policy: {semver: 1.x}}
"""


@pytest.fixture
def system(
    control_plane: ControlPlane, empty_redis: str, start_system: StartSystem, tmp_path: Path
) -> Iterator[LocalSystem]:
    secret = tmp_path / "images-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    more = f"images-secret: {{file: {secret}}}\n"
    with start_system(control_plane.kubeconfig("worker"), empty_redis, more=more) as running:
        yield running


def announced(system: LocalSystem, image: str, revision: str = "") -> None:
    """Says that an image was built, as a pipeline does."""
    body = json.dumps({"images": [f"registry.example/{image}"], "revision": revision}).encode()
    stamp = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json", "Plumbline-Timestamp": stamp, "Plumbline-Signature": f"sha256={signature}",
    }  # fmt: skip
    assert httpx.post(f"{system.address}/images", content=body, headers=headers, timeout=10).status_code == 202


def workload(name: str) -> str:
    written = DEPLOYMENT.replace("registry.example/x:1", f"registry.example/{name}:1.0.0")
    return written.replace("{name: d}", f"{{name: {name}}}") + "# by hand\n"


def test_what_a_policy_wants_is_committed_or_put_on_a_branch_and_never_starts_itself(
    system: LocalSystem, clone: Clone, kubectl: Kubectl, namespace: str
) -> None:
    def running(name: str) -> str:
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return kubectl("-n", namespace, "get", "deployment", name, "-o", path).stdout.removeprefix("registry.example/")

    def at(revision: str, name: str) -> str:
        return git("show", f"{revision}:app/{name}.yaml", at=system.repository)

    clone.write("plumbline.yaml", with_policy(namespace, "settle: 1s") + POLICIES)
    clone.write("app/web.yaml", workload("web"))
    clone.write("app/api.yaml", workload("api"))
    first = clone.commit("first")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, first)

    announced(system, "web:1.1.0")
    wait_until(lambda: branches(system)["main"] != first, 30, "it is committed")
    made = branches(system)["main"]
    wait_converged(system, made)
    assert (running("web"), running("api")) == ("web:1.1.0", "api:1.0.0")
    assert git("diff", "--name-only", first, made, at=system.repository) == "app/web.yaml\n"
    assert at(made, "web") == workload("web").replace("1.0.0", "1.1.0")
    assert git("rev-parse", f"{made}^", at=system.repository).strip() == first
    assert list(branches(system)) == ["main"]

    announced(system, "web:1.2.0", revision=made)  # built of our own commit
    announced(system, "api:1.1.0")
    wait_until(lambda: len(branches(system)) == 2, 30, "it is on a branch")
    assert branches(system)["main"] == made, "nothing is pushed to the branch"
    ((name, tip),) = ((name, tip) for name, tip in branches(system).items() if name != "main")
    assert git("diff", "--name-only", made, tip, at=system.repository) == "app/api.yaml\n"
    log = ("notes", "--ref", "refs/notes/plumbline", "show", made)
    wait_until(lambda: f"it is on the branch {name}" in git(*log, at=system.repository), 10, "the note says so")
    assert running("api") == "api:1.0.0"

    git("fetch", "--quiet", "origin", name, at=clone.folder)
    git("merge", "--quiet", "FETCH_HEAD", at=clone.folder)
    pushed = clone.push("-o", "plumbline.wait=0", "origin", "HEAD:main")
    assert "image 1.0.0 -> 1.1.0" in pushed.stderr, pushed.stderr
    merged = git("rev-parse", "HEAD", at=clone.folder).strip()
    wait_converged(system, merged)
    assert (running("web"), running("api")) == ("web:1.1.0", "api:1.1.0")
    assert branches(system) == {"main": merged, name: tip}

"""An image that was built becomes a commit, by the policy in plumbline.yaml: announced, proposed or committed, converged.

On Gitea, whose own registry is the registry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bot.forges.port import RequestState, State
from plumbline.local_system import LocalSystem
from sandbox.control_plane import ControlPlane
from tests.conftest import DEPLOYMENT
from tests.doubles.forge_rig import OWNER
from tests.doubles.gitea_rig import READER, GiteaRig
from tests.journeys.conftest import started
from tests.journeys.shop import Proposal, Shop, manifest
from tests.journeys.test_an_image import running

SECRET = "i" * 32
FILE = "app/web.yaml"
POLICY = "images:\n- {{name: web, image: {image}, policy: {{semver: 1.x}}{more}}}\n"


@pytest.fixture(scope="module")
def rig(gitea: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GiteaRig]:
    made = GiteaRig(tmp_path_factory.mktemp("gitea"), gitea)  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture(scope="module")
def system(
    rig: GiteaRig, control_plane: ControlPlane, tools: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalSystem]:
    folder = tmp_path_factory.mktemp("policies")
    secret = folder / "images-secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    password = folder / "registry-password"
    password.touch(mode=0o600)
    reader = rig._login(READER)
    password.write_text(rig.server.create_token(reader, ["read:package"]))
    registry = {
        "host": host(rig), "address": rig.server.address, "username": reader, "password": {"file": str(password)},
        "allow-private": True, "forge": rig.declared.name, "poll": "10s",
    }  # fmt: skip
    more = {"images-secret": {"file": str(secret)}, "registries": [registry]}
    yield from started(rig, control_plane, tools, folder, poll="1m", more=more)


def host(rig: GiteaRig) -> str:
    """How images name Gitea's registry."""
    return urlsplit(rig.server.address).netloc


@pytest.fixture
def shop(rig: GiteaRig, system: LocalSystem, control_plane: ControlPlane, namespace: str) -> Iterator[Shop]:
    made = Shop(rig, system, control_plane, f"prod-{namespace.partition('-')[0]}", namespace)
    yield made
    made.end()


def announced(shop: Shop, *tags: str, revision: str = "", at: float = 0.0) -> int:
    """What the door answers to who built these images."""
    body = json.dumps({"images": [image(shop, tag) for tag in tags], "revision": revision}).encode()
    stamp = str(int(at or time.time()))
    signature = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json", "Plumbline-Timestamp": stamp, "Plumbline-Signature": f"sha256={signature}",
    }  # fmt: skip
    return httpx.post(f"{shop.system.address}/images", content=body, headers=headers, timeout=10).status_code


def image(shop: Shop, tag: str) -> str:
    """An image of this journey's own: all of them share a repository, and an announcement is for every branch."""
    return f"registry.example/{shop.name}:{tag}"


def workload(shop: Shop, tag: str = "1.0.0") -> str:
    return DEPLOYMENT.replace('"registry.example/x:1"', f"'{image(shop, tag)}' ")


def begun(shop: Shop, more: str = "") -> str:
    policy = POLICY.format(image=image(shop, "").rstrip(":"), more=more)
    first = shop.begin(**{FILE: workload(shop), "plumbline.yaml": shop.declaration() + policy})
    shop.status(first, shop.converge, State.SUCCESS)
    assert running(shop) == image(shop, "1.0.0")
    return first


def updates(shop: Shop) -> list[int]:
    """The open change requests of updates into the branch, oldest first."""
    found = shop.rig.server.ask("GET", f"/repos/{shop.rig.project}/pulls?state=open&limit=50")  # type: ignore[attr-defined]
    return sorted(
        each["number"] for each in found if each["base"]["ref"] == shop.branch and "update-" in each["head"]["ref"]
    )


def opened(shop: Shop, title: str) -> Proposal:
    """The change request of that title, once it is the only update that is open."""

    def is_there() -> bool:
        return [shop.rig.change_request(number).title for number in updates(shop)] == [title]

    shop.until(is_there, f"{title} is the one change request")
    (number,) = updates(shop)
    return shop.opened(Proposal(number, "", shop.rig.change_request(number).head))


def test_an_announced_image_is_proposed_a_newer_one_supersedes_it_and_its_merge_converges(shop: Shop) -> None:
    begun(shop)
    tip, at = shop.rig.tip(shop.branch), time.time()
    assert announced(shop, "1.1.0", "2.0.0", at=at) == 202
    older = opened(shop, f"Update registry.example/{shop.name} from 1.0.0 to 1.1.0 in {shop.name}")
    assert announced(shop, "1.1.0", "2.0.0", at=at) == 200, "a replay"
    assert announced(shop, "1.2.0") == 202
    newer = opened(shop, f"Update registry.example/{shop.name} from 1.0.0 to 1.2.0 in {shop.name}")
    shop.until(lambda: shop.rig.change_request(older.number).state is RequestState.CLOSED, "the older one is closed")
    assert any("takes the place of this one" in each.body for each in shop.ours(older.number))
    assert shop.rig.tip(shop.branch) == tip, "it was pushed to the branch"
    assert running(shop) == image(shop, "1.0.0")
    assert image(shop, "1.2.0") in shop.predicted(newer)
    merged = shop.rig.merge(newer.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    assert running(shop) == image(shop, "1.2.0")
    assert announced(shop, "1.3.0", revision=merged) == 202, "built of our own commit"
    assert announced(shop, "1.0.5") == 202, "lower than what is there"
    shop.all_is_done()
    assert updates(shop) == []
    assert shop.rig.tip(shop.branch) == merged


def test_a_policy_that_commits_converges_and_what_is_taken_back_stays_back(shop: Shop) -> None:
    first = begun(shop, ", update-by: commit")
    assert announced(shop, "1.1.0") == 202
    shop.until(lambda: running(shop) == image(shop, "1.1.0"), "the image is used", first)
    made = shop.rig.tip(shop.branch)
    shop.status(made, shop.converge, State.SUCCESS)
    assert made != first
    assert updates(shop) == []
    back = shop.rig.push(shop.branch, {FILE: workload(shop)}, message="Not yet")
    shop.status(back, shop.converge, State.SUCCESS)
    assert announced(shop, "1.1.0@sha256:" + "a" * 64) == 202
    shop.all_is_done()
    assert shop.rig.tip(shop.branch) == back
    assert running(shop) == image(shop, "1.0.0")
    assert announced(shop, "1.1.1") == 202
    shop.until(lambda: running(shop) == image(shop, "1.1.1"), "the next one is used", back)


def test_what_a_policy_cannot_write_is_said_on_the_commit(shop: Shop) -> None:
    first = begun(shop, ", pin-digest: true")
    assert announced(shop, "1.1.0") == 202
    said = shop.status(first, "plumbline/images/web", State.FAILURE)
    assert "nobody says which one" in said.text
    assert updates(shop) == []
    digest = "sha256:" + "b" * 64
    assert announced(shop, f"1.1.0@{digest}") == 202
    made = opened(shop, f"Update registry.example/{shop.name} from 1.0.0 to 1.1.0 ({'b' * 12}) in {shop.name}")
    shop.status(first, "plumbline/images/web", State.SUCCESS)
    shop.status(shop.rig.merge(made.number), shop.converge, State.SUCCESS)
    assert running(shop) == image(shop, f"1.1.0@{digest}")


class Builder:
    """Who builds images at Gitea: pushes tiny ones to its registry by the OCI distribution API, as `docker push` does."""

    def __init__(self, rig: GiteaRig, name: str) -> None:
        self.owner = rig._login(OWNER)
        self._token = rig.server.create_token(self.owner, ["write:package", "write:repository"])
        self.name, self.rig, self.image = name, rig, f"{host(rig)}/{self.owner}/{name}"

    def push(self, tag: str) -> str:
        """An image of its own under a tag; its digest."""
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {"Labels": {"tag": tag}}, "rootfs": {}}
        ).encode()
        of_config = "sha256:" + hashlib.sha256(config).hexdigest()
        media = "application/vnd.oci.image.manifest.v1+json"
        body = json.dumps({
            "schemaVersion": 2, "mediaType": media, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": of_config, "size": len(config)},
        }).encode()  # fmt: skip
        at = f"{self.rig.server.address}/v2/{self.owner}/{self.name}"
        with httpx.Client(auth=(self.owner, self._token), timeout=20) as client:
            assert client.post(f"{at}/blobs/uploads/?digest={of_config}", content=config).status_code == 201
            made = client.put(f"{at}/manifests/{tag}", content=body, headers={"Content-Type": media})
            assert made.status_code == 201, made.text
        return str(made.headers["Docker-Content-Digest"])

    def link(self) -> None:
        """Makes the package the repository's own, whose webhooks then tell of it."""
        repository = self.rig.project.partition("/")[2]
        self.rig.server.ask(
            "POST", f"/packages/{self.owner}/container/{self.name}/-/link/{repository}", token=self._token
        )


def test_a_merged_change_an_image_built_the_configuration_updated_and_converged(shop: Shop, rig: GiteaRig) -> None:
    builder = Builder(rig, shop.name)
    builder.push("1.0.0")
    builder.link()
    policy = POLICY.format(image=builder.image, more=", update-by: commit, pin-digest: true")
    first = shop.begin(**{
        FILE: DEPLOYMENT.replace("registry.example/x:1", f"{builder.image}:1.0.0"), "plumbline.yaml": shop.declaration() + policy,
    })  # fmt: skip
    shop.status(first, shop.converge, State.SUCCESS)
    proposal = shop.propose(manifest("flags", a="2"))
    shop.predicted(proposal)
    merged = rig.merge(proposal.number)
    shop.status(merged, shop.converge, State.SUCCESS)
    digest = builder.push("1.1.0")
    shop.until(lambda: running(shop) == f"{builder.image}:1.1.0@{digest}", "what was built is used", merged)
    made = rig.tip(shop.branch)
    assert made != merged
    shop.status(made, shop.converge, State.SUCCESS)
    assert shop.value("flags") == "2"
    assert any(b'"package"' in each.body and each.code == 202 for each in rig.deliveries())
    rig.listen("")
    try:
        later = builder.push("1.2.0")
        shop.until(lambda: rig.tip(shop.branch) != made, "what no event told of is found by asking", made)
    finally:
        rig.listen(f"{shop.system.address}/webhooks/{rig.declared.name}")
    file = rig.server.ask("GET", f"/repos/{rig.project}/contents/{FILE}?ref={shop.branch}")
    assert f"{builder.image}:1.2.0@{later}".encode() in base64.b64decode(file["content"])
    assert updates(shop) == []

"""What the README and the files beside it have a user copy is valid, read by the program's own readers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bot.alerts import signed
from bot.queue import SendRequest
from plumbline.__main__ import COMMANDS
from plumbline.local_system import Clone, LocalSystem, procfile
from sandbox.control_plane import ControlPlane
from tests.conftest import Kubectl, config_map, declaration
from worker.domain.alerting import AlertType, Severity
from worker.domain.declaration import read_declaration
from worker.domain.environment import Policy
from worker.domain.installation import Installation
from worker.domain.installation_file import read_installation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def example() -> Installation:
    return read_installation((ROOT / "app.yaml").read_bytes(), "app.yaml")


def test_the_readme_s_plumbline_yaml_is_valid_for_the_repository_s_app_yaml() -> None:
    (text,) = re.findall(r"```yaml\n(environments:.*?)```", section("plumbline.yaml"), re.DOTALL)
    installation = example()
    found = read_declaration(text, installation, installation.repositories[0], "main")
    (environment,) = found.environments
    assert environment.policy.unserved == "refuse"
    assert (len(environment.policy.ignore), len(environment.policy.conflicts)) == (2, 1)
    assert set(environment.policy.health) == {"Ingress.networking.k8s.io", "Database.example.org"}


IMAGES = (ROOT / "docs/images.md").read_text()


def test_the_page_of_image_updates_is_valid_and_tells_of_every_key() -> None:
    (text,) = re.findall(r"```yaml\n(environments:.*?)```", IMAGES, re.DOTALL)
    installation = example()
    found = read_declaration(text, installation, installation.repositories[0], "main")
    assert [(each.name, each.environments, each.pins_digest) for each in found.images] == [
        ("web", ("production",), True), ("worker", ("staging",), False), ("proxy", ("production", "staging"), True),
    ]  # fmt: skip
    (text,) = re.findall(r"```yaml\n(registries:.*?)```", IMAGES, re.DOTALL)
    forge = "forges: [{name: gitea, address: 'https://git.example.org', token: {env: T}, webhook-secret: {env: W}}]\n"
    registries = read_installation((ROOT / "app.yaml").read_text() + forge + text, "app.yaml").registries
    assert [each.host for each in registries] == ["ghcr.io", "docker.io", "git.example.org"]
    told = re.findall(r"^\| (`[^|]*) \|", IMAGES, re.MULTILINE)
    for name in ("semver", "newest", "regex", "digest", "environments", "update-by", "pin-digest", *REGISTRY_KEYS):
        assert any(f"{name}`" in each for each in told), name


REGISTRY_KEYS = ("host", "address", "username", "password", "poll", "allow-private", "networks", "forge")


def test_the_page_s_way_to_announce_is_signed_as_the_door_wants_it(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(body=.*?)```", IMAGES, re.DOTALL)
    (tmp_path / "curl").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "curl").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SECRET": "s" * 32, "PLUMBLINE": "http://plumbline"}
    run = subprocess.run(["sh", "-e", "-c", script], env=environ, capture_output=True, text=True, check=True)
    sent = run.stdout.splitlines()
    stamp = next(each for each in sent if each.startswith("Plumbline-Timestamp: ")).rpartition(" ")[2]
    expected = hmac.new(b"s" * 32, f"{stamp}.{sent[-1]}".encode(), hashlib.sha256).hexdigest()
    assert f"Plumbline-Signature: sha256={expected}" in sent
    assert "http://plumbline/images" in sent


def test_the_readme_s_alerts_are_valid_and_each_option_and_event_is_told_of() -> None:
    text = section("Alerts")
    (written,) = re.findall(r"```yaml\n(alerts:.*?)```", text, re.DOTALL)
    found = read_installation((ROOT / "app.yaml").read_text() + written, "app.yaml").alerts
    assert [each.name for each in found.receivers] == ["on-call", "cluster-bus", "chat"]
    assert found.told("shop", "production", AlertType.DIFF, Severity.WARNING) == ("on-call", "cluster-bus", "chat")
    assert found.told("shop", "staging", AlertType.DIFF, Severity.WARNING) == ("cluster-bus",)
    assert [name for name in AlertType if f"| `{name}` |" not in text] == []
    schemas = {path.name.removesuffix(".schema.json") for path in (ROOT / "docs/events").iterdir()}
    assert schemas == set(AlertType)


def test_the_readme_s_way_to_verify_a_signature_takes_what_is_signed_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(def is_genuine.*?)```", section("Alerts"), re.DOTALL)
    names: dict[str, Any] = {"base64": base64, "hmac": hmac, "hashlib": hashlib, "time": time}
    exec(code, names)
    body, headers = signed(SendRequest("ops", {"id": "diff-1"}, ""), b"k" * 32, time.time())
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    assert names["is_genuine"](secret, headers, body)
    assert not names["is_genuine"](secret, headers, body + b" ")
    assert not names["is_genuine"](secret, {**headers, "webhook-id": "diff-2"}, body)
    assert not names["is_genuine"]("whsec_" + base64.b64encode(b"x" * 32).decode(), headers, body)
    old = signed(SendRequest("ops", {"id": "diff-1"}, ""), b"k" * 32, time.time() - 3600)
    assert not names["is_genuine"](secret, old[1], old[0])


@pytest.mark.parametrize("name", [each.name.replace("_", "-") for each in fields(Policy)])
def test_every_option_of_policy_stands_in_the_readme(name: str) -> None:
    text = section("plumbline.yaml")
    assert f"\n      {name}:" in text or f"| `{name}` |" in text


def test_secrets_that_the_readme_has_an_operator_make_are_ignored_by_git() -> None:
    installation = example()
    references = [installation.signing_key, *(cluster.kubeconfig for cluster in installation.clusters)]
    names = [each.file for each in references if each is not None and each.file is not None]
    names.append("redis.conf")
    assert names == ["signing-key", "production.kubeconfig", "redis.conf"]
    run = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.split() == names


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"| `plumbline {name} " in section("The command line") or f"| `plumbline {name}`" in README


def test_the_readme_starts_every_process_of_the_procfile() -> None:
    loop = re.search(r"```sh\n(.*?Procfile.*?)```", section("Your own cluster and Git server"), re.DOTALL)
    assert loop is not None
    printed = subprocess.run(
        ["sh", "-c", loop[1].replace("export PLUMBLINE", "PLUMBLINE").replace('sh -c "', 'echo "')],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False, env={"PATH": "/usr/bin:/bin", "PORT": "9"},
    )  # fmt: skip
    assert sorted(printed.stdout.splitlines()) == sorted(f"exec {command}" for command in procfile().values())


@pytest.fixture
def granted(control_plane: ControlPlane, kubectl: Kubectl, tmp_path: Path, tools: dict[str, Path]) -> Iterator[Path]:
    """A kubeconfig with the rights of rbac.yaml, made by the commands in its head."""
    text = (ROOT / "rbac.yaml").read_text()
    kubectl("apply", "-f", str(ROOT / "rbac.yaml"))
    commands = [line.removeprefix("#   ") for line in text.splitlines() if line.startswith("#   ")]
    run = subprocess.run(
        ["sh", "-e", "-c", "\n".join(line for line in commands if not line.startswith("kubectl apply"))],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": f"{tools['kubectl'].parent}:/usr/bin:/bin", "KUBECONFIG": str(control_plane.kubeconfig())},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    yield tmp_path / "production.kubeconfig"
    kubectl("delete", "-f", str(ROOT / "rbac.yaml"), "--wait=false")


def test_the_rights_of_rbac_yaml_are_enough_for_a_push_and_no_more(
    granted: Path, redis_url: str, tools: dict[str, Path], tmp_path: Path, kubectl: Kubectl
) -> None:
    def may(*arguments: str) -> bool:
        return kubectl("--kubeconfig", str(granted), "auth", "can-i", *arguments, check=False).stdout.strip() == "yes"

    with LocalSystem.start(
        tmp_path / "system", kubeconfig=granted, redis_url=redis_url, tools=tools["helm"].parent
    ) as system:
        clone = Clone(tmp_path / "clone", system.repository)
        clone.write("plumbline.yaml", declaration("shop"))
        clone.write("app/a.yaml", config_map("one", a="1") + "---\n" + config_map("two", a="1"))
        clone.commit("first")
        push = clone.push("-o", "plumbline.wait=60", "origin", "main")
        assert push.returncode == 0, push.stderr
        assert "converged" in push.stderr
        clone.write("app/a.yaml", config_map("one", a="2"))
        clone.commit("second")
        push = clone.push("-o", "plumbline.wait=60", "origin", "main")
        assert "prune      ConfigMap shop/two" in push.stderr
        assert "converged" in push.stderr
    assert may("create", "deployments", "-n", "shop")
    assert not may("create", "deployments", "-n", "default")
    assert not may("get", "secrets", "-n", "kube-system")
    assert not may("delete", "namespaces")

"""Plumbline's processes beside a real Gitea: what is pushed there becomes the cluster's state."""

from __future__ import annotations

from pathlib import Path

from plumbline.local_system import Clone
from sandbox.processes import wait_until
from tests.conftest import Kubectl, StartForgeSystem, config_map, declaration


def test_a_push_to_gitea_converges_the_cluster_also_when_no_webhook_comes(
    start_forge_system: StartForgeSystem, empty_redis: str, namespace: str, kubectl: Kubectl, tmp_path: Path
) -> None:
    with start_forge_system(empty_redis, poll="1s", with_webhook=False) as system:
        clone = Clone(tmp_path / "clone", system.remote)
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/flags.yaml", config_map("flags", a="1"))
        clone.commit("One")
        assert clone.push().returncode == 0

        def is_live() -> bool:
            return kubectl("-n", namespace, "get", "configmap", "flags", check=False).returncode == 0

        wait_until(is_live, 30, "the pushed ConfigMap is in the cluster")

"""Plumbline's processes beside a real Gitea: what is pushed there becomes the cluster's state."""

from __future__ import annotations

from pathlib import Path

from plumbline.forge_system import ForgeSystem
from plumbline.local_system import Clone
from sandbox.control_plane import ControlPlane
from sandbox.forge import GiteaServer
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration


def test_a_push_to_gitea_converges_the_cluster_also_when_no_webhook_comes(
    gitea: GiteaServer,
    control_plane: ControlPlane,
    empty_redis: str,
    tools: dict[str, Path],
    namespace: str,
    kubectl: Kubectl,
    tmp_path: Path,
) -> None:
    with ForgeSystem.beside(
        gitea,
        tmp_path / "system",
        kubeconfig=control_plane.kubeconfig("worker"),
        redis_url=empty_redis,
        tools=tools["helm"].parent,
        namespaces=[namespace],
        state_namespace=f"state-{namespace}",
        poll="1s",
        with_webhook=False,
    ) as system:
        clone = Clone(tmp_path / "clone", system.remote)
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/flags.yaml", config_map("flags", a="1"))
        clone.commit("One")
        assert clone.push().returncode == 0

        def is_live() -> bool:
            return kubectl("-n", namespace, "get", "configmap", "flags", check=False).returncode == 0

        wait_until(is_live, 30, "the pushed ConfigMap is in the cluster")

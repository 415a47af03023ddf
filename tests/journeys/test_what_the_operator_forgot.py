"""What is missing on the operator's side is said to whoever pushes, and on the commit: nobody waits in vain."""

from __future__ import annotations

import subprocess
from pathlib import Path

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import config_map, declaration


def note_of(repository: Path, revision: str) -> str:
    command = ["git", "-C", str(repository), "notes", "--ref", "plumbline", "show", revision]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_a_program_that_the_worker_lacks_is_named_to_the_pusher_and_on_the_commit(
    control_plane: ControlPlane, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "nothing-here").mkdir()
    with LocalSystem.start(
        tmp_path / "system",
        kubeconfig=control_plane.kubeconfig("worker"),
        redis_url=redis_url,
        tools=tmp_path / "nothing-here",
        namespaces=[namespace],
        state_namespace=f"state-{namespace}",
        poll="1s",
    ) as system:
        clone = Clone(tmp_path / "clone", system.repository)
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/kustomization.yaml", "resources: [one.yaml]\n")
        clone.write("app/one.yaml", config_map("one", a="1"))
        revision = clone.commit("Needs kustomize")
        push = clone.push()
        assert push.returncode != 0
        assert "kustomize is not installed" in push.stderr
        assert "operator's to mend" in push.stderr

        git("fetch", "--quiet", str(clone.folder), "main:main", at=system.repository)  # past the hooks
        wait_until(
            lambda: "kustomize is not installed" in note_of(system.repository, revision), 30, "the note says why"
        )
        assert "onverged" not in note_of(system.repository, revision)
    status, _ = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/one")
    assert status == 404


def test_a_declaration_that_nobody_finds_is_named(system: LocalSystem, clone: Clone, namespace: str) -> None:
    (clone.folder / "plumbline.yaml").rename(clone.folder / "plumbline.yml")
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("Misnamed")
    push = clone.push()
    assert push.returncode == 0
    assert "no environment follows the branch main: rename plumbline.yml to plumbline.yaml" in push.stderr
    assert push.stderr.count("no environment follows") == 1

"""A change request on a real Gitea: predicted in one comment, merged, converged, and the result on the commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plumbline.forge_system import BOT, ForgeSystem
from plumbline.local_system import Clone, git
from sandbox.control_plane import ControlPlane
from sandbox.forge import GiteaServer
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration

PREDICT = "plumbline/predict"
CONVERGE = "plumbline/converge/production"


class Project:
    """The repository as its owner uses it at the forge."""

    def __init__(self, system: ForgeSystem, clone: Clone) -> None:
        self.system = system
        self.clone = clone

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        assert self.system.forge is not None
        return self.system.forge.ask(method, f"/repos/{self.system.project}{path}", body, token=self.system.owner_token)

    def propose(self, branch: str, file: str, text: str) -> tuple[int, str]:
        """Pushes a branch with one changed file and opens a change request; its number and head."""
        git("checkout", "--quiet", "-B", branch, "origin/main", at=self.clone.folder)
        self.clone.write(file, text)
        head = self.clone.commit(branch)
        git("push", "--quiet", "--force", "origin", branch, at=self.clone.folder)
        request = self.ask("POST", "/pulls", {"head": branch, "base": "main", "title": f"Change {branch}"})
        return int(request["number"]), head

    def comments(self, number: int) -> list[str]:
        found = self.ask("GET", f"/issues/{number}/comments")
        return [each["body"] for each in found if each["user"]["login"] == BOT]

    def statuses(self, revision: str, context: str) -> list[tuple[str, str]]:
        """(state, text) of every status of a context that was ever written, oldest first."""
        found = self.ask("GET", f"/commits/{revision}/statuses?limit=50")
        return [
            (each["status"], each["description"])
            for each in sorted(found, key=lambda each: each["id"])
            if each["context"] == context
        ]

    def status(self, revision: str, context: str) -> tuple[str, str]:
        """The newest of them, empty where there is none."""
        return (self.statuses(revision, context) or [("", "")])[-1]

    def merge(self, number: int) -> str:
        def mergeable() -> bool:
            return bool(self.ask("GET", f"/pulls/{number}")["mergeable"])

        wait_until(mergeable, 20, "Gitea says that it can be merged")
        self.ask("POST", f"/pulls/{number}/merge", {"Do": "merge"})
        return str(self.ask("GET", f"/pulls/{number}")["merge_commit_sha"])


@pytest.fixture
def project(
    gitea: GiteaServer,
    control_plane: ControlPlane,
    empty_redis: str,
    tools: dict[str, Path],
    namespace: str,
    tmp_path: Path,
) -> Iterator[Project]:
    """A repository on Gitea with one converged commit, and Plumbline beside it, told by webhooks."""
    with ForgeSystem.beside(
        gitea,
        tmp_path / "system",
        kubeconfig=control_plane.kubeconfig("worker"),
        redis_url=empty_redis,
        tools=tools["helm"].parent,
        namespaces=[namespace],
        state_namespace=f"state-{namespace}",
        poll="60s",
    ) as system:
        clone = Clone(tmp_path / "clone", system.remote)
        clone.write("plumbline.yaml", declaration(namespace))
        clone.write("app/flags.yaml", config_map("flags", a="1"))
        clone.write("app/other.yaml", config_map("other", b="1"))
        clone.commit("Start")
        git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=clone.folder)
        made = Project(system, clone)
        first = git("rev-parse", "HEAD", at=clone.folder).strip()
        wait_until(is_status(made, first, CONVERGE, "success"), 40, "the first commit is converged")
        git("fetch", "--quiet", "origin", at=clone.folder)
        yield made


def is_status(project: Project, revision: str, context: str, state: str) -> Callable[[], bool]:
    return lambda: project.status(revision, context)[0] == state


def test_a_change_request_is_predicted_in_one_comment_and_its_merge_converged_with_the_verdict(
    project: Project, namespace: str, kubectl: Kubectl
) -> None:
    number, head = project.propose("flags", "app/flags.yaml", config_map("flags", a="2"))
    wait_until(is_status(project, head, PREDICT, "success"), 30, "it is predicted")
    wait_until(lambda: len(project.comments(number)) == 1, 10, "the comment is there")
    (comment,) = project.comments(number)
    assert "Plumbline predicts 1 change in production" in comment
    assert f"{namespace}/flags" in comment
    assert "-   a: 1" in comment or "- a: 1" in comment or "1 → 2" in comment, comment
    assert "other" not in comment
    live = kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout
    assert live == "1", "a prediction wrote to the cluster"

    merged = project.merge(number)
    wait_until(is_status(project, merged, CONVERGE, "success"), 40, "the merge is converged")
    assert kubectl("-n", namespace, "get", "configmap", "flags", "-o", "jsonpath={.data.a}").stdout == "2"
    states = [state for state, _ in project.statuses(merged, CONVERGE)]
    assert states[0] == "pending"
    assert states[-1] == "success"
    assert states.count("success") == 1
    wait_until(lambda: "as predicted" in "".join(project.comments(number)), 20, "the verdict is on the change request")
    assert len(project.comments(number)) == 1, "it is edited in place"


def test_a_prediction_follows_the_head_and_the_base(project: Project, namespace: str) -> None:
    number, head = project.propose("two", "app/flags.yaml", config_map("flags", a="3"))
    wait_until(is_status(project, head, PREDICT, "success"), 30, "it is predicted")
    project.clone.write("app/more.yaml", config_map("more", c="1"))
    newer = project.clone.commit("More")
    git("push", "--quiet", "origin", "two", at=project.clone.folder)
    wait_until(is_status(project, newer, PREDICT, "success"), 30, "the new head is predicted")
    wait_until(lambda: f"{namespace}/more" in "".join(project.comments(number)), 10, "the comment says it")

    git("checkout", "--quiet", "-B", "base", "origin/main", at=project.clone.folder)
    project.clone.write("app/more.yaml", config_map("more", c="0"))
    project.clone.commit("The base moves")
    git("push", "--quiet", "origin", "HEAD:refs/heads/main", at=project.clone.folder)
    wait_until(lambda: "onflict" in "".join(project.comments(number)), 30, "the conflict is said")
    assert len(project.comments(number)) == 1
    wait_until(lambda: project.status(newer, PREDICT)[0] == "failure", 10, "and the status says it")


def test_what_is_not_valid_fails_the_status_with_its_file(project: Project) -> None:
    number, head = project.propose("bad", "app/flags.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: [flags]\n")
    wait_until(is_status(project, head, PREDICT, "failure"), 30, "it is refused")
    assert "app/flags.yaml" in project.status(head, PREDICT)[1]
    wait_until(lambda: "app/flags.yaml" in "".join(project.comments(number)), 10, "the comment names the file")

"""The whole job `rollback` on a real repository and a real API server: what converged, the proof, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import config_map, declaration
from worker.adapters.outbox import Outbox, Report
from worker.domain.orders import Answered, Order, OrderReport, Subject, Verb
from worker.domain.reports import report_from_json
from worker.domain.rollback import RollbackReport, RollbackRequest
from worker.orders import order
from worker.rollbacks import rollback
from worker.settings import Settings
from worker.workbench import Workbench


class Heard(Outbox):
    """Keeps what is said, as the bot would read it."""

    def __init__(self) -> None:
        self.reports: list[RollbackReport] = []
        self.orders: list[OrderReport] = []

    def report(self, message: Report) -> None:
        """Keeps one report."""
        read = report_from_json(json.loads(json.dumps(message.to_json())))
        if isinstance(read, OrderReport):
            self.orders.append(read)
        else:
            assert isinstance(read, RollbackReport)
            self.reports.append(read)


@dataclass
class Returner:
    """A person who converges commits and asks for the way back."""

    clone: Clone
    bench: Workbench
    heard: Heard

    def converged(self, **files: str) -> str:
        """A commit of files in `app` (name -> n), pushed and converged."""
        for name, n in files.items():
            self.clone.write(f"app/{name}.yaml", config_map(name, n=n))
        revision = self.clone.commit("next")
        pushed = self.clone.push()
        assert pushed.returncode == 0, pushed.stderr
        wait_until(lambda: self._last() == revision, 60, "the commit is converged")
        return revision

    def _last(self) -> str:
        repository, instance = self.bench.installation.repositories[0].name, self.bench.installation.instance
        found = self.bench.bench("sandbox").states.find(repository, "production", instance).state.converged
        return found.revision if found else ""

    def ordered(self, verb: Verb, branch: str) -> Answered:
        """The worker's answer to an order."""
        name = self.bench.installation.repositories[0].name
        given = Order(name, "sandbox", (Subject("production", branch),), verb, "ada", 1.0, reason="why")
        order(self.bench, given.to_json())
        return self.heard.orders[-1].answers[0]

    def asked(self, target: str = "", environment: str = "production", branch: str = "main") -> RollbackReport:
        """The worker's answer."""
        name = self.bench.installation.repositories[0].name
        request = RollbackRequest(name, environment, target, branch, push=False, origin={"by": "ada"}, at=1.0)
        rollback(self.bench, request.to_json())
        return self.heard.reports[-1]


@pytest.fixture
def returner(system: LocalSystem, clone: Clone) -> Iterator[Returner]:
    heard = Heard()
    bench = Workbench.of(Settings.load(system.environ))
    bench.outbox = heard
    yield Returner(clone, bench, heard)
    bench.checkout(bench.installation.repositories[0]).close()
    for cluster in bench.installation.clusters:
        bench.bench(cluster.name).cluster.close()


def test_the_way_back_and_the_way_back_from_there(returner: Returner) -> None:
    first = returner.converged(a="1", b="1")
    assert "nothing that converged there differs" in returner.asked().refusal
    second = returner.converged(a="2")
    found = returner.asked()
    assert (found.refusal, found.target, found.onto, found.branch) == ("", first, second, "main")
    assert [(each.path, each.mode) for each in found.files] == [("app/a.yaml", "100644")]
    assert found.shared == {}
    assert not found.may_push
    assert returner.asked(first[:8]).files == found.files
    assert "never converged" in returner.asked("f" * 40).refusal
    assert "main does not declare" in returner.asked(environment="nowhere").refusal
    third = returner.converged(a="1")
    back = returner.asked()
    assert (back.target, back.onto) == (second, third)


def test_what_the_files_alone_do_not_bring_back_is_refused_and_named(returner: Returner, namespace: str) -> None:
    first = returner.converged(a="1")
    moved = declaration(namespace, more="    renderer: kustomize\n")
    returner.clone.write("app/kustomization.yaml", "resources: [a.yaml]\ncommonAnnotations: {tier: new}\n")
    returner.clone.write("plumbline.yaml", moved)
    returner.converged(a="2")
    refused = returner.asked(first)
    assert "kustom" in refused.refusal
    assert refused.files == ()


def test_a19_a_commit_that_only_another_branch_has_is_no_target(returner: Returner) -> None:
    first = returner.converged(a="1")
    folder = returner.clone.folder
    tree = git("rev-parse", f"{first}^{{tree}}", at=folder).strip()
    elsewhere = git("commit-tree", tree, "-p", first, "-m", "elsewhere", at=folder).strip()
    git("push", "--quiet", "origin", f"{elsewhere}:refs/heads/elsewhere", at=folder)
    returner.converged(a="2")
    refused = returner.asked(elsewhere)
    assert f"{elsewhere[:12]} never converged there" in refused.refusal
    assert refused.files == ()
    assert returner.asked(first).files != ()


def test_a23_whoever_commands_an_environment_does_not_choose_the_branch_whose_rules_count(
    returner: Returner, namespace: str
) -> None:
    returner.converged(a="1")
    returner.converged(a="2")
    folder = returner.clone.folder
    tip = git("rev-parse", "HEAD", at=folder).strip()
    git("push", "--quiet", "origin", f"{tip}:refs/heads/elsewhere", at=folder)
    assert "elsewhere does not declare" in returner.asked(branch="elsewhere").refusal
    git("checkout", "--quiet", "-b", "release/9", at=folder)
    returner.clone.write("app/a.yaml", config_map("a", n="9"))
    newest = returner.clone.commit("the release")
    assert returner.clone.push("origin", "release/9").returncode == 0
    wait_until(lambda: returner._last() == newest, 60, "the other branch's commit is converged")
    assert "production follows release/9, and not main" in returner.asked().refusal
    for verb in (Verb.UNHOLD, Verb.HOLD, Verb.RETRY):
        said = returner.ordered(verb, "main")
        assert said.done == "refused"
        assert "Say it on release/9" in said.text
    assert returner.ordered(Verb.HOLD, "release/9").done == "done"
    assert returner.asked(branch="release/9").refusal == ""
    returner.clone.write("plumbline.yaml", "environments: []\n")
    returner.clone.commit("no more")
    assert returner.clone.push("origin", "release/9").returncode == 0
    assert returner.ordered(Verb.UNHOLD, "main").done == "done"

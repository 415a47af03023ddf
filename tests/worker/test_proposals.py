"""The whole job `propose` on a real repository and a real API server: causes, authors, dangers, staleness."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import redis

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, config_maps, declaration
from worker.adapters.outbox import Outbox, Report
from worker.domain.messages import PROPOSALS_KEY, ProposalRequest
from worker.domain.plan import ABSENT, Action
from worker.domain.proposals import EnvironmentProposal, ProposalReport
from worker.domain.reports import Outcome, report_from_json
from worker.domain.resource import Source
from worker.proposals import propose
from worker.settings import Settings
from worker.workbench import Workbench


class Heard(Outbox):
    """Keeps what is said, as the bot would read it."""

    def __init__(self) -> None:
        self.reports: list[ProposalReport] = []

    def report(self, message: Report) -> None:
        """Keeps one report."""
        read = report_from_json(json.loads(json.dumps(message.to_json())))
        assert isinstance(read, ProposalReport)
        self.reports.append(read)


@dataclass
class Proposer:
    """A person's change requests, and the worker's answers."""

    system: LocalSystem
    clone: Clone
    bench: Workbench
    heard: Heard

    def branch(self, files: dict[str, str], gone: tuple[str, ...] = ()) -> str:
        """A change request's head, pushed to where a forge keeps it."""
        git("checkout", "--quiet", "-B", "proposal", "main", at=self.clone.folder)
        for name, text in files.items():
            self.clone.write(name, text)
        for name in gone:
            (self.clone.folder / name).unlink()
        head = self.clone.commit("proposed")
        pushed = self.clone.push("--force", "origin", "proposal:refs/pull/7/head")
        assert pushed.returncode == 0, pushed.stderr
        git("checkout", "--quiet", "main", at=self.clone.folder)
        return head

    def request(self, head: str, **more: object) -> ProposalRequest:
        """What the bot would ask."""
        name = self.bench.installation.repositories[0].name
        return replace(ProposalRequest(name, 7, head, "refs/pull/7/head", "main", time.time()), **more)  # type: ignore[arg-type]

    def report(self, head: str, **more: object) -> ProposalReport:
        """The answer to a change request."""
        propose(self.bench, self.request(head, **more).to_json())
        return self.heard.reports[-1]

    def of(self, head: str, **more: object) -> EnvironmentProposal:
        """The answer for its one environment."""
        (found,) = self.report(head, **more).environments
        return found


@pytest.fixture
def proposer(system: LocalSystem, clone: Clone) -> Iterator[Proposer]:
    """An environment with two objects, converged."""
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.write("app/b.yaml", config_map("b", n="1"))
    clone.commit("first")
    assert clone.push().returncode == 0
    heard = Heard()
    bench = Workbench.of(Settings.load(system.environ))
    bench.outbox = heard
    made = Proposer(system, clone, bench, heard)
    repository = bench.installation.repositories[0].name
    environment = "production"

    def converged() -> bool:
        state = bench.bench("sandbox").states.find(repository, environment, bench.installation.instance).state
        return state.converged is not None

    wait_until(converged, 60, "the first commit is converged")
    yield made
    bench.checkout(bench.installation.repositories[0]).close()
    for cluster in bench.installation.clusters:
        bench.bench(cluster.name).cluster.close()


def test_three_causes_are_kept_apart_and_drift_has_its_author(
    proposer: Proposer, kubectl: Kubectl, namespace: str
) -> None:
    head = proposer.branch({"app/a.yaml": config_map("a", n="2"), "app/c.yaml": config_map("c", n="1")})
    kubectl("-n", namespace, "patch", "configmap", "b", "--field-manager=bob", "-p", '{"data":{"n":"9"}}')
    found = proposer.of(head)
    assert found.outcome is Outcome.PLANNED
    assert [(each.key.name, each.action) for each in found.change] == [("a", Action.CONFIGURE), ("c", Action.CREATE)]
    assert [(field.path, field.old, field.new) for field in found.change[0].fields] == [("data.n", "1", "2")]
    assert [each.source for each in found.change] == [Source("app/a.yaml", 1), Source("app/c.yaml", 1)]
    (drift,) = found.drift
    assert (drift.key.name, drift.field.path, drift.field.old, drift.field.new) == ("b", "data.n", "1", "9")
    assert (drift.manager, drift.operation) == ("bob", "Update")
    assert drift.at.endswith("Z")
    assert found.plan is not None
    actions = {each.key.name: each.action for each in found.plan.writes}
    assert actions["a"] is Action.CONFIGURE
    assert actions["c"] is Action.CREATE
    assert kubectl("-n", namespace, "get", "configmap", "c", check=False).returncode != 0
    assert kubectl("-n", namespace, "get", "configmap", "a", "-o", "jsonpath={.data.n}").stdout == "1"


def test_a_changed_manifest_is_known_by_its_line_where_the_renderer_knows_it_and_never_by_another(
    proposer: Proposer,
) -> None:
    two = config_maps("a", "e", n="2")
    found = proposer.of(proposer.branch({"app/a.yaml": two}))
    assert [each.source for each in found.change] == [Source("app/a.yaml", 1), Source("app/a.yaml", 3)]
    kustomized = {"app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "app/a.yaml": two}
    found = proposer.of(proposer.branch(kustomized))
    assert {each.key.name for each in found.change} == {"a", "e"}
    assert all(each.source is not None and each.source.line is None for each in found.change)


def test_an_object_that_somebody_deleted_is_drift_of_nobody_known(
    proposer: Proposer, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("-n", namespace, "delete", "configmap", "b")
    (drift,) = proposer.of(proposer.branch({"app/a.yaml": config_map("a", n="2")})).drift
    assert (drift.key.name, drift.field.old, drift.field.new, drift.manager) == ("b", "b", ABSENT, "")


def test_equal_inputs_are_untouched_and_nothing_is_asked(proposer: Proposer) -> None:
    found = proposer.of(proposer.branch({"README.md": "words"}))
    assert not found.touched
    assert found.plan is None


def test_a25_the_prediction_is_of_the_merge_with_the_base_as_it_is_now(proposer: Proposer) -> None:
    head = proposer.branch({"app/a.yaml": config_map("a", n="2")})
    proposer.clone.write("app/d.yaml", config_map("d", n="1"))
    proposer.clone.commit("base moved")
    assert proposer.clone.push().returncode == 0
    found = proposer.of(head)
    assert [each.key.name for each in found.change] == ["a"]
    assert found.objects == 3


def test_a_conflict_is_a_state_of_its_own(proposer: Proposer) -> None:
    head = proposer.branch({"app/a.yaml": config_map("a", n="2")})
    proposer.clone.write("app/a.yaml", config_map("a", n="3"))
    proposer.clone.commit("base moved")
    assert proposer.clone.push().returncode == 0
    report = proposer.report(head)
    assert report.conflicts == ("app/a.yaml",)
    assert report.merged == ""
    assert report.environments == ()


def test_a_failing_environment_does_not_hide_the_others_and_a_new_one_is_marked(
    proposer: Proposer, namespace: str
) -> None:
    more = f"  - {{name: broken, path: broken, namespace: {namespace}}}\n  - {{name: far, path: app, namespace: elsewhere}}\n"
    files = {
        "plumbline.yaml": declaration(namespace, more=more),
        "broken/x.yaml": "kind: [",
        "app/a.yaml": config_map("a"),
    }
    found = {each.environment: each for each in proposer.report(proposer.branch(files), is_from_fork=True).environments}
    assert found["production"].outcome is Outcome.PLANNED
    assert found["production"].plan is not None
    assert found["broken"].outcome is Outcome.INVALID
    assert "is new" in found["broken"].dangers[0]
    assert found["far"].outcome is Outcome.INVALID
    assert "not allowed" in found["far"].problems[0].message
    assert any("fork" in danger for danger in found["production"].dangers)


def test_a23_authority_is_the_bases_and_its_change_is_named(proposer: Proposer, namespace: str) -> None:
    text = declaration(namespace).replace("health-timeout: 30s", "health-timeout: 30s, prune-budget: 90%")
    names = [f"x{number}" for number in range(4)]
    found = proposer.of(proposer.branch({"plumbline.yaml": text, "app/x.yaml": config_maps(*names)}))
    assert found.touched
    assert any("policy changes prune-budget" in danger for danger in found.dangers)


def test_no_objects_at_all_are_refused_and_a_secret_is_never_in_a_report(proposer: Proposer) -> None:
    secret = json.dumps({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hunter2-canary"},
    })  # fmt: skip
    report = proposer.report(proposer.branch({"app/s.yaml": secret}))
    assert report.environments[0].change[0].key.name == "s"
    assert "hunter2-canary" not in json.dumps(report.to_json())
    assert "aHVudGVyMi1jYW5hcnk" not in json.dumps(report.to_json())
    found = proposer.of(proposer.branch({"app/README": "nothing"}, gone=("app/a.yaml", "app/b.yaml")))
    assert found.outcome is Outcome.REFUSED
    assert "nothing is rendered" in found.text


def test_a_prediction_is_made_again_by_itself_when_the_cluster_moves(
    proposer: Proposer, kubectl: Kubectl, namespace: str, redis_url: str
) -> None:
    before = proposer.of(proposer.branch({"app/a.yaml": config_map("a", n="2")}))
    with redis.Redis.from_url(redis_url) as connection:

        def seen() -> str:
            now = proposer.bench.store.open_proposals(proposer.bench.queue.now())
            return now[0].standing[0].seen

        assert seen() == before.seen
        kubectl("-n", namespace, "patch", "configmap", "b", "-p", '{"data":{"n":"9"}}')
        wait_until(lambda: seen() != before.seen, 20, "the prediction is made again")
        assert connection.hlen(PROPOSALS_KEY) == 1
    assert proposer.system.log("watch").count("asks again") == 1


def test_a_proposal_of_twenty_objects_takes_less_than_a_second(proposer: Proposer) -> None:
    files = {f"app/o{number}.yaml": config_map(f"o{number}", n="1") for number in range(18)}
    report = proposer.report(proposer.branch(files))
    assert report.environments[0].objects == 20
    again = min(proposer.report(report.head).seconds for _ in range(3))
    print(f"20 objects: first {report.seconds * 1000:.0f} ms, again {again * 1000:.0f} ms")
    assert again < 1.0

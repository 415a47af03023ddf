"""The whole job `adopt` on a real repository and a real API server: what drifted, the proof by rendering, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration
from worker.adapters.outbox import Outbox, Report
from worker.adoptions import adopt
from worker.domain.adoption import AdoptionReport, AdoptionRequest
from worker.domain.blobs import blob_id
from worker.domain.edits.changes import edited
from worker.domain.reports import report_from_json
from worker.domain.yaml_text import read_documents
from worker.settings import Settings
from worker.workbench import Workbench

DEPLOYMENT = """\
# the shop's door
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web, tier: "front"}}   # its labels
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: 'registry.example/web:1'  # the release
          args: [ "--fast" ]
"""


class Heard(Outbox):
    """Keeps what is said, as the bot would read it."""

    def __init__(self) -> None:
        self.reports: list[AdoptionReport] = []

    def report(self, message: Report) -> None:
        """Keeps one report."""
        read = report_from_json(json.loads(json.dumps(message.to_json())))
        assert isinstance(read, AdoptionReport)
        self.reports.append(read)


@dataclass
class Adopter:
    """A person who converges commits, changes the cluster by hand and asks for that to be adopted."""

    system: LocalSystem
    clone: Clone
    bench: Workbench
    heard: Heard
    kubectl: Kubectl
    namespace: str

    def converged(self, **files: str) -> str:
        """A commit of files in `app` (name -> text), pushed and converged."""
        for name, text in files.items():
            self.clone.write(f"app/{name}.yaml", text)
        revision = self.clone.commit("next")
        pushed = self.clone.push()
        assert pushed.returncode == 0, pushed.stderr
        wait_until(lambda: self._last() == revision, 60, "the commit is converged")
        return revision

    def _last(self) -> str:
        repository, instance = self.bench.installation.repositories[0].name, self.bench.installation.instance
        found = self.bench.bench("sandbox").states.find(repository, "production", instance).state.converged
        return found.revision if found else ""

    def patch(self, what: str, patch: object, kind: str = "strategic") -> None:
        """Somebody changes an object past Git."""
        text = json.dumps(patch)
        self.kubectl("-n", self.namespace, "patch", what, "--field-manager=bob", f"--type={kind}", "-p", text)

    def asked(self, name: str = "") -> AdoptionReport:
        """The worker's answer."""
        repository = self.bench.installation.repositories[0].name
        request = AdoptionRequest(repository, "production", name, "main", origin={"by": "ada"}, at=1.0)
        adopt(self.bench, request.to_json())
        return self.heard.reports[-1]

    def made(self, report: AdoptionReport) -> dict[str, str]:
        """The files that a report makes, as whoever reads it makes them; they are what the worker proved."""
        found = {}
        for each in report.files:
            was = git("show", f"{report.onto}:{each.path}", at=self.clone.folder).encode()
            assert blob_id(was, each.blob) == each.blob
            now = edited(was, each.changes)
            assert blob_id(now, each.made) == each.made
            found[each.path] = now.decode()
        return found

    def merged(self, report: AdoptionReport) -> None:
        """The change is made and converged: nothing is to be written by it, and nothing differs then."""
        for path, text in self.made(report).items():
            self.clone.write(path, text)
        self.converged()
        assert "nothing has drifted" in self.asked().refusal


@pytest.fixture
def adopter(system: LocalSystem, clone: Clone, kubectl: Kubectl, namespace: str) -> Iterator[Adopter]:
    heard = Heard()
    bench = Workbench.of(Settings.load(system.environ))
    bench.outbox = heard
    yield Adopter(system, clone, bench, heard, kubectl, namespace)
    bench.checkout(bench.installation.repositories[0]).close()
    for cluster in bench.installation.clusters:
        bench.bench(cluster.name).cluster.close()


def test_what_drifted_comes_into_its_manifests_and_no_other_byte_changes(adopter: Adopter) -> None:
    tip = adopter.converged(web=DEPLOYMENT, flags=config_map("flags", a="1", b="2"), other=config_map("other", c="1"))
    assert "nothing has drifted" in adopter.asked().refusal
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "registry.example/web:2"}]}}}}
    adopter.patch("deployment/web", image)
    adopter.patch("deployment/web", {"metadata": {"labels": {"tier": "back"}}}, "merge")
    adopter.patch("configmap/flags", {"data": {"a": "yes: [&x\n---\nkind: Role\t\"'", "b": None}}, "merge")
    report = adopter.asked()
    assert (report.refusal, report.onto, report.left) == ("", tip, ())
    assert {each.field.path for each in report.adopted} == {
        "spec.template.spec.containers[name=web].image", "metadata.labels.tier", "data.a", "data.b",
    }  # fmt: skip
    assert {each.manager for each in report.adopted} == {"bob", ""}
    files = adopter.made(report)
    assert files["app/web.yaml"] == DEPLOYMENT.replace("web:1'", "web:2'").replace('"front"', '"back"')
    assert json.loads(files["app/flags.yaml"])["data"] == {"a": "yes: [&x\n---\nkind: Role\t\"'"}
    assert set(files) == {"app/web.yaml", "app/flags.yaml"}
    one = adopter.asked("ConfigMap/flags")
    assert set(adopter.made(one)) == {"app/flags.yaml"}
    assert "has not drifted" in adopter.asked("ConfigMap/other").refusal
    assert "is nothing that Git declares here" in adopter.asked("ConfigMap/theirs").refusal
    versions = adopter.kubectl("-n", adopter.namespace, "get", "deploy,cm", "-o", "name").stdout
    adopter.merged(report)
    assert adopter.kubectl("-n", adopter.namespace, "get", "deploy,cm", "-o", "name").stdout == versions


def test_secrets_what_is_left_to_others_and_what_was_deleted_are_not_adopted(adopter: Adopter) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"k": "hunter2-old"}}
    adopter.clone.write("plumbline.yaml", with_rule(adopter.namespace))
    token = "ghp_" + "a1B2" * 9
    adopter.converged(
        key=json.dumps(secret),
        theirs=config_map("theirs", a="1"),
        gone=config_map("gone", a="1"),
        flags=config_map("flags", a="1"),
        long=config_map("long", a="1"),
    )
    adopter.patch("secret/key", {"stringData": {"k": "hunter2-new"}}, "merge")
    adopter.patch("configmap/theirs", {"data": {"a": "2"}}, "merge")
    adopter.patch("configmap/flags", {"data": {"a": token}}, "merge")
    adopter.patch("configmap/long", {"data": {"a": "x" * 70_000}}, "merge")
    adopter.kubectl("-n", adopter.namespace, "delete", "configmap", "gone")
    report = adopter.asked()
    for words in ("values of Secrets never go to Git", "looks like a secret", "it was deleted", "longer than 64 KiB"):
        assert words in report.refusal
    assert "theirs" not in report.refusal, "what a rule leaves to others is no drift"
    said = json.dumps(report.to_json())
    assert token not in said
    assert "hunter2" not in said
    assert report.files == ()


def with_rule(namespace: str) -> str:
    text = declaration(namespace)
    head, policy = text.split("    policy: {")
    rule = "ignore: [{kind: ConfigMap, name: theirs, fields: [data.a]}]"
    return f"{head}    policy: {{{rule}, {policy}"


def test_a_commit_that_is_not_applied_yet_is_no_drift(adopter: Adopter) -> None:
    adopter.converged(flags=config_map("flags", a="1"))
    adopter.patch("configmap/flags", {"data": {"a": "2"}}, "merge")
    adopter.clone.write("app/flags.yaml", "kind: ConfigMap\napiVersion: v1\nmetadata: {name: flags}\ndata: {a: [1]}\n")
    adopter.clone.commit("cannot be applied")
    git("fetch", "--quiet", str(adopter.clone.folder), "main:main", at=adopter.system.repository)  # past the hooks
    refusal = adopter.asked().refusal
    assert "is not applied to production" in refusal


def test_what_cannot_be_changed_alone_is_left_with_its_line_and_the_rest_is_adopted(adopter: Adopter) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: flags}\ndata:\n  a: &one 'x'\n  b: *one\n  c: 'x'\n"
    adopter.converged(flags=text)
    adopter.patch("configmap/flags", {"data": {"b": "2", "c": "3"}}, "merge")
    report = adopter.asked()
    assert [each.field.path for each in report.adopted] == ["data.c"]
    why = "app/flags.yaml, line 6: the value is written elsewhere: *one is an alias"
    assert report.left == (f"ConfigMap {adopter.namespace}/flags, data.b: {why}",)
    assert adopter.made(report) == {"app/flags.yaml": text.replace("c: 'x'", "c: '3'")}
    adopter.patch("configmap/flags", {"data": {"b": "x", "a": "5", "c": "x"}}, "merge")
    refused = adopter.asked()
    assert refused.files == ()
    assert "data.a" in refused.refusal


BASE = """\
kind: Deployment
apiVersion: apps/v1
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: side, image: "registry.example/side:1", args: ["-v"]}
      - {name: web, image: "registry.example/web:1", args: ["--fast"]}
"""
OVERLAY = """\
# what production has of its own
resources:
- ../base   # shared
- own.yaml
namePrefix: p-
images:
- name: registry.example/side
  newTag: "1"   # the sidecar's
"""


def test_a_kustomization_gets_a_patch_where_others_read_what_it_is_made_of(adopter: Adopter) -> None:
    adopter.clone.write("base/kustomization.yaml", "resources: [web.yaml]\n")
    adopter.clone.write("base/web.yaml", BASE)
    adopter.clone.write("app/kustomization.yaml", OVERLAY)
    staging = f"  - name: staging\n    path: staging\n    namespace: {adopter.namespace}\n    policy: {{settle: 1s}}\n"
    adopter.clone.write("plumbline.yaml", declaration(adopter.namespace, more=staging))
    adopter.clone.write("staging/kustomization.yaml", "resources: [../base]\n")
    own = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: own}\ndata: {a: 'x'}   # mine\n"
    adopter.converged(own=own)
    containers = [
        {"name": "web", "image": "registry.example/web:2", "args": ["--slow", "--safe"]},
        {"name": "side", "image": "registry.example/side:2"},
    ]
    adopter.patch("deployment/p-web", {"spec": {"template": {"spec": {"containers": containers}}}})
    adopter.patch("configmap/p-own", {"data": {"a": "y"}}, "merge")
    report = adopter.asked()
    assert (report.refusal, report.left) == ("", ())
    patch = """\
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: web
    spec:
      template:
        spec:
          containers:
          - name: side
          - name: web
            args:
            - "--slow"
            - "--safe"
            image: registry.example/web:2
"""
    files = adopter.made(report)
    assert files["app/own.yaml"] == own.replace("'x'", "'y'")
    assert files["app/kustomization.yaml"] == OVERLAY.replace('"1"', '"2"') + patch
    assert set(files) == {"app/own.yaml", "app/kustomization.yaml"}
    adopter.merged(report)
    adopter.patch(
        "deployment/p-web",
        {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "registry.example/web:3"}]}}}},
    )
    again = adopter.asked()
    before = files["app/kustomization.yaml"]
    assert adopter.made(again) == {"app/kustomization.yaml": before.replace("web:2", "web:3")}
    adopter.patch("deployment/p-web", [{"op": "remove", "path": "/spec/template/spec/containers/0/args"}], "json")
    gone = adopter.asked()
    assert gone.refusal == ""
    assert adopter.made(gone)["app/kustomization.yaml"].endswith("          - name: side\n            args: null\n")
    adopter.merged(gone)


TEMPLATE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {fixed: "yes"}}
spec:
  replicas: 1
  revisionHistoryLimit: {{ .Values.history }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
        args: {{ toJson .Values.args }}
        env:
        - {name: MODE, value: {{ .Values.mode | quote }}}
      - name: side
        image: "side:{{ .Values.sides }}"
        env:
        - {name: SIDES, value: "{{ .Values.sides }}"}
"""
VALUES = """\
# of every shop
image: {repository: registry.example/web, tag: "1.0"}   # the release
history: 3
other: 3
mode: fast
sides: 7
args: ["-v"]
"""


def test_a_chart_gets_the_value_that_makes_it_and_says_where_there_is_none(adopter: Adopter) -> None:
    adopter.clone.write("app/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    adopter.clone.write("app/templates/web.yaml", TEMPLATE)
    production = "mode: slow # here\n"
    adopter.clone.write("plumbline.yaml", declaration(adopter.namespace, more="    values: [production.yaml]\n"))
    adopter.converged(values=VALUES, production=production)
    containers = [
        {"name": "web", "image": "registry.example/web:1.1", "env": [{"name": "MODE", "value": "yes"}], "args": ["-q"]},
        {"name": "side", "image": "side:8"},
    ]
    patch = {
        "metadata": {"labels": {"fixed": "no"}},
        "spec": {"revisionHistoryLimit": 4, "template": {"spec": {"containers": containers}}},
    }
    adopter.patch("deployment/web", patch)
    report = adopter.asked()
    assert report.refusal == ""
    made = adopter.made(report)
    assert set(made) == {"app/production.yaml"}, "the chart's own values are everybody's"
    assert made["app/production.yaml"].startswith('mode: "yes" # here\n')
    assert json.loads(json.dumps([document.value for document in read_documents(made["app/production.yaml"], "")])) == [
        {"mode": "yes", "image": {"tag": "1.1"}, "history": 4, "args": ["-q"]}
    ]
    assert len(report.left) == 2, report.left
    (fixed,) = [each for each in report.left if "metadata.labels.fixed" in each]
    assert "none of the chart's values makes it" in fixed
    (side,) = [each for each in report.left if "name=side" in each]
    assert "env[name=SIDES].value would change too" in side

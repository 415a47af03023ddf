"""Attacks and faults on the way into the cluster; each name begins with the threat's number."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox.control_plane import ControlPlane
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl
from tests.world import World
from worker.adapters.lease import held
from worker.domain.convergence import Phase
from worker.domain.environment import Ceiling
from worker.domain.errors import DesiredStateError, Held, LeaseLost, Moved, Refused, Superseded
from worker.domain.plan import Action
from worker.domain.reports import Step

CANARY = "canary-3f1c9a7e"


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def config_maps(*names: str, **data: str) -> str:
    return "\n---\n".join(config_map(name, **data) for name in names)


SECRET_BODIES: dict[str, dict[str, Any]] = {
    "not base64": {"data": {"password": CANARY}},
    "a list": {"data": {"password": [CANARY]}},
    "a number in stringData": {"stringData": {"password": {"a": CANARY}}},
    "an unknown field": {"stringData": {"password": CANARY}, "nonsense": CANARY},
    "a wrong type": {"stringData": {"password": CANARY}, "type": {"x": CANARY}},
    "a typed Secret without its key": {"stringData": {"password": CANARY}, "type": "kubernetes.io/tls"},
    "a bad label": {"stringData": {"password": CANARY}, "metadata": {"labels": {"a": f"{CANARY} {CANARY}"}}},
}


class TestA42:
    def test_a_namespace_outside_the_ceiling_is_refused_and_nothing_is_written(
        self, control_plane: ControlPlane, namespace: str, proxy: ApiProxy
    ) -> None:
        world = World(proxy.kubeconfig, namespace, ceiling=Ceiling((namespace,), ("*",), ()))
        world.states.key()
        proxy.requests.clear()
        for body in (
            {"metadata": {"name": "x", "namespace": "kube-system"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}},
            {"kind": "Namespace", "metadata": {"name": "another"}},
        ):
            text = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **body})
            assert "not allowed here" in world.problems(text)
            world.converge(text)
            assert "not allowed here" in world.said(Step.FAILED)
        assert proxy.writes() == []

    @pytest.mark.parametrize("name", ["a/b", "..", "../secrets/x", "a%2fb"])
    def test_a_name_that_leads_elsewhere_is_refused(self, world: World, name: str) -> None:
        assert "name" in world.problems(config_map(name))

    def test_the_same_object_twice_is_refused_and_both_places_are_named(self, world: World) -> None:
        problems = world.problems(config_maps("one", "one", a="1"))
        assert "declared twice" in problems
        assert "app.yaml:1" in problems


class TestA46:
    def test_a_label_of_ours_on_a_foreign_object_prunes_nothing(self, world: World, kubectl: Kubectl) -> None:
        world.converge(config_maps("one", "two", "three", a="1"))
        label = f"plumbline.io/environment={world.environment.owner_label}"
        kubectl("-n", world.namespace, "create", "configmap", "foreign", "--from-literal=a=1")
        kubectl("-n", world.namespace, "label", "configmap", "foreign", label)
        world.converge(config_maps("one", "two", a="1"))
        left = kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout
        assert "configmap/foreign" in left
        assert "configmap/three" not in left

    def test_an_object_that_was_made_again_by_somebody_else_is_not_pruned(self, world: World, kubectl: Kubectl) -> None:
        world.converge(config_maps("one", "two", "three", a="1"))
        kubectl("-n", world.namespace, "delete", "configmap", "three")
        kubectl("-n", world.namespace, "create", "configmap", "three", "--from-literal=theirs=1")
        plan = world.plan(config_maps("one", "two", a="1"))
        skipped = [change for change in plan.changes if change.key.name == "three"]
        assert [change.action for change in skipped] == [Action.SKIP]
        assert "uid differs" in skipped[0].reason
        world.converge(config_maps("one", "two", a="1"))
        assert "configmap/three" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout

    def test_an_edited_record_turns_pruning_off_and_says_so(self, world: World, kubectl: Kubectl) -> None:
        world.converge(config_maps("one", "two", "three", a="1"))
        foreign = kubectl("-n", world.namespace, "create", "configmap", "foreign", "--from-literal=a=1", "-o", "json")
        name, where = world.environment.state_name, world.state_namespace
        record = json.loads(kubectl("-n", where, "get", "configmap", name, "-o", "json").stdout)
        uid = json.loads(foreign.stdout)["metadata"]["uid"]
        entries = json.loads(record["data"]["inventory"])
        entries.append(["", "ConfigMap", world.namespace, "foreign", "v1", uid])
        patch = json.dumps({"data": {"inventory": json.dumps(entries)}})
        kubectl("-n", where, "patch", "configmap", name, "--type=merge", "-p", patch)
        plan = world.plan(config_maps("one", a="1"))
        assert plan.summary["prune"] == 0
        assert "pruning is off" in plan.warnings[0]
        world.converge(config_maps("one", a="1"))
        assert "configmap/foreign" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout


class TestA49:
    def test_an_empty_secret_of_a_live_one_s_name_shows_no_value(self, world: World, kubectl: Kubectl) -> None:
        kubectl("-n", world.namespace, "create", "secret", "generic", "db", f"--from-literal=password={CANARY}")
        text = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}})
        plan = world.plan(text)
        shown = json.dumps(plan.to_json()) + repr(plan)
        assert CANARY not in shown
        assert "Y2FuYXJ5" not in shown


class TestA50:
    @pytest.mark.parametrize("case", SECRET_BODIES)
    def test_no_refusal_of_a_secret_quotes_its_value(self, world: World, case: str) -> None:
        body = SECRET_BODIES[case]
        metadata = {"name": "db", **body.get("metadata", {})}
        text = json.dumps({"apiVersion": "v1", "kind": "Secret", **body, "metadata": metadata})
        from worker.domain.resource import MalformedSecret

        try:
            said = world.problems(text)
        except MalformedSecret as error:
            said = str(error)
        assert said
        assert CANARY not in said
        assert "Y2FuYXJ5" not in said

    def test_a_secret_s_value_in_another_object_s_refusal_is_masked(self, world: World) -> None:
        secret = json.dumps(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"p": CANARY}}
        )
        other = json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "s"},
                "spec": {"type": CANARY, "ports": [{"port": 1}]},
            }
        )
        said = world.problems(f"{secret}\n---\n{other}")
        assert "Service" in said
        assert CANARY not in said


class TestF28:
    def test_a_failure_half_way_says_what_was_done_and_prunes_nothing(
        self, namespace: str, proxy: ApiProxy, kubectl: Kubectl
    ) -> None:
        world = World(proxy.kubeconfig, namespace)
        world.converge(config_maps("gone", *(f"c{number}" for number in range(9)), a="1"))
        proxy.rule = lambda method, path: 400 if method == "PATCH" and "/c7?" in path and "dryRun" not in path else None
        names = [f"c{number}" for number in range(9)]
        recorded = world.converge(config_maps(*names, a="2"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.FAILED
        assert "partly applied, 8 of 9" in world.said(Step.FAILED)
        assert "c7" in world.said(Step.FAILED)
        assert "configmap/gone" in kubectl("-n", namespace, "get", "configmaps", "-o", "name").stdout
        proxy.rule = lambda method, path: None
        recorded = world.converge(config_maps(*names, a="2"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED
        assert "configmap/gone" not in kubectl("-n", namespace, "get", "configmaps", "-o", "name").stdout


WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %(plural)s.example.com}
spec:
  group: example.com
  names: {kind: %(kind)s, plural: %(plural)s, singular: %(singular)s}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
---
apiVersion: example.com/v1
kind: %(kind)s
metadata: {name: first}
spec: {size: 3}
"""


class TestF29:
    def test_a_definition_and_its_object_in_one_commit(self, world: World, kubectl: Kubectl) -> None:
        names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
        plan = world.plan(WIDGETS % names)
        first = next(change for change in plan.changes if change.key.kind == "Widget")
        assert first.action is Action.CREATE
        assert first.reason.startswith("not validated: the kind Widget.example.com is new")
        recorded = world.converge(WIDGETS % names)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
        assert recorded.state.operation.verdict == "as predicted"
        assert kubectl("-n", world.namespace, "get", "widget", "first", "-o", "jsonpath={.spec.size}").stdout == "3"
        assert world.plan(WIDGETS % names).is_empty
        kubectl("delete", "crd", "widgets.example.com", "--wait=false")


class TestF30:
    def test_a_namespace_and_what_is_in_it_in_one_commit(self, world: World, kubectl: Kubectl) -> None:
        place = f"{world.namespace}-new"
        text = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {place}}}\n---\n" + json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": place}, "data": {"x": "1"}}
        )
        plan = world.plan(text)
        assert [change.action for change in plan.changes] == [Action.CREATE, Action.CREATE]
        assert f"the namespace {place} is new" in plan.changes[1].reason
        recorded = world.converge(text)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED
        kubectl("delete", "namespace", place, "--wait=false")

    def test_a_namespace_that_is_nowhere_is_the_author_s_problem(self, world: World) -> None:
        text = json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "no-such-place"}}
        )
        assert "the namespace no-such-place does not exist" in world.problems(text)


class TestF40:
    @pytest.mark.parametrize("text", ["", "---\n", "# all of it is commented out\n", "---\n---\n"])
    def test_an_empty_render_is_refused_and_deletes_nothing(self, world: World, kubectl: Kubectl, text: str) -> None:
        world.converge(config_maps("one", "two", a="1"))
        prediction = world.predict(text)
        assert isinstance(prediction.hold, Refused)
        assert not isinstance(prediction.hold, Held)
        world.converge(text)
        assert "would delete all 2 objects" in world.said(Step.FAILED)
        assert "configmap/two" in kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout

    @pytest.mark.parametrize("kept", [1, 2, 9], ids=["1 of 20 stays", "2 of 20 stay", "9 of 20 stay"])
    def test_most_of_it_vanishing_waits_for_exactly_this_confirmation(
        self, world: World, kubectl: Kubectl, kept: int
    ) -> None:
        names = [f"c{number:02}" for number in range(20)]
        world.converge(config_maps(*names, a="1"))
        fewer = config_maps(*names[:kept], a="1")
        recorded = world.converge(fewer)
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.HELD
        assert f"would prune {20 - kept} of 20 objects" in world.said(Step.HELD)
        world.converge(fewer, approvals=("00000000",))
        assert world.said(Step.HELD)
        code = world.plan(fewer).fingerprint[:8]
        world.converge(fewer, approvals=(code,))
        assert world.said(Step.VERIFIED)
        listed = kubectl("-n", world.namespace, "get", "configmaps", "-o", "name").stdout.split()
        assert len([name for name in listed if name.startswith("configmap/c")]) == kept

    def test_a_protected_kind_waits_even_when_it_is_only_one(self, world: World) -> None:
        claim = json.dumps(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        )
        others = config_maps("one", "two", "three", a="1")
        world.converge(f"{claim}\n---\n{others}", wait=False)
        world.converge(others)
        assert "PersistentVolumeClaim" in world.said(Step.HELD)


class TestF11:
    def test_two_writers_are_serial_and_an_older_revision_never_lands_after_a_newer(self, world: World) -> None:
        order: list[str] = []
        guard = threading.Lock()

        def write(number: int) -> None:
            mine = World(world.kubeconfig, world.namespace)
            mine.states.key()
            with held(mine.states.records, mine.environment.state_name, "test", f"writer-{number}") as lease:
                lease.check()
                with guard:
                    order.append(f"in {number}")
                lease.check()
                with guard:
                    order.append(f"out {number}")

        world.states.key()
        threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(order) == 24
        for entered, left in zip(order[::2], order[1::2], strict=True):
            assert entered.removeprefix("in ") == left.removeprefix("out ")

    def test_a_newer_commit_stops_an_older_one_at_its_next_group(self, world: World, kubectl: Kubectl) -> None:
        calls = iter([None, None, Superseded("b" * 40)])

        def newer_came() -> None:
            if (error := next(calls)) is not None:
                raise error

        service = json.dumps(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
        )
        with pytest.raises(Superseded):
            world.converge(f"{config_map('one', a='1')}\n---\n{service}", before_group=newer_came)
        assert kubectl("-n", world.namespace, "get", "services", "-o", "name").stdout == ""


class TestF12:
    def test_a_writer_that_stood_still_writes_nothing_after_another_took_over(
        self, world: World, tmp_path: Path
    ) -> None:
        script = tmp_path / "holder.py"
        script.write_text(
            textwrap.dedent(
                """
                import sys
                from pathlib import Path
                from tests.world import World
                from worker.adapters.lease import held
                from worker.domain.errors import LeaseLost

                world = World(Path(sys.argv[1]), sys.argv[2])
                with held(world.states.records, world.environment.state_name, "test", "first") as lease:
                    print("holding", flush=True)
                    sys.stdin.readline()
                    try:
                        lease.check()
                    except LeaseLost as error:
                        print(f"stopped: {error}", flush=True)
                    else:
                        print("wrote", flush=True)
                """
            )
        )
        root = Path(__file__).parents[2]
        first = subprocess.Popen(
            [sys.executable, str(script), str(world.kubeconfig), world.namespace],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "holding\n"
        first.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 60
        while True:
            try:
                world.converge(config_map("second", a="1"), holder="second")
                break
            except Exception as error:
                assert time.monotonic() < until, error
        first.send_signal(signal.SIGCONT)
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline().startswith("stopped: lease lost")
        first.communicate(timeout=20)
        assert first.returncode == 0


def test_applying_the_same_commit_again_writes_nothing_at_all(namespace: str, proxy: ApiProxy) -> None:
    world = World(proxy.kubeconfig, namespace)
    text = config_maps("one", "two", a="1")
    world.converge(text, revision="d" * 40)
    before = len(proxy.requests)
    world.converge(text, revision="d" * 40)
    later = [path for method, path in proxy.requests[before:] if method != "GET" and "/leases" not in path]
    assert later == []
    assert world.said(Step.VERIFIED).endswith("nothing was written")


def test_a_desired_state_error_names_file_line_and_object(world: World) -> None:
    text = (
        config_map("fine", a="1")
        + "\n---\n"
        + json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": "x"}})
    )
    with pytest.raises(DesiredStateError) as caught:
        world.predict(text)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line) == ("app.yaml", 3)
    assert problem.where == f"Service {world.namespace}/s"


def test_lease_lost_is_an_error_of_its_own() -> None:
    assert "held by another worker" in str(LeaseLost("production"))


def test_two_environments_that_claim_one_object_are_told_of_each_other(world: World) -> None:
    world.converge(config_map("one", a="1"))
    other = World(world.kubeconfig, world.namespace, "second")
    said = other.problems(config_map("one", a="1"))
    assert f"belongs to the environment repo-{world.namespace}/test already" in said
    other.converge(config_map("one", a="2"))
    assert "belongs to the environment" in other.said(Step.FAILED)
    assert world.plan(config_map("one", a="1")).is_empty


def test_a_field_that_a_person_edited_is_taken_back_and_it_is_said(world: World, kubectl: Kubectl) -> None:
    world.converge(config_map("one", a="1"))
    kubectl("-n", world.namespace, "patch", "configmap", "one", "--type=merge", "-p", '{"data": {"a": "theirs"}}')
    plan = world.plan(config_map("one", a="1"))
    assert plan.summary["configure"] == 1
    assert "takes data.a from kubectl-patch" in plan.warnings[0]
    world.converge(config_map("one", a="1"))
    assert kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data.a}").stdout == "1"


def test_another_apply_manager_s_field_is_refused_and_it_is_named(world: World, kubectl: Kubectl) -> None:
    kubectl(
        "-n",
        world.namespace,
        "apply",
        "--server-side",
        "--field-manager=theirs",
        "-f",
        "-",
        text=config_map("one", a="theirs"),
    )
    said = world.problems(config_map("one", a="1"))
    assert "owned by the field manager theirs (Apply)" in said
    assert "data.a" in said


SCALED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 1
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: "registry.example/x:1"}]}
"""


def test_replicas_that_were_scaled_are_left_to_who_scales(world: World, kubectl: Kubectl) -> None:
    world.converge(SCALED)
    kubectl("-n", world.namespace, "scale", "deployment", "d", "--replicas=3")
    recorded = world.converge(SCALED.replace("x:1", "x:2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout == "3 registry.example/x:2"


@pytest.mark.parametrize(("races", "wins"), [(3, True), (100, False)], ids=["a few times", "without end"])
def test_f18_an_object_that_others_write_all_the_time_is_read_again_before_each_try(
    world: World, namespace: str, proxy: ApiProxy, kubectl: Kubectl, races: int, wins: bool
) -> None:
    world.converge(SCALED)
    proxied = World(proxy.kubeconfig, namespace)
    touched = itertools.count(1)

    def touch(method: str, path: str) -> None:
        if method == "PATCH" and "/deployments/d?" in path and "dryRun" not in path:
            number = next(touched)
            if number <= races:
                kubectl("-n", namespace, "annotate", "--overwrite", "deployment", "d", f"race={number}")

    proxy.before = touch
    if wins:
        recorded = proxied.converge(SCALED.replace("x:1", "x:2"))
        assert recorded.state.operation is not None
        assert recorded.state.operation.phase is Phase.SUCCEEDED, proxied.facts
        assert next(touched) > races
        return
    with pytest.raises(Moved, match=f"Deployment {namespace}/d: changed in the cluster"):
        proxied.converge(SCALED.replace("x:1", "x:2"))
    assert proxied.said(Step.RETRYING).startswith("applied 0 of 1")
    assert not proxied.said(Step.FAILED)
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("-n", namespace, "get", "deployment", "d", "-o", path).stdout.endswith("x:1")


def test_an_immutable_field_is_refused_or_made_again_where_policy_says_so(world: World, kubectl: Kubectl) -> None:
    world.converge(SCALED)
    moved = SCALED.replace("app: d", "app: e")
    assert "immutable" in world.problems(moved)
    before = kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout
    willing = world.with_policy(recreate=("Deployment.apps",))
    plan = willing.plan(moved)
    assert [change.action for change in plan.changes] == [Action.RECREATE]
    recorded = willing.converge(moved)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, willing.facts
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", "jsonpath={.metadata.uid}").stdout != before

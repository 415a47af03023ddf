"""What policy says of other people's fields, on a real API server: the same in plan, apply, drift, proof and healing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api_proxy import ApiProxy
from tests.conftest import DEPLOYMENT, Kubectl, config_map
from tests.world import World
from worker.adapters.cluster import FEW
from worker.domain.convergence import Phase
from worker.domain.environment import Ceiling, Policy
from worker.domain.field_paths import read_pattern
from worker.domain.plan import ABSENT, Action
from worker.domain.rules import ConflictRule, IgnoreRule, Resolution, Selector

HPA = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}
  minReplicas: 2
  maxReplicas: 5
"""


def ignoring(*fields: str, managers: tuple[str, ...] = (), kind: str = "*", name: str = "*") -> IgnoreRule:
    return IgnoreRule(Selector(kind, name), tuple(map(read_pattern, fields)), managers)


def deciding(action: Resolution, *fields: str, managers: tuple[str, ...] = (), kind: str = "*") -> ConflictRule:
    return ConflictRule(Selector(kind), action, tuple(map(read_pattern, fields)), managers)


def patch(kubectl: Kubectl, world: World, kind: str, name: str, change: dict[str, Any], manager: str = "bob") -> None:
    how = ("--type=strategic" if kind == "deployment" else "--type=merge", f"--field-manager={manager}")
    kubectl("-n", world.namespace, "patch", kind, name, *how, "-p", json.dumps(change))


def found(kubectl: Kubectl, world: World, kind: str, name: str) -> dict[str, Any]:
    text = kubectl("-n", world.namespace, "get", kind, name, "-o", "json", "--show-managed-fields").stdout
    value: dict[str, Any] = json.loads(text)
    return value


def phase_of(world: World, text: str) -> Phase:
    operation = world.converge(text).state.operation
    assert operation is not None
    return operation.phase


def assert_at_rest(world: World, text: str) -> None:
    """Nothing differs in any face: plan, drift, healing."""
    plan = world.plan(text)
    assert plan.is_empty, [(change.action, change.fields, change.reason) for change in plan.changes]
    assert world.look(text).look.drift == ()
    assert world.heal(text).actual == ()


def test_f36_an_ignored_field_is_sent_once_and_then_left_to_who_writes_it(world: World, kubectl: Kubectl) -> None:
    ruled = world.with_policy(ignore=(ignoring("data.theirs", kind="ConfigMap"),))
    text = config_map("one", ours="1", theirs="1")
    assert phase_of(ruled, text) is Phase.SUCCEEDED
    assert found(kubectl, world, "configmap", "one")["data"] == {"ours": "1", "theirs": "1"}
    assert_at_rest(ruled, text)
    changed = config_map("one", ours="1", theirs="2")
    assert_at_rest(ruled, changed)
    assert [w for w in ruled.plan(changed).warnings if "data.theirs" in w], "what is ignored is said"
    patch(kubectl, world, "configmap", "one", {"data": {"theirs": "9"}})
    assert_at_rest(ruled, text)
    without_rule = world.look(text).look.drift
    assert [each.field.path for each in without_rule] == ["data.theirs"], "the rule is what makes the difference"
    assert phase_of(ruled, config_map("one", ours="2", theirs="1")) is Phase.SUCCEEDED
    assert found(kubectl, world, "configmap", "one")["data"] == {"ours": "2", "theirs": "9"}
    (warning,) = ruled.plan(text).warnings
    assert warning == f"left to others by policy: ConfigMap {world.namespace}/one data.theirs"


def test_f36_an_ignored_field_that_leaves_git_stays_as_it_is(world: World, kubectl: Kubectl) -> None:
    text = DEPLOYMENT.replace("replicas: 1", "replicas: 3")
    world.converge(text)
    ruled = world.with_policy(ignore=(ignoring("/spec/replicas", kind="Deployment.apps", name="d*"),))
    less = text.replace("  replicas: 3\n", "")
    assert_at_rest(ruled, less)
    (field,) = (field for change in world.plan(less).changes for field in change.fields)
    assert (field.path, field.new) == ("spec.replicas", 1), "without the rule the server's default would come"
    assert phase_of(ruled, less.replace("x:1", "x:2")) is Phase.SUCCEEDED
    assert found(kubectl, world, "deployment", "d")["spec"]["replicas"] == 3


def test_f36_a_second_manager_writes_again_and_again_and_we_write_once_a_change(
    world: World, proxy: ApiProxy, kubectl: Kubectl
) -> None:
    rules = (ignoring("spec.replicas"), ignoring(managers=("cert-*",)))
    policy = Policy(settle=0, health_timeout=20, ignore=rules)
    world.converge(DEPLOYMENT)
    proxied = World(proxy.kubeconfig, world.namespace, policy=policy)
    changed = DEPLOYMENT.replace("x:1", "x:2").replace(
        "metadata: {name: d}", 'metadata: {name: d, annotations: {"cert.example.org/bundle": "none"}}'
    )
    for round_ in range(5):
        written = {"metadata": {"annotations": {"cert.example.org/bundle": f"b{round_}"}}}
        patch(kubectl, world, "deployment", "d", written, "cert-injector")
        patch(kubectl, world, "deployment", "d", {"spec": {"replicas": 2 + round_}}, "vpa")
        assert phase_of(proxied, changed) is Phase.SUCCEEDED
        assert proxied.look(changed).look.drift == ()
    patches = [path for method, path in proxy.writes() if method == "PATCH" and "/deployments/d" in path]
    assert len(patches) == 1, "more than one write for one change"
    now = found(kubectl, world, "deployment", "d")
    assert now["spec"]["replicas"] == 6
    assert now["metadata"]["annotations"]["cert.example.org/bundle"] == "b4"
    assert now["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/x:2"


def test_f36_what_an_autoscaler_of_the_environment_scales_is_its_own_without_a_rule(
    world: World, kubectl: Kubectl
) -> None:
    text = DEPLOYMENT.replace("replicas: 1", "replicas: 3") + HPA
    world.converge(text, wait=False)
    assert found(kubectl, world, "deployment", "d")["spec"]["replicas"] == 3, "a new one begins as Git has it"
    other = text.replace("replicas: 3", "replicas: 4")
    plan = world.plan(other)
    assert plan.is_empty, plan.changes
    said = f"spec.replicas is left to HorizontalPodAutoscaler {world.namespace}/h, who scales it"
    assert [text for text in plan.warnings if text.endswith(said)] == list(plan.warnings)
    assert plan.warnings
    patch(kubectl, world, "deployment", "d", {"spec": {"replicas": 5}})
    assert world.look(text).look.drift == ()
    alone = world.look(DEPLOYMENT.replace("replicas: 1", "replicas: 3")).look.drift
    assert [each.field.path for each in alone] == ["spec.replicas"], "without an autoscaler it is drift"


@pytest.mark.parametrize("operation", ["Update", "Apply"])
@pytest.mark.parametrize("action", list(Resolution))
def test_f36_a_conflict_is_decided_by_its_rule_in_every_face(
    world: World, kubectl: Kubectl, action: Resolution, operation: str
) -> None:
    text = config_map("one", a="1", b="1")
    world.converge(text)
    theirs = config_map("one", a="9")
    if operation == "Apply":
        arguments = ("apply", "--server-side", "--force-conflicts", "--field-manager=theirs", "-f", "-")
        kubectl("-n", world.namespace, *arguments, text=theirs)
    else:
        patch(kubectl, world, "configmap", "one", {"data": {"a": "9"}}, "theirs")
    ruled = world.with_policy(conflicts=(deciding(action, "data.a", managers=("their*",), kind="ConfigMap"),))
    drift = [each.field.path for each in ruled.look(text).look.drift]
    if action is Resolution.REFUSE:
        assert "owned by the field manager theirs" in ruled.problems(text)
        assert drift == ["data.a"]
        assert ruled.heal(text).actual == ()
    elif action is Resolution.FORCE:
        plan = ruled.plan(text)
        assert plan.summary["configure"] == 1
        assert "takes data.a from theirs" in plan.warnings[0]
        assert drift == ["data.a"]
        assert [change.key.name for change in ruled.heal(text).actual] == ["one"]
        assert_at_rest(ruled, text)
    else:
        assert drift == []
        assert_at_rest(ruled, text)
        assert "left to who owns it by policy" in ruled.plan(text).warnings[0]
        assert phase_of(ruled, config_map("one", a="1", b="2")) is Phase.SUCCEEDED
    value = found(kubectl, world, "configmap", "one")["data"]["a"]
    assert value == ("1" if action is Resolution.FORCE else "9")


def test_f36_the_operator_s_word_on_force_is_above_every_rule(world: World, kubectl: Kubectl) -> None:
    text = config_map("one", a="1")
    world.converge(text)
    patch(kubectl, world, "configmap", "one", {"data": {"a": "9"}}, "kubectl-edit")
    policy = Policy(settle=0, conflicts=(deciding(Resolution.FORCE),), strict=True)
    bounded = World(world.kubeconfig, world.namespace, policy=policy, ceiling=Ceiling(force=False))
    assert "which is not overruled" in bounded.problems(text)
    patch(kubectl, world, "configmap", "one", {"data": {"more": "9"}}, "kubectl-edit")
    bounded.heal(text)
    assert found(kubectl, world, "configmap", "one")["data"] == {"a": "9", "more": "9"}


def test_f36_two_environments_never_take_fields_from_each_other_whatever_a_rule_says(world: World) -> None:
    text = config_map("one", a="1")
    world.converge(text)
    policy = Policy(settle=0, conflicts=(deciding(Resolution.FORCE),))
    other = World(world.kubeconfig, world.namespace, name="other", policy=policy)
    assert "belongs to the environment" in other.problems(config_map("one", a="2"))


def test_f36_a_field_that_was_changed_and_then_leaves_git_is_said_to_be_left_behind(
    world: World, kubectl: Kubectl
) -> None:
    text, less = config_map("one", a="1", b="1"), config_map("one", a="1")
    world.converge(text)
    patch(kubectl, world, "configmap", "one", {"data": {"b": "9"}})
    patch(kubectl, world, "configmap", "one", {"data": {"b": "1"}})
    look = world.look(text).look
    assert look.drift == ()
    (lost,) = look.lost
    assert (lost.field.path, lost.manager) == ("data.b", "bob")
    assert world.plan(less).warnings == (), "what no look has seen is not known"
    world.remember(look)
    (warning,) = world.plan(less).warnings
    assert warning.endswith("data.b is no longer in Git, but stays: bob (Update) has changed it and owns it")
    assert world.plan(text).warnings == (), "it is in Git"
    world.converge(less)
    assert found(kubectl, world, "configmap", "one")["data"] == {"a": "1", "b": "1"}


# -- additions -----------------------------------------------------------------------------------------------------------

SIDECAR = {
    "metadata": {"annotations": {"debug": "on"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {"name": "shell", "image": "registry.example/shell:1"},
                    {"name": "c", "env": [{"name": "DEBUG", "value": "1"}]},
                ]
            }
        }
    },
}
CONTAINERS = "spec.template.spec.containers"


def test_a_namespace_in_which_nobody_added_anything_beside_many_objects_is_looked_at_all_the_same(
    world: World, kubectl: Kubectl
) -> None:
    """The API server lists nothing as null, not as an empty list."""
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}"}, "data": {}}
        for number in range(FEW + 1)
    ]
    text = "".join(f"---\n{json.dumps(each)}\n" for each in secrets)
    world.converge(text)
    look = world.look(text).look
    assert (look.drift, look.additions, look.reason) == ((), (), "")
    kubectl("-n", world.namespace, "create", "secret", "generic", "by-hand")
    (added,) = world.look(text).look.additions
    assert added.key.name == "by-hand"


def test_what_a_person_s_tool_added_is_told_and_what_a_controller_added_is_not(world: World, kubectl: Kubectl) -> None:
    text = DEPLOYMENT.replace('"registry.example/x:1"', '"registry.example/x:1", env: [{name: A, value: a}]')
    world.converge(text)
    patch(kubectl, world, "deployment", "d", SIDECAR, "kubectl-edit")
    patch(kubectl, world, "deployment", "d", {"metadata": {"annotations": {"op": "1"}}}, "some-controller")
    look = world.look(text).look
    assert look.drift == ()
    assert {each.field.path for each in look.additions} == {
        "metadata.annotations.debug",
        f"{CONTAINERS}[name=shell]",
        f"{CONTAINERS}[name=c].env[name=DEBUG]",
    }
    assert {(each.manager, each.operation) for each in look.additions} == {("kubectl-edit", "Update")}
    assert all(each.field.old is ABSENT for each in look.additions)
    assert world.plan(text).is_empty
    assert world.heal(text).actual == ()
    ruled = world.with_policy(ignore=(ignoring(f"{CONTAINERS}[name=sh*]", f"{CONTAINERS}[*].env"),))
    assert [each.field.path for each in ruled.look(text).look.additions] == ["metadata.annotations.debug"]


def test_strict_makes_drift_of_what_people_added_and_heals_exactly_that(world: World, kubectl: Kubectl) -> None:
    strict = world.with_policy(strict=True)
    text = DEPLOYMENT.replace('"registry.example/x:1"', '"registry.example/x:1", env: [{name: A, value: a}]')
    strict.converge(text)
    assert_at_rest(strict, text)
    patch(kubectl, world, "deployment", "d", SIDECAR, "kubectl-edit")
    patch(kubectl, world, "deployment", "d", {"metadata": {"annotations": {"op": "1"}}}, "some-controller")
    look = strict.look(text).look
    assert {each.field.path for each in look.drift} == {
        "metadata.annotations.debug",
        f"{CONTAINERS}[name=shell]",
        f"{CONTAINERS}[name=c].env[name=DEBUG]",
    }
    assert look.additions == ()
    plan = strict.plan(text)
    assert plan.summary["configure"] == 1
    assert any("is not in Git, and is taken from kubectl-edit to be removed" in each for each in plan.warnings)
    outcome = strict.heal(text)
    assert (len(outcome.actual), outcome.failed) == (1, ())
    now = found(kubectl, world, "deployment", "d")
    assert [each["name"] for each in now["spec"]["template"]["spec"]["containers"]] == ["c"]
    assert now["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "a"}]
    assert now["metadata"]["annotations"].get("debug") is None
    assert now["metadata"]["annotations"]["op"] == "1", "a controller's own stays"
    assert_at_rest(strict, text)
    patch(kubectl, world, "deployment", "d", SIDECAR, "kubectl-edit")
    assert strict.converge(text.replace("x:1", "x:2")).state.operation.verdict == "as predicted"  # type: ignore[union-attr]
    assert_at_rest(strict, text.replace("x:1", "x:2"))


@pytest.mark.parametrize("how", ["create", "apply"])
def test_what_kubectl_made_and_the_server_filled_in_is_no_addition_once_it_is_ours(
    world: World, kubectl: Kubectl, how: str
) -> None:
    service = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80}], "selector": {"app": "d"}},
        }
    )
    job = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: j}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "registry.example/x:1"}]}}}}
"""
    probe = "readinessProbe: {httpGet: {path: /, port: 80}}, ports: [{containerPort: 80}]"
    text = DEPLOYMENT.replace('x:1"}', f'x:1", {probe}}}') + f"\n---\n{service}\n---\n{job}"
    kubectl("-n", world.namespace, how, "-f", "-", text=text)
    world.converge(text)
    look = world.look(text).look
    assert [(str(each.key), each.field.path, each.field.new) for each in look.additions] == []
    assert look.drift == ()
    assert_at_rest(world.with_policy(strict=True), text)


def test_objects_that_nobody_declared_are_told_and_never_deleted(world: World, kubectl: Kubectl) -> None:
    text = DEPLOYMENT + "\n---\n" + config_map("one", a="1")
    world.converge(text)
    place = ("-n", world.namespace)
    for name in ("stray", "hidden", "operator-made"):
        manager = () if name != "operator-made" else ("--field-manager=some-operator",)
        kubectl(*place, "create", "configmap", name, "--from-literal=a=1", *manager)
    owner = found(kubectl, world, "configmap", "stray")["metadata"]["uid"]
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "name": "stray", "uid": owner}
    kubectl(*place, "create", "configmap", "made-for-it", "--from-literal=a=1")
    patch(kubectl, world, "configmap", "made-for-it", {"metadata": {"ownerReferences": [owned]}})
    kubectl(*place, "create", "configmap", "copied", "--from-literal=a=1")
    kubectl(*place, "label", "configmap", "copied", f"plumbline.io/environment={world.environment.owner_label}")
    kubectl(*place, "create", "secret", "generic", "of-another-kind", "--from-literal=password=hunter2")
    strict = world.with_policy(strict=True, ignore=(ignoring(managers=("*",), name="hidden"),))
    look = strict.look(text).look
    assert {(each.key.name, each.manager) for each in look.additions} == {
        ("stray", "kubectl-create"),
        ("copied", "kubectl-create"),
    }
    assert look.drift == (), "objects are told, not drift"
    strict.heal(text)
    assert found(kubectl, world, "configmap", "stray")["data"] == {"a": "1"}
    some = look.keys
    assert some is None
    assert strict.look(text, frozenset({next(iter(strict.plan(text).changes)).key})).look.additions == ()


def test_an_addition_never_shows_a_secret_value(world: World, kubectl: Kubectl) -> None:
    secret = json.dumps(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "one-is-hidden"}}
    )
    world.converge(secret)
    patch(kubectl, world, "secret", "s", {"stringData": {"b": "two-is-hidden"}}, "kubectl-patch")
    (addition,) = world.look(secret).look.additions
    assert addition.field.path == "data.b"
    assert "hidden" not in json.dumps(addition.to_json())
    assert "dHdv" not in json.dumps(addition.to_json())
    assert world.plan(secret).summary[str(Action.UNCHANGED)] == 1

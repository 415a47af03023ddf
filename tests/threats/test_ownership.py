"""Fields that several own: whose they are, who gets them, and what becomes of them; each name begins with the fault's number."""

from __future__ import annotations

import json

import pytest

from tests.api_proxy import ApiProxy
from tests.conftest import DEPLOYMENT, Kubectl, config_map, config_maps
from tests.world import World
from worker.domain.convergence import Phase
from worker.domain.plan import ABSENT, Action
from worker.domain.reports import Step


def test_f18_a_field_that_a_person_edited_is_taken_back_and_it_is_said(world: World, kubectl: Kubectl) -> None:
    world.converge(config_map("one", a="1"))
    kubectl("-n", world.namespace, "patch", "configmap", "one", "--type=merge", "-p", '{"data": {"a": "theirs"}}')
    plan = world.plan(config_map("one", a="1"))
    assert plan.summary["configure"] == 1
    assert "takes data.a from kubectl-patch" in plan.warnings[0]
    world.converge(config_map("one", a="1"))
    assert kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data.a}").stdout == "1"


def test_f36_replicas_that_were_scaled_are_left_to_who_scales(world: World, kubectl: Kubectl) -> None:
    world.converge(DEPLOYMENT)
    kubectl("-n", world.namespace, "scale", "deployment", "d", "--replicas=3")
    warned = world.plan(DEPLOYMENT).warnings
    assert [text for text in warned if "spec.replicas is left to kubectl, who scales it" in text] == list(warned)
    assert warned
    recorded = world.converge(DEPLOYMENT.replace("x:1", "x:2"))
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    path = "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout == "3 registry.example/x:2"


def test_f34_applying_the_same_commit_again_writes_nothing_at_all(namespace: str, proxy: ApiProxy) -> None:
    world = World(proxy.kubeconfig, namespace)
    text = config_maps("one", "two", a="1")
    world.converge(text, revision="d" * 40)
    before = len(proxy.requests)
    world.converge(text, revision="d" * 40)
    later = [path for method, path in proxy.requests[before:] if method != "GET" and "/leases" not in path]
    assert later == []
    assert world.said(Step.VERIFIED).endswith("nothing was written")


def test_f36_what_others_own_and_git_does_not_name_is_left_alone_and_written_once(
    world: World, proxy: ApiProxy, kubectl: Kubectl
) -> None:
    without_replicas = DEPLOYMENT.replace("  replicas: 1\n", "")
    world.converge(without_replicas)
    proxied = World(proxy.kubeconfig, world.namespace)
    theirs = json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "annotations": {"operator.example.com/bundle": "1"}},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}},
        }
    )
    writing = ("-n", world.namespace, "apply", "--server-side", "--force-conflicts", "--field-manager=hpa", "-f", "-")
    changed = without_replicas.replace("x:1", "x:2")
    for round_ in range(4):
        kubectl(*writing, text=theirs.replace('"1"', f'"{round_}"'))
        proxied.converge(changed, revision="f" * 40)
        assert proxied.said(Step.VERIFIED), proxied.facts
    patches = [path for method, path in proxy.writes() if method == "PATCH" and "/deployments/d" in path]
    assert len(patches) == 1, "more than one write for one change"
    path = "jsonpath={.spec.replicas} {.metadata.annotations.operator\\.example\\.com/bundle} {..image}"
    assert kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout == "3 3 registry.example/x:2"


def live_data(kubectl: Kubectl, world: World) -> dict[str, str]:
    text = kubectl("-n", world.namespace, "get", "configmap", "one", "-o", "jsonpath={.data}").stdout
    found: dict[str, str] = json.loads(text)
    return found


@pytest.mark.parametrize("how", ["kubectl apply", "kubectl create", "before-first-apply"])
def test_f36_what_kubectl_made_is_adopted_and_a_field_that_leaves_git_goes(
    world: World, kubectl: Kubectl, how: str
) -> None:
    place = ("-n", world.namespace)
    made = config_map("one", a="1", b="2", c="3")
    if how == "before-first-apply":
        kubectl(*place, "create", "--field-manager=before-first-apply", "-f", "-", text=made)
    else:
        kubectl(*place, how.split()[1], "-f", "-", text=made)
    plan = world.plan(made)
    assert [change.action for change in plan.changes] == [Action.CONFIGURE]
    assert {field.path for field in plan.changes[0].fields} == {'metadata.labels["plumbline.io/environment"]'}
    world.converge(made)
    assert world.plan(made).is_empty
    less = config_map("one", a="1", b="2")
    plan = world.plan(less)
    assert [(field.path, field.new) for field in plan.changes[0].fields] == [("data.c", ABSENT)]
    assert "data.c is no longer in Git, and is taken from" in plan.warnings[0]
    recorded = world.converge(less)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, world.facts
    assert recorded.state.operation.verdict == "as predicted"
    assert live_data(kubectl, world) == {"a": "1", "b": "2"}
    assert world.plan(less).is_empty


@pytest.mark.parametrize("who", ["another applier", "a controller", "a person, where policy does not force"])
def test_f36_a_field_that_leaves_git_and_may_not_be_taken_is_said_to_stay(
    world: World, kubectl: Kubectl, who: str
) -> None:
    made = config_map("one", a="1", b="2")
    place = ("-n", world.namespace)
    if who == "another applier":
        kubectl(*place, "apply", "--server-side", "--field-manager=theirs", "-f", "-", text=made)
        owner = "theirs (Apply)"
    else:
        manager = "some-operator" if who == "a controller" else "kubectl-edit"
        kubectl(*place, "create", f"--field-manager={manager}", "-f", "-", text=made)
        owner = f"{manager} (Update)"
    careful = world.with_policy(force=who != "a person, where policy does not force")
    careful.converge(made)
    less = config_map("one", a="1")
    plan = careful.plan(less)
    assert f"data.b is no longer in Git, but stays: {owner} owns it too" in plan.warnings[0]
    careful.converge(less)
    assert careful.said(Step.VERIFIED)
    assert live_data(kubectl, world) == {"a": "1", "b": "2"}


def test_f36_a_list_item_and_a_defaulted_field_that_leave_git_go_as_predicted(world: World, kubectl: Kubectl) -> None:
    more = DEPLOYMENT.replace("replicas: 1", "replicas: 2").replace(
        '"registry.example/x:1"', '"registry.example/x:1", env: [{name: A, value: a}, {name: B, value: b}]'
    )
    kubectl("-n", world.namespace, "apply", "-f", "-", text=more)
    world.converge(more)
    less = more.replace("  replicas: 2\n", "").replace("{name: A, value: a}, ", "")
    fields = {field.path: field.new for field in world.plan(less).changes[0].fields}
    assert fields["spec.replicas"] == 1, "the server's default, asked of the server"
    assert fields["spec.template.spec.containers[name=c].env[name=A].value"] is ABSENT
    recorded = world.converge(less)
    assert recorded.state.operation is not None
    assert recorded.state.operation.verdict == "as predicted"
    path = "jsonpath={.spec.replicas} {..containers[0].env}"
    found = kubectl("-n", world.namespace, "get", "deployment", "d", "-o", path).stdout
    assert found == '1 [{"name":"B","value":"b"}]'


def test_f18_a_quantity_s_other_spelling_in_plain_text_is_a_change(world: World, kubectl: Kubectl) -> None:
    text = DEPLOYMENT.replace('"registry.example/x:1"', '"registry.example/x:1", env: [{name: MEMORY, value: "1Gi"}]')
    world.converge(f"{text}\n---\n{config_map('one', value='1Gi', max='1.0')}")
    other = f"{text.replace('1Gi', '1024Mi')}\n---\n{config_map('one', value='1024Mi', max='1')}"
    plan = world.plan(other)
    assert plan.summary["configure"] == 2, plan.changes
    assert {field.new for change in plan.changes for field in change.fields} == {"1024Mi", "1"}
    world.converge(other)
    assert live_data(kubectl, world) == {"value": "1024Mi", "max": "1"}


def test_f36_what_a_controller_writes_in_a_status_meanwhile_is_no_change(world: World, proxy: ApiProxy) -> None:
    proxied = World(proxy.kubeconfig, world.namespace)
    service = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s"},
            "spec": {"ports": [{"port": 80}], "externalIPs": []},
        }
    )
    world.converge(f"{DEPLOYMENT}\n---\n{service}")
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "10.1.1.1"}]}}}).encode()
    moved = iter([True])

    def controller(method: str, path: str) -> None:
        if method == "PATCH" and "/services/s?" in path and next(moved, False):
            world.cluster.connection.request(
                "PATCH",
                f"/api/v1/namespaces/{world.namespace}/services/s/status",
                query={"fieldManager": "load-balancers"},
                body=status,
                content_type="application/merge-patch+json",
            )

    proxy.before = controller
    plan = proxied.plan(f"{DEPLOYMENT}\n---\n{service}")
    assert next(moved, None) is None, "the controller has not written"
    assert plan.is_empty, [change for change in plan.changes if change.action is not Action.UNCHANGED]

"""What an environment may contain and whose rights it has, on a real API server; each name begins with the threat's number."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.admission_webhook import AdmissionWebhook, patch
from tests.api_proxy import ApiProxy
from tests.conftest import Kubectl, config_map
from tests.world import World
from worker.domain.environment import DANGERS, Ceiling
from worker.domain.errors import DesiredStateError
from worker.domain.installation import Impersonation
from worker.domain.installation_file import read_installation
from worker.domain.reports import Step
from worker.planning.dangers import KINDS

RBAC = "rbac.authorization.k8s.io/v1"


def manifest(api_version: str, kind: str, name: str = "x", **members: Any) -> dict[str, Any]:
    metadata = {"name": name, **members.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **members}


def role(*rules: dict[str, Any], kind: str = "Role") -> dict[str, Any]:
    return manifest(RBAC, kind, rules=list(rules))


def binding(role_kind: str, role_name: str, subject: dict[str, Any], kind: str = "RoleBinding") -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name}
    return manifest(RBAC, kind, roleRef=reference, subjects=[subject])


READS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
OWN = {"kind": "ServiceAccount", "name": "default"}
ADMISSION = "admissionregistration.k8s.io/v1"
CRD = {
    "group": "x.example.com", "names": {"plural": "xs", "kind": "X"}, "scope": "Namespaced",
    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
}  # fmt: skip

DANGEROUS: dict[str, tuple[str, dict[str, Any]]] = {
    "ClusterRole": ("rbac", role(READS, kind="ClusterRole")),
    "ClusterRoleBinding": ("rbac", binding("ClusterRole", "view", {**OWN, "namespace": "x"}, "ClusterRoleBinding")),
    "Role with *": ("rbac", role({**READS, "verbs": ["*"]})),
    "Role with escalate": ("rbac", role({**READS, "verbs": ["get", "escalate"]})),
    "Role with bind": ("rbac", role(READS, {**READS, "verbs": ["bind"]})),
    "Role with impersonate": ("rbac", role({**READS, "resources": ["serviceaccounts"], "verbs": ["impersonate"]})),
    "Role over every resource": ("rbac", role({**READS, "resources": ["*"]})),
    "Role over every group": ("rbac", role({**READS, "apiGroups": ["*"]})),
    "RoleBinding to cluster-admin": ("rbac", binding("ClusterRole", "cluster-admin", OWN)),
    "RoleBinding to everybody": ("rbac", binding("Role", "x", {"kind": "Group", "name": "system:unauthenticated"})),
    "RoleBinding to another namespace": ("rbac", binding("Role", "x", {**OWN, "namespace": "kube-system"})),
    "certificate": ("rbac", manifest("certificates.k8s.io/v1", "CertificateSigningRequest", spec={})),
    "validating webhook": ("admission", manifest(ADMISSION, "ValidatingWebhookConfiguration")),
    "mutating webhook": ("admission", manifest(ADMISSION, "MutatingWebhookConfiguration")),
    "admission policy": ("admission", manifest(ADMISSION, "ValidatingAdmissionPolicy", spec={})),
    "admission binding": ("admission", manifest(ADMISSION, "ValidatingAdmissionPolicyBinding", spec={})),
    "CRD": ("api-extensions", manifest("apiextensions.k8s.io/v1", "CustomResourceDefinition", "xs.x.example.com", spec=CRD)),
    "APIService": ("api-extensions", manifest("apiregistration.k8s.io/v1", "APIService", "v1.x.example.com", spec={})),
    "privileged namespace": (
        "pod-security", manifest("v1", "Namespace", "NS", metadata={"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}),
    ),
    "old pod security": (
        "pod-security", manifest("v1", "Namespace", "NS", metadata={"labels": {"pod-security.kubernetes.io/enforce-version": "v1.0"}}),
    ),
    "service account token": (
        "tokens", manifest("v1", "Secret", type="kubernetes.io/service-account-token",
                           metadata={"annotations": {"kubernetes.io/service-account.name": "default"}}),
    ),
    "bootstrap token": ("tokens", manifest("v1", "Secret", type="bootstrap.kubernetes.io/token")),
}  # fmt: skip

HARMLESS = [
    role(READS, {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]}),
    binding("Role", "x", OWN),
    manifest("v1", "Secret", type="Opaque", stringData={"a": "b"}),
    manifest("v1", "ServiceAccount"),
    manifest("v1", "ConfigMap"),
]


def limited(proxy: ApiProxy, namespace: str, **ceiling: Any) -> World:
    """An environment that may do what an operator's defaults allow."""
    given: dict[str, Any] = {"namespaces": (namespace,), "kinds": ("*",), "cluster_scoped": ("*",), "dangerous": ()}
    world = World(proxy.kubeconfig, namespace, ceiling=Ceiling(**{**given, **ceiling}))
    world.states.key()
    proxy.requests.clear()
    return world


@pytest.mark.parametrize(("danger", "body"), DANGEROUS.values(), ids=DANGEROUS)
def test_a43_what_widens_rights_is_denied_until_the_operator_opens_it_and_then_said(
    proxy: ApiProxy, namespace: str, danger: str, body: dict[str, Any]
) -> None:
    text = json.dumps(body).replace('"NS"', json.dumps(namespace))
    world = limited(proxy, namespace)
    said = world.problems(text)
    assert "not allowed here" in said
    assert f"dangerous: [{danger}]" in said
    assert "app.yaml:1" in said
    assert proxy.writes() == []
    others = limited(proxy, namespace, dangerous=tuple(name for name in DANGERS if name != danger))
    assert f"dangerous: [{danger}]" in others.problems(text)
    opened = limited(proxy, namespace, dangerous=(danger,))
    assert "dangerous: [" not in opened.problems(text)


def test_a43_an_opened_danger_stands_in_every_plan_that_holds_it(proxy: ApiProxy, namespace: str) -> None:
    world = limited(proxy, namespace, dangerous=("rbac",))
    plan = world.plan(json.dumps(role({**READS, "verbs": ["bind"]})))
    assert f"Role {namespace}/x: gives the right to bind" in plan.warnings


def test_a43_ordinary_objects_need_no_opening(proxy: ApiProxy, namespace: str) -> None:
    world = limited(proxy, namespace, cluster_scoped=())
    world.converge("\n---\n".join(json.dumps(body) for body in HARMLESS))
    assert len(world.plan("\n---\n".join(json.dumps(body) for body in HARMLESS)).changes) == len(HARMLESS)


def test_a43_every_cluster_wide_kind_of_the_table_is_one_that_kubernetes_has(control_plane: ControlPlane) -> None:
    from worker.adapters.cluster import Cluster, connect

    discovery = Cluster(connect(control_plane.kubeconfig())).discovery
    served = {name for name in KINDS if discovery.find(name.partition(".")[2], name.partition(".")[0]) is not None}
    assert {"ClusterRole.rbac.authorization.k8s.io", "APIService.apiregistration.k8s.io"} <= served
    assert len(served) >= 9


def test_a43_what_the_server_makes_of_an_object_is_judged_too(
    control_plane: ControlPlane, proxy: ApiProxy, namespace: str, tmp_path: Path
) -> None:
    """A webhook weakens the namespace whenever it is written: what is sent is harmless, what the server answers is not."""
    world = limited(proxy, namespace)
    world.converge(json.dumps(manifest("v1", "Namespace", namespace, metadata={"labels": {"a": "1"}})))
    changed = json.dumps(manifest("v1", "Namespace", namespace, metadata={"labels": {"a": "2"}}))
    weaken = patch({"op": "add", "path": "/metadata/labels/pod-security.kubernetes.io~1enforce", "value": "privileged"})
    proxy.requests.clear()
    with AdmissionWebhook(
        control_plane, tmp_path, namespace, weaken, mutating=True, resources=("namespaces", "configmaps")
    ):
        assert "sets how safe Pods have to be" in world.problems(changed)
        world.converge(changed)
    assert proxy.writes() == []
    assert "sets how safe Pods have to be" in world.said(Step.FAILED)


def test_a43_a_namespace_keeps_the_level_that_it_has_when_it_leaves_git(
    proxy: ApiProxy, namespace: str, kubectl: Kubectl
) -> None:
    """Two harmless commits: the operator's own level is taken over, and then given up."""
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    world = limited(proxy, namespace)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    world.converge(json.dumps(manifest("v1", "Namespace", namespace, metadata={"labels": labels})))
    without = json.dumps(manifest("v1", "Namespace", namespace))
    assert "takes away how safe Pods have to be" in world.problems(without)
    world.converge(without)
    left = kubectl("get", "namespace", namespace, "-o", "jsonpath={.metadata.labels}").stdout
    assert "pod-security.kubernetes.io/enforce" in left


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"metadata": {"name": "x", "namespace": "kube-system"}}, "is in the namespace kube-system, which is not allowed"),
        ({"metadata": {"name": "x", "namespace": "NS/../kube-system"}}, "whose name the API does not take"),
        ({"metadata": {"name": "x", "namespace": "STATE"}}, "not allowed here"),
        ({"metadata": {"name": "../x"}}, "cannot stand in a path"),
        ({"metadata": {"name": "x%2fy"}}, "cannot stand in a path"),
        ({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "x", "namespace": "STATE"}}, "not allowed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [0, 1, 5])
def test_a42_no_namespace_but_the_allowed_ones_however_it_is_wrapped(
    proxy: ApiProxy, namespace: str, body: dict[str, Any], said: str, wrapped: int
) -> None:
    from worker.adapters.renderer.objects import flattened
    from worker.domain.resource import resource_of
    from worker.operations.preparing import prepare

    world = limited(proxy, namespace, namespaces=(f"{namespace}*",))
    text = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **body})
    value: Any = json.loads(text.replace("NS", namespace).replace("STATE", world.state_namespace))
    for _ in range(wrapped):
        value = {"apiVersion": "v1", "kind": "List", "items": [value]}
    with pytest.raises(DesiredStateError, match=said.split("(", maxsplit=1)[0]):
        prepare(world.target, [resource_of(each) for each in flattened(value)])
    assert proxy.writes() == []


def test_a42_plumbline_s_own_namespace_is_closed_also_where_a_pattern_would_allow_it(
    proxy: ApiProxy, namespace: str
) -> None:
    world = limited(proxy, namespace, namespaces=("*",), dangerous=DANGERS)
    for body in (
        manifest("v1", "Secret", "plumbline-key", metadata={"namespace": world.state_namespace}),
        manifest("v1", "Namespace", world.state_namespace),
    ):
        assert "where Plumbline keeps its own records" in world.problems(json.dumps(body))


# -- impersonation -------------------------------------------------------------------------------------------------------

APP = """\
redis: {env: R}
signing-key: {env: S}
clusters:
  - name: one
repositories:
  - name: shop
    url: /srv/shop.git
    secret: {env: X}
    ceiling: {namespaces: [shop]}
    impersonate: """


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`impersonate` is empty"),
        ("~", "`impersonate` is empty"),
        ("{}", "`user` is missing"),
        ("{user: }", "`user` is missing"),
        ("{user: ''}", "cannot be impersonated"),
        ("{user: '  '}", "cannot be impersonated"),
        ("{user: 5}", "expected text"),
        ("{user: [a]}", "expected text"),
        ("nobody", "expected a mapping"),
        ("{groups: [a]}", "`user` is missing"),
        ("{user: a, groups: ['']}", "cannot be impersonated"),
        ("{user: a, groups: [' ']}", "cannot be impersonated"),
        ('{user: "a\\nImpersonate-Group: system:masters"}', "cannot be impersonated"),
        ('{user: "ä"}', "cannot be impersonated"),
        ("{user: '{nobody}'}", "cannot be impersonated"),
        ("{usr: a}", "did you mean `user`?"),
    ],
)
def test_a45_an_identity_that_is_empty_or_not_a_name_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        read_installation(APP + text + "\n", "app.yaml")
    assert said in str(caught.value)
    assert "app.yaml:10" in str(caught.value)


def test_a45_an_empty_identity_ends_the_worker_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(APP + "{user: ''}\n")
    run = subprocess.run(
        [sys.executable, "-m", "worker"], check=False, capture_output=True, text=True, timeout=60,
        env={"PLUMBLINE_CONFIG": str(tmp_path / "app.yaml"), "PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert run.returncode == 1
    assert "app.yaml:10: `user`: '' cannot be impersonated" in run.stderr
    assert "Traceback" not in run.stderr


def test_a45_the_adapter_itself_refuses_to_impersonate_nobody(world: World) -> None:
    from worker.adapters.cluster.connection import ClusterSettingsError

    for user, groups in (("", ()), (" ", ()), ("a", ("",))):
        with pytest.raises(ClusterSettingsError, match="is empty"):
            world.cluster.acting_as(user, groups)


def test_a45_names_are_filled_in_for_each_environment(world: World) -> None:
    identity = Impersonation("{repository}:{environment}", ("ns:{namespace}", "{cluster}")).of(world.environment)
    assert identity == Impersonation(
        f"{world.environment.repository}:test", (f"ns:{world.namespace}", world.environment.cluster)
    )


def test_a45_every_request_for_an_environment_s_objects_has_its_identity_and_no_other_has(
    proxy: ApiProxy, namespace: str, kubectl: Kubectl
) -> None:
    user, group = f"deployer-{namespace}", f"group-{namespace}"
    world = World(proxy.kubeconfig, namespace)
    world.target = replace(world.target, cluster=world.cluster.acting_as(user, (group, "second")))
    first, second = config_map("a", n="1"), config_map("b", n="1")
    refused = json.dumps(json.loads(first))
    with pytest.raises(Exception, match="may not read configmaps"):
        world.plan(refused)
    kubectl("-n", namespace, "create", "role", "r", "--verb=*", "--resource=configmaps")
    kubectl("-n", namespace, "create", "rolebinding", "r", "--role=r", f"--group={group}")

    def allowed() -> bool:
        return "yes" in kubectl(
            "auth", "can-i", "patch", "configmaps", "-n", namespace, f"--as={user}", f"--as-group={group}", check=False
        ).stdout  # fmt: skip

    wait_until(allowed, 20, "the role is in force")
    proxy.impersonated.clear()
    world.converge(first + "---\n" + second)
    world.converge(first)
    objects = [each for each in proxy.impersonated if f"/namespaces/{namespace}/" in each[1]]
    records = [each for each in proxy.impersonated if f"/namespaces/{world.state_namespace}" in each[1]]
    assert {method for method, *_ in objects} == {"GET", "PATCH", "DELETE"}
    assert records
    assert all((seen, groups) == (user, [group, "second"]) for _, _, seen, groups in objects)
    assert all((seen, groups) == (None, []) for _, _, seen, groups in records)
    assert kubectl("-n", namespace, "get", "configmap", "b", check=False).returncode != 0


def test_a45_the_identity_of_app_yaml_limits_what_a_push_can_do(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    app = system.directory / "app.yaml"
    app.write_text(
        app.read_text().replace("    ceiling:\n", '    impersonate: {user: "plumbline:{environment}"}\n    ceiling:\n')
    )
    for name in ("worker", "watch"):
        system.servers[name].kill()
        system.run(name)
    system.wait_ready()
    clone.write("app/a.yaml", config_map("a", n="1"))
    clone.commit("1")
    push = clone.push("-o", "plumbline.wait=0", "origin", "main")
    assert "these credentials may not read configmaps" in push.stderr
    assert push.returncode != 0
    assert kubectl("-n", namespace, "get", "configmap", "a", check=False).returncode != 0
    kubectl("-n", namespace, "create", "role", "r", "--verb=*", "--resource=configmaps")
    kubectl("-n", namespace, "create", "rolebinding", "r", "--role=r", "--user=plumbline:production")

    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0

    def converged() -> bool:
        return "refs/plumbline/production/converged" in git("for-each-ref", at=system.repository)

    wait_until(converged, 60, "what the identity may do is done")
    assert kubectl("-n", namespace, "get", "configmap", "a").returncode == 0
    clone.write("app/s.yaml", json.dumps(manifest("v1", "Secret", stringData={"a": "b"})))
    clone.commit("2")
    assert "may not" in clone.push("-o", "plumbline.wait=0", "origin", "main").stderr
    assert kubectl("-n", namespace, "get", "secret", "x", check=False).returncode != 0

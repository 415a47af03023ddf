"""Objects in the cluster that somebody made to do harm: their environment says so, and nobody else notices."""

from __future__ import annotations

import json

from plumbline.local_system import Clone, LocalSystem
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
from tests.invariants import recorded_of, wait_converged
from worker.domain.environment import Environment
from worker.domain.episodes import Event

PROCESSES = ("worker", "watch", "bot", "web")
ENTRY = """  - name: {name}
    path: {name}
    namespace: {namespace}
    policy: {{mode: {mode}, diff-after: 0s, settle: 1s, resync: 10s}}
"""
MALFORMED = {
    "plumbline.io/prune": "[[[",
    "plumbline.io/wave": "9e999999999",
    "plumbline.io/depends-on": "///,,,//x",
    "plumbline.io/hook": "never\x7f",
    "helm.sh/hook-weight": "NaN",
    "deployment.kubernetes.io/revision": "-",
    "kubectl.kubernetes.io/last-applied-configuration": '{"data": [',
    "argocd.argoproj.io/sync-wave": "9" * 400,
}


def test_a41_a_poisoned_object_stops_nothing_but_its_environment(
    system: LocalSystem, clone: Clone, kubectl: Kubectl, namespace: str
) -> None:
    entries = (("poisoned", "alert"), ("fine", "heal"))
    text = "".join(ENTRY.format(name=name, mode=mode, namespace=namespace) for name, mode in entries)
    clone.write("plumbline.yaml", f"environments:\n{text}")
    clone.write("poisoned/a.yaml", config_map("bad", n="1"))
    clone.write("fine/a.yaml", config_map("good", n="1"))
    revision = clone.commit("two")
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    wait_converged(system, revision, environment="poisoned")
    wait_converged(system, revision, environment="fine")
    owner = Environment("shop", "poisoned", "", "", "", "").owner_label

    large = {**MALFORMED, "example.org/large": "x" * 200_000}
    poison = {"metadata": {"annotations": large}, "data": {"n": "y" * 700_000}}
    write = ("-n", namespace, "patch", "configmap", "bad", "--type=merge", "--field-manager=kubectl-edit")
    kubectl(*write, "--patch-file=/dev/stdin", text=json.dumps(poison))
    for name, label in (("stray", owner), ("odd", "no-such-environment"), ("empty", "")):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "annotations": MALFORMED}}
        body["metadata"] |= {"namespace": namespace, "labels": {"plumbline.io/environment": label}}  # type: ignore[operator]
        kubectl("create", "-f", "-", text=json.dumps(body))

    def opened() -> bool:
        return Event.OPENED in [each.event for each in recorded_of(system, "poisoned").state.news]

    wait_until(opened, 30, "the poisoned environment says that it differs")
    state = recorded_of(system, "poisoned").state
    assert state.episode is not None
    assert {each.field.path for each in state.episode.drift} == {"data.n"}
    assert len(json.dumps(state.to_json())) < 200_000, "a record keeps the part of a value that differs"
    for number in range(3):
        system.servers["worker"].restart()
        system.servers["watch"].restart()
        system.wait_ready()
        drifted = json.dumps({"data": {"n": f"bad{number}"}})
        kubectl("-n", namespace, "patch", "configmap", "good", "--type=merge", "-p", drifted)
        path = ("get", "configmap", "good", "-o", "jsonpath={.data.n}")
        wait_until(lambda: kubectl("-n", namespace, *path).stdout == "1", 30, "the other environment is healed")  # noqa: B023
    for name in PROCESSES:
        system.servers[name].require_running()
        assert "Traceback" not in system.log(name), name
    names = kubectl("-n", namespace, "get", "configmap", "-o", "name").stdout
    assert {"configmap/stray", "configmap/odd", "configmap/empty"} <= set(names.split()), "nothing of it is pruned"
    strays = {each.key.name for each in recorded_of(system, "poisoned").state.additions}
    wait_until(
        lambda: (
            {"stray", "odd", "empty"} <= {each.key.name for each in recorded_of(system, "poisoned").state.additions}
        ),
        30,
        f"objects that nobody declared are told (so far {strays})",
    )

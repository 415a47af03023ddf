"""Health: other projects' tables, and where we differ from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import CORPORA, objects_in, table
from tests.otherwise import HEALTH, HEALTH_CUSTOM
from worker.domain.health import Health
from worker.domain.resource import Resource, resource_of
from worker.planning.assessment import RULES, assess, pod_trouble, rollout_trouble

KSTATUS = {"Current": "healthy", "InProgress": "progressing", "Failed": "degraded", "Terminating": "progressing"}


def cases() -> list[Any]:
    found: list[Any] = []
    if not CORPORA.is_dir():
        return found
    for name in ("health_argocd_builtin", "health_kstatus", "health_kapp_wait"):
        found += [pytest.param(case, id=case["id"]) for case in table(CORPORA, name)]
    return found


def live_of(case: dict[str, Any]) -> Resource:
    text = case.get("manifest") or (CORPORA / "tables" / case["file"]).read_text()
    body = {"apiVersion": case["apiVersion"], "kind": case["kind"], **objects_in(text)[0]}
    body["metadata"] = {"name": "x", **(body.get("metadata") or {})}
    return resource_of(body)


@pytest.mark.parametrize("case", cases())
def test_health_is_what_other_projects_say_or_what_we_say_why(case: dict[str, Any], corpora: Path) -> None:
    live = live_of(case)
    expected = case.get("expected_status")
    if "expected" in case:
        done, good = case["expected"].get("done"), case["expected"].get("successful")
        wanted = "healthy" if done and good else "degraded" if done else "progressing"
    else:
        wanted = KSTATUS.get(str(expected), str(expected).lower())
    found = assess(live, live.key, {})
    if expected is None and "expected" not in case:
        return  # a kind that the upstream has no opinion about
    assert found.health.value == HEALTH.get(case["id"], (wanted, ""))[0], found.reason
    assert found.health.is_good or found.reason


def test_custom_resources_are_judged_by_what_they_have_in_common(corpora: Path) -> None:
    followed = 0
    for case in table(corpora, "health_argocd_custom"):
        body = objects_in((corpora / "tables" / case["file"]).read_text())[0]
        body["metadata"] = {"name": "x", **(body.get("metadata") or {})}
        live = resource_of(body)
        found = assess(live, live.key, {})
        wanted = str(case["expected_status"]).lower()
        assert found.health.value == HEALTH_CUSTOM.get(case["id"], (wanted, ""))[0], (case["id"], found.reason)
        assert found.health.is_good or found.reason, case["id"]
        followed += case["id"] not in HEALTH_CUSTOM
    assert followed >= 503


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["", "True", "False", "Ready", "Failed", "x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "type", "status", "reason", "message", "observedGeneration", "conditions", "phase", "replicas",
                "loadBalancer", "ingress", "parents", "readyReplicas", "containerStatuses", "state", "waiting",
            ]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, derandomize=True, deadline=None)
@given(kind=st.sampled_from([*sorted(RULES), "Widget.example.com"]), spec=ANYTHING, status=ANYTHING)
def test_no_status_however_odd_is_more_than_a_judgement(kind: str, spec: Any, status: Any) -> None:
    name, _, group = kind.partition(".")
    body = {"apiVersion": f"{group}/v1" if group else "v1", "kind": name, "metadata": {"name": "x", "generation": 2}}
    live = resource_of({**body, "spec": spec, "status": status})
    found = assess(live, live.key, {})
    assert isinstance(found.reason, str)


def test_the_corpora_are_there_or_said_to_be_missing(corpora: Path) -> None:
    assert len(cases()) == 84


def test_what_does_not_exist_is_missing_and_what_policy_ignores_is_healthy() -> None:
    ingress = resource_of({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}})
    assert assess(None, ingress.key, {}).health is Health.MISSING
    assert assess(ingress, ingress.key, {}).health is Health.PROGRESSING
    assert assess(ingress, ingress.key, {"Ingress.networking.k8s.io": "ignore"}).health is Health.HEALTHY


def pod(name: str, hash_: str, **waiting: str) -> Resource:
    status = {"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "state": {"waiting": waiting}}]}
    metadata = {"name": name, "labels": {"pod-template-hash": hash_}}
    return resource_of({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})


def test_only_the_pods_of_the_newest_template_speak_for_a_rollout() -> None:
    deployment = resource_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "uid": "u"}})

    def replica_set(hash_: str, revision: str) -> Resource:
        metadata = {
            "name": f"d-{hash_}",
            "labels": {"pod-template-hash": hash_},
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": "u", "controller": True}],
        }
        return resource_of({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})

    sets = [replica_set("old", "9"), replica_set("new", "10")]
    bad = pod("a", "old", reason="ImagePullBackOff", message="not found")
    assert rollout_trouble(deployment, [bad], sets) is None
    worse = pod("b", "new", reason="ErrImagePull", message="denied")
    assert rollout_trouble(deployment, [bad, worse], sets) == "ErrImagePull: denied"
    assert pod_trouble(pod("c", "new", reason="ContainerCreating")) is None

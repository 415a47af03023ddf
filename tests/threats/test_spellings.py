"""One thing written in many ways: what was applied is not seen as a change; each name begins with the fault's number."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.conftest import Kubectl
from tests.world import World, resources
from worker.domain.convergence import Phase
from worker.domain.errors import DesiredStateError
from worker.domain.plan import Action
from worker.domain.resource import Resource
from worker.planning.proof import prove

EVERY_SPELLING = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, creationTimestamp: null, annotations: {}, labels: null}
spec:
  replicas: 0
  strategy: {}
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}, creationTimestamp: null}
    spec:
      volumes: [{name: scratch, emptyDir: {}}]
      nodeSelector: {}
      tolerations: [{key: z, operator: Exists}, {key: a, operator: Exists}]
      containers:
        - name: z
          image: x:1
          command: [sh, -c, "true"]
          env: [{name: Z, value: "1"}, {name: A, value: ""}, {name: B}]
          ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]
          resources: {limits: {cpu: 1, memory: 1024Mi}, requests: {cpu: 0.5, memory: "1Gi"}}
          volumeMounts: [{name: scratch, mountPath: /tmp}]
          securityContext: {}
        - name: a
          image: x:1
          resources: {limits: {cpu: "2000m", memory: 1e9}}
          livenessProbe: {httpGet: {path: /, port: 80}}
          lifecycle: null
status: {replicas: 7}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {a: "aGVs\\nbG8=", c: ""}
stringData: {b: text, a: other}
---
apiVersion: v1
kind: Service
metadata: {name: svc}
spec:
  ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP, targetPort: dns}]
  selector: {app: d}
  type: ClusterIP
  externalIPs: []
status: {loadBalancer: {}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: hpa}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}
  metrics:
    - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}}
    - {type: Resource, resource: {name: cpu, target: {type: AverageValue, averageValue: 0.5}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r}
rules: [{apiGroups: [""], resources: [pods], verbs: [list, get]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: policy}
spec: {podSelector: {}, ingress: [], policyTypes: [Ingress]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: q}
spec: {hard: {pods: 10, requests.cpu: 4, limits.memory: 2048Mi}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec:
  schedule: "* * * * *"
  suspend: true
  jobTemplate:
    metadata: {creationTimestamp: null}
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: x, resources: {requests: {cpu: .1}}}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: empty}
data: null
"""


def test_f35_every_spelling_of_the_same_is_the_same_after_it_was_applied(world: World) -> None:
    indifferent = world.with_policy(health={"HorizontalPodAutoscaler.autoscaling": "ignore"})
    recorded = indifferent.converge(EVERY_SPELLING)
    assert recorded.state.operation is not None
    assert recorded.state.operation.phase is Phase.SUCCEEDED, indifferent.facts
    assert recorded.state.operation.verdict == "as predicted"
    plan = indifferent.plan(EVERY_SPELLING)
    assert plan.is_empty, [change for change in plan.changes if change.action is not Action.UNCHANGED]


def test_f35_the_order_of_a_list_that_has_one_is_a_change(world: World) -> None:
    world.converge(EVERY_SPELLING, wait=False)
    swapped = EVERY_SPELLING.replace("[sh, -c, ", '["-c", sh, ')
    assert world.plan(swapped).summary["configure"] == 1


NEVER_HERE = (
    "Pod",
    "Namespace",
    "Node",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)
"""Kinds of the examples that would change the cluster for other tests, and Pods, which controllers end as they see fit."""


LEFT_TO_THE_SERVER = ("subsets differs",)
"""What the proof knows nothing of: endpoints, which the server sorts."""


def owned_by(live: Resource, manager: str) -> list[Any]:
    return [entry for entry in live.metadata["managedFields"] if entry["manager"] == manager]


def examples(folder: Path, namespace: str) -> list[Resource]:
    """Every object of the examples under its own name, all in one namespace."""
    found: dict[tuple[str, ...], Resource] = {}
    for file in sorted(folder.rglob("*.yaml")):
        try:
            parsed = resources(file.read_text(), str(file.relative_to(folder)))
        except (DesiredStateError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            continue  # templates and lists of the examples, which are other tests' subject
        for each in parsed:
            if each.key.kind in NEVER_HERE:
                continue
            metadata: dict[str, Any] = {**each.metadata}
            if metadata.pop("namespace", None):
                metadata["namespace"] = namespace
            key = each.key._replace(namespace=metadata.get("namespace", ""))
            found.setdefault(
                (key.group, key.kind, key.name),
                Resource(key, each.version, {**each.body, "metadata": metadata}, each.source),
            )
    return list(found.values())


def test_f35_what_other_people_wrote_is_unchanged_after_it_was_applied(
    world: World, corpora: Path, kubectl: Kubectl
) -> None:
    indifferent = world.with_policy(unserved="skip")
    wanted = examples(corpora / "snapshots" / "kubernetes-examples", world.namespace)
    assert len(wanted) > 100
    for _ in range(5):  # what the server refuses is refused all at once, but a part of it only after the rest is right
        try:
            prediction = indifferent.predict_rendered(tuple(wanted))
            break
        except DesiredStateError as error:
            refused = {problem.where for problem in error.problems}
            wanted = [
                each
                for each in wanted
                if not {str(each.key), str(each.key._replace(namespace=world.namespace))} & refused
            ]
    created = prediction.plan.summary["create"]
    assert created > 80, prediction.plan.summary
    cluster, manager = indifferent.cluster, indifferent.environment.field_manager
    for resource in prediction.desired.resources:
        cluster.apply(resource, manager, dry_run=False, force=True)
    try:
        plan = indifferent.predict_rendered(tuple(wanted)).plan
        changed = [change for change in plan.changes if change.action not in (Action.UNCHANGED, Action.SKIP)]
        assert changed == []
        assert plan.summary["unchanged"] == created
        unproven: list[str] = []
        second = int(time.time())
        while int(time.time()) == second:  # ownership carries its time in whole seconds
            time.sleep(0.02)
        for resource in prediction.desired.resources:
            if (live := cluster.get(resource.key, resource.version)) is None:
                continue
            proof = prove(resource, live, manager)
            if not proof.unchanged:
                unproven.append(f"{resource.key}: {proof.reason}")
                continue
            again = cluster.apply(resource, manager, dry_run=False, force=True).resource
            assert owned_by(again, manager) == owned_by(live, manager), resource.key
        beyond = [each for each in unproven if not each.endswith(LEFT_TO_THE_SERVER)]
        assert beyond == []
        assert len(unproven) <= created * 0.01, unproven
    finally:
        for resource in prediction.desired.resources:
            if not resource.key.namespace and (live := cluster.get(resource.key, resource.version)) is not None:
                cluster.delete(resource.key, resource.version, uid=live.uid)

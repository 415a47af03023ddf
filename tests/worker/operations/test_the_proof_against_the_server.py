"""The no-op proof beside the server itself: whatever it calls unchanged, a real apply leaves exactly as it is."""

from __future__ import annotations

import copy
import itertools
import json
import os
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.control_plane import ControlPlane
from tests.world import World
from worker.domain.errors import Denied, Unavailable
from worker.domain.resource import Resource, resource_of
from worker.operations.preparing import labelled
from worker.planning.proof import prove

GADGET = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "gadgets.proof.example.com"},
    "spec": {
        "group": "proof.example.com",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "atoms": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "atomic",
                                        "items": {"type": "string"},
                                    },
                                    "names": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "set",
                                        "items": {"type": "string"},
                                    },
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["id", "side"],
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": {"type": "integer"},
                                                "side": {"type": "string", "default": "left"},
                                                "size": {"type": "integer", "default": 3},
                                                "note": {"type": "string", "nullable": True},
                                            },
                                        },
                                    },
                                    "whole": {
                                        "type": "object",
                                        "x-kubernetes-map-type": "atomic",
                                        "additionalProperties": {"type": "string"},
                                    },
                                    "loose": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "level": {"x-kubernetes-int-or-string": True},
                                    "on": {"type": "boolean", "default": True},
                                    "ratio": {"type": "number"},
                                    "limits": {
                                        "type": "object",
                                        "additionalProperties": {"x-kubernetes-int-or-string": True},
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}

WORDS = st.sampled_from(["", "a", "b", "left", "right", "true", "1", "x: y", "\u00e9\x85"])
LABELS = st.dictionaries(
    st.sampled_from(["one", "two", "example.com/three"]), st.sampled_from(["", "a", "b"]), max_size=3
)
LOOSE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), WORDS, st.just(1.5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("pqr"), inner, max_size=2)),
    max_leaves=5,
)


def optional(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the fields, or none of them."""
    return st.fixed_dictionaries({}, optional=fields)


PART = st.fixed_dictionaries(
    {"id": st.integers(0, 2)},
    optional={
        "side": st.sampled_from(["left", "right"]),
        "size": st.sampled_from([0, 3, 4]),
        "note": st.sampled_from([None, "", "n"]),
    },
)
GADGETS = optional(
    {
        "atoms": st.lists(WORDS, max_size=3),
        "names": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True),
        "parts": st.lists(PART, max_size=3, unique_by=lambda part: (part["id"], part.get("side", "left"))),
        "whole": st.dictionaries(st.sampled_from("kl"), WORDS, max_size=2),
        "loose": st.dictionaries(st.sampled_from("pqr"), LOOSE, max_size=2),
        "level": st.sampled_from([0, 1, "0", "50%"]),
        "on": st.booleans(),
        "ratio": st.sampled_from([0, 0.5, 1, 1.0]),
        "limits": st.dictionaries(
            st.sampled_from(["cpu", "memory"]), st.sampled_from(["1", "1000m", 1, "1Gi", "1024Mi"]), max_size=2
        ),
    }
)
FIELD = st.fixed_dictionaries(
    {
        "fieldRef": st.fixed_dictionaries(
            {"fieldPath": st.sampled_from(["metadata.name", "metadata.namespace"])},
            optional={"apiVersion": st.just("v1")},
        )
    }
)
RESOURCE_FIELD = st.fixed_dictionaries(
    {
        "resourceFieldRef": st.fixed_dictionaries(
            {"resource": st.just("limits.cpu")}, optional={"divisor": st.sampled_from(["1", "1000m", 1, "0"])}
        )
    }
)
CONTAINER = st.fixed_dictionaries(
    {"name": st.sampled_from(["main", "side"]), "image": st.sampled_from(["x:1", "x:2"])},
    optional={
        "args": st.lists(WORDS, max_size=2),
        "tty": st.booleans(),
        "env": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {"name": st.sampled_from(["A", "B"])},
                    optional={"value": st.one_of(WORDS, st.sampled_from(["1Gi", "1024Mi", "1", "1.0", "1000m"]))},
                ),
                st.fixed_dictionaries({"name": st.just("C"), "valueFrom": st.one_of(FIELD, RESOURCE_FIELD)}),
            ),
            max_size=2,
            unique_by=lambda each: str(each["name"]),
        ),
        "ports": st.lists(
            st.fixed_dictionaries(
                {"containerPort": st.sampled_from([80, 81])},
                optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": st.sampled_from(["http", "dns"])},
            ),
            max_size=1,
        ),
        "resources": optional(
            {
                "requests": st.fixed_dictionaries(
                    {}, optional={"cpu": st.sampled_from(["1", "1000m", 1, "0.5", "500m"])}
                ),
                "limits": st.fixed_dictionaries({}, optional={"memory": st.sampled_from(["1Gi", "1024Mi", "0"])}),
            }
        ),
        "securityContext": optional({"runAsNonRoot": st.booleans(), "runAsUser": st.integers(0, 1)}),
    },
)
DEPLOYMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "replicas": st.integers(0, 1),
        "selector": st.just({"matchLabels": {"app": "x"}}),
        "template": st.fixed_dictionaries(
            {
                "metadata": st.fixed_dictionaries(
                    {"labels": st.just({"app": "x"})},
                    optional={"annotations": LABELS, "creationTimestamp": st.none()},
                ),
                "spec": st.fixed_dictionaries(
                    {"containers": st.lists(CONTAINER, min_size=1, max_size=2, unique_by=lambda each: each["name"])},
                    optional={
                        "hostNetwork": st.just(False),
                        "automountServiceAccountToken": st.booleans(),
                        "nodeSelector": LABELS,
                        "tolerations": st.lists(
                            optional(
                                {
                                    "key": st.just("k"),
                                    "operator": st.just("Exists"),
                                    "effect": WORDS.filter(lambda w: w == ""),
                                }
                            ),
                            max_size=1,
                        ),
                        "terminationGracePeriodSeconds": st.sampled_from([0, 30]),
                    },
                ),
            }
        ),
    },
    optional={
        "paused": st.booleans(),
        "minReadySeconds": st.integers(0, 1),
        "strategy": st.sampled_from([{}, {"type": "Recreate"}]),
    },
)
SERVICES = st.fixed_dictionaries(
    {
        "ports": st.lists(
            st.fixed_dictionaries(
                {"port": st.sampled_from([80, 81]), "name": st.sampled_from(["a", "b"])},
                optional={
                    "protocol": st.sampled_from(["TCP", "UDP"]),
                    "targetPort": st.sampled_from([80, "http", 0]),
                    "nodePort": st.just(0),
                },
            ),
            min_size=1,
            max_size=2,
            unique_by=(lambda each: each["name"], lambda each: each["port"]),
        )
    },
    optional={
        "selector": LABELS,
        "externalIPs": st.lists(st.just("10.9.9.9"), max_size=1),
        "publishNotReadyAddresses": st.booleans(),
        "sessionAffinity": st.just("None"),
    },
)


TARGET = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("AverageValue"), "averageValue": st.sampled_from([1, "1", "1000m", "0.5", "500m"])}
    ),
    st.fixed_dictionaries({"type": st.just("Value"), "value": st.sampled_from([1, "1", "1000m", "1Gi", "1024Mi"])}),
)
AUTOSCALERS = st.fixed_dictionaries(
    {
        "maxReplicas": st.integers(1, 3),
        "scaleTargetRef": st.just({"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}),
    },
    optional={
        "minReplicas": st.just(1),
        "metrics": st.lists(
            st.builds(
                lambda target: {
                    "type": "Object",
                    "object": {
                        "metric": {"name": "m"},
                        "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"},
                        "target": target,
                    },
                },
                TARGET,
            ),
            min_size=1,
            max_size=2,
        ),
        "behavior": st.just({"scaleDown": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}}),
    },
)


def _template(deployment: dict[str, Any]) -> dict[str, Any]:
    template: dict[str, Any] = deployment["template"]
    return template


KINDS: dict[str, tuple[str, str, st.SearchStrategy[dict[str, Any]]]] = {
    "Gadget": ("proof.example.com/v1", "spec", GADGETS),
    "Deployment": ("apps/v1", "spec", DEPLOYMENTS),
    "Service": ("v1", "spec", SERVICES),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "spec", AUTOSCALERS),
    "PodTemplate": ("v1", "template", DEPLOYMENTS.map(_template)),
    "ConfigMap": ("v1", "data", st.dictionaries(st.sampled_from(["a", "b.yaml"]), WORDS, max_size=2)),
    "Secret": ("v1", "stringData", st.dictionaries(st.sampled_from(["a", "b"]), WORDS, max_size=2)),
}


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """A manifest of one of the kinds, without a name."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    version, member, strategy = KINDS[kind]
    metadata = draw(optional({"labels": LABELS, "annotations": LABELS}))
    return {"apiVersion": version, "kind": kind, "metadata": metadata, member: draw(strategy)}


UNPROVEN = 0.5
"""How many of the untouched objects may be left to the server: random ones are full of nulls and of empty maps and lists,
which cannot be proven. What people write is counted in test_spellings."""

EXAMPLES = int(os.environ.get("PLUMBLINE_PROOF_EXAMPLES", "150"))
EDITS = st.lists(st.sampled_from(["apply", "merge", "annotate", "finalize", "remove"]), max_size=3)
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> World:
    """A namespace of its own, and a custom kind with every sort of list."""
    control_plane.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", GADGET)
    control_plane.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "proof"}}
    )
    world = World(control_plane.kubeconfig(), "proof")
    world.converge(json.dumps(GADGET))
    return world


def _edited(world: World, desired: Resource, other: dict[str, Any], edit: str) -> None:
    """Somebody else's hand on the object."""
    found = world.cluster.discovery.of(desired.key, desired.version)
    assert found is not None
    path = found.path(desired.key.namespace, desired.key.name)
    body: dict[str, Any] = {"metadata": {"annotations": {"someone": "was here"}}}
    if edit == "apply":
        applied = {**other, "metadata": {"name": desired.key.name, "labels": {"theirs": "yes"}}}
        query = {"fieldManager": "somebody", "force": "true"}
        content = json.dumps({**applied, "apiVersion": desired.api_version, "kind": desired.key.kind}).encode()
        world.cluster.connection.request(
            "PATCH", path, query=query, body=content, content_type="application/apply-patch+yaml"
        )
        return
    if edit == "merge":
        body = {name: value for name, value in other.items() if name not in ("apiVersion", "kind", "metadata")}
    elif edit == "finalize":
        body = {"metadata": {"labels": {"one": "theirs"}}}
    elif edit == "remove":
        body = {"metadata": {"labels": None}}
    world.cluster.connection.request(
        "PATCH", path, body=json.dumps(body).encode(), content_type="application/merge-patch+json"
    )


def _without_controllers(resource: Resource) -> dict[str, Any]:
    """Everything but what a controller may write between two reads."""
    body = {name: value for name, value in resource.body.items() if name != "status"}
    metadata = body["metadata"] = dict(body["metadata"])
    metadata.pop("resourceVersion")
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop("deployment.kubernetes.io/revision", None)
    metadata["annotations"] = annotations
    metadata["managedFields"] = [
        entry for entry in metadata["managedFields"] if entry["manager"] != "kube-controller-manager"
    ]
    return body


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
@given(first=manifests(), data=st.data())
def _collect(
    place: World, cases: list[Resource], untouched: set[str], first: dict[str, Any], data: st.DataObject
) -> None:
    name = f"p{next(_NUMBERS)}"
    manager = place.environment.field_manager
    member = KINDS[first["kind"]][1]

    def made(manifest: dict[str, Any]) -> Resource:
        body = copy.deepcopy(manifest)
        body["metadata"] |= {"name": name, "namespace": "proof"}
        return labelled(resource_of(body), place.environment.owner_label)

    desired = made(first)
    try:
        place.cluster.apply(desired, manager, dry_run=False, force=True)
    except (Denied, Unavailable):
        return  # what the server does not take is not the proof's subject
    strategy = KINDS[first["kind"]][2]
    edits = data.draw(EDITS, label="edits")
    for edit in edits:
        _edited(place, desired, {member: data.draw(strategy, label="theirs")}, edit)
    again = first
    if data.draw(st.booleans(), label="changed"):
        again = {**first, member: data.draw(strategy, label="ours then")}
    cases.append(made(again))
    if not edits and again is first:
        untouched.add(name)


def test_what_is_proven_unchanged_a_real_apply_leaves_exactly_as_it_is(place: World) -> None:
    cases: list[Resource] = []
    untouched: set[str] = set()
    _collect(place, cases, untouched)
    manager = place.environment.field_manager
    second = int(time.time())
    while int(time.time()) == second:  # ownership carries its time in whole seconds: a write within one would not show
        time.sleep(0.02)
    proven = 0
    unproven: list[str] = []
    for wanted in cases:
        live = place.cluster.get(wanted.key, wanted.version)
        assert live is not None
        proof = prove(wanted, live, manager)
        if not proof.unchanged:
            if wanted.key.name in untouched:
                unproven.append(f"{wanted.key}: {proof.reason}")
            continue
        proven += 1
        applied = place.cluster.apply(wanted, manager, dry_run=False, force=True).resource
        told = (json.dumps(wanted.body, default=str), json.dumps(live.metadata["managedFields"]))
        assert applied.uid == live.uid, told
        assert _without_controllers(applied) == _without_controllers(live), (
            told,
            json.dumps(applied.metadata, default=str),
        )
        if wanted.key.kind not in ("Deployment", "HorizontalPodAutoscaler"):
            assert applied.resource_version == live.resource_version, told
    print(
        f"{proven} of {len(cases)} proven; {len(unproven)} of {len(untouched)} untouched ones could not be: {unproven}"
    )
    assert len(untouched) > 10
    assert len(unproven) <= len(untouched) * UNPROVEN, unproven
    assert proven > len(cases) / 5, f"only {proven} of {len(cases)} were proven: the test says little"

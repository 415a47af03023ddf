"""The no-op proof: what it proves, and everything that it must not prove."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from worker.domain.resource import resource_of
from worker.planning.diffing import field_changes
from worker.planning.proof import prove

MANAGER = "plumbline:shop/production"

DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "cart", "namespace": "shop", "labels": {"app": "cart"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "cart"}},
        "template": {
            "metadata": {"labels": {"app": "cart"}},
            "spec": {
                "containers": [
                    {
                        "name": "cart",
                        "image": "cart:1",
                        "args": ["-v"],
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "1000m"}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        },
    },
}

LIVE: dict[str, Any] = {
    **copy.deepcopy(DESIRED),
    "metadata": {
        **copy.deepcopy(DESIRED["metadata"]),
        "uid": "u",
        "resourceVersion": "7",
        "managedFields": [
            {
                "manager": MANAGER,
                "operation": "Apply",
                "apiVersion": "apps/v1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:replicas": {},
                        "f:selector": {},
                        "f:template": {
                            "f:metadata": {"f:labels": {"f:app": {}}},
                            "f:spec": {
                                "f:containers": {
                                    'k:{"name":"cart"}': {
                                        ".": {},
                                        "f:name": {},
                                        "f:image": {},
                                        "f:args": {},
                                        "f:ports": {
                                            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
                                        },
                                        "f:resources": {"f:limits": {"f:cpu": {}}},
                                    }
                                },
                                "f:volumes": {'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
                            },
                        },
                    },
                },
            },
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "apps/v1",
                "subresource": "status",
            },
        ],
    },
}
LIVE["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
LIVE["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1"
LIVE["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent"
LIVE["spec"]["progressDeadlineSeconds"] = 600

CONTAINER = ("spec", "template", "spec", "containers", 0)
OWNED = ("metadata", "managedFields", 0)


def changed(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(body)
    place: Any = made
    for part in path[:-1]:
        place = place[part]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def proven(desired: dict[str, Any], live: dict[str, Any]) -> bool:
    return prove(resource_of(desired), resource_of(live), MANAGER).unchanged


def test_defaults_and_other_spellings_of_a_quantity_are_no_change() -> None:
    assert proven(DESIRED, LIVE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), 3),
        (("spec", "replicas"), True),
        ((*CONTAINER, "image"), "cart:2"),
        ((*CONTAINER, "args"), ["-v", "-v"]),
        ((*CONTAINER, "args"), []),
        ((*CONTAINER, "env"), [{"name": "A", "value": "1"}]),
        ((*CONTAINER, "image"), None),
        (("spec", "selector", "matchLabels", "app"), "other"),
        (("metadata", "labels", "new"), "1"),
        ((*CONTAINER, "ports", 0, "containerPort"), 81),
        ((*CONTAINER, "ports", 0, "protocol"), "UDP"),
        ((*CONTAINER, "resources", "limits", "cpu"), "1001m"),
        (("apiVersion",), "apps/v1beta1"),
    ],
)
def test_a_changed_manifest_is_never_proven(path: tuple[Any, ...], value: Any) -> None:
    assert not proven(changed(DESIRED, path, value), LIVE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), 5),
        ((*CONTAINER, "image"), "cart:2"),
        ((*CONTAINER, "args"), ["-v", "-x"]),
        (("metadata", "labels"), None),
        (("metadata", "deletionTimestamp"), "2026-01-01T00:00:00Z"),
        ((*OWNED, "manager"), "another"),
        ((*OWNED, "operation"), "Update"),
        ((*OWNED, "apiVersion"), "apps/v1beta1"),
        ((*OWNED, "subresource"), "scale"),
        ((*OWNED, "fieldsV1", "f:spec", "f:replicas"), None),
        ((*OWNED, "fieldsV1", "f:spec", "f:paused"), {}),
        ((*OWNED, "fieldsV1", "f:metadata", "f:annotations"), {"f:a": {}}),
        (("metadata", "managedFields"), []),
    ],
)
def test_a_moved_cluster_is_never_proven(path: tuple[Any, ...], value: Any) -> None:
    assert not proven(DESIRED, changed(LIVE, path, value))


def test_what_others_add_beside_ours_is_not_our_change() -> None:
    live = changed(LIVE, ("spec", "paused"), value=True)
    live["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "s:1"})
    live["metadata"]["labels"]["theirs"] = "1"
    assert proven(DESIRED, live)


def test_secret_values_are_compared_without_being_shown() -> None:
    def secret(value: str, **metadata: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", **metadata}, "data": {"p": value}}

    entry = {"manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:p": {}}}}
    assert proven(secret("YQ=="), secret("YQ==", managedFields=[entry]))
    assert not proven(secret("Yg=="), secret("YQ==", managedFields=[entry]))


@pytest.mark.parametrize(
    ("kind", "body", "owned", "name"),
    [
        ("ConfigMap", {"data": {"value": "1000m"}}, {"f:data": {"f:value": {}}}, "value"),
        ("ConfigMap", {"data": {"max": "1000m"}}, {"f:data": {"f:max": {}}}, "max"),
        ("ConfigMap", {"data": {"sizeLimit": "1000m"}}, {"f:data": {"f:sizeLimit": {}}}, "sizeLimit"),
        ("Widget", {"spec": {"value": "1000m"}}, {"f:spec": {"f:value": {}}}, "value"),
        ("Widget", {"spec": {"default": {"a": "1000m"}}}, {"f:spec": {"f:default": {"f:a": {}}}}, "a"),
        (
            "Pod",
            {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1000m"}]}]}},
            {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"c"}': {
                            ".": {},
                            "f:name": {},
                            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
                        }
                    }
                }
            },
            "value",
        ),
    ],
)
def test_a_text_that_looks_like_a_quantity_is_compared_as_text(
    kind: str, body: dict[str, Any], owned: dict[str, Any], name: str
) -> None:
    applied = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **copy.deepcopy(body)}
    entry = {"manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsV1": owned}
    live = {**copy.deepcopy(applied), "metadata": {"name": "x", "managedFields": [entry]}}
    assert prove(resource_of(applied), resource_of(live), MANAGER).unchanged
    desired = json.loads(json.dumps(applied).replace("1000m", "1"))
    assert not prove(resource_of(desired), resource_of(live), MANAGER).unchanged
    assert [each.old for each in field_changes(live, desired)] == ["1000m"]

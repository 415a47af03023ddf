"""Field changes worth reading."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.plan import ABSENT, Action, Change, FieldChange, code, shown
from worker.domain.resource import MASK, ResourceKey, SecretValue, resource_of
from worker.planning.diffing import field_changes, specified_differences
from worker.planning.fingerprint import fingerprint
from worker.planning.verdict import compare


def changes(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change.path: (change.old, change.new) for change in field_changes(old, new)}


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": list(items)}}}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 2}}, {"spec.a": (1, 2)}),
        ({"spec": {}}, {"spec": {"a": {"b": 1}}}, {"spec.a.b": (ABSENT, 1)}),
        ({"spec": {"a": {"b": 1}}}, {"spec": {}}, {"spec.a.b": (1, ABSENT)}),
        (
            {"metadata": {"labels": {"a/b.c": "1"}}},
            {"metadata": {"labels": {"a/b.c": "2"}}},
            {'metadata.labels["a/b.c"]': ("1", "2")},
        ),
        ({"spec": {"a": None}}, {"spec": {}}, {}),
        ({"spec": {"a": [1, 2]}}, {"spec": {"a": [1, 3]}}, {"spec.a": ([1, 2], [1, 3])}),
        ({"spec": {"limits": {"cpu": "1000m"}}}, {"spec": {"limits": {"cpu": "1"}}}, {}),
        ({"spec": {"name": "1000m"}}, {"spec": {"name": "1"}}, {"spec.name": ("1000m", "1")}),
        (
            {"metadata": {"resourceVersion": "1", "generation": 1}, "status": {"x": 1}},
            {"metadata": {"resourceVersion": "2"}},
            {},
        ),
        (
            containers({"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}),
            containers({"name": "a", "image": "x:2"}, {"name": "b", "image": "y:1"}),
            {"spec.template.spec.containers[name=a].image": ("x:1", "x:2")},
        ),
        (
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "b"}, {"name": "a"}),
            {"spec.template.spec.containers: order": (["name=a", "name=b"], ["name=b", "name=a"])},
        ),
        (
            containers({"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}]}),
            containers({"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81, "name": "x"}]}),
            {
                "spec.template.spec.containers[name=a].ports[containerPort=80].protocol": ("TCP", ABSENT),
                "spec.template.spec.containers[name=a].ports[containerPort=81].containerPort": (ABSENT, 81),
                "spec.template.spec.containers[name=a].ports[containerPort=81].name": (ABSENT, "x"),
            },
        ),
        (
            None,
            {"apiVersion": "v1", "kind": "X", "spec": {"a": 1, "b": {}}},
            {"spec.a": (ABSENT, 1), "spec.b": (ABSENT, {})},
        ),
    ],
)
def test_a_difference_is_the_field_and_both_values(old: Any, new: Any, expected: dict[str, Any]) -> None:
    assert changes(old, new) == expected


def test_secrets_differ_without_being_seen() -> None:
    old, new = ({"data": {"p": SecretValue(value)}} for value in (b"one", b"two"))
    (change,) = field_changes(old, new)
    text = str(change.to_json()) + repr(change)
    assert change.path == "data.p"
    assert change.to_json() == {"path": "data.p", "old": f"{MASK} (before)", "new": f"{MASK} (after)"}
    assert "one" not in text
    assert "two" not in text
    assert field_changes(old, old) == ()


def test_only_what_the_manifest_says_is_compared_with_the_cluster() -> None:
    desired = resource_of(
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": {"a": 1, "b": [{"name": "n"}]}}
    )
    live = resource_of(
        {
            "apiVersion": "v1",
            "kind": "X",
            "metadata": {"name": "x", "uid": "u"},
            "spec": {"a": 2, "b": [{"name": "n", "d": 1}], "c": 3},
        }
    )
    assert [(each.path, each.old, each.new) for each in specified_differences(desired, live)] == [("spec.a", 2, 1)]


def change(
    path: str = "spec.a", new: Any = 1, *, action: Action = Action.CONFIGURE, uid: str = "u", reason: str = ""
) -> Change:
    return Change(ResourceKey("", "ConfigMap", "ns", "c"), "v1", action, reason, (FieldChange(path, 0, new),), uid)


def test_a_fingerprint_is_of_what_a_plan_does_and_of_nothing_else() -> None:
    key = b"k" * 32
    one = fingerprint(key, "shop/production", [change()])
    assert len(one) == 32
    assert len(code(one)) == 8
    assert one == fingerprint(key, "shop/production", [change(uid="other")])
    assert one == fingerprint(key, "shop/production", [change(), change(action=Action.UNCHANGED)])
    different = [
        fingerprint(key, "shop/staging", [change()]),
        fingerprint(key, "shop/production", [change(new=2)]),
        fingerprint(key, "shop/production", [change(new="1")]),
        fingerprint(key, "shop/production", [change(action=Action.RECREATE)]),
        fingerprint(key, "shop/production", [change(action=Action.PRUNE, uid="a")]),
        fingerprint(key, "shop/production", [change(action=Action.PRUNE, uid="b")]),
        fingerprint(b"x" * 32, "shop/production", [change()]),
        fingerprint(key, "shop/production", [change(new=SecretValue(b"a"))]),
        fingerprint(key, "shop/production", [change(new=SecretValue(b"b"))]),
        fingerprint(key, "shop/production", [change(new=ABSENT)]),
    ]
    assert len({one, *different}) == len(different) + 1


@pytest.mark.parametrize("action", [Action.CREATE, Action.RECREATE])
def test_a_fingerprint_does_not_hang_on_what_the_server_draws_in_each_dry_run(action: Action) -> None:
    key = b"k" * 32
    for path in (
        "spec.clusterIP",
        "spec.ports[port=80].nodePort",
        'metadata.labels["batch.kubernetes.io/controller-uid"]',
    ):
        one, two = (fingerprint(key, "e", [change(path, new, action=action)]) for new in ("a", "b"))
        assert one == two
    configured = (fingerprint(key, "e", [change("spec.ports[port=80].nodePort", new)]) for new in (1, 2))
    assert len(set(configured)) == 2, "a field that Git changes is part of it"


def test_a_verdict_names_each_field_that_went_otherwise() -> None:
    assert compare([change()], [change()]).as_predicted
    assert compare([change(path="spec.clusterIP", new="1")], [change(path="spec.clusterIP", new="2")]).as_predicted
    assert compare([change(action=Action.CREATE, reason="not validated: new kind")], []).as_predicted
    other = compare([change()], [change(new=2)])
    assert other.differences == ("ConfigMap ns/c spec.a became 2 instead of 1",)
    assert not compare([], [change()]).as_predicted
    assert not compare([change()], []).as_predicted
    assert not compare([change()], [change(), change(path="spec.b")]).as_predicted


def test_what_is_shown_of_a_secret_is_a_mask_at_any_depth() -> None:
    assert shown({"a": [SecretValue(b"x")]}, "after") == {"a": [f"{MASK} (after)"]}


def test_the_keys_of_a_custom_resources_lists_are_learned_from_who_applied_them() -> None:
    fields = {"f:spec": {"f:members": {'k:{"id":1,"zone":"a"}': {".": {}, "f:size": {}}}, "f:tags": {'v:"x"': {}}}}
    entry = {"manager": "m", "operation": "Apply", "apiVersion": "example.org/v1", "fieldsV1": fields}
    one, two = {"id": 1, "zone": "a", "size": 3}, {"id": 2, "zone": "a", "size": 3}
    old = {"metadata": {"managedFields": [entry]}, "spec": {"members": [one, two], "tags": ["x", "y"]}}
    new = {"spec": {"members": [{**two, "size": 4}], "tags": ["y", "z"]}}
    assert changes(old, new) == {
        "spec.members[id=1,zone=a].id": (1, ABSENT),
        "spec.members[id=1,zone=a].zone": ("a", ABSENT),
        "spec.members[id=1,zone=a].size": (3, ABSENT),
        "spec.members[id=2,zone=a].size": (3, 4),
        "spec.tags[x]": ("x", ABSENT),
        "spec.tags[z]": (ABSENT, "z"),
    }


@pytest.mark.parametrize(
    ("path", "old", "new", "differs"),
    [
        (("limits", "cpu"), "1000m", "1", False),
        (("requests", "memory"), "1Gi", "1024Mi", False),
        (("hard", "pods"), "1e1", "10", False),
        (("limits", "cpu"), "1", "1001m", True),
        (("limits", "memory"), "1G", "1Gi", True),
        (("resourceFieldRef", "divisor"), "1", "1000m", False),
        (("target", "averageValue"), "500m", "0.5", False),
        (("target", "name"), "500m", "0.5", True),
        (("a", "interval"), "60m", "1h0m0s", False),
        (("a", "requestTimeout"), "1.5s", "1500ms", False),
        (("timeouts", "request"), "10s", "10000ms", False),
        (("a", "duration"), "2160h", "90d", True),
        (("a", "interval"), "60m", "61m", True),
        (("a", "name"), "60m", "1h", True),
    ],
)
def test_quantities_and_durations_are_compared_by_value_where_a_field_holds_one(
    path: tuple[str, str], old: str, new: str, *, differs: bool
) -> None:
    one, two = ({"spec": {path[0]: {path[1]: value}}} for value in (old, new))
    assert bool(field_changes(one, two)) is differs
    assert field_changes({"data": {path[1]: old}}, {"data": {path[1]: new}}), "a key of a ConfigMap is text"

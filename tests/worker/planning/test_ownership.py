"""What is sent of an object beside what lives, and what people added to it: tables over managedFields."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.environment import OWNER_LABEL, Policy
from worker.domain.field_paths import read_pattern
from worker.domain.resource import Resource, resource_of
from worker.domain.rules import ConflictRule, IgnoreRule, Resolution, Selector
from worker.planning.ownership import Ownership, autoscaled

OURS = "plumbline:shop/production"
C, P = 'k:{"name":"c"}', 'k:{"name":"p"}'


def thing(**body: Any) -> Resource:
    metadata = {"name": "cart", "namespace": "shop", **body.pop("metadata", {})}
    return resource_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, **body})


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", subresource: str = "") -> dict[str, Any]:
    found = {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": fields, "time": "t"}
    return found | ({"subresource": subresource} if subresource else {})


def owned(*entries: dict[str, Any], **body: Any) -> Resource:
    metadata = {**body.pop("metadata", {}), "managedFields": list(entries)}
    return thing(metadata=metadata, **body)


def judge(*fields: str, managers: tuple[str, ...] = (), **policy: Any) -> Ownership:
    rule = IgnoreRule(Selector(), tuple(map(read_pattern, fields)), managers)
    ignore = (rule,) if fields or managers else ()
    return Ownership(OURS, Policy(ignore=ignore, **policy), may_force=True)


def sent_spec(ownership: Ownership, desired: Resource, live: Resource | None) -> Any:
    return ownership.sent(desired, live).resource.body.get("spec")


REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
DESIRED = thing(spec={"replicas": 3, "paused": False})


@pytest.mark.parametrize(
    ("entries", "live", "sent"),
    [
        pytest.param([entry(OURS, REPLICAS, "Apply")], 5, {"replicas": 5, "paused": False}, id="ours alone: as it is"),
        pytest.param([entry(OURS, {}, "Apply"), entry("x", REPLICAS)], 5, {"paused": False}, id="theirs: not said"),
        pytest.param([entry(OURS, REPLICAS, "Apply"), entry("x", REPLICAS)], 3, {"paused": False}, id="both: given up"),
        pytest.param([entry(OURS, {}, "Apply")], 5, {"paused": False}, id="nobody's: not said"),
        pytest.param([entry(OURS, REPLICAS, "Apply")], None, {"paused": False}, id="gone: not said"),
        pytest.param([], 5, {"paused": False}, id="not ours yet: not said"),
    ],
)
def test_an_ignored_field_is_sent_by_who_owns_it(entries: list[dict[str, Any]], live: Any, sent: Any) -> None:
    ownership = judge("spec.replicas")
    body = {"replicas": live} if live is not None else {}
    found = ownership.sent(DESIRED, owned(*entries, spec=body))
    assert found.resource.body["spec"] == sent
    assert [each.path for each in found.left] == (["spec.replicas"] if live != 3 else [])
    assert DESIRED.body["spec"] == {"replicas": 3, "paused": False}, "nothing is changed in place"


def test_a_new_object_is_sent_as_git_has_it_and_without_a_rule_everything_is() -> None:
    assert judge("spec.replicas").sent(DESIRED, None).resource is DESIRED
    assert judge().sent(DESIRED, owned(entry("x", REPLICAS), spec={"replicas": 5})).resource is DESIRED


def test_what_leaves_git_and_is_ignored_is_said_as_it_is_where_it_is_ours_alone() -> None:
    live = owned(entry(OURS, REPLICAS, "Apply"), spec={"replicas": 5})
    assert sent_spec(judge("spec.replicas"), thing(spec={"paused": True}), live) == {"paused": True, "replicas": 5}
    assert sent_spec(judge("spec.other"), thing(spec={"paused": True}), live) == {"paused": True}


def containers(*items: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(items)}}}


def own_containers(**items: Any) -> dict[str, Any]:
    names = {"c": C, "p": P}
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": {names[name]: node for name, node in items.items()}}}}}


NODE: dict[str, Any] = {".": {}, "f:name": {}, "f:image": {}}
ITEMS = "spec.template.spec.containers"


@pytest.mark.parametrize(
    ("pattern", "entries", "sent"),
    [
        pytest.param(
            f"{ITEMS}[name=p]",
            [entry(OURS, own_containers(c=NODE), "Apply"), entry("injector", own_containers(p=NODE))],
            [{"name": "c", "image": "c1"}],
            id="an item of others goes as a whole",
        ),
        pytest.param(
            f"{ITEMS}[name=p].image",
            [entry(OURS, own_containers(c=NODE), "Apply"), entry("injector", own_containers(p={"f:image": {}}))],
            [{"name": "p"}, {"name": "c", "image": "c1"}],
            id="of an item's field the key stays",
        ),
        pytest.param(
            f"{ITEMS}[*].image",
            [entry(OURS, own_containers(c=NODE, p=NODE), "Apply")],
            [{"name": "p", "image": "p9"}, {"name": "c", "image": "c9"}],
            id="ours alone: every item as it is, in our order",
        ),
        pytest.param(
            "/spec/template/spec/containers/1/image",
            [entry(OURS, own_containers(p=NODE), "Apply"), entry("x", own_containers(c=NODE))],
            [{"name": "p", "image": "p1"}, {"name": "c"}],
            id="a pointer counts in what Git has",
        ),
    ],
)
def test_list_items_are_left_by_their_keys(pattern: str, entries: list[dict[str, Any]], sent: list[Any]) -> None:
    desired = thing(spec=containers({"name": "p", "image": "p1"}, {"name": "c", "image": "c1"}))
    live = owned(*entries, spec=containers({"name": "c", "image": "c9"}, {"name": "p", "image": "p9"}))
    assert sent_spec(judge(pattern), desired, live) == containers(*sent)


def test_inside_of_what_is_owned_as_a_whole_a_field_is_said_as_it_lives() -> None:
    rules = [{"host": "a", "path": "/"}, {"host": "b", "path": "/"}]
    live_rules = [{"host": "x", "path": "/"}, {"host": "y", "path": "/"}]
    whole: dict[str, Any] = {"f:spec": {"f:rules": {}}}
    live = owned(entry(OURS, {}, "Apply"), entry("x", whole), spec={"rules": live_rules})
    expected = {"rules": [{"host": "x", "path": "/"}, {"host": "b", "path": "/"}]}
    assert sent_spec(judge("spec.rules[0].host"), thing(spec={"rules": rules}), live) == expected


def test_our_label_is_never_left_to_others() -> None:
    desired = thing(metadata={"labels": {OWNER_LABEL: "us", "app": "cart"}})
    live = owned(entry("x", {"f:metadata": {"f:labels": {"f:app": {}}}}), metadata={"labels": {"app": "other"}})
    for pattern in ("metadata.labels", "metadata.labels.*", f'metadata.labels["{OWNER_LABEL}"]'):
        labels = judge(pattern).sent(desired, live).resource.labels
        assert labels[OWNER_LABEL] == "us"
        assert ("app" in labels) is ("plumbline" in pattern)


@pytest.mark.parametrize(
    ("fields", "managers", "sent"),
    [
        ((), ("vpa-*",), {"paused": False}),
        ((), ("other",), {"replicas": 3, "paused": False}),
        ((), (OURS,), {"replicas": 3, "paused": False}),
        (("spec.paused",), ("vpa-*",), {"replicas": 3, "paused": False}),
        (("spec",), ("vpa-*",), {"paused": False}),
    ],
)
def test_a_manager_s_fields_are_left_to_it(fields: tuple[str, ...], managers: tuple[str, ...], sent: Any) -> None:
    live = owned(entry(OURS, {}, "Apply"), entry("vpa-updater", REPLICAS), spec={"replicas": 5})
    assert sent_spec(judge(*fields, managers=managers), DESIRED, live) == sent


def test_what_is_kept_by_a_conflict_s_rule_is_ours_again_when_nobody_else_owns_it() -> None:
    kept = judge(conflicts=(ConflictRule(Selector(), Resolution.KEEP),))
    theirs = owned(entry(OURS, {}, "Apply"), entry("x", REPLICAS), spec={"replicas": 5})
    assert sent_spec(kept, DESIRED, theirs) == {"paused": False}
    assert sent_spec(kept, DESIRED, owned(entry(OURS, {}, "Apply"), spec={"replicas": 5})) == DESIRED.body["spec"]
    first = (ConflictRule(Selector(), Resolution.FORCE, managers=("x",)), ConflictRule(Selector(), Resolution.KEEP))
    assert sent_spec(judge(conflicts=first), DESIRED, theirs) == DESIRED.body["spec"], "the first rule decides"


def test_what_is_scaled_is_left_to_who_scales_it() -> None:
    live = owned(entry(OURS, REPLICAS, "Apply"), entry("hpa", REPLICAS, subresource="scale"), spec={"replicas": 5})
    found = judge().sent(DESIRED, live)
    assert found.resource.body["spec"] == {"paused": False}
    assert [(each.to, each.is_ruled) for each in found.left] == [("hpa", False)]


def test_the_targets_of_autoscalers_are_found_and_odd_ones_harm_nobody() -> None:
    def hpa(name: str, spec: Any) -> Resource:
        metadata = {"name": name, "namespace": "shop"}
        return resource_of(
            {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}
        )

    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"}
    found = autoscaled(
        [hpa("h", {"scaleTargetRef": target}), hpa("a", None), hpa("b", {"scaleTargetRef": []}), DESIRED]
    )
    assert found == {DESIRED.key: "HorizontalPodAutoscaler shop/h"}


# -- additions -----------------------------------------------------------------------------------------------------------

LABEL: dict[str, Any] = {"f:metadata": {"f:labels": {"f:debug": {}}}}


@pytest.mark.parametrize(
    ("entries", "added"),
    [
        pytest.param([entry("kubectl-label", LABEL)], ["metadata.labels.debug"], id="a person's"),
        pytest.param([entry("kubectl", LABEL, "Apply")], ["metadata.labels.debug"], id="a person's apply"),
        pytest.param([entry("some-operator", LABEL)], [], id="an operator's"),
        pytest.param([entry("kubectl-label", LABEL), entry("op", LABEL)], [], id="an operator's too"),
        pytest.param([entry("kubectl", LABEL, subresource="status")], [], id="a status"),
        pytest.param([entry("kubectl-create", {"f:spec": {"f:progressDeadlineSeconds": {}}})], [], id="a default"),
        pytest.param(
            [entry("kubectl-edit", {"f:spec": {"f:minReadySeconds": {}}})], ["spec.minReadySeconds"], id="none"
        ),
    ],
)
def test_additions_are_what_only_people_s_tools_own(entries: list[dict[str, Any]], added: list[str]) -> None:
    spec = {"progressDeadlineSeconds": 600, "minReadySeconds": 7}
    live = owned(entry(OURS, {}, "Apply"), *entries, metadata={"labels": {"debug": "1"}}, spec=spec)
    assert [each.field.path for each in judge().additions(live)] == added
    assert judge("metadata.labels", "spec.minReadySeconds").additions(live) == ()
    unknown = owned(*entries, metadata={"labels": {"debug": "1"}}, spec=spec)
    assert judge().additions(unknown) == (), "what we have never applied is no addition to anything"


def test_what_is_lost_names_who_has_it_now() -> None:
    live = owned(entry(OURS, {}, "Apply"), entry("bob", REPLICAS), spec={"replicas": 3})
    (lost,) = judge().lost(DESIRED, live)
    assert (lost.field.path, lost.manager, lost.operation) == ("spec.replicas", "bob", "Update")
    differing = owned(entry(OURS, {}, "Apply"), entry("bob", REPLICAS), spec={"replicas": 4})
    assert judge().lost(DESIRED, differing) == (), "what differs is drift"
    both = owned(entry(OURS, REPLICAS, "Apply"), entry("bob", REPLICAS), spec={"replicas": 3})
    assert judge().lost(DESIRED, both) == ()

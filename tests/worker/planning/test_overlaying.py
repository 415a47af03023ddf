"""How a kustomization can say a field: where it is written, what it sets, and as a patch; and what several come to together."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.edits.changes import Put, Remove, edited
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import Drift
from worker.domain.resource import Resource, resource_of
from worker.domain.yaml_text import read_documents
from worker.planning.offers import Fragment, Inside, Offer, Operation, changes_of
from worker.planning.overlaying import Overlay, pointer, ways

WEB = resource_of({
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "p-web", "namespace": "shop", "labels": {"a/b": "c"}},
    "spec": {"replicas": 2, "template": {"spec": {"containers": [
        {"name": "side", "image": "r/side:1"}, {"name": "web", "image": "r/web:1", "args": ["-v"]},
    ]}}},
})  # fmt: skip
IMAGE = "spec.template.spec.containers[name=web].image"
BARE = "resources: [web.yaml]\n"
MANIFEST = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec: {replicas: 2}\n"


def overlay(text: str = BARE, **texts: str) -> Overlay:
    files = {f"{name.replace('_', '/')}.yaml": read_documents(each, "") for name, each in texts.items()}
    return Overlay("app/kustomization.yaml", read_documents(text, "")[0], files)


def offered(path: str, old: Any, new: Any, given: Overlay, desired: Resource = WEB) -> tuple[Offer, ...]:
    return ways(Drift(desired.key, FieldChange(path, old, new)), desired, given)


def made(text: str, *offers: Offer) -> str:
    changes = changes_of(offers, lambda _: read_documents(text, ""))
    return edited(text.encode(), changes["app/kustomization.yaml"]).decode()


def test_a_field_is_changed_where_it_is_written_before_it_is_patched() -> None:
    found = offered("spec.replicas", 2, 3, overlay(app_web=MANIFEST, base_web=MANIFEST.replace("s: 2", "s: 1")))
    assert found[0] == Offer("app/web.yaml", Put(0, ("spec", "replicas"), 3))
    assert found[1].file == "base/web.yaml", "what it is not now comes after what it is"
    assert [type(each.change) for each in found[2:]] == [Fragment, Operation]


@pytest.mark.parametrize(
    "text",
    [
        MANIFEST.replace("Deployment", "StatefulSet"),
        MANIFEST.replace("apps/v1", "v1"),
        MANIFEST.replace("web", "door"),
        "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec: {}\n",
        "- a\n",
        "metadata: x\n",
    ],
)
def test_what_is_another_object_or_does_not_say_the_field_is_no_place(text: str) -> None:
    found = offered("spec.replicas", 2, 3, overlay(app_web=text))
    assert [type(each.change) for each in found] == [Fragment, Operation]


def test_what_the_kustomization_sets_itself_is_changed_there() -> None:
    text = "replicas: [{name: web, count: 2}]\nimages:\n- {name: r/side, newTag: '1'}\n- {name: x, newName: r/web, newTag: '1'}\n"
    assert made(text, offered("spec.replicas", 2, 3, overlay(text))[0]) == text.replace("t: 2", "t: 3")
    tag = offered(IMAGE, "r/web:1", "r/web:2", overlay(text))[0]
    assert made(text, tag) == text.replace("web, newTag: '1'", "web, newTag: '2'")
    assert all(
        isinstance(each.change, Fragment | Operation) for each in offered(IMAGE, "r/web:1", "q/web:1", overlay(text))
    )


def test_fields_of_one_object_are_one_patch_and_keep_the_order_of_its_items() -> None:
    args = "spec.template.spec.containers[name=web].args"
    fields = [(IMAGE, "r/web:1", "r/web:2"), (args, ["-v"], ABSENT), ('metadata.labels["a/b"]', "c", "yes")]
    text = made("namePrefix: p-\n", *(offered(*each, overlay("namePrefix: p-\n"))[0] for each in fields))
    (patch,) = read_documents(text, "")[0].value["patches"]
    assert read_documents(patch["patch"], "")[0].value == {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a/b": "yes"}},
        "spec": {"template": {"spec": {"containers": [{"name": "side"}, {"name": "web", "image": "r/web:2", "args": None}]}}},
    }  # fmt: skip
    assert "patch: |\n" in text


def test_where_items_have_no_names_an_operation_says_it() -> None:
    crd = resource_of({
        "apiVersion": "acme.io/v1", "kind": "Shop", "metadata": {"name": "s"}, "spec": {"doors": [{"a": 1}], "a/b~": 2},
    })  # fmt: skip
    (found,) = offered("spec.doors[0].a", 1, 5, overlay(), crd)
    text = "# why\npatches:\n- path: other.yaml   # theirs\n"
    after = made(text, found)
    assert after.startswith(text)
    entry = read_documents(after, "")[0].value["patches"][1]
    assert entry["target"] == {"group": "acme.io", "version": "v1", "kind": "Shop", "name": "s"}
    assert read_documents(entry["patch"], "")[0].value == [{"op": "replace", "path": "/spec/doors/0/a", "value": 5}]
    gone = [each.change for each in offered('spec["a/b~"]', 2, ABSENT, overlay(), crd)]
    assert isinstance(gone[0], Fragment)
    assert gone[1] == Operation(entry["target"], {"op": "remove", "path": "/spec/a~1b~0"})
    assert pointer(("a", 0)) == "/a/0"


def test_a_patch_that_stands_in_the_kustomization_is_changed_in_its_own_text() -> None:
    text = (
        "patches:\n- patch: |   # ours\n    kind: Deployment\n    apiVersion: apps/v1\n    metadata: {name: web}\n"
        "    spec: {replicas: 2}   # two\n- patch: |-\n    - {op: replace, path: /spec/replicas, value: 2}\n"
        "  target: {kind: Deployment}\n- patch: 'a: [b'\n- {path: x.yaml}\n"
    )
    found = offered("spec.replicas", 2, 3, overlay(text))
    assert [type(each.change) for each in found] == [Inside, Inside, Fragment, Operation]
    after = made(text, *found[:2])
    assert after == text.replace("replicas: 2}", "replicas: 3}").replace("value: 2}", "value: 3}")
    gone = offered("spec.replicas", 2, ABSENT, overlay(text))[0]
    assert isinstance(gone.change, Inside)
    assert isinstance(gone.change.change, Remove)


def test_the_same_change_for_two_fields_is_one() -> None:
    both = [Offer("app/kustomization.yaml", Put(0, ("x",), 1))] * 2
    assert changes_of(both, lambda _: []) == {"app/kustomization.yaml": (Put(0, ("x",), 1),)}

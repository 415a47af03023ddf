"""Changes of a file's own text: exactly what is meant changes, every other byte stays, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.edits.changes import Append, FieldPath, Put, Remove, edited
from worker.domain.edits.places import NotEditable, Selector
from worker.domain.resource import ResourceKey

DEPLOYMENT = b"""\
# the shop
apiVersion: apps/v1
kind: Deployment   # a workload
metadata: {name: cart, labels: {app.kubernetes.io/name: "cart"}}
spec:
  replicas: 2
  template:
    spec:
      containers:
      # the one that counts
      - name: cart
        image: 'shop/cart:1.4.1' # {"$imagepolicy": "flux-system:cart"}
        args: [ "--fast", --loud ]
        ports:
          - containerPort: 80
            protocol: UDP
          - containerPort: 80
      - name: side
        image: side:1
---
kind: ConfigMap
apiVersion: v1
metadata:
  name: words
data:
  empty:
  text: |
    several
    lines
  last: x"""


def set_scalar(text: bytes, document: Selector, path: FieldPath, value: Any) -> bytes:
    return edited(text, [Put(document, path, value)], only_scalars=True)


def set_value(text: bytes, document: Selector, path: FieldPath, value: Any) -> bytes:
    return edited(text, [Put(document, path, value)])


def remove(text: bytes, document: Selector, path: FieldPath) -> bytes:
    return edited(text, [Remove(document, path)])


def append(text: bytes, document: Selector, path: FieldPath, value: Any) -> bytes:
    return edited(text, [Append(document, path, value)])


IMAGE = "spec.template.spec.containers[name=cart].image"
CART = ResourceKey("apps", "Deployment", "shop", "cart")
WORDS = ResourceKey("", "ConfigMap", "shop", "words")


@pytest.mark.parametrize(
    ("path", "value", "was", "becomes"),
    [
        (IMAGE, "shop/cart:1.5.0", b"'shop/cart:1.4.1'", b"'shop/cart:1.5.0'"),
        (IMAGE, "it's", b"'shop/cart:1.4.1'", b"'it''s'"),
        (IMAGE, "a\nb", b"'shop/cart:1.4.1'", b'"a\\nb"'),
        (IMAGE, 5, b"'shop/cart:1.4.1'", b"5"),
        ("spec.replicas", 3, b"replicas: 2", b"replicas: 3"),
        ("spec.replicas", "3", b"replicas: 2", b'replicas: "3"'),
        ("spec.replicas", None, b"replicas: 2", b"replicas: null"),
        ('metadata.labels["app.kubernetes.io/name"]', "basket", b'"cart"', b'"basket"'),
        ("metadata.labels.app.kubernetes.io/name", "basket", b'"cart"', b'"basket"'),
        ("spec.template.spec.containers[1].image", "side:2", b"side:1", b"side:2"),
        ("spec.template.spec.containers[1].image", "yes", b"side:1", b'"yes"'),
        ("spec.template.spec.containers[1].image", "1.10", b"side:1", b'"1.10"'),
        ("spec.template.spec.containers[1].image", "1.10.0", b"side:1", b"1.10.0"),
        ("spec.template.spec.containers[1].image", '1"\n  privileged: true', b"side:1", b'"1\\"\\n  privileged: true"'),
        ("spec.template.spec.containers[1].image", "x # y", b"side:1", b'"x # y"'),
        ("spec.template.spec.containers[name=cart].args[1]", "a, b", b"--loud", b'"a, b"'),
        ("spec.template.spec.containers[name=cart].ports[containerPort=80].containerPort", 81, b"80\n      - name: side", b"81\n      - name: side"),
    ],
)  # fmt: skip
def test_one_scalar_changes_in_its_own_style(path: str, value: Any, was: bytes, becomes: bytes) -> None:
    assert DEPLOYMENT.count(was) == 1
    for text in (DEPLOYMENT, DEPLOYMENT.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + DEPLOYMENT):
        old, new = (each.replace(b"\n", b"\r\n") if b"\r" in text else each for each in (was, becomes))
        assert set_scalar(text, CART, path, value) == text.replace(old, new)
        assert set_scalar(text, 0, path, value) == text.replace(old, new)


def test_a_field_that_was_empty_and_one_that_was_not_there() -> None:
    assert set_scalar(DEPLOYMENT, WORDS, "data.empty", "full") == DEPLOYMENT.replace(b"empty:", b"empty: full")
    assert set_value(DEPLOYMENT, WORDS, "data.more", "why") == DEPLOYMENT + b"\n  more: why"
    assert set_value(DEPLOYMENT, CART, "spec.strategy.type", "Recreate") == DEPLOYMENT.replace(
        b"image: side:1\n", b"image: side:1\n  strategy:\n    type: Recreate\n"
    )
    assert set_value(DEPLOYMENT, CART, "metadata.labels.tier", "web") == DEPLOYMENT.replace(
        b'name: "cart"}', b'name: "cart", tier: web}'
    )
    assert set_value(DEPLOYMENT, WORDS, "data.empty", {"a": [1, {"b": "c"}]}) == DEPLOYMENT.replace(
        b"empty:\n", b"empty:\n    a:\n    - 1\n    - b: c\n"
    )


BLOCK = b"a: | # why\n    one\n    two  \n\nb: >-\n  x\nc:\n- |\n  z"


@pytest.mark.parametrize(
    ("path", "value", "was", "becomes"),
    [
        ("a", "new\n\n  text\n", b"    one\n    two  \n", b"    new\n\n      text\n"),
        ("a", "new\ntext", b"| # why\n    one\n    two  \n", b"|- # why\n    new\n    text\n"),
        ("a", "single", b"| # why\n    one\n    two  \n", b"|- # why\n    single\n"),
        ("a", "", b"| # why\n    one\n    two  \n", b'"" # why\n'),
        ("a", 5, b"| # why\n    one\n    two  \n", b"5 # why\n"),
        ("a", "---\nkind: Role\n", b"    one\n    two  \n", b"    ---\n    kind: Role\n"),
        ("a", " led\n", b"| # why\n    one\n    two  \n", b'" led\\n" # why\n'),
        ("a", "x\x01\ny", b"| # why\n    one\n    two  \n", b'"x\\u0001\\ny" # why\n'),
        ("b", "p\nq\n", b">-\n  x\n", b"|\n  p\n  q\n"),
        ("c[0]", "z\ny\n", b"  z", b"  z\n  y\n"),
        ("c[0]", {"d": "m\nn\n"}, b"- |\n  z", b"- d: |\n    m\n    n"),
    ],
)  # fmt: skip
def test_a_text_of_several_lines_becomes_another_one_where_it_stands(
    path: str, value: Any, was: bytes, becomes: bytes
) -> None:
    assert BLOCK.count(was) == 1
    if isinstance(value, dict):
        with pytest.raises(NotEditable, match="other values would change"):  # the last line has no end
            set_value(BLOCK, 0, path, value)
        value = {"d": value["d"].removesuffix("\n")}
        becomes = becomes.replace(b"|", b"|-")
    assert set_value(BLOCK, 0, path, value) == BLOCK.replace(was, becomes)


def test_a_subtree_becomes_another_one() -> None:
    ports = "spec.template.spec.containers[name=cart].ports"
    old = b"ports:\n          - containerPort: 80\n            protocol: UDP\n          - containerPort: 80\n"
    assert set_value(DEPLOYMENT, CART, ports, [{"containerPort": 8080}]) == DEPLOYMENT.replace(
        old, b"ports:\n          - containerPort: 8080\n"
    )
    assert set_value(DEPLOYMENT, CART, ports, []) == DEPLOYMENT.replace(old, b"ports: []\n")
    assert set_value(DEPLOYMENT, CART, "metadata.labels", {"a": "b"}) == DEPLOYMENT.replace(
        b'{app.kubernetes.io/name: "cart"}', b"{a: b}"
    )


@pytest.mark.parametrize(
    ("document", "path", "was", "becomes"),
    [
        (0, "spec.replicas", b"  replicas: 2\n", b""),
        (0, "kind", b"kind: Deployment   # a workload\n", b""),
        (0, "spec.template.spec.containers[name=side]", b"      - name: side\n        image: side:1\n", b""),
        (0, "spec.template.spec.containers[name=side].name", b"name: side\n        image", b"image"),
        (0, "spec.template.spec.containers[0].args[0]", b'"--fast", --loud', b"--loud"),
        (0, "spec.template.spec.containers[0].args[1]", b'"--fast", --loud', b'"--fast"'),
        (0, "metadata.labels", b', labels: {app.kubernetes.io/name: "cart"}', b""),
        (0, "metadata.labels.app.kubernetes.io/name", b'{app.kubernetes.io/name: "cart"}', b"{}"),
        (1, "data.last", b"  last: x", b""),
        (1, "data.text", b"  text: |\n    several\n    lines\n", b""),
        (1, "metadata.name", b"metadata:\n  name: words", b"metadata: {}"),
    ],
)  # fmt: skip
def test_what_goes_takes_its_own_lines_and_no_others(document: int, path: str, was: bytes, becomes: bytes) -> None:
    assert DEPLOYMENT.count(was) == 1
    assert remove(DEPLOYMENT, document, path) == DEPLOYMENT.replace(was, becomes)


def test_a_list_gets_an_item_where_its_items_stand() -> None:
    containers = "spec.template.spec.containers"
    assert append(DEPLOYMENT, CART, containers, {"name": "x", "args": ["-v"]}) == DEPLOYMENT.replace(
        b"image: side:1\n", b'image: side:1\n      - name: x\n        args:\n        - "-v"\n'
    )
    assert append(DEPLOYMENT, CART, f"{containers}[0].args", "--x") == DEPLOYMENT.replace(
        b"--loud ]", b'--loud, "--x" ]'
    )
    assert append(b"a: []\n", 0, "a", {"b": 1}) == b"a:\n- b: 1\n"


def test_several_changes_are_made_at_once() -> None:
    changed = edited(
        DEPLOYMENT,
        [
            Put(CART, IMAGE, "shop/cart:2"),
            Remove(CART, "spec.template.spec.containers[0].args[0]"),
            Append(CART, "spec.template.spec.containers[0].ports", {"containerPort": 9}),
            Put(WORDS, "data.last", "z"),
        ],
    )
    assert changed == (
        DEPLOYMENT.replace(b"cart:1.4.1", b"cart:2").replace(b'"--fast", ', b"").replace(b"last: x", b"last: z")
        .replace(b"          - containerPort: 80\n      - n", b"          - containerPort: 80\n          - containerPort: 9\n      - n")
    )  # fmt: skip
    with pytest.raises(NotEditable, match="two changes meet"):
        edited(DEPLOYMENT, [Put(CART, IMAGE, "a"), Remove(CART, IMAGE)])


JSON = b'{\n  "kind": "List",\n  "items": [\n    {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "words"}, "data": {"a": 1}}\n  ]\n}\n'


def test_json_stays_json() -> None:
    assert set_scalar(JSON, WORDS, "data.a", "x") == JSON.replace(b'"a": 1', b'"a": "x"')
    assert set_value(JSON, WORDS, "data.b", {"c": "d"}) == JSON.replace(b'"a": 1', b'"a": 1, "b": {"c": "d"}')
    assert set_value(JSON, 0, "more", "x") == JSON.replace(b"  ]\n}", b'  ],\n  "more": "x"\n}')
    assert remove(JSON, WORDS, "data.a") == JSON.replace(b'{"a": 1}', b"{}")


@pytest.mark.parametrize(
    ("text", "path", "line", "why"),
    [
        (b"a: &x 1\nb: *x\n", "b", 2, "alias"),
        (b"a: &x 1\nb: *x\n", "a", 1, "other values would change"),
        (b"a: &x {c: 1}\nb: *x\n", "b.c", 2, "alias"),
        (b"a: &x {c: 1}\nb: {<<: *x, d: 1}\n", "b.d", 2, "merges"),
        (b"a: !!str 1\n", "a", 1, "tag"),
        (b"a: |\n  x\n", "a", 1, "block"),
        (b"a: {{ .Values.x }}\nb: 1\n", "b", 1, "not a single value"),
        (b"{{- if x }}\na: 1\n{{- end }}\n", "a", 1, "a key is not a single value"),
        (b"a: 1\na: 2\n", "a", 2, "twice"),
        (b"a: 1\n", "b", 1, "no single value"),
        (b"a: {b: 1}\n", "a", 1, "no single value"),
        (b"a: [{name: x}]\n", "a[name=y].b", 1, "no item"),
        (b"a: [x, x]\n", "a[x]", 1, "several items"),
        (b"a: 1\n", "a[", 1, "no end"),
        (b"a: \xff\n", "a", 1, "UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_alone_is_refused_with_its_line(text: bytes, path: str, line: int, why: str) -> None:
    with pytest.raises(NotEditable, match=why) as refused:
        set_scalar(text, 0, path, "new")
    assert refused.value.line == line
    assert refused.value.next_step


def test_an_object_that_is_there_twice_or_not_at_all_is_refused() -> None:
    with pytest.raises(NotEditable, match="2 times"):
        set_scalar(DEPLOYMENT + b"\n---\n" + DEPLOYMENT, CART, "kind", "x")
    with pytest.raises(NotEditable, match="is not in it"):
        set_scalar(DEPLOYMENT, CART._replace(namespace="other", name="other"), "kind", "x")
    with pytest.raises(NotEditable, match="no document 3"):
        set_scalar(DEPLOYMENT, 2, "kind", "x")

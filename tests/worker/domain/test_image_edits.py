"""Where files name images, and what they say after an update: those places and not a byte more."""

from __future__ import annotations

import pytest

from worker.domain.edits.images import retagged
from worker.domain.image_places import Part, image_places
from worker.domain.images import read_image

DIGEST = "sha256:" + "0a" * 32
WORKLOAD = b"""\
kind: Deployment
apiVersion: apps/v1
metadata: {name: cart}
spec:
  template:
    spec:
      initContainers:
      - {name: first, image: docker.io/shop/cart:1.4.1}
      containers:
      - name: cart
        image: "shop/cart:1.4.1"   # {"$imagepolicy": "flux-system:cart"}
      - name: side
        image: shop/side:1
"""
VALUES = b"""\
image:
  repository: shop/cart # plumbline: image cart:name
  tag: 1.4.1 # plumbline: image cart:tag
  digest: '' # {"$imagepolicy": "ns:cart:digest"}
other: 1.4.1 # plumbline: imagine cart
"""
KUSTOMIZATION = b"""\
resources: [all.yaml]
images:
- name: shop/cart
  newTag: "1.4.1"   # by hand
- name: cart
  newName: ghcr.io/shop/cart
  digest: %s
""" % DIGEST.encode()


def test_markers_fields_and_kustomizations_are_found_with_their_lines() -> None:
    assert [(each.line, each.part, each.policy, each.image) for each in image_places(WORKLOAD)] == [
        (8, Part.WHOLE, "", "docker.io/shop/cart"),
        (11, Part.WHOLE, "flux-system:cart", "docker.io/shop/cart"),
        (13, Part.WHOLE, "", "docker.io/shop/side"),
    ]
    assert [(each.line, each.part, each.policy) for each in image_places(VALUES)] == [
        (2, Part.NAME, "cart"), (3, Part.TAG, "cart"), (4, Part.DIGEST, "ns:cart"),
    ]  # fmt: skip
    assert [(each.line, each.part, each.image) for each in image_places(KUSTOMIZATION)] == [
        (4, Part.TAG, "docker.io/shop/cart"), (7, Part.DIGEST, "ghcr.io/shop/cart"),
    ]  # fmt: skip


def test_an_image_is_updated_where_it_is_named_and_nowhere_else() -> None:
    new = read_image("shop/cart:1.5.0")
    places = [each for each in image_places(WORKLOAD) if each.image == new.place]
    assert retagged(WORKLOAD, places, new) == WORKLOAD.replace(b"1.4.1", b"1.5.0")
    pinned = read_image(f"docker.io/shop/cart:1.5.0@{DIGEST}")
    assert retagged(WORKLOAD, places[1:], pinned) == WORKLOAD.replace(
        b'cart:1.4.1"', b'cart:1.5.0@%s"' % DIGEST.encode()
    )


def test_parts_are_updated_each_by_itself() -> None:
    new = read_image(f"shop/basket:1.10@{DIGEST}")
    after = retagged(VALUES, image_places(VALUES), new)
    assert after == (
        VALUES.replace(b"shop/cart", b"shop/basket")
        .replace(b"tag: 1.4.1", b'tag: "1.10"')
        .replace(b"''", b"'%s'" % DIGEST.encode())
    )
    assert retagged(after, image_places(after), new) == after
    places = [each for each in image_places(KUSTOMIZATION) if each.image == "docker.io/shop/cart"]
    assert retagged(KUSTOMIZATION, places, read_image("shop/cart:2")) == KUSTOMIZATION.replace(b'"1.4.1"', b'"2"')


def test_a_chart_s_values_name_an_image_by_two_keys() -> None:
    text = b"""\
image: {repository: shop/cart, tag: 1.20, pullPolicy: Always} # by hand
side:
  image:
    registry: ghcr.io
    repository: shop/side
    tag: "1"
    digest: ""
later: {repository: shop/cart, tag: }
elsewhere: {name: shop/cart, tag: "1"}
"""
    assert [(each.line, each.part, each.value, each.image) for each in image_places(text)] == [
        (1, Part.TAG, "1.20", "docker.io/shop/cart"), (6, Part.TAG, "1", "ghcr.io/shop/side"),
    ]  # fmt: skip
    new = read_image("shop/cart:1.30")
    places = [each for each in image_places(text) if each.image == new.place]
    assert retagged(text, places, new) == text.replace(b"1.20", b'"1.30"')
    assert retagged(text, places, read_image("shop/cart:1.20")) == text


@pytest.mark.parametrize(
    "text",
    [
        b"a: &x shop/cart:1\nspec: {containers: [{image: *x}]}\n",
        b"x: &x {image: shop/cart:1}\nspec: {containers: [{<<: *x, name: a}]}\n",
        b"spec: {containers: [{image: '{{ x }}'}]}\n",
        b"spec: {containers: [{image: 5}]}\n",
        b"image: shop/cart:1\n# plumbline: image cart\n",
        b"text: |\n  image: shop/cart:1 # plumbline: image cart\n",
    ],
)  # fmt: skip
def test_what_is_written_elsewhere_or_is_no_image_is_no_place(text: bytes) -> None:
    assert image_places(text) == ()

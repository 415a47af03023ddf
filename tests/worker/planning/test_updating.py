"""Which places change for what a policy wants."""

from __future__ import annotations

import pytest

from worker.domain.errors import Refused
from worker.domain.image_places import image_places
from worker.domain.image_policy import Newest, Pinned, Semver
from worker.domain.image_section import ImagePolicy
from worker.domain.images import read_image
from worker.domain.policy_update import last_word, trailer
from worker.planning.retagging import Found
from worker.planning.updating import to_update

DIGEST, OTHER = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32
POLICY = ImagePolicy("cart", read_image("shop/cart"), Semver("1.x"), ("production",))
POD = "kind: Pod\nspec:\n  containers:\n  - image: shop/cart:1.0.0\n  - image: docker.io/shop/cart:1.1.0\n  - image: other:1\n"
MARKED = 'a:\n  image: shop/cart:1.0.0 # {"$imagepolicy": "flux-system:cart"}\n  of: shop/cart:1.0.0 # plumbline: image other\n'
VALUES = "image:\n  repository: shop/cart # plumbline: image cart:name\n  tag: 1.0.0 # plumbline: image cart:tag\n"
KUSTOMIZATION = "kind: Kustomization\nimages:\n- name: shop/cart\n  newTag: 1.0.0\n"
PINNED = f"{KUSTOMIZATION}  digest: {OTHER}\n"
WHOLE = f"spec:\n  containers:\n  - image: shop/cart:1.0.0@{OTHER}\n"


def judged(new: str, policy: ImagePolicy, **files: str) -> tuple[list[str], list[str], list[str]]:
    found = [Found(name, place) for name, text in files.items() for place in image_places(text)]
    updating = to_update(found, policy, read_image(new))
    changed, above, left = ([str(each) for each in part] for part in (updating.changed, updating.above, updating.left))
    return changed, above, left


@pytest.mark.parametrize(
    ("new", "files", "changed", "above", "left"),
    [
        ("shop/cart:1.2.0", {"pod": POD}, ["pod:4", "pod:5"], [], []),
        ("shop/cart:1.1.0", {"pod": POD}, ["pod:4"], [], []),
        ("shop/cart:1.0.5", {"pod": POD}, ["pod:4"], ["pod:5"], []),
        ("shop/cart:1.0.0", {"pod": POD}, [], ["pod:5"], []),
        ("shop/cart:1.2.0", {"pod": POD, "marked": MARKED}, ["marked:2"], [], []),
        ("shop/cart:1.2.0", {"values": VALUES}, ["values:3"], [], []),
        ("ghcr.io/shop/cart:1.2.0", {"values": VALUES}, ["values:3"], [], []),
        ("shop/basket:1.2.0", {"values": VALUES}, ["values:2", "values:3"], [], []),
        ("shop/cart:0.9.0", {"values": VALUES}, [], ["values:2", "values:3"], []),
        ("shop/cart:1.2.0", {"pod": POD, "k": KUSTOMIZATION}, ["k:4"], [], ["pod:4", "pod:5"]),
        (f"shop/cart:1.2.0@{DIGEST}", {"k": PINNED}, ["k:4", "k:5"], [], []),
        (f"shop/cart:1.0.0@{DIGEST}", {"k": PINNED}, ["k:5"], [], []),
        (f"shop/cart:0.2.0@{DIGEST}", {"k": PINNED}, [], ["k:4", "k:5"], []),
        (f"shop/cart:1.2.0@{DIGEST}", {"whole": WHOLE}, ["whole:3"], [], []),
    ],
)
def test_a63_the_places_of_a_policy_change_and_none_goes_down(
    new: str, files: dict[str, str], changed: list[str], above: list[str], left: list[str]
) -> None:
    assert judged(new, POLICY, **files) == (changed, above, left)


@pytest.mark.parametrize(
    ("new", "files", "why"),
    [
        ("ghcr.io/shop/cart:1.2.0", {"pod": POD}, "names the image ghcr.io/shop/cart, or the policy cart"),
        ("shop/cart:1.2.0", {"k": PINNED}, "k:4, k:5 says a tag and a digest"),
        (f"shop/cart:1.2.0@{DIGEST}", {"k": KUSTOMIZATION}, "k:4 says a tag"),
        ("shop/cart:1.2.0", {"whole": WHOLE}, "whole:3 names a digest, and the policy pins none"),
        ("shop/cart:1.2.0", {"k": PINNED.replace("1.0.0", "1.0.0 # plumbline: image cart:tag")}, "says a tag and a digest"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_there_is_refused_with_its_lines(new: str, files: dict[str, str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        judged(new, POLICY, **files)


def test_what_has_no_order_goes_to_what_is_wanted() -> None:
    newest = ImagePolicy("cart", POLICY.image, Newest(), ("production",))
    assert judged("shop/cart:0.1.0", newest, pod=POD)[0] == ["pod:4", "pod:5"]
    pinned = ImagePolicy("cart", POLICY.image, Pinned("1.0.0"), ("production",), pins_digest=True)
    assert judged(f"shop/cart:1.0.0@{DIGEST}", pinned, whole=WHOLE)[0] == ["whole:3"]


def test_the_last_word_of_a_policy_is_the_newest_commit_s() -> None:
    lines = ["Use b", "", said("shop/cart:2"), "", "Use a", "", said("shop/cart:1"), "Other: x"]
    assert last_word("\n".join(lines), "cart", seal_of) == "shop/cart:2"
    assert last_word("\n".join(lines), "car", seal_of) == ""
    assert last_word("", "cart", seal_of) == ""


@pytest.mark.parametrize(
    "line",
    [
        "Plumbline-Image-Policy: cart shop/cart:3",
        trailer("cart", "shop/cart:3", ""),
        trailer("cart", "shop/cart:3", "seal of shop/cart:1"),
        trailer("other", "shop/cart:3", "seal of shop/cart:3"),
        "see " + trailer("cart", "shop/cart:3", "seal of shop/cart:3"),
    ],
)
def test_a23_a_policy_s_last_word_is_nobody_else_s_to_write(line: str) -> None:
    assert last_word("\n".join([line, said("shop/cart:1")]), "cart", seal_of) == "shop/cart:1"


def seal_of(image: str) -> str:
    """Stands for the HMAC."""
    return f"seal of {image}"


def said(image: str) -> str:
    return trailer("cart", image, seal_of(image))

"""Which of the places that name an image change."""

from __future__ import annotations

import pytest

from worker.domain.errors import Refused
from worker.domain.image_places import image_places
from worker.domain.images import read_image
from worker.planning.retagging import Found, to_change

DIGEST = "sha256:" + "0a" * 32
POD = "kind: Pod\nspec:\n  containers:\n  - image: nginx:1.0\n  - image: docker.io/library/nginx:1.1\n  - image: other:1\n"
TAG = 'kind: Kustomization\nimages:\n- name: nginx\n  newTag: "1.0" # {"$imagepolicy": "flux:nginx:tag"}\n'
PINNED = f"{TAG}  digest: {DIGEST}\n"


def judged(new: str, **files: str) -> tuple[list[str], list[str]]:
    found = [Found(name, place) for name, text in files.items() for place in image_places(text)]
    changed, left = to_change(found, read_image(new))
    return [str(each) for each in changed], [str(each) for each in left]


@pytest.mark.parametrize(
    ("new", "files", "changed", "left"),
    [
        ("nginx:2", {"pod": POD}, ["pod:4", "pod:5"], []),
        ("docker.io/nginx:1.1", {"pod": POD}, ["pod:4"], []),
        ("nginx:1.0@" + DIGEST, {"pod": POD}, ["pod:4", "pod:5"], []),
        ("nginx:2", {"pod": POD, "kustomization": TAG}, ["kustomization:4"], ["pod:4", "pod:5"]),
        ("nginx:2@" + DIGEST, {"kustomization": PINNED}, ["kustomization:4"], []),
    ],
)
def test_the_places_that_count_are_changed(
    new: str, files: dict[str, str], changed: list[str], left: list[str]
) -> None:
    assert judged(new, **files) == (changed, left)


@pytest.mark.parametrize(
    ("new", "files", "why"),
    [
        ("nginx2:1", {"pod": POD}, "names the image nginx2"),
        ("ghcr.io/library/nginx:1.0", {"pod": POD}, "names the image ghcr.io/library/nginx"),
        ("other:1", {"pod": POD}, "other:1 is what pod:6 names already"),
        ("nginx:1.0", {"pod": POD, "kustomization": TAG}, "is what kustomization:4 names already"),
        ("nginx:2", {"kustomization": PINNED}, "kustomization:4, kustomization:5 says a tag and a digest"),
        ("nginx@" + DIGEST, {"kustomization": TAG}, "kustomization:4 says a tag"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_its_lines(new: str, files: dict[str, str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        judged(new, **files)

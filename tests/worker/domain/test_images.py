"""References of images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.images import ImageError, read_image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "place", "tag", "digest"),
    [
        ("nginx", "docker.io/library/nginx", "", ""),
        ("nginx:1.25", "docker.io/library/nginx", "1.25", ""),
        ("shop/cart", "docker.io/shop/cart", "", ""),
        ("index.docker.io/nginx", "docker.io/library/nginx", "", ""),
        ("docker.io/shop/cart:1", "docker.io/shop/cart", "1", ""),
        ("localhost/cart:1", "localhost/cart", "1", ""),
        ("localhost:5000/cart", "localhost:5000/cart", "", ""),
        ("ghcr.io/a/b/c:v1@" + DIGEST, "ghcr.io/a/b/c", "v1", DIGEST),
        ("ghcr.io/a/b@" + DIGEST, "ghcr.io/a/b", "", DIGEST),
        ("127.0.0.1:3000/a/b__c:x", "127.0.0.1:3000/a/b__c", "x", ""),
    ],
)
def test_a_reference_is_read_and_written_as_it_was(text: str, place: str, tag: str, digest: str) -> None:
    image = read_image(text)
    assert (image.place, image.tag, image.digest, str(image)) == (place, tag, digest, text)


@pytest.mark.parametrize(
    "text",
    ["", ":1", "a:", "a@", "a@sha256:1", "A", "a/B", "a//b", "-a", "a:--x y", 'a:1"\n  privileged: true', "a b", "a:" + "x" * 129, "x" * 256, "a:-v"],
)  # fmt: skip
def test_a63_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ImageError):
        read_image(text)


@given(st.text())
def test_any_text_is_a_reference_that_reads_back_or_refused(text: str) -> None:
    try:
        image = read_image(text)
    except ImageError:
        return
    assert str(image) == text
    assert not set(text) & set("\n\r\t \"'#{}[]")

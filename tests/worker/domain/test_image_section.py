"""The `images` section: what it declares, and every mistake with its line."""

from __future__ import annotations

import pytest

from worker.domain.errors import DesiredStateError
from worker.domain.image_policy import Newest, Pattern, Pinned, Semver
from worker.domain.image_section import ImagePolicy, UpdateBy, read_images
from worker.domain.images import read_image
from worker.domain.schema import Reader

ENVIRONMENTS = ("staging", "production")


def read(text: str) -> tuple[ImagePolicy, ...]:
    reader = Reader(text, "plumbline.yaml")
    found = read_images(reader.top, ENVIRONMENTS)
    reader.top.end()
    reader.done()
    return found


def test_each_policy_is_read() -> None:
    assert read("""\
images:
- {name: cart, image: shop/cart, policy: {semver: ^1.4}, environments: [staging]}
- {name: side, image: shop/side, policy: {newest: true}, update-by: commit, pin-digest: true}
- {name: main, image: shop/main, policy: {regex: 'main-(\\d+)', extract: $1, order: numerical}}
- {name: edge, image: shop/edge, policy: {digest: latest}}
""") == (
        ImagePolicy("cart", read_image("shop/cart"), Semver("^1.4"), ("staging",)),
        ImagePolicy("side", read_image("shop/side"), Newest(), ENVIRONMENTS, UpdateBy.COMMIT, pins_digest=True),
        ImagePolicy("main", read_image("shop/main"), Pattern(r"main-(\d+)", "$1", "numerical"), ENVIRONMENTS),
        ImagePolicy("edge", read_image("shop/edge"), Pinned("latest"), ENVIRONMENTS, pins_digest=True),
    )
    assert read("{}") == ()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{image: a, policy: {newest: true}}", "`name` is missing"),
        ("{name: A, image: a, policy: {newest: true}}", "'A' is not a name"),
        ("{name: a, policy: {newest: true}}", "`image` is missing"),
        ("{name: a, image: 'a b', policy: {newest: true}}", "is not the name of an image"),
        ("{name: a, image: 'a:1', policy: {newest: true}}", "write `image: a`"),
        ("{name: a, image: a}", "`policy` is missing"),
        ("{name: a, image: a, policy: {}}", "names no policy"),
        ("{name: a, image: a, policy: {newest: true, semver: 1.x}}", "semver and newest stand beside each other"),
        ("{name: a, image: a, policy: {newest: false}}", "names no policy"),
        ("{name: a, image: a, policy: {semver: abc}}", "'abc' is not a range"),
        ("{name: a, image: a, policy: {semvers: 1.x}}", "did you mean `semver`?"),
        ("{name: a, image: a, policy: {regex: '(a+)+'}}", "repeats a group"),
        ("{name: a, image: a, policy: {digest: --x}}", "'--x' is not a tag"),
        ("{name: a, image: a, policy: {newest: true}, update-by: push}", "'push' is none of"),
        ("{name: a, image: a, policy: {newest: true}, environments: [prod]}", "'prod' is not declared here"),
        ("{name: a, image: a, policy: {newest: true}, environments: []}", "the list is empty"),
        ("{name: z, image: a, policy: {newest: true}}", "the image z is declared twice"),
    ],
)
def test_every_mistake_is_said_with_its_line(entry: str, said: str) -> None:
    with pytest.raises(DesiredStateError) as refused:
        read(f"images:\n- {{name: z, image: z, policy: {{newest: true}}}}\n- {entry}\n")
    assert any(said in str(problem) and problem.line == 3 for problem in refused.value.problems), refused.value

"""Which tag a policy chooses among other people's."""

from __future__ import annotations

import time

import pytest

from worker.domain.image_policy import Newest, Pattern, Pinned, PolicyError, Semver, Tag, chosen, version_of

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize("tag", ["", "-v", "--privileged", ".x", "a\n", "a b", "a:b", "x" * 129, "ä", "a\u202eb"])
def test_a63_what_is_no_tag_never_counts(tag: str) -> None:
    assert chosen(Pattern(".*"), [Tag(tag)]) is None


@pytest.mark.parametrize(
    ("policy", "tags", "best"),
    [
        (">=1.0.0", "1.0.0 1.2.0 1.10.0 0.9.0 2.0.0-rc.1 latest", "1.10.0"),
        ("^1.2", "1.1.9 1.2.0 1.9.0 2.0.0", "1.9.0"),
        ("^0.2.3", "0.2.3 0.2.9 0.3.0", "0.2.9"),
        ("^0.0.3", "0.0.3 0.0.4", "0.0.3"),
        ("~1.2.3", "1.2.2 1.2.9 1.3.0", "1.2.9"),
        ("~1", "1.2.2 1.9.9 2.0.0", "1.9.9"),
        ("1.2.x", "1.2.2 1.2.9 1.3.0", "1.2.9"),
        ("1.x", "1.2.2 1.9.0 2.0.0", "1.9.0"),
        ("*", "1.2.2 1.9.0 2.0.0 3.0.0-a", "2.0.0"),
        ("1.0.0 - 1.5.0", "0.9.0 1.5.0 1.5.1", "1.5.0"),
        (">=1.0.0 <1.5.0", "1.0.0 1.4.9 1.5.0", "1.4.9"),
        (">=1.0.0, <1.5.0", "1.0.0 1.4.9 1.5.0", "1.4.9"),
        (">1.0.0 <=1.5.0 || 3.x", "1.0.0 1.5.0 2.0.0 3.1.0", "3.1.0"),
        (">1.0.0", "1.0.0", None),
        ("<1.0.0", "1.0.0 1.0.0-rc.1", None),
        ("!=1.1.0", "1.0.0 1.1.0", "1.0.0"),
        (">=1.0.0-0", "1.0.0 1.1.0-rc.1 1.1.0-rc.2 1.1.0-rc.10", "1.1.0-rc.10"),
        ("=1.2.3", "1.2.3 1.2.4", "1.2.3"),
        (">=1.0.0", "v1.1.0 1.0.0", "v1.1.0"),
        (">=1.0.0", "01.1.0 1.1 a", None),
        ("=1.0.0-alpha", "1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta", "1.0.0-alpha"),
        ("<=1.0.0-alpha", "0.9.0 1.0.0-alpha 1.0.0-alpha.1", "1.0.0-alpha"),
        (">1.0.0-alpha, <1.0.0-beta", "1.0.0-alpha 1.0.0-alpha.1 1.0.0-beta", "1.0.0-alpha.1"),
        (">=1.0.0, <3.0.0-rc.1", "0.9.0 1.0.0-rc.1", None),
        ("<2.0.0, >=1.0.0-0", "1.9.0 2.0.0-rc.1 2.0.0", "2.0.0-rc.1"),
        ("1.0 - 2.0, !=2.0.7", "1.0.0 2.0.6 2.0.7 2.1.0", "2.0.6"),
        ("5.x || 1.0 - 2.0", "1.0.0 2.0.6 2.1.0", "2.0.6"),
    ],
)
def test_the_highest_version_of_a_range(policy: str, tags: str, best: str | None) -> None:
    found = chosen(Semver(policy), [Tag(each) for each in tags.split()])
    assert (found.name if found else None) == best


@pytest.mark.parametrize("text", ["", "abc", ">=", "1.2.3.4", ">=1 &&", "1 ||", "x" * 300, ">=1;2", "1.2.3 -"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        Semver(text)


def test_versions_stand_in_their_order() -> None:
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    order_lost = order[::-1]
    assert sorted(order_lost, key=lambda tag: version_of(tag) or (0, 0, 0, ())) == order  # semver.org, 11


def test_nobody_is_taken_down() -> None:
    tags = [Tag("1.4.0"), Tag("1.4.1")]
    assert chosen(Semver("1.x"), tags, current="1.5.0") is None
    assert chosen(Semver("1.x"), tags, current="2.0.0") is None
    assert chosen(Semver("1.x"), tags, current="1.5.0-rc.1") is None
    assert chosen(Semver("1.x"), tags, current="1.4.0") == tags[1]
    assert chosen(Semver("1.x"), tags, current="latest") == tags[1]
    assert chosen(Pattern(r"b-(\d+)", "$1", "numerical"), [Tag("b-9")], current="b-10") is None


def test_a_pattern_orders_by_what_it_extracts() -> None:
    tags = [Tag("main-abc-9"), Tag("main-def-10"), Tag("feature-x-11"), Tag("main-def-x")]
    assert chosen(Pattern(r"main-[a-f0-9]+-(?P<ts>\d+)", "$ts", "numerical"), tags) == tags[1]
    assert chosen(Pattern(r"main-[a-f0-9]+-(\d+)", "$1"), tags) == tags[0]
    assert chosen(Pattern("main"), tags) is None


@pytest.mark.parametrize(
    ("pattern", "extract"),
    [("(a+)+b", ""), ("(a*)*", ""), ("a*a*a*a*b", ""), ("(", ""), ("a" * 201, ""), (r"(a)\1", ""), ("(a)", "$2"), ("a(?=b)", ""), ("(?<!a)b", "")],
)  # fmt: skip
def test_a_pattern_that_may_take_for_ever_is_refused(pattern: str, extract: str) -> None:
    with pytest.raises(PolicyError):
        Pattern(pattern, extract)


def test_the_newest_is_the_one_that_was_pushed_last_and_a_pin_needs_its_digest() -> None:
    assert chosen(Newest(), [Tag("a", pushed=2), Tag("b", pushed=3), Tag("z")]) == Tag("b", pushed=3)
    assert chosen(Newest(), [Tag("z")]) is None
    assert chosen(Pinned("latest"), [Tag("latest", DIGEST), Tag("1", DIGEST)]) == Tag("latest", DIGEST)
    assert chosen(Pinned("latest"), [Tag("latest")]) is None
    assert chosen(Pinned("latest"), [Tag("latest", "sha256:x")]) is None


def test_ten_thousand_tags_are_no_burden() -> None:
    tags = [Tag(f"1.{number}.0") for number in range(10_000)] + [Tag("-" * 100), Tag("x" * 5000)]
    began = time.monotonic()
    assert chosen(Semver("1.x"), tags) == Tag("1.9999.0")
    assert time.monotonic() - began < 2

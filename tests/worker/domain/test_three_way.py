"""Two changes of one text: put together where they do not touch, and never otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.three_way import LARGEST, MOST_LINES, put_together

BASE = b"a\nb\nc\nd\ne\n"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "made"),
    [
        (BASE, BASE, BASE, BASE),
        (BASE, b"A\nb\nc\nd\ne\n", BASE, b"A\nb\nc\nd\ne\n"),
        (BASE, BASE, b"a\nb\nc\nd\n", b"a\nb\nc\nd\n"),
        (BASE, b"A\nb\nc\nd\ne\n", b"a\nb\nc\nd\nE\n", b"A\nb\nc\nd\nE\n"),
        (BASE, b"a\nb\nc\nd\ne\nf\n", b"z\na\nb\nc\nd\ne\n", b"z\na\nb\nc\nd\ne\nf\n"),
        (BASE, b"A\nb\nc\nd\ne\n", b"A\nb\nc\nd\nE\n", b"A\nb\nc\nd\nE\n"),
        (b"a\r\nb\r\nc\r\n", b"A\r\nb\r\nc\r\n", b"a\r\nb\r\nC", b"A\r\nb\r\nC"),
        (BASE, b"A\nb\nc\nd\ne\n", b"B\nb\nc\nd\ne\n", None),
        (BASE, b"A\nb\nc\nd\ne\n", b"a\nB\nc\nd\ne\n", None),
        (BASE, b"x\na\nb\nc\nd\ne\n", b"y\na\nb\nc\nd\ne\n", None),
        (BASE, b"", b"a\nb\nC\nd\ne\n", None),
        (b"a\0", b"a\0", b"a\0", None),
        (b"a" * (LARGEST + 1), b"", b"", None),
        (b"a\n" * (MOST_LINES + 1), b"", b"", None),
    ],
)
def test_changes_that_do_not_touch_are_put_together(
    base: bytes, ours: bytes, theirs: bytes, made: bytes | None
) -> None:
    assert put_together(base, ours, theirs) == made
    assert put_together(base, theirs, ours) == made


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=8).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(base=LINES, other=LINES)
def test_where_only_one_side_changed_it_is_that_side(base: bytes, other: bytes) -> None:
    assert put_together(base, other, base) == other
    assert put_together(base, base, other) == other
    assert put_together(base, other, other) == other

"""An answer of the API server that is nested deeper than a decoder goes: all that is not so deep is read as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.adapters.cluster.bodies import DEEPEST, decoded

TEXT = 'b"\\ra]}[{"'


def nested(levels: int, *, lists: bool = False) -> Any:
    found: Any = TEXT
    for _ in range(levels):
        found = [found] if lists else {"a": found}
    return found


def written(levels: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return (opening * levels + json.dumps(TEXT) + closing * levels).encode()


@pytest.mark.parametrize("levels", [1, DEEPEST - 2, DEEPEST + 5, 900])
def test_what_can_be_decoded_is_decoded_whole(levels: int) -> None:
    assert decoded(b'{"x":' + written(levels) + b"}") == {"x": nested(levels)}


@pytest.mark.parametrize(("opening", "closing"), [('{"a":', "}"), ("[", "]"), ('[{"a":', "}]")])
@pytest.mark.parametrize("levels", [2000, 9000])
def test_of_what_is_deeper_only_its_depth_is_cut_off(levels: int, opening: str, closing: str) -> None:
    items = [{"name": "one", "data": TEXT}, {"name": "two", "data": nested(DEEPEST - 4)}]
    text = json.dumps(items)[1:-1].encode()
    found = decoded(b'{"items":[%s,{"name":"deep","x":%s,"y":[1,{"z":"%s"}]},%s]}' % (text, written(levels, opening, closing), b"\\\\\\\"", text))  # fmt: skip
    assert [each["name"] for each in found["items"]] == ["one", "two", "deep", "one", "two"]
    assert found["items"][:2] == found["items"][3:] == items
    assert found["items"][2]["y"] == [1, {"z": '\\"'}]
    depth, at = 0, found["items"][2]["x"]
    while at:
        at = at["a"] if isinstance(at, dict) else at[0]
        depth += 1
    assert depth == DEEPEST - 3
    assert at in ({}, []), "what is cut off is empty, and of its own kind"


@pytest.mark.parametrize(
    "text", [b"", b"<html>", b"{", b"[" * 4000, b"}" * 4000, written(4000)[:-1], b"{" * 4000 + b"}" * 4000]
)
def test_what_is_no_json_stays_none(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decoded(text)

"""Changes of other people's own files, of every one that lies in the corpora: all but what is meant stays as it was."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tests.worker.domain.test_edits import append, remove, set_scalar, set_value
from worker.domain.edits.places import NotEditable
from worker.domain.errors import DesiredStateError
from worker.domain.yaml_text import Document, read_documents

PLACES: Final = 60 if os.environ.get("PLUMBLINE_ALL_FAULTS") else 2
"""How many places of each file are edited, evenly spread over it."""

SMALL: Final = 30_000
"""Bytes of a file that ruamel.yaml's own parser reads within a tenth of a second."""


def _scalars(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        if isinstance(member, dict | list):
            yield from _scalars(member, (*path, step))
        else:
            yield (*path, step)


def _spans(node: Node) -> Iterator[tuple[int, int]]:
    """Where ruamel.yaml's own parser sees scalars."""
    if isinstance(node, ScalarNode):
        yield node.start_mark.index, node.end_mark.index
    elif isinstance(node, MappingNode):
        for _, member in node.value:
            yield from _spans(member)
    elif isinstance(node, SequenceNode):
        for member in node.value:
            yield from _spans(member)


def _differing(old: str, new: str) -> tuple[int, int]:
    """The shortest stretch of `old` outside of which both texts are the same."""
    shorter = min(len(old), len(new))
    start = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    same = next((at for at in range(shorter - start) if old[-1 - at] != new[-1 - at]), shorter - start)
    return start, len(old) - same


RANDOM = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
VALUES = st.one_of(
    st.text(max_size=20), st.integers(-(2**40), 2**40), st.booleans(), st.none(), st.text("ax/:.019@-", min_size=1, max_size=30)
)  # fmt: skip


@pytest.fixture(scope="module")
def manifests(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Every file of the snapshots, and of the histories' newest commits, that can be read as it lies there."""
    histories = tmp_path_factory.mktemp("histories")
    for bundle in sorted((corpora / "histories").glob("*.bundle")):
        subprocess.run(
            ["git", "clone", "-q", str(bundle), str(histories / bundle.stem)], check=True, capture_output=True
        )
    found, left = [], 0
    for path in sorted([*(corpora / "snapshots").rglob("*"), *histories.rglob("*")]):
        if not path.is_file():
            continue
        if path.suffix not in (".yaml", ".yml", ".json"):
            continue
        try:
            text = path.read_bytes().decode().removeprefix("\ufeff")
            if read_documents(text, path.name):
                found.append((path, text))
        except (UnicodeDecodeError, DesiredStateError):
            left += 1
    print(f"{len(found)} files are edited, {left} are no YAML as they lie there")
    assert len(found) > 100
    return found


@pytest.fixture(scope="module")
def small(manifests: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Those that a slow parser can read again and again."""
    return [each for each in manifests if len(each[1]) <= SMALL]


def test_an_edit_in_any_part_of_any_file_leaves_every_other_byte(manifests: list[tuple[Path, str]]) -> None:
    edits = refused = 0
    for path, text in manifests:
        documents = read_documents(text, path.name)
        spans = {(node.start_mark.index, node.end_mark.index) for node in _nodes(text)}
        for number, place in _spread(documents):
            try:
                new = set_scalar(text.encode(), number, place, "it's 1.10: # new").decode()
            except NotEditable as reason:
                assert 1 <= reason.line <= text.count("\n") + 1, (path, place)
                refused += 1
                continue
            edits += 1
            start, end = _differing(text, new)
            assert start == end or any(low <= start and end <= high for low, high in spans), (path, place)
            values = [each.value for each in read_documents(new, path.name)]
            assert _at(values[number], place) == "it's 1.10: # new", (path, place)
            _put(values[number], place, _at(documents[number].value, place))
            assert values == [each.value for each in documents], (path, place)
    print(f"{edits} edits in {len(manifests)} files, {refused} refused with their line")
    assert edits > len(manifests)
    assert refused < edits / 10, "hardly anything of real files is refused"


def _nodes(text: str) -> Iterator[yaml.ScalarNode]:
    """The scalars that libyaml sees."""
    waiting = [node for node in yaml.compose_all(text, Loader=yaml.CLoader) if node is not None]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            yield node
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _spread(documents: Sequence[Document]) -> list[tuple[int, tuple[str | int, ...]]]:
    places = [(number, place) for number, each in enumerate(documents) for place in _scalars(each.value)]
    return places[:: max(1, len(places) // PLACES)]


def _at(value: Any, place: tuple[str | int, ...]) -> Any:
    for step in place:
        value = value[step]
    return value


def _put(value: Any, place: tuple[str | int, ...], new: Any) -> None:
    _at(value, place[:-1])[place[-1]] = new


@RANDOM
@given(data=st.data())
def test_any_scalar_edit_leaves_every_other_byte(small: list[tuple[Path, str]], data: st.DataObject) -> None:
    path, text = data.draw(st.sampled_from(small), label="file")
    if data.draw(st.booleans(), label="CRLF"):
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    bom = data.draw(st.sampled_from(["", "\ufeff"]), label="byte order mark")
    documents = read_documents(text, path.name)
    number = data.draw(st.integers(0, len(documents) - 1), label="document")
    places = list(_scalars(documents[number].value))
    if not places:
        return
    place, value = data.draw(st.sampled_from(places), label="place"), data.draw(VALUES, label="value")
    try:
        after = set_scalar((bom + text).encode(), number, place, value)
    except NotEditable as refused:
        shown = text.splitlines()[refused.line - 1]
        assert any(mark in text for mark in ("*", "&", "!", "|", ">", "<<")) or "?" in shown, (path, refused)
        return
    new = after.decode()
    assert new.startswith(bom)
    new = new.removeprefix(bom)
    start, end = _differing(text, new)
    roots = [node for node in YAML().compose_all(io.StringIO(text, newline="")) if node is not None]
    spans = [span for root in roots for span in _spans(root)]
    assert start == end == len(text) or any(low <= start and end <= high for low, high in spans), (path, place)
    again = read_documents(new, path.name)
    changed = again[number].value
    for step in place:
        changed = changed[step]
    assert changed == value
    assert type(changed) is type(value)


def _collections(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict | list):
        if path:
            yield path, value
        for step, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _collections(member, (*path, step))


@RANDOM
@given(data=st.data())
def test_whatever_is_added_leaves_every_byte_that_was_there(small: list[tuple[Path, str]], data: st.DataObject) -> None:
    path, text = data.draw(st.sampled_from(small), label="file")
    documents = read_documents(text, path.name)
    number = data.draw(st.integers(0, len(documents) - 1), label="document")
    places = list(_collections(documents[number].value))
    if not places:
        return
    place, there = data.draw(st.sampled_from(places), label="place")
    value = data.draw(st.sampled_from(["x", "yes", 1, {"a": {"b": [1, {"c": "d"}]}}, ["e"]]), label="value")
    try:
        if isinstance(there, dict):
            new = set_value(text.encode(), number, (*place, "added-here"), value).decode()
        else:
            new = append(text.encode(), number, place, value).decode()
    except NotEditable as refused:
        assert 1 <= refused.line <= text.count("\n") + 1
        return
    start, end = _differing(text, new)
    assert text[start:end].strip() in ("", "{}", "[]"), (path, place)
    taken = remove(new.encode(), number, (*place, "added-here" if isinstance(there, dict) else len(there)))
    assert [each.value for each in read_documents(taken, path.name)] == [each.value for each in documents]

"""Which drift is taken into Git, and whether a change of files does that and nothing else: as tables, and over real manifests."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.domain.edits.changes import Put, edited
from worker.domain.edits.places import NotEditable
from worker.domain.environment import OWNER_LABEL
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.plan import ABSENT, FieldChange
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import Resource, ResourceKey, SecretValue, resource_of
from worker.domain.yaml_places import Node, roots
from worker.domain.yaml_text import read_documents
from worker.planning.adopting import TRIALS, about, chosen, in_manifest, sorted_out, unproven
from worker.planning.diffing import specified_differences
from worker.planning.offers import Offer

WORDS = ResourceKey("", "ConfigMap", "shop", "words")
OTHER = WORDS._replace(namespace="door")
KEY = ResourceKey("", "Secret", "shop", "key")
TOKEN = "ghp_" + "a1B2" * 9


def drift(path: str = "data.a", new: Any = "2", key: ResourceKey = WORDS, old: Any = "1") -> Drift:
    return Drift(key, FieldChange(path, old, new), "bob")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (drift(), ""),
        (drift(new=ABSENT), ""),
        (drift(new={"b": ["c"]}), ""),
        (drift(key=KEY, path="data.k", new=SecretValue(b"x")), "never go to Git"),
        (drift(key=KEY, path="metadata.labels.a"), "never go to Git"),
        (drift(new={"deep": [SecretValue(b"x")]}), "never go to Git"),
        (drift(path=VANISHED, new=ABSENT), "was deleted"),
        (drift(path=f'metadata.labels["{OWNER_LABEL}"]', new=ABSENT), "own label"),
        (drift(new="x" * 70_000), "longer than 64 KiB"),
        (drift(new=["x" * 40_000, "y" * 40_000]), "longer than 64 KiB"),
        (drift(new=TOKEN), "looks like a secret"),
        (drift(path='data["db.password"]', new="hunter2"), "looks like a secret"),
        (drift(path="spec.containers[name=c].env[name=API_TOKEN].value", new="hunter2"), "looks like a secret"),
        (drift(path="spec.containers[name=c].args", new=["--password", "hunter2"]), "looks like a secret"),
    ],
)  # fmt: skip
def test_what_may_be_taken_into_git(found: Drift, why: str) -> None:
    taken, left = sorted_out([found, drift(path="data.b")])
    assert taken[-1] == drift(path="data.b"), "the rest is taken all the same"
    assert [each.field.path for each in taken] == ([found.field.path] if not why else []) + ["data.b"]
    assert len(left) == bool(why)
    assert all(why in each and str(found.key) in each for each in left)
    assert not any(word in each for each in left for word in ("hunter2", TOKEN, "xxxx"))


def test_no_more_is_taken_at_once_than_somebody_reads() -> None:
    taken, left = sorted_out([drift(path=f"data.a{number}") for number in range(103)])
    assert (len(taken), len(left)) == (100, 3)


def test_what_is_asked_for_is_found_by_its_name() -> None:
    both, keys = (drift(), drift(key=OTHER)), (WORDS, OTHER, KEY)
    assert about(both, "", keys) == both
    assert about(both, "ConfigMap/door/words", keys) == both[1:]
    assert about(both[:1], "ConfigMap/words", (WORDS, KEY)) == both[:1]
    for asked, why in (
        ("ConfigMap/words", "may be any of ConfigMap/door/words, ConfigMap/shop/words"),
        ("Secret/key", "has not drifted"),
        ("ConfigMap/theirs", "nothing that Git declares"),
        ("configmap/words", "nothing that Git declares"),
    ):
        with pytest.raises(Refused, match=why):
            about(both, asked, keys)
    with pytest.raises(Refused, match="nothing has drifted"):
        about((), "", keys)


HOSTILE = (
    "1.2.3\"\n  privileged: true", "yes", "null", "~", "0x10", "1_000", "1e3", "2026-01-01", "12:30:45", "- a", "a: b", "a #b",
    "&a", "*a", "!!int 1", "{{ .Values.x }}", "--- x", "...", "x\n---\nkind: Role", "\t", " ", "", "'", '"', "\\", "\x00\x07\x1b[2J",
    "\u2028\u2029\x85\ufeff", "\u202e", "😀", "|", ">-", "%TAG ! x", "a\r\nb", "\n\n", "<<", "=", "x" * 60_000,
)  # fmt: skip
MANIFEST = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: words}\ndata:\n  a: %s   # why\n  b: 'x'\n"


@pytest.mark.parametrize("written", ["1", "'1'", '"1"', "|\n    1\n    2\n  c:"])
def test_a63_a_hostile_value_is_one_value_and_changes_nothing_else(written: str) -> None:
    text = MANIFEST % written
    for value in HOSTILE:
        documents = read_documents(text, "")
        offer = in_manifest(drift(new=value), "words.yaml", documents)
        assert isinstance(offer.change, Put)
        after = edited(text.encode(), [offer.change])
        (now,) = read_documents(after, "")
        wanted = copy.deepcopy(documents[0].value)
        wanted["data"]["a"] = value
        assert now.value == wanted
        assert after.endswith(b"\n  b: 'x'\n")


def resource(data: dict[str, Any], name: str = "words", version: str = "v1") -> Resource:
    return resource_of(
        {"apiVersion": version, "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data}
    )


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ([resource({"a": "2", "b": "1"}), resource({"c": "1"}, "other")], ""),
        ([resource({"a": "1", "b": "1"}), resource({"c": "1"}, "other")], "data.a would still be another one"),
        ([resource({"a": "3", "b": "1"}), resource({"c": "1"}, "other")], "data.a would still be another one"),
        ([resource({"a": "2", "b": "2"}), resource({"c": "1"}, "other")], "data.b would change too"),
        ([resource({"a": "2"}), resource({"c": "1"}, "other")], "data.b would change too"),
        ([resource({"a": "2", "b": "1"}), resource({"c": "2"}, "other")], "ConfigMap shop/other would change too"),
        ([resource({"a": "2", "b": "1"})], "ConfigMap shop/other would come or go"),
        ([resource({"a": "2", "b": "1"}), resource({"c": "1"}, "other"), resource({}, "new")], "would come or go"),
    ],
)
def test_a_change_is_proven_by_what_it_makes_of_the_whole_desired_state(made: list[Resource], why: str) -> None:
    before = [resource({"a": "1", "b": "1"}), resource({"c": "1"}, "other")]
    live = {each.key: each for each in (resource({"a": "2", "b": "1"}), resource({"c": "1"}, "other"))}
    found = unproven(before, made, live, lambda each: each, [drift()])
    assert (not found) if not why else any(why in each for each in found)


def test_a_list_that_drifted_item_by_item_is_proven_item_by_item_and_its_order_counts() -> None:
    before, made, wrong = (resource({"a": items}) for items in (["-v", "x"], ["-q", "x"], ["-q", "y"]))
    live = {made.key: made}
    asked = [drift("data.a[0]", "-q", old="-v")]
    assert unproven([before], [made], live, lambda each: each, asked) == ()
    assert unproven([before], [wrong], {wrong.key: wrong}, lambda each: each, asked) == (
        "ConfigMap shop/words, data.a[1] would change too", "ConfigMap shop/words, data.a[1] would change too",
    )  # fmt: skip


def test_of_several_ways_the_first_that_holds_beside_the_others_is_taken() -> None:
    tried: list[list[str]] = []

    def against(picks: Sequence[tuple[Drift, Offer]]) -> tuple[str, ...]:
        tried.append([offer.file for _, offer in picks])
        return tuple(f"{offer.file} is wrong" for _, offer in picks if offer.file.startswith("bad"))

    def ways(*files: str) -> tuple[Offer, ...]:
        return tuple(Offer(file, Put(0, ("a",), 1)) for file in files)

    one, two, three = (drift(f"data.{name}") for name in "abc")
    assert chosen([], against) == ((), ())
    picked, left = chosen([(one, ways("a")), (two, ways("b", "bad"))], against)
    assert ([offer.file for _, offer in picked], left, len(tried)) == (["a", "b"], (), 1)
    picked, left = chosen([(one, ways("bad1", "a")), (two, ways("bad2")), (three, ways("c"))], against)
    assert [(each.field.path, offer.file) for each, offer in picked] == [("data.a", "a"), ("data.c", "c")]
    assert left == ("ConfigMap shop/words, data.b: bad2 is wrong",)
    assert ["a", "bad2"] in tried, "each is tried beside what holds"
    tried.clear()
    picked, left = chosen([(drift(f"data.{number}"), ways("bad1", "bad2")) for number in range(30)], against)
    assert (picked, len(left), len(tried)) == ((), 30, TRIALS)
    assert "too much had to be tried" in left[-1]


# -- over other people's manifests ------------------------------------------------------------------------------------------


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[str | int, ...]] = []
    for step, member in members:
        found += leaves(member, (*path, step)) if isinstance(member, dict | list) else [(*path, step)]
    return found


def places_of(desired: Resource) -> list[tuple[str | int, ...]]:
    """Every scalar of an object but what names it and its status."""
    names = {("apiVersion",), ("kind",), ("status",)}, {("metadata", "name"), ("metadata", "namespace")}
    return [each for each in leaves(desired.body) if each[:1] not in names[0] and each[:2] not in names[1]]


@pytest.fixture(scope="module")
def manifests(corpora: Path) -> list[tuple[str, int, Resource]]:
    """Every object of the snapshots whose file can be read as it lies there: text, document, object."""
    found = []
    for path in sorted((corpora / "snapshots").rglob("*.y*ml")):
        if path.stat().st_size > 30_000:
            continue
        try:
            text = path.read_bytes().decode()
            documents = read_documents(text, path.name)
        except (UnicodeDecodeError, DesiredStateError):
            continue
        for number, document in enumerate(documents):
            value = document.value
            metadata = value.get("metadata") if isinstance(value, dict) else None
            if (
                isinstance(metadata, dict)
                and metadata.get("name")
                and value.get("kind") not in (None, "Secret", "List")
            ):
                made = resource_of({"apiVersion": "v1", **value})
                if places_of(made):
                    found.append((text, number, made))
    assert len(found) > 100
    return found


VALUES = (*(each for each in HOSTILE if len(each) < 100), 0, 7, 2**31, True, False)


def test_any_scalar_that_somebody_changed_is_adopted_and_no_other_byte_changes(
    manifests: list[tuple[str, int, Resource]],
) -> None:
    refused = 0
    for turn, (text, number, desired) in enumerate(manifests):
        places = places_of(desired)
        for place in dict.fromkeys((places[0], places[-1], places[turn * 7919 % len(places)])):
            refused += not adopted(text, number, desired, place, VALUES[turn % len(VALUES)])
    print(f"{refused} of {3 * len(manifests)} cannot be changed alone")
    assert refused < len(manifests) / 10


def adopted(text: str, number: int, desired: Resource, place: tuple[str | int, ...], value: Any) -> bool:
    """Whether a value that somebody gave to a scalar of an object is taken into its text, and there is all that changes."""
    live = Resource(desired.key, desired.version, copy.deepcopy(desired.body))
    into: Any = live.body
    for step in place[:-1]:
        into = into[step]
    into[place[-1]] = value
    documents = read_documents(text, "")
    changes = []
    for each in specified_differences(desired, live):
        drifted = Drift(desired.key, FieldChange(each.path, each.new, each.old))
        try:
            change = in_manifest(drifted, "x", documents).change
        except NotEditable:
            return False
        if not isinstance(change, Put):
            return True  # the key of a list's item: another item
        changes.append(change)
    try:
        after = edited(text.encode(), changes)
    except NotEditable:
        return False
    again = [document.value for document in read_documents(after, "")]
    assert specified_differences(resource_of({"apiVersion": "v1", **again[number]}), live) == ()
    assert [*again[:number], *again[number + 1 :]] == [
        each.value for each in documents if each is not documents[number]
    ]
    for change in changes:
        node: Node = next(each for each in roots(text) if each.line == documents[number].line)
        below = documents[number].value
        assert not isinstance(change.path, str)
        for step in change.path:
            node = node.members[step if isinstance(step, int) else list(below).index(step)]
            below = below[step]
        if len(changes) == 1:
            assert after.decode().startswith(
                text[: node.start].rstrip(" ") if node.start == node.end else text[: node.start]
            )
            assert after.decode().endswith(text[node.end :].lstrip(" "))
    return True

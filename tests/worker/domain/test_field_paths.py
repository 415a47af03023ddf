"""Patterns of places in an object: what they name, what is wrong with them, and what they may cost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from worker.domain.field_paths import LONGEST, PatternError, Place, Step, located, read_pattern, without

ITEM = Place(1, {"name": "istio-proxy", "image": "x"})
PORT = Place(0, {"port": 80, "protocol": "TCP"})
SPEC = ("spec", "template", "spec", "containers")


@pytest.mark.parametrize(
    ("text", "steps", "covers"),
    [
        ("spec.replicas", ("spec", "replicas"), True),
        ("$.spec.replicas", ("spec", "replicas"), True),
        ("/spec/replicas", ("spec", "replicas"), True),
        ("spec.replicas", ("spec", "replica"), False),
        ("spec.replicas", ("spec",), False),
        ("spec.template", SPEC, True),
        ("spec.template.spec.containers[name=istio-proxy]", (*SPEC, ITEM), True),
        ("spec.template.spec.containers[name=istio-*].image", (*SPEC, ITEM, "image"), True),
        ("spec.template.spec.containers[name=other]", (*SPEC, ITEM), False),
        ("spec.template.spec.containers[*].image", (*SPEC, ITEM, "image"), True),
        ("spec.template.spec.containers[*].image", (*SPEC, ITEM, "env"), False),
        ("spec.template.spec.containers[1]", (*SPEC, ITEM), True),
        ("/spec/template/spec/containers/1/image", (*SPEC, ITEM, "image"), True),
        ("/spec/template/spec/containers/0/image", (*SPEC, ITEM, "image"), False),
        ("spec.ports[port=80,protocol=TCP].nodePort", ("spec", "ports", PORT, "nodePort"), True),
        ("spec.ports[port=80,protocol=UDP].nodePort", ("spec", "ports", PORT, "nodePort"), False),
        ("metadata.finalizers[example.org/f]", ("metadata", "finalizers", Place(3, "example.org/f")), True),
        ('metadata.annotations["a.b/c"]', ("metadata", "annotations", "a.b/c"), True),
        ("metadata.annotations['a.b/*']", ("metadata", "annotations", "a.b/c"), True),
        ("/metadata/annotations/a.b~1c", ("metadata", "annotations", "a.b/c"), True),
        ("/metadata/annotations/~01", ("metadata", "annotations", "~1"), True),
        ("metadata.annotations.*", ("metadata", "annotations", "any"), True),
        ('webhooks[*].clientConfig["caBundle"]', ("webhooks", Place(0, {}), "clientConfig", "caBundle"), True),
    ],
)
def test_a_pattern_names_what_is_there_and_below(text: str, steps: tuple[Step, ...], covers: bool) -> None:
    assert read_pattern(text).covers(steps) is covers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no field"),
        ("/", "names no field"),
        ("$", "names no field"),
        ("spec..replicas", "two dots in a row"),
        ("spec.", "two dots in a row"),
        ("spec.a]b", "cannot be read"),
        ("spec.a b", "cannot be read"),
        ("spec[name=x", "without its end"),
        ('spec["a', "without its end"),
        ("spec[]", "may not use a filter"),
        ("spec.containers[?(@.name=='c')]", "may not use a filter"),
        ("spec.containers[=c]", "without its key"),
        ("spec.containers[name=c]image", "cannot be read"),
        ("/metadata/annotations/*", "knows no `*`"),
        ("metadata", "covers metadata.name"),
        ("metadata.name", "covers metadata.name"),
        ("metadata.*", "covers metadata.name"),
        ("kind", "covers kind"),
        ("*", "covers apiVersion"),
        ("a" * (LONGEST + 1), "is longer than"),
        (".".join(["a"] * 41), "more than 40 names deep"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_said(text: str, said: str) -> None:
    with pytest.raises(PatternError, match=said.replace("*", r"\*")) as raised:
        read_pattern(text)
    assert raised.value.suggestion


@pytest.mark.parametrize("text", ["a." * 249 + "b", "[" * 400, "a" + "[0]" * 100, 'a["' * 100, "a[x=" * 100, "/" * 400])
def test_a40_no_pattern_takes_long_to_be_read_or_matched(text: str) -> None:
    began = time.perf_counter()
    for _ in range(100):
        try:
            read_pattern(text).covers(("a",) * 50)
        except PatternError:
            continue
    assert time.perf_counter() - began < 1


def test_a40_stars_without_end_are_matched_in_no_time() -> None:
    pattern = read_pattern("metadata.annotations." + "*a" * 200)
    began = time.perf_counter()
    assert not pattern.covers(("metadata", "annotations", "a" * 199 + "b" * 50))
    assert pattern.covers(("metadata", "annotations", "a" * 250))
    assert time.perf_counter() - began < 0.5


BODY: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/name": "x", "app": "y"}, "finalizers": ["a.b/c"]},
    "spec": {"ports": [{"port": 80}, {"port": 80, "protocol": "UDP", "nodePort": 1}], "rules": [{"host": "h]x"}]},
}


@pytest.mark.parametrize(
    ("path", "removed"),
    [
        (".metadata.labels.app.kubernetes.io/name", {"metadata": {"labels": {"app": "y"}, "finalizers": ["a.b/c"]}}),
        ('metadata.finalizers[="a.b/c"]', {"metadata": {**BODY["metadata"], "finalizers": []}}),
        (
            'spec.ports[port=80,protocol="UDP"].nodePort',
            {"spec": {**BODY["spec"], "ports": [{"port": 80}, {"port": 80, "protocol": "UDP"}]}},
        ),
        ("spec.ports[port=80]", {"spec": {**BODY["spec"], "ports": [BODY["spec"]["ports"][1]]}}),
        ("spec.rules[0].host", {"spec": {**BODY["spec"], "rules": [{}]}}),
    ],
)
def test_a_place_that_the_server_names_is_found_and_can_be_taken_out(path: str, removed: dict[str, Any]) -> None:
    steps = located(path, BODY)
    assert steps is not None
    assert without(BODY, steps) == {**BODY, **removed}


@pytest.mark.parametrize(
    "path", [".spec.no", "spec.ports[port=81]", "spec.ports[7]", "metadata.labels.ap", "spec.ports.port"]
)
def test_a_place_that_is_not_there_is_not_guessed(path: str) -> None:
    assert located(path, BODY) is None

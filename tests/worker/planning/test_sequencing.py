"""Stages: hooks, waves and dependencies, beside what helm, cli-utils and kapp expect of the same annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import table
from tests.otherwise import CHANGE_GRAPH
from worker.domain.resource import Resource, ResourceKey, resource_of
from worker.planning.hooks import MalformedAnnotation, Moment, parse_dependencies, placing
from worker.planning.ordering import prune_order
from worker.planning.sequencing import Sequence, sequence

WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"


def annotated(name: str, annotations: dict[str, str], kind: str = "ConfigMap", api: str = "v1") -> Resource:
    metadata = {"name": name, "namespace": "shop", "annotations": annotations}
    return resource_of({"apiVersion": api, "kind": kind, "metadata": metadata})


def names(found: Sequence) -> list[tuple[str, list[str]]]:
    return [(stage.name, [resource.key.name for resource in stage.resources]) for stage in found.stages]


def test_without_annotations_there_is_one_stage_without_a_name() -> None:
    assert names(sequence([annotated("b", {}), annotated("a", {})])) == [("", ["a", "b"])]
    assert names(sequence([])) == [("", [])]


def test_hooks_and_waves_make_stages_in_their_order() -> None:
    found = sequence([
        annotated("late", {WAVE: "2"}),
        annotated("plain", {}),
        annotated("early", {"plumbline.io/wave": "-1"}),
        annotated("migrate", {HOOK: "PreSync"}, "Job", "batch/v1"),
        annotated("notify", {"helm.sh/hook": "post-install,post-upgrade", "helm.sh/hook-weight": "5"}, "Job", "batch/v1"),
        annotated("smoke", {"helm.sh/hook": "test"}, "Pod"),
    ])  # fmt: skip
    assert names(found) == [
        ("before", ["migrate"]),
        ("wave -1", ["early"]),
        ("wave 0", ["plain"]),
        ("wave 2", ["late"]),
        ("after, wave 5", ["notify"]),
    ]
    assert [resource.key.name for resource in found.never] == ["smoke"]
    assert found.problems == ()


def test_a_namespace_and_a_definition_come_with_their_first_user() -> None:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": {"kind": "Widget", "plural": "widgets"}, "scope": "Namespaced"},
    }
    found = sequence([
        resource_of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        resource_of(definition),
        annotated("w", {WAVE: "-5"}, "Widget", "example.com/v1"),
        annotated("c", {}),
    ])  # fmt: skip
    assert names(found) == [("wave -5", ["shop", "widgets.example.com", "w"]), ("wave 0", ["c"])]


def test_dependencies_are_steps_of_a_wave_and_a_circle_is_named() -> None:
    needs_a = {"config.kubernetes.io/depends-on": "/namespaces/shop/ConfigMap/a"}
    needs_b = {"plumbline.io/depends-on": "/namespaces/shop/ConfigMap/b"}
    found = sequence([annotated("c", needs_b), annotated("b", needs_a), annotated("a", {})])
    assert names(found) == [("wave 0", ["a"]), ("wave 0, step 2", ["b"]), ("wave 0, step 3", ["c"])]
    circle = sequence([annotated("a", needs_b), annotated("b", needs_a)])
    assert "waits for itself: ConfigMap shop/a -> ConfigMap shop/b -> ConfigMap shop/a" in str(circle.problems[0])
    later = sequence([annotated("a", {WAVE: "3"}), annotated("b", needs_a)])
    assert "depends on ConfigMap shop/a, which comes later (wave 3)" in str(later.problems[0])
    alone = sequence([annotated("b", needs_a)])
    assert "depends on ConfigMap shop/a, which is not in this environment" in str(alone.problems[0])


@pytest.mark.parametrize("annotations", [{WAVE: "one"}, {WAVE: "1.5"}, {"config.kubernetes.io/depends-on": "x"}])
def test_an_annotation_that_cannot_be_read_is_a_problem_of_its_author(annotations: dict[str, str]) -> None:
    problems = sequence([annotated("a", annotations)]).problems
    assert len(problems) == 1
    assert next(iter(annotations)) in str(problems[0])


def test_helm_hooks_are_known_and_other_words_are_not_hooks(corpora: Path) -> None:
    before, after = Moment.BEFORE, Moment.AFTER
    expected = {"pre-install": before, "post-install": after}
    for case in table(corpora, "order_helm_hooks"):
        for body in yaml.safe_load_all(case["manifest"]):
            if not body:
                continue
            found = placing(resource_of(body))
            events = case["hooks"][body["metadata"]["name"]]
            assert found.is_hook == bool(events), case["id"]
            assert found.moment == (expected[events[0]] if events else Moment.MAIN), case["id"]


def test_depends_on_is_read_as_cli_utils_reads_it(corpora: Path) -> None:
    for case in table(corpora, "order_cli_utils_depends_on"):
        text: str = case["annotation"] if "annotation" in case else case["metaStr"]
        if case["isError"]:
            with pytest.raises(MalformedAnnotation):
                parse_dependencies(text)
            continue
        expected = case["expected"] if isinstance(case["expected"], list) else [case["expected"]]
        keys = {
            ResourceKey(each["GroupKind"]["Group"], each["GroupKind"]["Kind"], each.get("Namespace", ""), each["Name"])
            for each in expected
        }
        assert set(parse_dependencies(text)) == keys, case["id"]


def test_kapp_s_change_rules_carry_over(corpora: Path) -> None:
    for case in table(corpora, "order_kapp_change_graph"):
        if case["id"] in CHANGE_GRAPH:
            continue
        resources = [_kapp(body) for body in yaml.safe_load_all(case["manifest"]) if body]
        found = sequence(resources)
        if "expected_error" in case:
            assert any("waits for itself" in str(problem) for problem in found.problems), case["id"]
            continue
        assert found.problems == (), case["id"]
        places = _places(found, case["op"])
        for first, then in _expected_pairs(case["expected_graph"]):
            assert places[first] < places[then], (case["id"], first, then)


def _kapp(body: dict[str, Any]) -> Resource:
    return resource_of({"apiVersion": "v1", **body})


def _places(found: Sequence, operation: str) -> dict[str, int]:
    resources = [resource for stage in found.stages for resource in stage.resources]
    if operation == "delete":
        keys = [key for group in prune_order(resource.key for resource in resources) for key in group]
    else:
        keys = [resource.key for resource in resources]
    return {f"{key.kind.lower()}/{key.name}/{key.namespace}": place for place, key in enumerate(keys)}


def _expected_pairs(graph: str) -> list[tuple[str, str]]:
    """(what comes first, what comes after it) of kapp's picture: indented lines come before the line above them."""
    above: list[str] = []
    pairs = []
    for line in graph.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        words = line.split()
        namespace = words[words.index("namespace:") + 1] if "namespace:" in words else ""
        name = f"{words[1]}/{namespace}"
        above = [*above[:depth], name]
        if depth:
            pairs.append((name, above[depth - 1]))
    return pairs

"""What is kept of renders: whole outputs, and the files that they read; and how often programs are started."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plumbline.local_system import Clone
from tests.children import STARTED, starts_of
from tests.conftest import config_map
from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits

LIMITS = RenderLimits()


@pytest.fixture(autouse=True)
def _children() -> Iterator[None]:
    STARTED.clear()
    yield
    STARTED.clear()


def test_what_was_rendered_is_kept_for_its_owner_only_and_a_damaged_entry_is_a_miss(
    checkout: Checkout, tmp_path: Path
) -> None:
    renderer = Renderer(tmp_path / "cache", RenderLimits(), RenderTools())
    environment = Environment("r", "e", "main", "app", "c", "ns")
    tip = checkout.tip("main")
    assert tip is not None
    first = renderer.render_revision(checkout, tip, environment, Capabilities())
    folder = tmp_path / "cache" / "renders"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    entries = {entry.name: entry for entry in folder.iterdir()}
    assert len(entries) == 2, "the render, and which one was the environment's last"
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in entries.values()} == {0o600}
    entry = entries[first.inputs]
    content = entry.read_bytes()
    for damaged in (content[:-5], b"", content.replace(b'"1"', b'"2"')):
        entry.write_bytes(damaged)
        restarted = Renderer(tmp_path / "cache", RenderLimits(), RenderTools())
        again = restarted.render_revision(checkout, tip, environment, Capabilities())
        assert again.resources[0].body == first.resources[0].body
        assert again.inputs == first.inputs
    checkout.close()


def test_only_blobs_that_are_new_to_an_environment_are_read_also_by_a_worker_that_has_just_started(
    checkout: Checkout, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    for name in ("b", "c"):
        clone.write(f"app/{name}.yaml", config_map(name, n="1"))
    environment = Environment("r", "e", "main", "app", "c", "ns")
    Renderer(tmp_path / "cache", LIMITS, RenderTools()).render_revision(
        checkout, _pushed(clone, checkout), environment, Capabilities()
    )
    assert [child["files"] for child in STARTED] == [["app/a.yaml", "app/b.yaml", "app/c.yaml"]]
    clone.write("app/b.yaml", config_map("b", n="2") + "---\n" + config_map("d", n="3"))
    tip = _pushed(clone, checkout)
    rendered = Renderer(tmp_path / "cache", LIMITS, RenderTools()).render_revision(
        checkout, tip, environment, Capabilities()
    )
    assert len(STARTED) == 2
    assert STARTED[1]["files"] == ["app/b.yaml"]
    afresh = Renderer(None, LIMITS, RenderTools()).render_revision(checkout, tip, environment, Capabilities())
    assert [each.body for each in rendered.resources] == [each.body for each in afresh.resources]
    assert [each.source for each in rendered.resources] == [each.source for each in afresh.resources]
    checkout.close()


def test_known_files_count_against_the_limit_of_a_tree_too(checkout: Checkout, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    environment = Environment("r", "e", "main", "app", "c", "ns")
    limits = replace(LIMITS, tree_size=3000)
    renderer = Renderer(tmp_path / "cache", limits, RenderTools())
    for name in ("b", "c"):
        clone.write(f"app/{name}.yaml", config_map(name, n="x" * 1000))
        renderer.render_revision(checkout, _pushed(clone, checkout), environment, Capabilities())
    clone.write("app/d.yaml", config_map("d", n="x" * 1000))
    with pytest.raises(DesiredStateError, match="of files"):
        renderer.render_revision(checkout, _pushed(clone, checkout), environment, Capabilities())
    checkout.close()


def test_the_files_of_many_environments_are_read_by_one_child_and_a_mistake_is_said_by_its_own_alone(
    checkout: Checkout, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    for name in ("x", "y", "z"):
        clone.write(f"{name}/all.yaml", config_map(name, n="1"))
    environments = [Environment("r", name, "main", name, "c", "ns") for name in ("x", "y", "z")]
    tip = _pushed(clone, checkout)
    renderer = Renderer(tmp_path / "cache", LIMITS, RenderTools())
    renderer.read_ahead(checkout, tip, environments)
    names = [
        renderer.render_revision(checkout, tip, environment, Capabilities()).resources[0].key.name
        for environment in environments
    ]
    assert names == ["x", "y", "z"]
    assert [child["files"] for child in STARTED] == [["x/all.yaml", "y/all.yaml", "z/all.yaml"]]
    clone.write("y/all.yaml", "a: [\n")
    clone.write("z/all.yaml", config_map("z", n="2"))
    tip = _pushed(clone, checkout)
    renderer.read_ahead(checkout, tip, environments)
    assert (
        renderer.render_revision(checkout, tip, environments[2], Capabilities()).resources[0].body["data"]["n"] == "2"
    )
    with pytest.raises(DesiredStateError, match=r"y/all\.yaml"):
        renderer.render_revision(checkout, tip, environments[1], Capabilities())
    checkout.close()


def _pushed(clone: Clone, checkout: Checkout) -> str:
    clone.commit("more")
    assert clone.push().returncode == 0
    tip = checkout.tip("main")
    assert tip is not None
    return tip


CHART = {"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "values.yaml": "a: now\n"}
TEMPLATE = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "%s"}\n'


@pytest.mark.parametrize(
    ("files", "starts"),
    [
        ({"templates/all.yaml": TEMPLATE % "{{ .Values.a }} {{ .Values.keys }} is now"}, 1),
        ({"templates/all.yaml": TEMPLATE % "{{ .Values.b | default 1 }}", "values.yaml": "b: 2\n"}, 1),
        ({"templates/all.yaml": TEMPLATE % "{{ keys (dict 1 2) | sortAlpha }}"}, 2),
        ({"templates/all.yaml": TEMPLATE % "{{ if false }}{{ now }}{{ end }}"}, 2),
        (
            {"templates/all.yaml": TEMPLATE % "{{ tpl .Values.a . }}", "values.yaml": "a: '{{ len (randAlpha 4) }}'\n"},
            2,
        ),
    ],
    ids=["words that are no calls", "plain", "the order of a map", "the clock", "a template in values"],
)
def test_helm_is_started_twice_only_where_the_chart_calls_what_may_vary(
    checkout: Checkout, tmp_path: Path, tools: dict[str, Path], files: dict[str, str], starts: int
) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    for name, text in {**CHART, **files}.items():
        clone.write(f"chart/{name}", text)
    environment = Environment("r", "e", "main", "chart", "c", "ns")
    renderer = Renderer(tmp_path / "cache", LIMITS, RenderTools(tools["helm"].parent))
    tip = _pushed(clone, checkout)
    assert len(renderer.render_revision(checkout, tip, environment, Capabilities()).resources) == 1
    assert starts_of("helm") == starts
    checkout.close()


def test_a_chart_with_a_random_value_is_refused_and_named(
    checkout: Checkout, tmp_path: Path, tools: dict[str, Path]
) -> None:
    clone = Clone(tmp_path / "again", tmp_path / "r.git")
    for name, text in {**CHART, "templates/all.yaml": TEMPLATE % "{{ randAlphaNum 12 }}"}.items():
        clone.write(f"chart/{name}", text)
    environment = Environment("r", "e", "main", "chart", "c", "ns")
    renderer = Renderer(tmp_path / "cache", LIMITS, RenderTools(tools["helm"].parent))
    with pytest.raises(DesiredStateError, match=r"templates/all\.yaml.*renders differently each time"):
        renderer.render_revision(checkout, _pushed(clone, checkout), environment, Capabilities())
    checkout.close()

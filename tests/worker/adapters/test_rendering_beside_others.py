"""Rendering beside what kustomize itself expects, and helm's renders of a real chart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import table
from tests.otherwise import KUSTOMIZE
from tests.truth.histories import bare_clone
from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits
from worker.domain.resource import Resource, SecretValue, resource_of
from worker.domain.yaml_text import read_documents


def shape(resource: Resource) -> str:
    def revealed(value: object) -> str:
        assert isinstance(value, SecretValue)
        return value.digest(b"test")

    return json.dumps(resource.body, sort_keys=True, default=revealed)


def test_kustomizations_build_to_what_kustomize_expects(corpora: Path, tools: dict[str, Path], tmp_path: Path) -> None:
    renderer = Renderer(None, RenderLimits(), RenderTools(tools["kustomize"].parent))
    for number, case in enumerate(table(corpora, "kustomize_builds")):
        root = tmp_path / str(number)
        for name, text in case["files"].items():
            place = root / name.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        folder = root / case["build"].lstrip("/")
        environment = Environment("r", "e", "", ".", "", "", renderer="kustomize")
        if case.get("error_contains") or case["id"] in KUSTOMIZE:
            with pytest.raises(DesiredStateError):
                renderer.render_folder(folder, environment, Capabilities())
            continue
        try:
            found = renderer.render_folder(folder, environment, Capabilities()).resources
        except DesiredStateError as error:
            raise AssertionError(f"{case['id']}: {error}") from error
        expected = [resource_of(each.value) for each in read_documents(case["expected"], "expected") if each.value]
        assert sorted(map(shape, found)) == sorted(map(shape, expected)), case["id"]


def test_a_real_chart_renders_to_what_helm_made_of_it(corpora: Path, tools: dict[str, Path], tmp_path: Path) -> None:
    renders: list[dict[str, Any]] = json.loads((corpora / "histories" / "podinfo.helm-renders.json").read_text())[
        "renders"
    ]
    checkout = Checkout.open(str(bare_clone(corpora / "histories" / "podinfo.bundle", tmp_path)), tmp_path)
    renderer = Renderer(tmp_path / "cache", RenderLimits(), RenderTools(tools["helm"].parent))
    checked = 0
    for render in renders[::6]:
        if render["values"] != "default":
            continue
        environment = Environment("r", "e", "main", "charts/podinfo", "c", "test", renderer="helm", release="podinfo")
        found = renderer.render_revision(checkout, render["commit"], environment, Capabilities()).resources
        expected = {
            (kind, name) for template, kind, name, hook in render["objects"] if not hook or "tests/" not in template
        }
        assert {(resource.key.kind, resource.key.name) for resource in found} == expected, render["commit"]
        checked += 1
    checkout.close()
    assert checked > 3

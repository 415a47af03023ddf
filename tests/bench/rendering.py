"""A render that is in the cache, and how often kustomize and helm are started for one that is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.ground import OBJECTS, Figures, Ground, as_files, in_turns, objects
from tests.children import starts_of
from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Renderer, RenderTools
from worker.domain.environment import Environment
from worker.domain.installation import RenderLimits

ROUNDS = 15
CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {a: {{ .Values.a | quote }}}
"""


def measure_rendering(ground: Ground) -> Figures:
    """A hit of 1,500 objects, by a renderer that has it in memory and by one that has only the disk; starts of programs."""
    repository = ground.root / "render"
    files = {f"app/{name}": text for name, text in as_files(objects(OBJECTS)).items()}
    files |= {"chart/Chart.yaml": CHART, "chart/values.yaml": "a: 1\n", "chart/templates/all.yaml": TEMPLATE}
    files |= {"kustomized/kustomization.yaml": "resources: [all.yaml]\nnamePrefix: x-\n"}
    files |= {"kustomized/all.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"}
    revision = _committed(repository, files)
    checkout = Checkout.open(str(repository), ground.root / "mirror")
    tools = RenderTools(ground.tools["helm"].parent)
    limits, cache = RenderLimits(), ground.root / "render-cache"
    warm = Renderer(cache, limits, tools)

    def render(renderer: Renderer, path: str) -> None:
        environment = Environment("shop", "bench", "main", path, "c", "bench")
        renderer.render_revision(checkout, revision, environment, Capabilities("v1.37.2", ()))

    [cold] = in_turns(3, lambda: render(Renderer(None, limits, tools), "app"))
    render(warm, "app")
    memory, disk = in_turns(ROUNDS, lambda: render(warm, "app"), lambda: render(Renderer(cache, limits, tools), "app"))
    starts = {}
    for path, name in (("chart", "helm"), ("kustomized", "kustomize")):
        before = starts_of(name)
        render(warm, path)
        starts[name] = starts_of(name) - before
        render(warm, path)
        assert starts_of(name) == before + starts[name], "a render that is kept starts nothing"
    checkout.close()
    return {
        "render_cold_ms": cold * 1000,
        "hit_memory_ms": memory * 1000,
        "hit_disk_ms": disk * 1000,
        "helm_starts": float(starts["helm"]),
        "kustomize_starts": float(starts["kustomize"]),
    }


def _committed(repository: Path, files: dict[str, str]) -> str:
    def git(*words: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(repository), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for name, text in files.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    git("init", "--quiet", "--initial-branch=main")
    git("add", "--all")
    git("commit", "--quiet", "-m", "all")
    return git("rev-parse", "HEAD")

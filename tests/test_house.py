"""The house rules, checked: who may import whom, how long a file may grow, what stays pure."""

import ast
import importlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(p for d in ("bot", "hooks", "plumbline", "sandbox", "worker") for p in (ROOT / d).rglob("*.py"))
PURE = [
    p
    for p in MODULES
    if p.is_relative_to(ROOT / "worker/domain")
    or p.is_relative_to(ROOT / "worker/planning")
    or p.stem
    in {
        "requests",
        "authority",
        "commands",
        "comments",
        "terminal",
        "statuses",
        "standing",
        "events",
        "divergence_statuses",
    }
]


def calls(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            f = node.func
            yield f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "")


def imported(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


def test_imports_point_one_way() -> None:
    run = subprocess.run(
        ["lint-imports", "--no-logo"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": str(pathlib.Path(sys.executable).parent)},
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_outgrows_400_lines(path: pathlib.Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", sorted((ROOT / "hooks").glob("*.py")), ids=lambda p: p.name)
def test_hooks_need_only_the_standard_library(path: pathlib.Path) -> None:
    assert set(imported(path)) <= sys.stdlib_module_names | {"hooks"}


@pytest.mark.parametrize("path", PURE, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_never_asks_the_time(path: pathlib.Path) -> None:
    assert not {"now", "utcnow", "today", "open", "print", "input"} & set(calls(path))


@pytest.mark.parametrize("name", importlib.import_module("worker.domain.messages").JOBS)
def test_every_job_name_on_the_queue_has_a_function(name: str) -> None:
    module, function = name.rsplit(".", 1)
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    assert function in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_cluster_adapter_reveals_a_secret_value(path: pathlib.Path) -> None:
    if not path.is_relative_to(ROOT / "worker/adapters/cluster") and path != ROOT / "worker/domain/resource.py":
        assert "reveal" not in set(calls(path))


def test_a65_only_what_is_pinned_by_its_hash_is_installed() -> None:
    locked = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", (ROOT / "requirements.lock").read_text()).strip())
    assert len(locked) > 50
    for entry in locked:
        assert re.match(r"[a-z0-9][a-z0-9._-]*(?:\[[a-z,]+\])?==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes -r requirements.lock" in line or "--no-deps --no-build-isolation -e ." in line, line
    for module in ROOT.glob("sandbox/**/go.mod"):
        assert module.with_name("go.sum").is_file(), f"{module}: its modules have no hashes"

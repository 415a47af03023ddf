"""The command line as scripts see it: output, exit codes, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.control_plane import ControlPlane
from tests.conftest import config_map

ROOT = Path(__file__).parents[2]


def plumbline(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "plumbline", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environ}, timeout=120, check=False
    )


@pytest.fixture
def target(control_plane: ControlPlane, namespace: str) -> list[str]:
    kubeconfig = str(control_plane.kubeconfig())
    return [
        "--environment",
        "cli",
        "--kubeconfig",
        kubeconfig,
        "--namespace",
        namespace,
        "--state-namespace",
        f"state-{namespace}",
    ]


def test_plan_apply_status_and_their_exit_codes(target: list[str], tmp_path: Path, namespace: str) -> None:
    (tmp_path / "a.yaml").write_text(config_map("one", a="1") + "---\n" + config_map("two", a="1"))
    plan = plumbline("plan", str(tmp_path), *target, "-o", "json")
    assert plan.returncode == 2, plan.stderr
    document = json.loads(plan.stdout)
    assert document["environment"] == "cli"
    assert document["summary"]["create"] == 2
    assert len(document["fingerprint"]) == 32
    assert set(document["changes"][0]) == {
        "group",
        "version",
        "kind",
        "namespace",
        "name",
        "action",
        "reason",
        "fields",
        "source",
    }
    assert document["changes"][0]["source"] == {"file": "a.yaml", "line": 1}
    assert {"path": "data.a", "old": None, "new": "1"} in document["changes"][0]["fields"]
    assert plumbline("status", *target).returncode == 1

    applied = plumbline("apply", str(tmp_path), *target)
    assert applied.returncode == 0, applied.stderr
    assert "verified" in applied.stdout
    again = plumbline("plan", str(tmp_path), *target)
    assert again.returncode == 0
    assert "no changes; 2 objects are proven" in again.stdout
    assert "nothing was written" in plumbline("apply", str(tmp_path), *target).stdout
    status = plumbline("status", *target)
    assert status.returncode == 0
    assert status.stdout.startswith("cli  converged\n")
    assert "watched     no: it follows no branch" in status.stdout
    assert "\x1b" not in status.stdout

    (tmp_path / "a.yaml").write_text(config_map("one", a="2"))
    kept = json.loads(plumbline("plan", str(tmp_path), *target, "-o", "json").stdout)
    assert (kept["summary"]["configure"], kept["summary"]["skip"], kept["summary"]["prune"]) == (1, 1, 0)
    pruned = json.loads(plumbline("plan", str(tmp_path), *target, "--prune", "-o", "json").stdout)
    assert pruned["summary"]["prune"] == 1
    assert plumbline("apply", str(tmp_path), *target, "--prune").returncode == 0


def test_a_held_prune_is_confirmed_by_its_code(target: list[str], tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.yaml").write_text(config_map(name, a="1"))
    assert plumbline("apply", str(tmp_path), *target).returncode == 0
    (tmp_path / "one.yaml").unlink()
    (tmp_path / "two.yaml").unlink()
    planned = plumbline("plan", str(tmp_path), *target, "--prune")
    assert planned.returncode == 4
    held = plumbline("apply", str(tmp_path), *target, "--prune")
    assert held.returncode == 4
    assert "would prune 2 of 3 objects, over the budget of 10 objects or 50 %" in held.stderr
    status = plumbline("status", *target, "-o", "json")
    assert status.returncode == 4
    document = json.loads(status.stdout)
    assert (document["state"], document["sync"], document["operation"]) == ("held", "diverged", "held")
    assert (document["health"], document["cause"]) == ("healthy", "committed")
    confirmation = held.stderr.split("with the code ")[1].split()[0]
    assert confirmation in planned.stdout
    assert plumbline("apply", str(tmp_path), *target, "--prune", "--confirm-prune", "00000000").returncode == 4
    done = plumbline("apply", str(tmp_path), *target, "--prune", "--confirm-prune", confirmation)
    assert done.returncode == 0, done.stderr


def test_the_order_can_be_printed(target: list[str], tmp_path: Path) -> None:
    late = json.loads(config_map("late", a="1"))
    late["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": "1"}
    (tmp_path / "late.json").write_text(json.dumps(late))
    (tmp_path / "early.yaml").write_text(config_map("early", a="1"))
    run = plumbline("plan", str(tmp_path), *target, "--order")
    assert run.returncode == 0, run.stderr
    lines = [line.split("/")[-1].strip() for line in run.stdout.splitlines()]
    assert lines == [
        "stage 1 of 2: wave 0", "early", "then until all of it is healthy", "stage 2 of 2: wave 1", "late",
    ]  # fmt: skip


def test_what_never_becomes_healthy_is_diverged_and_said_why(target: list[str], tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "x:never-ready"}]},
    }
    (tmp_path / "p.json").write_text(json.dumps(pod))
    run = plumbline("apply", str(tmp_path), *target, "--timeout", "2s")
    assert run.returncode == 3
    assert "not healthy after" in run.stderr
    status = plumbline("status", *target, "-o", "json")
    assert status.returncode == 3
    document = json.loads(status.stdout)
    assert (document["state"], document["health"], document["operation"]) == ("failed", "progressing", "failed")
    assert document["cause"] == "failure"
    assert document["verified"] is None
    assert document["proof"] is None
    assert [each["health"] for each in document["unhealthy"]] == ["progressing"]


def test_an_empty_folder_is_refused_once_something_was_applied(target: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config_map("one", a="1"))
    assert plumbline("apply", str(tmp_path), *target).returncode == 0
    (tmp_path / "a.yaml").unlink()
    run = plumbline("apply", str(tmp_path), *target, "--prune")
    assert run.returncode in (3, 4)
    assert "would delete all 1 objects" in run.stderr


def test_an_error_names_the_file_and_shows_no_trace(target: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    run = plumbline("plan", str(tmp_path), *target)
    assert run.returncode == 1
    assert "a.yaml:2" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["plan"], 64, "usage"),
        (["nonsense"], 64, "invalid choice"),
        (["plan", ".", "-e", "x", "--kubeconfig", "/nonexistent"], 1, "no such file"),
        (["plan", ".", "-e", "x"], 1, "kubeconfig /nonexistent: no such file"),
        (["plan", ".", "-e", "CLI"], 64, "'CLI' is not a name"),
        (["plan", "/nonexistent", "-e", "x"], 1, ""),
        (["sandbox", "kubeconfig", "--name", "x y"], 1, "plumbline sandbox up --name 'x y'"),
        (["hooks", "install", "x.git", "--name", "a", "--address", "shop:80"], 64, "has no scheme"),
        (["apply", ".", "-e", "x", "--timeout", "soon"], 64, "not a duration"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(arguments: list[str], code: int, said: str) -> None:
    run = plumbline(*arguments, KUBECONFIG="/nonexistent")
    assert run.returncode == code
    assert said in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "command", ["", "render", "plan", "apply", "status", "hooks", "hooks install", "sandbox", "sandbox up", "demo"]
)
def test_every_command_explains_itself(command: str) -> None:
    run = plumbline(*command.split(), "--help")
    assert run.returncode == 0
    assert "usage: plumbline" in run.stdout


def test_a_cluster_that_does_not_answer_is_said_in_a_sentence(control_plane: ControlPlane, tmp_path: Path) -> None:
    document = json.loads(control_plane.kubeconfig().read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    away = tmp_path / "away.kubeconfig"
    away.write_text(json.dumps(document))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.yaml").write_text(config_map("one", a="1"))
    run = plumbline("plan", str(tmp_path / "app"), "-e", "x", "--kubeconfig", str(away))
    assert run.returncode == 1
    assert "does not answer (connection refused)" in run.stderr
    assert "Traceback" not in run.stderr


def test_credentials_without_rights_are_told_what_they_lack(
    control_plane: ControlPlane, tmp_path: Path, namespace: str
) -> None:
    (tmp_path / "a.yaml").write_text(config_map("one", a="1"))
    run = plumbline(
        "plan", str(tmp_path), "-e", "x", "--kubeconfig", str(control_plane.kubeconfig("nobody")), "-n", namespace
    )
    assert run.returncode == 1
    assert "may not" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not valid YAML"),
        ("a: 1", "has no list of contexts, so it is no kubeconfig"),
        ("contexts: []", "names no current-context; give one as context (it has none)"),
        ("current-context: b\ncontexts: [{name: a, context: {}}]", "has no context b (it has a)"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]",
            "the context a names the cluster c, which",
        ),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_said_in_our_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "k").write_text(text)
    run = plumbline("status", "-e", "x", "--kubeconfig", str(tmp_path / "k"))
    assert run.returncode == 1
    assert said in run.stderr
    assert f"kubeconfig {tmp_path / 'k'}" in run.stderr
    assert "Traceback" not in run.stderr


def test_no_kubeconfig_at_all_is_said(tmp_path: Path) -> None:
    run = plumbline("status", "-e", "x", KUBECONFIG="", HOME=str(tmp_path))
    assert run.returncode == 1
    assert f"no kubeconfig is given: KUBECONFIG is not set, there is no {tmp_path}/.kube/config" in run.stderr


def test_a_folder_may_be_named_from_where_one_stands(target: list[str], tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.yaml").write_text(config_map("one", a="1"))
    for command, code in ((["render", "app"], 0), (["plan", "app", *target], 2)):
        run = subprocess.run(
            [sys.executable, "-m", "plumbline", *command], capture_output=True, text=True, cwd=tmp_path, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert run.returncode == code, run.stderr
        assert "one" in run.stdout


def test_status_names_the_repository_whose_record_was_probably_meant(target: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(config_map("one", a="1"))
    assert plumbline("apply", str(tmp_path), *target, "--repository", "shop").returncode == 0
    run = plumbline("status", *target)
    assert run.returncode == 1
    assert "nothing is recorded" in run.stdout
    assert "ask with --repository shop\n" in run.stdout
    assert plumbline("status", *target, "--repository", "shop").returncode == 0
    other = plumbline("status", *["other" if word == "cli" else word for word in target])
    assert "--repository" not in other.stdout


@pytest.mark.parametrize(
    ("value", "said"),
    [("y", "data.a.b is read as true, like y, yes and on"), ("off", "is read as false"), ("12", "as the number 12")],
)
def test_a_word_that_yaml_reads_otherwise_is_told_to_be_quoted(
    target: list[str], tmp_path: Path, value: str, said: str
) -> None:
    (tmp_path / "a.yaml").write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a.b: {value}\n")
    run = plumbline("plan", str(tmp_path), *target)
    assert run.returncode == 1
    assert said in run.stderr
    assert "put it in quotes" in run.stderr
    assert "mend it" not in run.stderr


def test_the_folder_of_the_sandbox_s_programs_can_be_exported(tools: dict[str, Path]) -> None:
    run = plumbline("sandbox", "tools", "--folder", "kustomize", "helm")
    if tools["kustomize"].parent == tools["helm"].parent:
        assert run.stdout == f"{tools['helm'].parent}\n"
    else:
        assert run.returncode == 1
        assert "do not lie in one folder" in run.stderr


LISTED = """
apiVersion: v1
kind: List
items:
  - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {}}
  - {apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: hunter22}}
  - {apiVersion: v1, kind: Namespace, metadata: {name: place}}
"""


def test_render_prints_objects_in_apply_order_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.yml").write_text(LISTED)
    (tmp_path / "b.json").write_text(config_map("c", a="1"))
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    run = plumbline("render", str(tmp_path), "--namespace", "shop", "-o", "json")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert [each["kind"] for each in found] == ["Namespace", "Secret", "ConfigMap", "Deployment"]
    assert [each["metadata"].get("namespace") for each in found] == [None, "shop", "shop", "shop"]
    assert "hunter22" not in run.stdout
    assert "aHVudGVy" not in run.stdout


def test_render_builds_kustomizations_and_charts(tmp_path: Path, tools: dict[str, Path]) -> None:
    base, over = tmp_path / "base", tmp_path / "over"
    base.mkdir()
    over.mkdir()
    (base / "c.yaml").write_text(config_map("c", a="1"))
    (base / "kustomization.yaml").write_text("resources: [c.yaml]\n")
    (over / "kustomization.yaml").write_text("resources: [../base]\nnamePrefix: x-\nnamespace: place\n")
    run = plumbline("render", str(over), "-o", "json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)[0]["metadata"] == {"name": "x-c", "namespace": "place"}

    (over / "kustomization.yaml").write_text("resources:\n  - https://example.com/x.yaml\n")
    refused = plumbline("render", str(over))
    assert refused.returncode == 1
    assert "kustomization.yaml:2" in refused.stderr
    assert "fetched from elsewhere" in refused.stderr

    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "crds").mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 1.0.0\n")
    (chart / "values.yaml").write_text("a: one\n")
    (chart / "more.yaml").write_text("a: two\n")
    (chart / "templates" / "c.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: {{ .Values.a }}}\n"
    )
    (chart / "crds" / "w.yaml").write_text(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ws.example.com}\nspec: {group: example.com, names: {kind: W, plural: ws}, scope: Namespaced}\n"
    )
    run = plumbline("render", str(chart), "--values", "more.yaml", "--release", "r", "-o", "json")
    assert run.returncode == 0, run.stderr
    crd, made = json.loads(run.stdout)
    assert crd["kind"] == "CustomResourceDefinition"
    assert (made["metadata"]["name"], made["data"]) == ("r", {"a": "two"})

    (chart / "templates" / "c.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: {{ randAlphaNum 9 }}}\n"
    )
    random = plumbline("render", str(chart))
    assert random.returncode == 1
    assert "renders differently each time" in random.stderr
    assert "templates/c.yaml" in random.stderr

    (chart / "templates" / "c.yaml").write_text("a: {{ .Values.nothing.here }}\n")
    broken = plumbline("render", str(chart))
    assert broken.returncode == 1
    assert "templates/c.yaml:1" in broken.stderr
    assert str(tmp_path) not in broken.stderr

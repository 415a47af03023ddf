"""The README's promises about `git push`, on real parts: hooks, web, bot, worker, watch, Redis, a cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plumbline.local_system import ROOT, Clone, LocalSystem, git
from sandbox.control_plane import ControlPlane
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map, declaration

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
        - {name: cart, image: "registry.example/cart:%s"}
"""


def value(kubectl: Kubectl, namespace: str, name: str, key: str = "a") -> str:
    run = kubectl("-n", namespace, "get", "configmap", name, "-o", f"jsonpath={{.data.{key}}}", check=False)
    return run.stdout if run.returncode == 0 else ""


def facts_of(system: LocalSystem, revision: str, environment: str = "production") -> dict[str, object]:
    """The JSON line of a commit's note."""
    try:
        text = git("notes", "--ref", "plumbline", "show", revision, at=system.repository)
    except Exception:
        return {}
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return next((row for row in rows if row["environment"] == environment), {})


def test_a_push_prints_the_prediction_streams_the_convergence_and_writes_the_result_back(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/cart.yaml", DEPLOYMENT % "1.0" + "---\n" + config_map("flags", a="1"))
    clone.commit("One")
    first = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert first.returncode == 0, first.stderr
    assert "create     Deployment" in first.stderr
    clone.write("app/cart.yaml", DEPLOYMENT % "2.0" + "---\n" + config_map("flags", a="2"))
    revision = clone.commit("Two")
    push = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert push.returncode == 0, push.stderr
    words = [
        "image 1.0 -> 2.0", "2 of 2 objects change", f"converging production to {revision[:7]}", "applied    2 of 2",
        "healthy", f"production is at {revision[:7]}, as predicted", "settling", "converged", "written",
    ]  # fmt: skip
    position = -1
    for word in words:
        assert word in push.stderr, push.stderr
        assert push.stderr.index(word) > position
        position = push.stderr.index(word)
    assert "\x1b" not in push.stderr
    assert all(len(line.rstrip()) <= 108 for line in push.stderr.splitlines())
    assert value(kubectl, namespace, "flags") == "2"
    facts = facts_of(system, revision)
    assert facts["state"] == "converged"
    assert facts["verdict"] == "as predicted"
    assert git("rev-parse", "refs/plumbline/production/converged", at=system.repository).strip() == revision


def test_a47_a_secret_s_value_is_nowhere_but_in_the_cluster(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl, redis_url: str, tmp_path: Path
) -> None:
    canary = "canary-91d0c2"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": canary}}
    clone.write("app/db.json", json.dumps(secret))
    clone.commit("A secret")
    push = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert push.returncode == 0, push.stderr
    assert canary not in push.stderr
    for name in system.servers:
        assert canary not in (system.directory / f"{name}.log").read_text()
    note = git("notes", "--ref", "plumbline", "show", "main", at=system.repository)
    assert canary not in note
    import redis

    with redis.Redis.from_url(redis_url) as connection:
        for key in connection.keys("*"):
            kept = connection.dump(key)
            assert kept is None or canary.encode() not in kept
    records = kubectl("-n", f"state-{namespace}", "get", "configmaps", "-o", "yaml").stdout
    assert canary not in records
    live = kubectl("-n", namespace, "get", "secret", "db", "-o", "jsonpath={.data.password}").stdout
    assert live == "Y2FuYXJ5LTkxZDBjMg=="


def test_an_invalid_push_is_refused_with_file_line_and_reason_and_changes_nothing(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/a.yaml", config_map("flags", a="1"))
    good = clone.commit("Good")
    assert clone.push().returncode == 0
    clone.write("app/a.yaml", config_map("flags", a="2"))
    clone.write("app/cart.yaml", (DEPLOYMENT % "1.0").replace("replicas: 2", "replicas: two"))
    clone.commit("Bad")
    push = clone.push()
    assert push.returncode != 0
    assert "app/cart.yaml:1" in push.stderr
    assert "spec.replicas" in push.stderr
    assert git("rev-parse", "main", at=system.repository).strip() == good
    assert value(kubectl, namespace, "flags") == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2", "app/x.yaml:"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: '1', a: '2'}\n", "app/x.yaml:4"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "no metadata.name"),
        ("apiVersion: v1\nkind: Confgmap\nmetadata: {name: x}\n", "does not serve"),
        ("just: text\n", "not a Kubernetes object"),
    ],
    ids=["not YAML", "a key twice", "no name", "no such kind", "another file"],
)
def test_what_is_not_a_manifest_is_refused(clone: Clone, text: str, said: str) -> None:
    clone.write("app/x.yaml", text)
    clone.commit("Bad")
    push = clone.push()
    assert push.returncode != 0
    assert said in push.stderr


def test_a_mistake_in_plumbline_yaml_is_refused_with_its_line_and_a_suggestion(clone: Clone, namespace: str) -> None:
    clone.write("plumbline.yaml", declaration(namespace).replace("path:", "pth:"))
    clone.commit("Typo")
    push = clone.push()
    assert push.returncode != 0
    assert "plumbline.yaml:3" in push.stderr
    assert "did you mean `path`?" in push.stderr


def test_an_image_that_never_becomes_healthy_is_told_why_and_the_next_commit_takes_over(
    system: LocalSystem, clone: Clone, namespace: str
) -> None:
    clone.write("app/cart.yaml", DEPLOYMENT % "missing")
    bad = clone.commit("Bad image")
    seen = []
    for line in clone.pushed("-o", "plumbline.wait=30", "origin", "main"):
        seen.append(line)
        if "ImagePullBackOff" in line:
            break
    assert "ImagePullBackOff" in seen[-1], seen
    clone.write("app/cart.yaml", DEPLOYMENT % "1.0")
    good = clone.commit("Good image")
    push = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert f"production is at {good[:7]}" in push.stderr, push.stderr
    wait_until(
        lambda: facts_of(system, bad).get("state") == "superseded", 20, "the bad commit is said to be superseded"
    )
    assert facts_of(system, good)["state"] == "converged"


def test_a_crashing_image_fails_with_the_container_s_exit_code(system: LocalSystem, clone: Clone) -> None:
    clone.write("app/cart.yaml", DEPLOYMENT % "crashing")
    revision = clone.commit("Crashes")
    push = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert push.returncode == 0
    assert "failed" in push.stderr
    assert "code 1 (Error), restarted 3 times" in push.stderr, push.stderr
    assert facts_of(system, revision)["state"] == "failed"


def test_what_leaves_git_is_pruned_after_the_rest_is_healthy(clone: Clone, namespace: str, kubectl: Kubectl) -> None:
    for name in ("one", "two", "three"):
        clone.write(f"app/{name}.yaml", config_map(name, a="1"))
    clone.commit("Three")
    assert clone.push().returncode == 0
    (clone.folder / "app/three.yaml").unlink()
    clone.commit("Two")
    push = clone.push()
    assert "prune      ConfigMap" in push.stderr
    assert "1 of 3 objects changes, 1 of them deleted" in push.stderr
    assert value(kubectl, namespace, "three") == ""
    assert value(kubectl, namespace, "two") == "1"


def test_emptying_an_environment_is_refused(clone: Clone, namespace: str, kubectl: Kubectl) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    (clone.folder / "app/one.yaml").rename(clone.folder / "app/one.yaml.bak")
    clone.commit("Nothing")
    push = clone.push()
    assert push.returncode != 0
    assert "would delete all 1 objects" in push.stderr
    assert value(kubectl, namespace, "one") == "1"


def test_rewriting_the_branch_needs_the_printed_code(clone: Clone, namespace: str, kubectl: Kubectl) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    clone.write("app/one.yaml", config_map("one", a="2"))
    git("commit", "--quiet", "--all", "--amend", "-m", "Rewritten", at=clone.folder)
    push = clone.push("--force", "origin", "main")
    assert push.returncode != 0
    assert "would be rewritten" in push.stderr
    assert value(kubectl, namespace, "one") == "1"
    code = push.stderr.split("plumbline.approve=")[1].split()[0]
    approved = clone.push("--force", "-o", f"plumbline.approve={code}", "origin", "main")
    assert approved.returncode == 0, approved.stderr
    assert "verified" in approved.stderr, approved.stderr
    assert value(kubectl, namespace, "one") == "2"


def test_branches_tags_and_several_refs_behave(system: LocalSystem, clone: Clone, namespace: str) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    git("branch", "feature", at=clone.folder)
    git("tag", "v1", at=clone.folder)
    push = clone.push("origin", "main", "feature", "v1")
    assert push.returncode == 0, push.stderr
    assert "no environment follows the branch feature" in push.stderr
    assert "verified" in push.stderr
    assert clone.push("origin", "--delete", "feature", "v1").returncode == 0
    deleted = clone.push("origin", "--delete", "main")
    assert deleted.returncode != 0


def test_waiting_is_the_pusher_s_choice(clone: Clone) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    push = clone.push("-o", "plumbline.wait=0", "origin", "main")
    assert push.returncode == 0
    assert "create     ConfigMap" in push.stderr
    assert "converging" not in push.stderr


def test_two_environments_of_one_commit_share_its_note(system: LocalSystem, clone: Clone, namespace: str) -> None:
    second = f"  - name: staging\n    path: staging\n    namespace: {namespace}\n    policy: {{settle: 1s}}\n"
    clone.write("plumbline.yaml", declaration(namespace, more=second))
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.write("staging/two.yaml", config_map("two", a="1"))
    revision = clone.commit("Both")
    push = clone.push("-o", "plumbline.wait=60", "origin", "main")
    assert push.returncode == 0, push.stderr
    wait_until(lambda: facts_of(system, revision, "staging").get("state") == "converged", 20, "staging is converged")
    wait_until(lambda: facts_of(system, revision).get("state") == "converged", 20, "production is converged")


def test_f03_a_push_whose_alert_was_lost_is_found(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    clone.write("app/one.yaml", config_map("one", a="2"))
    revision = clone.commit("Two")
    hook = system.repository / "hooks" / "post-receive"
    hook.rename(hook.with_suffix(".away"))
    assert clone.push().returncode == 0
    wait_until(lambda: value(kubectl, namespace, "one") == "2", 30, "the poller finds the commit")
    wait_until(lambda: facts_of(system, revision).get("state") == "converged", 30, "it is converged")


def test_f05_everything_is_found_again_after_redis_was_emptied(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl, redis_url: str
) -> None:
    import redis

    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    system.servers["worker"].signal(signal.SIGSTOP)
    clone.write("app/one.yaml", config_map("one", a="2"))
    clone.commit("Two")
    git("config", "plumbline.whenAway", "accept", at=system.repository)
    assert clone.push("-o", "plumbline.wait=0", "origin", "main").returncode == 0
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushall()
    system.servers["worker"].signal(signal.SIGCONT)
    wait_until(lambda: value(kubectl, namespace, "one") == "2", 60, "the commit is converged all the same")


def test_the_command_line_does_not_write_where_a_server_converges(
    control_plane: ControlPlane, clone: Clone, namespace: str, kubectl: Kubectl
) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    clone.write("app/one.yaml", config_map("one", a="2"))
    command = [
        sys.executable,
        "-m",
        "plumbline",
        "apply",
        str(clone.folder / "app"),
        "-e",
        "production",
        "--repository",
        "shop",
    ]
    command += [
        "--kubeconfig",
        str(control_plane.kubeconfig()),
        "-n",
        namespace,
        "--state-namespace",
        f"state-{namespace}",
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 1
    assert "follows the branch main, which a server converges" in run.stderr
    assert value(kubectl, namespace, "one") == "1"


def test_a_prediction_says_unknown_when_the_cluster_is_away(
    system: LocalSystem, clone: Clone, control_plane: ControlPlane
) -> None:
    clone.write("app/one.yaml", config_map("one", a="1"))
    clone.commit("One")
    assert clone.push().returncode == 0
    clone.write("app/one.yaml", config_map("one", a="2"))
    clone.commit("Two")
    control_plane.pause("kube-apiserver")
    try:
        push = clone.push("-o", "plumbline.wait=0", "origin", "main")
    finally:
        control_plane.resume("kube-apiserver")
    assert "objects change" not in push.stderr
    assert "No change" not in push.stderr
    assert "nothing can be predicted" in push.stderr or "cannot predict" in push.stderr

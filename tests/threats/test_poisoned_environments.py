"""Environments declared to do harm, and nineteen others beside one; each name begins with the threat's number."""

from __future__ import annotations

import time

import pytest

from plumbline.local_system import Clone, LocalSystem, git
from sandbox.processes import wait_until
from tests.conftest import Kubectl, config_map
from worker.domain.declaration import Declaration, read_declaration
from worker.domain.environment import Ceiling
from worker.domain.errors import DesiredStateError
from worker.domain.installation import Cluster, Installation, Repository
from worker.domain.messages import PreviewRequest, RefUpdate
from worker.domain.reports import Outcome
from worker.domain.secret_text import SecretReference
from worker.previews import _previewed
from worker.settings import Settings
from worker.workbench import Workbench

POISONS = {
    "a bad duration": "policy: {settle: soon}",
    "a duration without end": f"policy: {{settle: {'9' * 5000}h}}",
    "a cluster": "cluster: /etc/kubernetes/admin.conf",
    "a manifest": "path: poisoned",
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_a40_one_poisoned_environment_of_twenty_hides_and_stalls_no_other(
    system: LocalSystem, clone: Clone, namespace: str, kubectl: Kubectl, poison: str
) -> None:
    entries = []
    for number in range(20):
        clone.write(f"e{number}/a.yaml", config_map(f"a{number}", n="1"))
        entry = {"name": f"e{number}", "path": f"e{number}", "namespace": namespace}
        lines = [f"{name}: {value}" for name, value in entry.items()]
        if number == 7:
            lines = [line for line in lines if line.partition(":")[0] != poison.partition(":")[0]] + [poison]
        entries.append("  - " + "\n    ".join(lines))
    clone.write("poisoned/a.yaml", "a: &a [*a]\n")
    clone.write("plumbline.yaml", "environments:\n" + "\n".join(entries) + "\n")
    commit = clone.commit("twenty")
    git("fetch", "--quiet", str(clone.folder), "HEAD:refs/heads/main", at=system.repository)
    assert git("rev-parse", "main", at=system.repository).strip() == commit

    update = RefUpdate("refs/heads/main", "0" * 40, commit)
    request = PreviewRequest("ticket", "shop", (update,), False, time.time() + 100, ())
    bench = Workbench.of(Settings.load(system.environ))
    report = _previewed(bench, request, time.time())
    bench.checkout(bench.repository("shop")).close()
    outcomes = {each.environment: each.outcome for each in report.environments}
    assert outcomes == {f"e{number}": Outcome.INVALID if number == 7 else Outcome.PLANNED for number in range(20)}
    assert report.refuses

    def applied() -> bool:
        names = kubectl("-n", namespace, "get", "configmap", "-o", "name").stdout
        return all(f"configmap/a{number}\n" in names for number in range(20) if number != 7)

    wait_until(applied, 60, "the nineteen others are applied")
    for name in ("worker", "watch", "bot", "web"):
        system.servers[name].require_running()
        assert "Traceback" not in (system.directory / f"{name}.log").read_text()


# -- what a declaration may say ------------------------------------------------------------------------------------------

SHOP = Repository("shop", "/srv/shop.git", SecretReference(env="X"), ceiling=Ceiling(("shop-*",), ("*",), (), ("one",)))
INSTALLATION = Installation(
    "http://127.0.0.1:1", SecretReference(env="R"), SecretReference(env="S"), (Cluster("one"), Cluster("two")), (SHOP,)
)


def declared(text: str) -> Declaration:
    return read_declaration(text, INSTALLATION, SHOP, "main")


GOOD = {"name": "a", "path": "x", "namespace": "shop-a"}
HOSTILE = [
    ("path", "../../../", "leads out of the repository"),
    ("path", "/etc", "leads out of the repository"),
    ("path", '"envs/prod\\0"', "leads out of the repository"),
    ("path", "a/../../b", "leads out of the repository"),
    ("path", "'a\\b'", "leads out of the repository"),
    ("path", "x" * 600, "leads out of the repository"),
    ("path", "[a]", "expected text"),
    ("name", "../a", "is not a name"),
    ("name", "a" * 64, "is not a name"),
    ("name", '"a\\x1b[31m"', "is not a name"),
    ("namespace", "shop-a/../kube-system", "is not a name of a namespace"),
    ("namespace", "kube-system", "is not allowed for this repository"),
    ("cluster", "two", "is not one this repository may use"),
    ("cluster", "/root/.kube/config", "is not one this repository may use"),
    ("kubeconfig", "{users: [{user: {exec: {command: touch}}}]}", "unknown key `kubeconfig`"),
    ("impersonate", "{user: admin}", "unknown key `impersonate`"),
    ("ceiling", "{dangerous: [rbac]}", "unknown key `ceiling`"),
    ("release", "--post-renderer=x", "is not a name of a release"),
    ("release", "a" * 54, "is not a name of a release"),
    ("renderer", "exec", "is none of auto"),
    ("policy", "{settle: soon}", "is not a duration"),
    ("policy", "{settle: -5s}", "is not a duration"),
    ("policy", "{settle: 99999999999999999999999999h}", "is not a duration"),
    ("policy", "{health-timeout: 1e309}", "is not a duration"),
    ("policy", "{prune-budget: 1e400}", "is not a budget"),
    ("policy", "{prune-budget: -1}", "is not a budget"),
    ("policy", "{prune-budget: 99999999999999999999}", "is not a budget"),
    ("policy", "{prune-budget: 101%}", "is not a budget"),
    ("policy", "{force: 'yes'}", "expected true or false"),
    ("policy", "[]", "expected a mapping"),
]


@pytest.mark.parametrize(("key", "value", "said"), HOSTILE)
def test_a39_a_hostile_value_breaks_its_own_environment_only_and_has_its_line(key: str, value: str, said: str) -> None:
    lines = [f"{name}: {text}" for name, text in (GOOD | {key: value}).items()]
    text = "environments:\n  - {name: other, path: other, namespace: shop-b}\n  - " + "\n    ".join(lines) + "\n"
    found = declared(text)
    assert [each.name for each in found.environments] == ["other"]
    (broken,) = found.broken
    assert said in str(DesiredStateError(broken.problems))
    assert broken.problems[0].line == 3 + list(GOOD | {key: value}).index(key)
    assert broken.cluster == "one"
    if broken.name:
        with pytest.raises(DesiredStateError, match=r"plumbline\.yaml:"):
            found.environment(broken.name)


def test_a39_two_environments_of_one_name_break_each_other_and_nobody_else() -> None:
    entry = "  - {name: NAME, path: x, namespace: shop-a}\n"
    found = declared("environments:\n" + "".join(entry.replace("NAME", name) for name in ("a", "b", "a")))
    assert [each.name for each in found.environments] == ["b"]
    assert [each.name for each in found.broken] == ["a", "a"]


def test_a39_a_declaration_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(DesiredStateError, match="is larger than 256 KiB"):
        declared("# " + "x" * (300 << 10))

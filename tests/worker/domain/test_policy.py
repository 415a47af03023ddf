"""What plumbline.yaml's policy may say about observing: each option with its default, and each mistake with its line."""

from __future__ import annotations

from typing import Any

import pytest

from worker.domain.declaration import Declaration, read_declaration
from worker.domain.environment import Approvers, Ceiling, Converge, Mode, Policy
from worker.domain.errors import DesiredStateError, FieldOwner
from worker.domain.installation import Cluster, Installation, Repository
from worker.domain.resource import Resource, resource_of
from worker.domain.rules import MOST_RULES, ConflictRule, IgnoreRule, Resolution, Selector, is_peoples_tool, resolution
from worker.domain.secret_text import SecretReference

HEAD = "environments:\n  - name: a\n    path: x\n    namespace: shop\n    policy:\n"


def declared(policy: str, ceiling: Ceiling | None = None) -> Declaration:
    shop = Repository("shop", "/srv/shop.git", SecretReference(env="X"), ceiling=ceiling or Ceiling())
    secret = SecretReference(env="R")
    return read_declaration(
        HEAD + policy, Installation("http://x", secret, secret, (Cluster("one"),), (shop,)), shop, "main"
    )


def policy_of(policy: str) -> Policy:
    (environment,) = declared(policy).environments
    return environment.policy


@pytest.mark.parametrize(
    ("text", "name", "value", "default"),
    [
        ("mode: heal", "mode", Mode.HEAL, Mode.ALERT),
        ("mode: observe", "mode", Mode.OBSERVE, Mode.ALERT),
        ("diff-after: 0s", "diff_after", 0, 30),
        ("remind: 10s", "remind", 10, 3600),
        ("resync: 10s", "resync", 10, 300),
        ("settle: 1m", "settle", 60, 30),
        ("strict: true", "strict", True, False),
        ("converge: on-approval", "converge", Converge.ON_APPROVAL, Converge.AUTOMATIC),
        ("approvals: 2", "approvals", 2, 1),
        ("approvers: anyone", "approvers", Approvers.ANYONE, Approvers.OTHERS),
        ("recreate: []", "recreate", (), ("Job.batch",)),
        ("ignore: [{managers: [a]}]", "ignore", (IgnoreRule(Selector(), (), ("a",)),), ()),
        ("conflicts: [{action: keep}]", "conflicts", (ConflictRule(Selector(), Resolution.KEEP),), ()),
    ],
)
def test_every_option_has_its_default(text: str, name: str, value: Any, default: Any) -> None:
    assert getattr(policy_of(f"      {text}\n"), name) == value
    assert getattr(policy_of("      prune: true\n"), name) == default


def test_rules_are_read_whole() -> None:
    policy = policy_of("""\
      ignore:
        - kind: Deployment.apps
          name: cart-*
          namespace: shop
          labels: {app: cart}
          fields: [spec.replicas, "/spec/template/spec/containers/0/image"]
          managers: [vpa-*]
      conflicts:
        - {kind: ConfigMap, fields: [data.mode], managers: [theirs], action: force}
""")
    (ignored,) = policy.ignore
    assert ignored.selector == Selector("Deployment.apps", "cart-*", "shop", (("app", "cart"),))
    assert [str(each) for each in ignored.fields] == ["spec.replicas", "/spec/template/spec/containers/0/image"]
    assert str(ignored) == (
        "kind Deployment.apps, name cart-*, namespace shop, label app=cart: "
        "spec.replicas, /spec/template/spec/containers/0/image of what vpa-* own"
    )
    (conflict,) = policy.conflicts
    assert (conflict.action, conflict.managers) == (Resolution.FORCE, ("theirs",))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("      remind: 9s\n", "`remind`: 9s is too short (give it 10s or more)"),
        ("      resync: 0s\n", "`resync`: 0s is too short (give it 10s or more)"),
        ("      converge: later\n", "is none of automatic, on-approval"),
        ("      approvals: 0\n", "`approvals`: at least 1 person approves"),
        ("      approvers: everybody\n", "is none of others, anyone"),
        ("      mode: fix\n", "is none of observe, alert, heal"),
        ("      strict: maybe\n", "expected true or false"),
        ("      ignore: spec.replicas\n", "expected a list"),
        ("      ignore: [{kind: Deployment.apps}]\n", "does not say what is ignored"),
        ("      ignore: [{fields: []}]\n", "`fields`: the list is empty"),
        ("      ignore: [{fields: [a], managers: []}]\n", "`managers`: the list is empty"),
        ("      ignore: [{fields: [metadata.name]}]\n", "covers metadata.name"),
        ("      ignore: [{fields: ['a..b']}]\n", "two dots in a row"),
        ("      ignore: [{fields: [a], kind: 'a b'}]\n", "is not a kind"),
        ("      ignore: [{fields: [a], kinds: x}]\n", "unknown key `kinds`"),
        (f"      ignore: [{{managers: ['{'*' * 300}']}}]\n", "longer than 253 characters"),
        (f"      ignore: [{', '.join(['{managers: [a]}'] * (MOST_RULES + 1))}]\n", "more than 50 rules"),
        (f"      ignore: [{{fields: [{', '.join(['a'] * 51)}]}}]\n", "more than 50"),
        ("      conflicts: [{kind: Pod}]\n", "`action` is missing"),
        ("      conflicts: [{action: ask}]\n", "is none of keep, force, refuse"),
    ],
)
def test_a_mistake_breaks_its_environment_and_has_its_line(policy: str, said: str) -> None:
    found = declared(policy)
    assert found.environments == ()
    (broken,) = found.broken
    assert said in str(DesiredStateError(broken.problems))
    assert {problem.line for problem in broken.problems} == {6}


def test_force_by_a_rule_needs_the_operator_s_word() -> None:
    text = "      conflicts: [{action: force}]\n"
    assert declared(text).environments
    (broken,) = declared(text, Ceiling(force=False)).broken
    assert "force is not allowed for this repository" in str(broken.problems[0])
    assert declared("      conflicts: [{action: keep}]\n", Ceiling(force=False)).environments


def thing(**labels: str) -> Resource:
    metadata = {"name": "cart-1", "namespace": "shop", "labels": labels}
    return resource_of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1}})


@pytest.mark.parametrize(
    ("selector", "selects"),
    [
        (Selector(), True),
        (Selector("Deployment.apps"), True),
        (Selector("Deployment"), False),
        (Selector("*.apps", "cart-*", "sh?p"), True),
        (Selector(name="cart"), False),
        (Selector(namespace="other"), False),
        (Selector(labels=(("app", "ca*"),)), True),
        (Selector(labels=(("app", "shop"),)), False),
        (Selector(labels=(("none", "*"),)), False),
    ],
)
def test_a_rule_selects_by_patterns(selector: Selector, selects: bool) -> None:
    assert selector.selects(thing(app="cart")) is selects


def owner(manager: str = "theirs", operation: str = "Update", field: str = "spec.replicas") -> FieldOwner:
    return FieldOwner(manager, operation, field)


RULES = (
    ConflictRule(Selector(), Resolution.KEEP, managers=("hpa*",)),
    ConflictRule(Selector("Deployment.apps"), Resolution.FORCE, managers=("theirs",)),
    ConflictRule(Selector(), Resolution.REFUSE),
)


@pytest.mark.parametrize(
    ("whose", "rules", "force", "may_force", "expected"),
    [
        (owner(), (), True, True, Resolution.FORCE),
        (owner(), (), False, True, Resolution.REFUSE),
        (owner(operation="Apply"), (), True, True, Resolution.REFUSE),
        (owner(operation="Update:scale"), (), True, True, Resolution.KEEP),
        (owner(operation="Apply"), RULES, False, True, Resolution.FORCE),
        (owner(operation="Apply"), RULES, True, False, Resolution.REFUSE),
        (owner("hpa-controller"), RULES, True, True, Resolution.KEEP),
        (owner("somebody"), RULES, True, True, Resolution.REFUSE),
        (owner("plumbline:x/y", "Apply"), (ConflictRule(Selector(), Resolution.FORCE),), True, True, Resolution.REFUSE),
    ],
)
def test_the_first_rule_about_a_conflict_decides_it(
    whose: FieldOwner, rules: tuple[ConflictRule, ...], force: bool, may_force: bool, expected: Resolution
) -> None:
    assert resolution(whose, thing(), rules, force=force, may_force=may_force) is expected


@pytest.mark.parametrize(
    ("manager", "is_one"),
    [
        ("kubectl", True), ("kubectl-edit", True), ("kubectl-client-side-apply", True), ("before-first-apply", True),
        ("Mozilla", True), ("k9s", True), ("helm", True), ("Lens", True), ("node-fetch", True),
        ("kube-controller-manager", False), ("kubelet", False), ("helm-controller", False), ("argocd-controller", False),
        ("cert-manager-cainjector", False), ("plumbline:shop/production", False), ("kubectl2", False), ("", False),
    ],
)  # fmt: skip
def test_people_s_tools_are_told_from_controllers(manager: str, is_one: bool) -> None:
    assert is_peoples_tool(manager) is is_one

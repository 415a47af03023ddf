"""Health rules of plumbline.yaml: what they say of an object, what is refused, and that none can stall anything."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.declaration import read_declaration
from worker.domain.environment import Ceiling
from worker.domain.errors import DesiredStateError
from worker.domain.expression import EvaluationError, Expression, ExpressionError
from worker.domain.health import Health, HealthPolicy
from worker.domain.installation import Cluster, Installation, Repository
from worker.domain.resource import resource_of
from worker.domain.secret_text import SecretReference
from worker.planning.assessment import assess

RULE = """\
        Database.example.org:
          healthy: status.phase == 'Ready' && status.nodes >= `3`
          degraded: status.conditions[?type=='Broken' && status=='True'] | [0]
          suspended: spec.parked
          reason: status.message
"""


def declared(rules: str) -> dict[str, HealthPolicy]:
    text = (
        "environments:\n  - name: production\n    path: app\n    namespace: shop\n    policy:\n      health:\n" + rules
    )
    secret = SecretReference(env="NONE")
    repository = Repository("shop", "/srv/shop.git", secret, ceiling=Ceiling())
    installation = Installation("http://127.0.0.1", secret, secret, clusters=(Cluster("one"),))
    found = read_declaration(text, installation, repository, "main").environment("production")
    assert found is not None
    return dict(found.policy.health)


def judged(rules: str, **body: Any) -> tuple[Health, str]:
    whole = {"apiVersion": "example.org/v1", "kind": "Database", "metadata": {"name": "d", "generation": 2}, **body}
    live = resource_of(whole)
    found = assess(live, live.key, declared(rules))
    return found.health, found.reason


BROKEN = [{"type": "Broken", "status": "True"}]


@pytest.mark.parametrize(
    ("body", "health", "reason"),
    [
        ({"status": {"phase": "Ready", "nodes": 3}}, Health.HEALTHY, ""),
        ({"status": {"phase": "Ready", "nodes": 2, "message": "2 of 3"}}, Health.PROGRESSING, "2 of 3"),
        ({"status": {"phase": "Ready", "nodes": 3, "conditions": BROKEN, "message": "disk full"}}, Health.DEGRADED, "disk full"),
        ({"status": {"phase": "Ready", "nodes": 3}, "spec": {"parked": True}}, Health.SUSPENDED, "is suspended"),
        ({}, Health.PROGRESSING, "does not fulfil the policy's rule yet"),
        ({"status": {"phase": "Ready", "nodes": 3, "observedGeneration": 1}}, Health.PROGRESSING, "has not seen the change"),
        ({"status": {"phase": "Ready", "nodes": "3"}}, Health.UNKNOWN, "no answer"),
        ({"status": {"phase": "x", "message": "token=" + "s3cr3t" * 3}}, Health.PROGRESSING, "token=‹masked›"),
    ],
)  # fmt: skip
def test_a_rule_of_the_policy_judges_its_kind(body: dict[str, Any], health: Health, reason: str) -> None:
    found, said = judged(RULE, **body)
    assert found is health
    assert reason in said


def test_a_rule_that_has_no_answer_is_unknown_with_the_reason_and_never_healthy() -> None:
    found, reason = judged("        Database.example.org: {healthy: length(status.nodes) == `3`}\n")
    assert found is Health.UNKNOWN
    assert "no answer" in reason
    assert not found.is_good


def test_an_ignored_kind_is_healthy_and_others_keep_their_own_rules() -> None:
    assert judged("        Database.example.org: ignore\n", status={"phase": "Failed"})[0] is Health.HEALTHY
    assert judged("        Other.example.org: ignore\n", status={"phase": "Failed"})[0] is Health.DEGRADED


@pytest.mark.parametrize(
    ("rules", "line", "message", "suggestion"),
    [
        ("        A.example.org: ignored\n", 7, "'ignored' is none of ignore", "ignore"),
        ("        a-b: ignore\n", 7, "is not a kind", "Deployment.apps"),
        ("        A.example.org: {degraded: a}\n", 7, "`healthy` is missing", "healthy"),
        ("        A.example.org:\n          healthy: a\n          degradet: b\n", 9, "unknown key", "degraded"),
        ("        A.example.org:\n          healthy: status.phase = 'x'\n", 8, "character 14", "=="),
        ("        A.example.org:\n          healthy: status.n >= 3\n", 8, "cannot be read", "`1`"),
        ("        A.example.org:\n          healthy: a and b\n", 8, "cannot be read", "&&"),
        ("        A.example.org:\n          healthy: '[a, b]'\n", 8, "a list in brackets", "only reads"),
        ("        A.example.org:\n          healthy: 'map(&a, b)'\n", 8, "the function map", "only reads"),
        ("        A.example.org:\n          healthy: '" + "a" * 501 + "'\n", 8, "longer than 500", "only reads"),
        ("        A.example.org:\n          healthy: [a]\n", 8, "expected text", "quotes"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_its_line_and_what_to_write(
    rules: str, line: int, message: str, suggestion: str
) -> None:
    with pytest.raises(DesiredStateError) as caught:
        declared(rules)
    problem = caught.value.problems[0]
    assert (problem.file, problem.line) == ("plumbline.yaml", line)
    assert message in problem.message
    assert suggestion in (problem.suggestion or "")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 250 + "a" + ")" * 249,
        "!" * 499 + "a",
        "a" + "[0]" * 160,
        "a" + ".*" * 200,
        "a" + "[]" * 200,
        "[?a[?a[?a[?a[?a[?a]]]]]]",
        "a[*].b[*].c[*].d | [?@ == @]",
        " || ".join(["a[*].b[*].c"] * 30),
        "`[[[[[[1]]]]]]`",
        "to_string(to_string(to_string(@)))",
        "join(join(a, b), c)",
        "[@,@] | [] | [@,@] | [] | [@,@] | []",
        "sort_by(a, &b)",
    ],
)
def test_a40_an_expression_that_would_cost_without_bound_is_refused_or_ends_at_once(text: str) -> None:
    inner: Any = {"d": 1}
    for name in ("c", "b", "a"):
        inner = {name: [inner for _ in range(60)]}
    began = time.process_time()
    try:
        Expression(text).value(json.loads(json.dumps(inner)))
    except (ExpressionError, EvaluationError) as error:
        assert str(error)
    assert time.process_time() - began < 2


WORDS = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[",
        "]",
        "*",
        "?",
        "==",
        "&&",
        "||",
        "!",
        "(",
        ")",
        "`1`",
        "'x'",
        "|",
        "@",
        "length",
        "[]",
        "&",
        "{",
    ]
)


@settings(max_examples=600, derandomize=True, deadline=None)
@given(words=st.lists(WORDS, max_size=25), body=st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b"]), inner)),
    max_leaves=8,
))  # fmt: skip
def test_whatever_is_written_as_an_expression_is_an_answer_or_an_error_that_says_why(
    words: list[str], body: Any
) -> None:
    try:
        Expression(" ".join(words)).holds({"a": body})
    except (ExpressionError, EvaluationError) as error:
        assert str(error)

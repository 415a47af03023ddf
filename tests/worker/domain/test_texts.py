"""Reading YAML, plumbline.yaml and app.yaml: values as kubectl reads them, mistakes with their line."""

from __future__ import annotations

import pytest

from worker.domain.declaration import read_declaration
from worker.domain.environment import Ceiling, Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import Cluster, Installation, Repository
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference
from worker.domain.yaml_text import TextLimits, read_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("on", True), ("y", True), ("Off", False), ("0644", 420), ("0o644", 420), ("1e3", 1000),
        ("1_000", 1000), ("0x1F", 31), ("~", None), ("Null", None), ("2001-01-01", "2001-01-01"), ("1.0", 1), ("1:30", "1:30"),
        ("+1", 1), (".5", 0.5), ("08", 8), ('"yes"', "yes"), ("!!str 5", "5"), ("12345678901234567890", 12345678901234567890),
        ("1.4.1", "1.4.1"), ("100m", "100m"), ("-", None), ("''", ""), ("1.5e+3", 1500),
    ],
)  # fmt: skip
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    if text == "-":
        assert read_documents("a: [~]", "f")[0].value == {"a": [None]}
        return
    found = read_documents(f"a: {text}", "f")[0].value["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: the key a stands twice"),
        ('{"a": 1, "a": 2}', "f:1: the key a stands twice"),
        ("a: *nowhere", "f:1"),
        ("a: !evil x", "the tag !evil is not known"),
        ("a:\n\t- b", "f:2: is not valid YAML"),
        ("[a]: 1", "a key is not a single value"),
        (
            "a: &a ["
            + "x," * 50
            + "]\n"
            + "".join(f"{n}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)),
            "aliases",
        ),
        ("[" * 300 + "]" * 300, "levels deep"),
    ],
    ids=["twice", "twice in JSON", "no anchor", "tag", "tab", "key", "bomb", "depth"],
)
def test_what_would_be_guessed_at_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(DesiredStateError, match=said.split(":", maxsplit=1)[0]) as caught:
        read_documents(text, "f")
    assert said in str(caught.value)


def test_documents_keep_their_lines_and_empty_ones_are_left_out() -> None:
    found = read_documents("# only a comment\n---\n---\na: 1\n---\nb:\n  c: 2\n", "f", lines=True)
    assert [(document.value, document.line) for document in found] == [({"a": 1}, 4), ({"b": {"c": 2}}, 6)]
    assert found[1].line_of(("b", "c")) == 7
    assert found[1].line_of(("b", "x", "y")) == 6


def test_numbers_and_booleans_as_keys_become_text_and_merge_keys_merge() -> None:
    text = "1: a\ntrue: b\none: &x {p: 1, q: 2}\ntwo: {<<: *x, q: 3}\n"
    assert read_documents(text, "f")[0].value == {
        "1": "a",
        "true": "b",
        "one": {"p": 1, "q": 2},
        "two": {"q": 3, "p": 1},
    }


def test_limits_are_said_with_what_to_do() -> None:
    with pytest.raises(DesiredStateError, match="more than 5 values"):
        read_documents("[1,2,3,4,5,6]", "f", TextLimits(nodes=5))


REPOSITORY = Repository(
    "shop", "/srv/shop.git", SecretReference(env="X"), ceiling=Ceiling(("shop", "shop-*"), ("*",), ())
)
INSTALLATION = Installation(
    "http://127.0.0.1:1", SecretReference(env="R"), SecretReference(env="S"), (Cluster("one"),), (REPOSITORY,)
)


def declared(text: str, branch: str = "main") -> tuple[Environment, ...]:
    found = read_declaration(text, INSTALLATION, REPOSITORY, branch)
    if found.broken:
        raise DesiredStateError([problem for each in found.broken for problem in each.problems])
    return found.environments


def test_a_declaration_fills_in_what_is_usual() -> None:
    (found,) = declared("environments:\n  - {name: production, path: ./clusters/production/, namespace: shop}\n")
    assert (found.path, found.cluster, found.branch, found.renderer) == ("clusters/production", "one", "main", "auto")
    assert (found.policy.settle, found.policy.health_timeout) == (30, 120)
    assert found.field_manager == "plumbline:shop/production"


def test_an_environment_counts_only_on_its_own_branch() -> None:
    text = "environments:\n  - {name: a, path: a, namespace: shop}\n  - {name: b, path: b, namespace: shop, branch: main}\n"
    assert [each.name for each in declared(text)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("environments:\n  - {name: a, pth: x, namespace: shop}", 2, "did you mean `path`?"),
        ("environments:\n  - {name: a, path: ../x, namespace: shop}", 2, "leads out of the repository"),
        ("environments:\n  - {name: a, path: /x, namespace: shop}", 2, "leads out of the repository"),
        ("environments:\n  - {name: a, path: x, namespace: other}", 2, "app.yaml allows: shop, shop-*"),
        ("environments:\n  - {name: a, path: x, namespace: shop, cluster: two}", 2, "not one this repository may use"),
        ("environments:\n  - {name: a, path: x, namespace: shop, branch: dev}", 2, "dev may not have environments"),
        (
            "environments:\n  - {name: a, path: x, namespace: shop}\n  - {name: a, path: y, namespace: shop}",
            3,
            "declared twice",
        ),
        (
            "environments:\n  - name: a\n    path: x\n    namespace: shop\n    policy: {settle: soon}",
            5,
            "not a duration",
        ),
        (
            "environments:\n  - name: a\n    path: x\n    namespace: shop\n    renderer: jsonnet",
            5,
            "none of auto, yaml",
        ),
        ("environment:\n  - {}", 1, "did you mean `environments`?"),
        ("environments: {}", 1, "expected a list"),
        ("- a", 1, "expected a mapping"),
        ("environments:\n  - {name: A_b, path: x, namespace: shop}", 2, "is not a name"),
    ],
)
def test_a_mistake_in_a_declaration_has_its_line_and_what_to_write(text: str, line: int, said: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        declared(text)
    assert said in str(caught.value)
    assert line in [problem.line for problem in caught.value.problems]
    assert all(problem.file == "plumbline.yaml" for problem in caught.value.problems)


def test_all_mistakes_are_said_at_once() -> None:
    with pytest.raises(DesiredStateError) as caught:
        declared("environments:\n  - {nam: a, path: x}\n  - {name: b, namespace: 5}\nother: 1\n")
    assert len(caught.value.problems) >= 5


def test_a_key_written_wrongly_is_one_problem_and_a_missing_one_another() -> None:
    with pytest.raises(DesiredStateError) as caught:
        declared("environments:\n  - {name: a, namepsace: shop}\n")
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 2
    assert any("`path` is missing" in text for text in said)
    assert any("unknown key `namepsace` (did you mean `namespace`?)" in text for text in said)


@pytest.mark.parametrize("text", ["a:\n\tb: 1\n", "a:\n  b: 1\n\tc: 2\n", "\ta: 1\n", "é: 1\nb:\n\t- c\n"])
def test_a_tab_is_called_a_tab(text: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        read_documents(text, "f")
    (problem,) = caught.value.problems
    assert "a tab stands where it indents" in problem.message
    assert problem.line == text[: text.index("\t")].count("\n") + 1
    assert problem.suggestion == "YAML indents with spaces: replace the tab"


def test_the_example_app_yaml_is_valid() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[3] / "app.yaml").read_text()
    found = read_installation(text, "app.yaml")
    assert found.repositories[0].ceiling.namespaces == ("shop",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: redis://:pw@host", "a secret does not stand in this file"),
        ("redis: {env: A, file: b}", "exactly one of env and file"),
        ("repositories:\n  - {name: a, url: 'https://u:p@x/y', secret: {env: X}, ceiling: {}}", "holds a password"),
        ("repositories:\n  - {name: a, url: /x, secret: {env: X}}", "`ceiling` is missing"),
        ("clusters:\n  - {name: a}\n  - {name: a}", "stands twice"),
        ("pol: 5s", "did you mean `poll`?"),
        ("forges: [{name: github, webhook_secret: {file: x}}]", "did you mean `webhook-secret`?"),
        ("forges: [{name: github, xyz: 1}]", "signing-key, token, webhook-secret)"),
        (
            "forges: [{name: github, webhook-secret: {file: x}}]\nrepositories:\n  - {name: a, url: /x, forge: github, project: shop, ceiling: {}}",
            "shop has no owner (write owner/name",
        ),
    ],
)
def test_a_mistake_in_app_yaml_is_said(text: str, said: str) -> None:
    with pytest.raises(DesiredStateError) as caught:
        read_installation(text, "app.yaml")
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


def test_long_names_stay_unique_and_within_the_api_s_limits() -> None:
    one = Environment("r" * 200, "production", "main", ".", "c", "n")
    other = Environment("r" * 201, "production", "main", ".", "c", "n")
    for environment in (one, other):
        assert len(environment.field_manager) <= 128
        assert len(environment.owner_label) <= 63
        assert len(environment.state_name) <= 63
    assert one.field_manager != other.field_manager
    assert one.owner_label != other.owner_label

"""`tokens` and `pages.may` of app.yaml, as a table: what is read, and what is a mistake with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.domain.errors import DesiredStateError
from worker.domain.installation import Installation
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference
from worker.domain.tokens import Token

APP = """\
repositories:
  - name: shop
    url: /srv/shop.git
    secret: {file: x}
    ceiling: {namespaces: [shop]}
    roles: {releasers: {users: [ada]}}
"""
FILE = SecretReference(file="t")


def read(more: str) -> Installation:
    return read_installation(APP + more, "app.yaml")


def test_a_token_is_for_everything_unless_it_is_said() -> None:
    found = read("tokens: [{name: ci, secret: {file: t}, may: [write, releasers]}]")
    assert found.tokens == (Token("ci", FILE, ("write", "releasers")),)
    assert found.tokens[0].serves("shop")
    assert found.tokens[0].reaches(["production", "staging"])
    assert found.token("ci") == found.tokens[0]
    assert found.token("pages") is None


def test_a_token_reaches_only_what_it_names() -> None:
    token = Token("ci", FILE, ("write",), ("shop",), ("staging", "test-*"))
    assert token.reaches(["staging", "test-1"])
    assert not token.reaches(["staging", "production"])
    assert not token.serves("shopping")


def test_a_token_commands_as_its_person_or_as_what_no_login_can_be() -> None:
    assert Token("ci", FILE, ()).by == "token:ci"
    assert Token("laptop", FILE, (), user="ada").by == "ada"


def test_the_pages_own_token_may_nothing_unless_it_is_said() -> None:
    found = read("pages: {token: {file: t}}").token("pages")
    assert found == Token("pages", FILE, ())
    assert read("pages: {token: {file: t}, may: [write]}").token("pages") == Token("pages", FILE, ("write",))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("tokens: [{name: ci, may: [write]}]", "`secret` is missing"),
        ("tokens: [{name: ci, secret: {file: t}}]", "`may` is missing"),
        ("tokens: [{name: ci, secret: abcdefghijklmnop, may: [write]}]", "a secret does not stand in this file"),
        ("tokens: [{name: ci, secret: {file: t}, may: [everything]}]", "there is no role 'everything'"),
        ("tokens: [{name: ci, secret: {file: t}, may: [nobody]}]", "there is no role 'nobody'"),
        ("tokens: [{name: pages, secret: {file: t}, may: []}]", "cannot be a token's name"),
        ("tokens: [{name: 'c:i', secret: {file: t}, may: []}]", "cannot be a token's name"),
        ("tokens: [{name: ci, secret: {file: t}, may: [], user: 'a b'}]", "is no login"),
        ("tokens: [{name: ci, secret: {file: t}, may: [], enviroments: [x]}]", "unknown key `enviroments`"),
        ("tokens: [{name: ci, secret: {file: t}, may: [], environments: []}]", "`environments`: the list is empty"),
        ("tokens: [{name: ci, secret: {file: t}, may: [], repositories: []}]", "leave it out for all of them"),
        ("tokens: [{name: ci, secret: {file: t}, may: [], repositories: }]", "`repositories`: the list is empty"),
        ("alerts: {routes: [{receivers: [], repositories: []}]}", "`repositories`: the list is empty"),
        ("alerts: {routes: [{receivers: [], environments: []}]}", "`environments`: the list is empty"),
        ("alerts: {routes: [{receivers: [], types: []}]}", "`types`: the list is empty"),
        ("tokens: [{name: a, secret: {file: t}, may: []}, {name: a, secret: {file: u}, may: []}]", "a stands twice"),
        ("pages: {sign-in: [], may: [write]}", "is about who signs in by the token"),
        ("pages: {token: {file: t}, may: [sudo]}", "there is no role 'sudo'"),
    ],
)
def test_a_mistake_is_said(more: str, words: str) -> None:
    with pytest.raises(DesiredStateError, match=words) as caught:
        read(more)
    assert all(problem.line == 7 for problem in caught.value.problems)


@pytest.mark.parametrize("line", ["    branches: []", "    ceiling: {namespaces: [shop], kinds: []}"])
def test_an_empty_list_of_a_repository_does_not_widen_what_it_is_for(line: str) -> None:
    kept = [each for each in APP.splitlines() if not each.startswith(line.partition(":")[0])]
    with pytest.raises(DesiredStateError, match="the list is empty") as caught:
        read_installation("\n".join([*kept, line]), "app.yaml")
    assert [problem.line for problem in caught.value.problems] == [len(kept) + 1]


def test_the_documentation_s_tokens_are_read() -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    (text,) = re.findall(r"```yaml\n(tokens:.*?)```", page, re.DOTALL)
    found = read(text).tokens
    assert [(each.name, each.by, each.may) for each in found] == [
        ("ci", "token:ci", ("write",)),
        ("ada-laptop", "ada", ("write", "releasers")),
    ]

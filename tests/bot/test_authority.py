"""Who may command, as tables: defaults, roles of app.yaml, rules of plumbline.yaml that only narrow."""

from __future__ import annotations

import pytest

from bot.authority import Facts, facts_of_token, hopes, judged, needs, teams_of
from bot.commands import Command
from bot.forges.port import Permission, Person
from worker.domain.declaration import Declaration, read_declaration
from worker.domain.errors import DesiredStateError
from worker.domain.installation import Installation
from worker.domain.installation_file import read_installation
from worker.domain.secret_text import SecretReference
from worker.domain.tokens import Token

APP = """\
clusters: [{{name: blue}}]
repositories:
  - name: shop
    url: /srv/shop.git
    secret: {{file: x}}
    ceiling: {{namespaces: [shop]}}
    roles:
      releasers: {{teams: [acme/sre], users: [Ada]}}
    {more}
"""
DECLARED = """\
{top}
environments:
  - {{name: staging, path: app, namespace: shop}}
  - {{name: production, path: app, namespace: shop, commands: {{{own}}}}}
"""


def installation(more: str = "") -> Installation:
    return read_installation(APP.format(more=more), "app.yaml")


def denied(
    command: Command, permission: Permission, *, app: str = "", top: str = "", own: str = "", login: str = "eve",
    teams: tuple[str, ...] = (),
) -> str:  # fmt: skip
    made = installation(app)
    (shop,) = made.repositories
    declaration = read_declaration(DECLARED.format(top=top, own=own), made, shop, "main")
    asked = needs(command, shop, declaration)
    found = judged(command, asked, Facts(Person("7", login), permission, frozenset(teams)), shop)
    return found.text if found else ""


def test_a14_defaults() -> None:
    assert not denied(Command("status"), Permission.READ)
    assert denied(Command("status"), Permission.NONE)
    assert "`write`" in denied(Command("rollback", ("staging",)), Permission.READ)
    assert not denied(Command("rollback", ("staging",)), Permission.WRITE)
    push = Command("rollback", ("staging",), {}, frozenset({"push"}))
    assert "`admin`" in denied(push, Permission.WRITE)
    assert not denied(push, Permission.ADMIN)


def test_the_operator_s_roles_are_by_team_user_or_permission() -> None:
    rule, command = "commands: {rollback: releasers}", Command("rollback", ("staging",))
    assert "acme/sre" in denied(command, Permission.ADMIN, app=rule)
    assert not denied(command, Permission.READ, app=rule, teams=("acme/sre",))
    assert denied(command, Permission.READ, app=rule, teams=("acme/dev",))
    assert not denied(command, Permission.READ, app=rule, login="ada")
    assert denied(command, Permission.NONE, app=rule, login="ada"), "the forge does not know this login"
    either = "commands: {rollback: [releasers, admin]}"
    assert not denied(command, Permission.ADMIN, app=either)


def test_plumbline_yaml_narrows_and_never_widens() -> None:
    command = Command("rollback", ("production",))
    assert denied(command, Permission.READ, top="commands: {rollback: read}"), "it was widened"
    assert denied(command, Permission.READ, own="rollback: read"), "it was widened"
    assert "for `production`" in denied(command, Permission.WRITE, own="rollback: admin")
    assert not denied(Command("rollback", ("staging",)), Permission.WRITE, own="rollback: admin")
    assert "switched off" in denied(command, Permission.ADMIN, own="rollback: nobody")
    assert "name the one" in denied(Command("retry"), Permission.WRITE, own="retry: admin")


def test_teams_are_asked_for_only_where_they_matter() -> None:
    (shop,) = installation("commands: {rollback: releasers}").repositories
    assert teams_of(needs(Command("rollback"), shop, Declaration(())), shop) == ("acme/sre",)
    assert teams_of(needs(Command("plan"), shop, Declaration(())), shop) == ()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("commands: {rollbak: write}", "did you mean `rollback`"),
        ("commands: {rollback: writers}", "there is no role 'writers'"),
        ("commands: {rollback: []}", "the list is empty"),
        ("commands: {rollback: }", "`rollback` is missing"),
        ("commands: all", "expected a mapping"),
    ],
)
def test_a_mistake_in_the_rules_is_named(more: str, said: str) -> None:
    with pytest.raises(DesiredStateError, match=said):
        installation(more)


def test_a_rule_that_is_broken_breaks_its_environment_only_and_permits_nothing_there() -> None:
    made = installation()
    (shop,) = made.repositories
    found = read_declaration(DECLARED.format(top="", own="hold: everybody"), made, shop, "main")
    assert [each.name for each in found.environments] == ["staging"]
    assert [each.name for each in found.broken] == ["production"]
    assert found.commands.of("hold", "production") == (("nobody",),)


@pytest.mark.parametrize(
    ("permission", "login", "commands", "expected"),
    [
        (Permission.READ, "eve", "", False),
        (Permission.WRITE, "eve", "", True),
        (Permission.READ, "eve", "commands: {rollback: releasers}", True),
        (Permission.READ, "eve", "commands: {rollback: named}", False),
        (Permission.READ, "Ada", "commands: {rollback: named}", True),
        (Permission.ADMIN, "eve", "commands: {rollback: nobody}", False),
    ],
)
def test_what_somebody_may_hope_for_counts_every_team_as_theirs(
    permission: Permission, login: str, commands: str, expected: bool
) -> None:
    text = APP.format(more=commands).replace("    roles:\n", "    roles:\n      named: {users: [ada]}\n")
    (shop,) = read_installation(text, "app.yaml").repositories
    assert hopes(Command("rollback", ("staging",)), Facts(Person("7", login), permission), shop) is expected


def test_a_token_s_roles_are_known_and_no_team_s() -> None:
    (shop,) = installation("commands: {rollback: releasers}").repositories
    command = Command("rollback", ("staging",))
    for may, expected in ((("write",), False), (("releasers",), True)):
        token = Token("ci", SecretReference(), may)
        assert hopes(command, facts_of_token(token), shop) is expected

"""The sections of both files that say who may command: `roles` and `commands`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from typing import Final

from worker.domain.command_rules import BUILT_IN, DEFAULTS, NOBODY, PERMISSIONS, Role, Rules
from worker.domain.schema import Section

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
TEAM: Final = re.compile(r"[0-9A-Za-z._-]{1,255}(?:/[0-9A-Za-z._-]{1,255}){0,20}")
LOGIN: Final = re.compile(r"[0-9A-Za-z._-]{1,255}")
MOST: Final = 50
"""Roles, teams and users that one section may name; each team is one question to the forge at each command."""


def read_roles(section: Section) -> tuple[Role, ...]:
    """The roles under `roles` of a repository in app.yaml; mistakes are noted with their lines."""
    given = section.section("roles")
    found: list[Role] = []
    for name in given.names() if given is not None else ():
        assert given is not None
        below = given.section(name, required=True)
        if not NAME.fullmatch(name) or name in BUILT_IN:
            given.problem(
                name, f"`roles`: {name[:60]!r} cannot be a role's name", f"a-z, 0-9 and '-'; not {', '.join(BUILT_IN)}"
            )
        if below is None:
            continue
        role = Role(
            name,
            below.text("permission", choices=PERMISSIONS),
            _named(below, "teams", TEAM, "organisation/team, or the path of a group"),
            _named(below, "users", LOGIN, "a login without @"),
        )
        if not (role.permission or role.teams or role.users):
            given.problem(name, f"`roles`: nobody has the role {name}", "add `permission`, `teams` or `users`")
        below.end()
        found.append(role)
    return tuple(found)


def read_commands(section: Section, roles: Collection[str]) -> Rules:
    """The rules under `commands`; one that is a mistake counts as `nobody`, so that a mistake permits nothing."""
    given = section.section("commands")
    if given is None:
        return dict.fromkeys(DEFAULTS, (NOBODY,)) if section.has("commands") else {}
    found = {word: _rule(given, word, roles) for word in given.names()}
    given.end()
    return found


def _rule(given: Section, word: str, roles: Collection[str]) -> tuple[str, ...]:
    is_list = isinstance(given.peek(word), list)
    names = given.texts(word) if is_list else (given.text(word, required=True),)
    if names == ():
        given.problem(word, f"`{word}`: the list is empty", f"write {NOBODY} where nobody may")
    known = (*BUILT_IN, *roles)
    if word not in DEFAULTS:
        near = difflib.get_close_matches(word, DEFAULTS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(DEFAULTS)}"
        given.problem(word, f"`commands`: there is no command {word[:60]!r}", hint)
    for name in names or ():
        if name and name not in known:
            given.problem(word, f"`{word}`: there is no role {name[:60]!r}", f"app.yaml has: {', '.join(known)}")
    if not names or any(name not in known for name in names):
        return (NOBODY,)
    return names


def _named(section: Section, name: str, shape: re.Pattern[str], hint: str) -> tuple[str, ...]:
    found = section.texts(name) or ()
    if len(found) > MOST:
        section.problem(name, f"`{name}`: more than {MOST}", "a team can have any number of members")
    for each in found:
        if not shape.fullmatch(each):
            section.problem(name, f"`{name}`: {each[:60]!r} is no such name", f"write {hint}")
    return tuple(each for each in found[:MOST] if shape.fullmatch(each))

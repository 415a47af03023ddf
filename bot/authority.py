"""Who may give a command: judged from what the forge says at that moment and from the rules of both files. Pure.

Every rule has to be met: app.yaml's (or the default), and plumbline.yaml's for the branch and for each environment that the
command is about. What is not known permits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.commands import Command
from bot.forges.port import Permission, Person
from bot.markdown import LOGIN, code
from worker.domain.command_rules import ADMIN, BUILT_IN, DEFAULTS, NOBODY, READ, WRITE, Role
from worker.domain.declaration import Declaration
from worker.domain.installation import Repository
from worker.domain.locks import NO_DELETIONS
from worker.domain.tokens import Token

APPROVE: Final = "approve"
CONFIRM_PRUNE: Final = "confirm-prune"
LEVELS: Final[Mapping[str, Permission]] = {READ: Permission.READ, WRITE: Permission.WRITE, ADMIN: Permission.ADMIN}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the forge says now of who commands: the permission, and those of the teams asked for that somebody is in.

    `source` says who says so, where it is not the forge. Of a token it is app.yaml (`is_by_token`), and `roles` are those that it
    was given by name.
    """

    person: Person
    permission: Permission
    teams: frozenset[str] = frozenset()
    source: str = "the forge says that you have"
    roles: frozenset[str] = frozenset()
    is_by_token: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """One rule that a command has to meet: any of these roles, for `environment` (empty: everywhere)."""

    roles: tuple[str, ...]
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a command is refused: `reason` in a few plain words for the log, `text` in Markdown with what is needed."""

    reason: str
    text: str


def facts_of_token(token: Token) -> Facts:
    """What app.yaml gives a token: the strongest permission among its roles, and the others by their names."""
    permission = max((LEVELS[name] for name in token.may if name in LEVELS), default=Permission.NONE)
    own = f"token:{token.name}"
    roles = frozenset(token.may) - {*LEVELS}
    return Facts(Person(own, own), permission, source="app.yaml gives this token", roles=roles, is_by_token=True)


def needs(command: Command, repository: Repository, declaration: Declaration) -> tuple[Need, ...]:
    """Every rule that this command has to meet; one that names no environment is about all of them."""
    concerned = command.environments or tuple(name for name, _ in declaration.targets())
    found: dict[Need, None] = {}
    for word in command.rules:
        found[Need(repository.commands.get(word, (DEFAULTS[word],)))] = None
        for name in ("", *concerned):
            for roles in declaration.commands.of(word, name):
                is_of_it = bool(name) and roles is declaration.commands.environments.get(name, {}).get(word)
                found[Need(roles, name if is_of_it else "")] = None
    return tuple(found)


def facts_of_pusher(by: str) -> Facts:
    """What is known of who pushes to a plain Git server: a name that the hook knows (or none, which permits nothing)."""
    is_known = bool(LOGIN.fullmatch(by))
    person = Person(f"push:{by}" if is_known else "push:", by if is_known else "")
    permission = Permission.READ if is_known else Permission.NONE
    return Facts(person, permission, source="whoever pushes has, unless a role in app.yaml names them,")


def confirming(
    repository: Repository, declaration: Declaration, environment: str = "", word: str = APPROVE
) -> tuple[Need, ...]:
    """Every written rule that a code which comes with a push has to meet; none: whoever may push may confirm by it.

    `word` is CONFIRM_PRUNE for the deletions that it confirms.
    """
    own = repository.commands.get(word)
    there = declaration.commands.of(word, environment)
    return (*((Need(own),) if own is not None else ()), *(Need(each, environment) for each in there))


def codes_of(
    codes: Iterable[str], facts: Facts, repository: Repository, declaration: Declaration, environment: str
) -> tuple[tuple[str, ...], Denied | None]:
    """The codes of somebody who may approve, as they count; and why they confirm no deletions, where a rule says who may."""
    asked = confirming(repository, declaration, environment, CONFIRM_PRUNE)
    denied = judged(Command(CONFIRM_PRUNE, (environment,)), asked, facts, repository)
    return tuple(each if denied is None else f"{each}{NO_DELETIONS}" for each in codes), denied


def teams_of(asked: Iterable[Need], repository: Repository) -> tuple[str, ...]:
    """The teams whose members may matter for these rules, each once."""
    names = {role for need in asked for role in need.roles}
    return tuple(dict.fromkeys(team for role in repository.roles if role.name in names for team in role.teams))


def judged(command: Command, asked: Sequence[Need], facts: Facts, repository: Repository) -> Denied | None:
    """None where every rule is met; else the first that is not, and what it needs."""
    roles = {role.name: role for role in repository.roles}
    for need in asked:
        if any(_has(name, facts, roles) for name in need.roles):
            continue
        where = f" for {code(need.environment)}" if need.environment else ""
        if set(need.roles) == {NOBODY}:
            return Denied("nobody may", f"{code('/' + command.word)} is switched off{where}.")
        wanted = " or ".join(_described(name, roles) for name in need.roles if name != NOBODY)
        has = facts.permission.name.lower()
        return Denied(
            f"needs {' or '.join(need.roles)}{' in ' + need.environment if need.environment else ''}, has {has}",
            f"{code('/' + command.word)} needs {wanted}{where}; {facts.source} "
            f"{', '.join(map(code, [has, *sorted(facts.roles)]))} here. {_others(command, need, facts)}",
        )
    return None


def hopes(command: Command, facts: Facts, repository: Repository) -> bool:
    """Whether app.yaml's rules may let somebody, as far as it is known without asking the forge: a team may be theirs."""
    roles = {role.name: role for role in repository.roles}
    return all(
        any(
            _has(name, facts, roles) or (not facts.is_by_token and name in roles and bool(roles[name].teams))
            for name in need.roles
        )
        for need in needs(command, repository, Declaration(()))
    )


def _others(command: Command, need: Need, facts: Facts) -> str:
    if need.environment and not command.environments:
        return "Without a name it is about every environment: name the one that you mean."
    if facts.is_by_token:
        return "Whoever runs Plumbline may give it more under `may`."
    return "Ask somebody who has it to say it, or to give it to you."


def _has(name: str, facts: Facts, roles: Mapping[str, Role]) -> bool:
    if name in LEVELS:
        return facts.permission >= LEVELS[name]
    role = roles.get(name)
    if role is None:
        return False
    if facts.is_by_token:
        return name in facts.roles or (bool(role.permission) and facts.permission >= LEVELS[role.permission])
    by_permission = bool(role.permission) and facts.permission >= LEVELS[role.permission]
    # Logins are compared as forges do, without their case; the forge has just said that this login has this id.
    by_name = facts.permission > Permission.NONE and facts.person.login.lower() in {each.lower() for each in role.users}
    return by_permission or by_name or bool(facts.teams & set(role.teams))


def _described(name: str, roles: Mapping[str, Role]) -> str:
    if name in BUILT_IN or name not in roles:
        return f"{code(name)} permission"
    role = roles[name]
    parts = [
        *([f"{role.permission} permission"] if role.permission else []),
        *(f"the team {each}" for each in role.teams),
        *(f"the user {each}" for each in role.users),
    ]
    return f"the role {code(name)} ({code(', '.join(parts))})"

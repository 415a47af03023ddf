"""app.yaml's `tokens`: what may command by the API, and what each of them may. Secrets only by reference."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from worker.domain.command_rules import BUILT_IN, NOBODY
from worker.domain.command_sections import LOGIN, NAME
from worker.domain.schema import Section
from worker.domain.secret_section import no_doubles, secret_at
from worker.domain.secret_text import SecretReference

PAGES: Final = "pages"
"""The name under which the pages' own token commands."""

MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Token:
    """A program's or a person's own way to command: `may` are roles, `repositories` and `environments` patterns of names.

    `user` is the login, at the repository's forge, of the person whose token it is; without one, its approvals are nobody's.
    """

    name: str
    secret: SecretReference
    may: tuple[str, ...]
    repositories: tuple[str, ...] = ("*",)
    environments: tuple[str, ...] = ("*",)
    user: str = ""

    @property
    def by(self) -> str:
        """As whom it commands: the person's login, or what no login can be."""
        return self.user or f"token:{self.name}"

    def serves(self, repository: str) -> bool:
        """Whether it is for a repository at all."""
        return any(fnmatchcase(repository, each) for each in self.repositories)

    def reaches(self, environments: Iterable[str]) -> bool:
        """Whether it is for all of these environments."""
        return all(any(fnmatchcase(name, each) for each in self.environments) for name in environments)


def read_tokens(top: Section, roles: Collection[str]) -> tuple[Token, ...]:
    """The list under `tokens`; mistakes are noted with their lines. `roles` are those that any repository names."""
    found: list[Token] = []
    for section in top.sections("tokens"):
        name = section.text("name", required=True)
        if name and (not NAME.fullmatch(name) or name == PAGES):
            section.problem("name", f"`name`: {name[:60]!r} cannot be a token's name", f"a-z, 0-9 and '-'; not {PAGES}")
        if not section.has("secret"):
            section.problem("name", "`secret` is missing", "write secret: {file: PATH}: openssl rand -hex 32 > PATH")
        if not section.has("may"):
            section.problem("name", "`may` is missing", "write a list of roles, such as may: [write]")
        token = Token(
            name,
            secret_at(section, "secret") or SecretReference(),
            read_may(section, roles),
            section.narrowing("repositories", "all of them") or ("*",),
            section.narrowing("environments", "all of them") or ("*",),
            section.text("user"),
        )
        if token.user and not LOGIN.fullmatch(token.user):
            section.problem("user", f"`user`: {token.user[:60]!r} is no login", "write a login without @")
        section.end()
        found.append(token)
    if len(found) > MOST:
        top.problem("tokens", f"`tokens`: more than {MOST}", "one for each program or person is enough")
    no_doubles(top, "tokens", [each.name for each in found])
    return tuple(found)


def read_may(section: Section, roles: Collection[str]) -> tuple[str, ...]:
    """The roles under `may`; one that is a mistake is noted and gives nothing."""
    known = [each for each in (*BUILT_IN, *roles) if each != NOBODY]
    given = section.texts("may") or ()
    for name in given:
        if name not in known:
            section.problem("may", f"`may`: there is no role {name[:60]!r}", f"app.yaml has: {', '.join(known)}")
    return tuple(name for name in given if name in known)

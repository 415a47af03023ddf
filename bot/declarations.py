"""Which branch declares what a command is about, and what plumbline.yaml says there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bot.desk import Desk
from bot.forges.port import Tree
from worker.domain.declaration import FILE, Declaration, read_declaration
from worker.domain.errors import DesiredStateError, Refused
from worker.domain.installation import Repository


@dataclass(frozen=True, slots=True)
class Declared:
    """A branch, and what it declares at its tip."""

    branch: str
    declaration: Declaration


def declared_at(desk: Desk, repository: Repository, tree: Tree, branch: str, tip: str) -> Declaration:
    """What a branch declares at its tip; nothing where it may declare nothing. Raises DesiredStateError."""
    if not repository.follows(branch):
        return Declaration(())
    text = tree.file(tip, FILE) if tip else None
    if text is None:
        return Declaration(())
    return read_declaration(text, desk.settings.installation, repository, branch)


def declaring(desk: Desk, repository: Repository, tree: Tree, environment: str, first: str = "") -> Declared:
    """The followed branch that a command is about: that declares `environment`, or, where none is named, `first` or the only one.

    Of several that declare it, the one counts that it was last converged from, and then `first`. Raises DesiredStateError,
    Refused where no branch does or more than one may be meant, and what the tree raises.
    """
    tips = {name: tip for name, tip in tree.tips().items() if repository.follows(name)}
    if environment:
        return _by_name(desk, repository, tree, tips, environment, first)
    branch = first if first in tips else next(iter(tips), "")
    if branch not in tips or (branch != first and len(tips) > 1):
        raise Refused(f"this is about a whole branch, and {repository.name} has {_named(tips)}", "Name one: --branch")
    return Declared(branch, declared_at(desk, repository, tree, branch, tips[branch]))


def _by_name(
    desk: Desk, repository: Repository, tree: Tree, tips: Mapping[str, str], name: str, first: str
) -> Declared:
    history = desk.board.history(repository.name, name)
    last = history[-1].branch if history else ""
    found: list[Declared] = []
    broken: DesiredStateError | None = None
    for branch in sorted(tips, key=lambda each: (each != last, each != first, each)):
        try:
            declaration = declared_at(desk, repository, tree, branch, tips[branch])
        except DesiredStateError as error:
            if branch == last:
                raise
            broken = broken or error
            continue
        if any(name == declared for declared, _ in declaration.targets()):
            found.append(Declared(branch, declaration))
            if branch in (last, first):
                return found[0]
    if not found and broken is not None:
        raise broken
    if not found:
        raise Refused(
            f"no branch of {repository.name} declares an environment {name}", f"Look at `environments` in {FILE}"
        )
    if len(found) > 1:
        how = "Declare it on one of them alone" if first else "Name one: --branch"
        raise Refused(f"{name} is declared on {_named([each.branch for each in found])}", how)
    return found[0]


def _named(branches: Collection[str]) -> str:
    names = ", ".join(list(branches)[:5])
    more = ", …" if len(branches) > 5 else ""
    return f"{len(branches)} branches ({names}{more})" if branches else "no branch that may declare one"

"""How app.yaml's sections name secrets and each other: a reference in place of a secret, no name twice."""

from __future__ import annotations

from worker.domain.schema import Section
from worker.domain.secret_text import SecretReference


def secret_at(section: Section, name: str) -> SecretReference | None:
    """Where the secret of a key is read from; None where the key is absent, or is no reference, which is noted."""
    below = section.section(name)  # asked for also where it is absent: so it is among the keys that are known
    if not section.has(name):
        return None
    if below is None:
        section.problem(name, f"`{name}`: a secret does not stand in this file", "write {env: NAME} or {file: PATH}")
        return None
    reference = SecretReference(below.text("env") or None, below.text("file") or None)
    below.end()
    if (reference.env is None) == (reference.file is None):
        section.problem(name, f"`{name}`: give exactly one of env and file")
        return None
    return reference


def no_doubles(section: Section, name: str, names: list[str]) -> None:
    """Notes each name that stands twice in the list of a key."""
    for twice in sorted({each for each in names if each and names.count(each) > 1}):
        section.problem(name, f"`{name}`: {twice} stands twice", "give each its own name")

"""What Git tells a server-side hook, and which of it concerns Plumbline."""

from __future__ import annotations

import fnmatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Options = list[tuple[str, str]]

LARGEST_PUSH = 1000
"""Refs in one push that are looked at; a mirror push of more is refused with advice."""

OWN_REFS = ("refs/plumbline/", "refs/notes/plumbline")
BRANCHES = "refs/heads/"
COMMANDS = "refs/plumbline/commands"
"""Where a push of commands alone goes; it never stays there."""

WITH_ENVIRONMENT = ("rollback", "image", "adopt", "hold", "unhold", "confirm-prune", "retry", "status")
"""Commands whose value is an environment, and after a colon what else they take."""

WITHOUT_ENVIRONMENT = ("help", "freeze", "thaw")

OF_CHANGE_REQUESTS = ("plan", "diff", "ok-to-test", "apply", "revert")
"""Commands that nobody can give here; they are passed on all the same, and answered with what there is instead."""

KNOWN_OPTIONS = (
    "plumbline.wait", "plumbline.approve", "plumbline.colour",
    *(f"plumbline.{word}" for word in (*WITH_ENVIRONMENT, *WITHOUT_ENVIRONMENT)),
)  # fmt: skip


class Update:
    """One line of a hook's input: a ref, where it was, where it shall be."""

    def __init__(self, old: str, new: str, ref: str) -> None:
        self.old = old
        self.new = new
        self.ref = ref

    @property
    def branch(self) -> str | None:
        """The branch's name, None for another ref."""
        return self.ref[len(BRANCHES) :] if self.ref.startswith(BRANCHES) else None

    @property
    def deletes(self) -> bool:
        """Whether the ref goes away."""
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        """Whether the ref is new."""
        return not self.old.strip("0")

    def to_json(self) -> dict[str, str]:
        """The update as JSON types."""
        return {"ref": self.ref, "old": self.old, "new": self.new}


def read(lines: Iterable[str]) -> list[Update]:
    """The updates of a hook's standard input."""
    updates = []
    for line in lines:
        parts = line.rstrip("\n").split(" ", 2)
        if len(parts) == 3:
            updates.append(Update(*parts))
    return updates


def own(updates: list[Update]) -> list[Update]:
    """The updates of refs that only Plumbline writes."""
    return [update for update in updates if update.ref.startswith(OWN_REFS) and update.ref != COMMANDS]


def is_protected(branch: str, patterns: list[str]) -> bool:
    """Whether a branch is one that an environment follows, by the hook's own configuration."""
    return any(fnmatch.fnmatchcase(branch, pattern) for pattern in patterns)


def options(environ: Mapping[str, str]) -> Options:
    """The push options as (name, value) pairs; a value of an option without one is empty."""
    count = environ.get("GIT_PUSH_OPTION_COUNT", "0")
    found = []
    for number in range(min(int(count) if count.isdigit() else 0, 64)):
        text = environ.get(f"GIT_PUSH_OPTION_{number}", "")[:512]
        name, _, value = text.partition("=")
        found.append((name, value))
    return found


def unknown_option(pairs: Options) -> str | None:
    """The first plumbline option that does not exist, None where all are known."""
    for name, _ in pairs:
        elsewhere = name[len("plumbline.") :] in OF_CHANGE_REQUESTS
        if name.startswith("plumbline.") and name not in KNOWN_OPTIONS and not elsewhere:
            return name
    return None


def chosen(pairs: Options, name: str) -> list[str]:
    """Every value given for an option."""
    return [value for key, value in pairs if key == name]

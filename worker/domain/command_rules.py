"""Who may give which command: roles and the rules of both files. What neither file speaks of follows DEFAULTS.

app.yaml names roles and may change what a command needs; plumbline.yaml, for the whole branch and for one environment, adds
to that and never takes away from it: each level's rule has to be met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

READ, WRITE, ADMIN, NOBODY = "read", "write", "admin", "nobody"
PERMISSIONS: Final = (READ, WRITE, ADMIN)
"""Roles that everybody has who may do as much at the forge, least first."""

BUILT_IN: Final = (*PERMISSIONS, NOBODY)

ROLLBACK_PUSH: Final = "rollback-push"
"""What `/rollback --push` needs beside what `/rollback` does: it writes to the branch without a change request."""

DEFAULTS: Final[Mapping[str, str]] = {
    "help": READ,
    "status": READ,
    "diff": READ,
    "plan": WRITE,
    "ok-to-test": WRITE,
    "apply": WRITE,
    "approve": WRITE,
    "rollback": WRITE,
    ROLLBACK_PUSH: ADMIN,
    "revert": WRITE,
    "adopt": WRITE,
    "image": WRITE,
    "retry": WRITE,
    "hold": WRITE,
    "unhold": WRITE,
    "confirm-prune": ADMIN,
    "freeze": ADMIN,
    "thaw": ADMIN,
}
"""The role that each command needs where no file says otherwise.

Looking needs what reading the repository needs. What ends in a change request, or could be had by merging one, needs what
merging needs; so does the brake, `/hold`. What a commit cannot undo (pruned data), what bypasses change requests and what stops
everybody needs an administrator.
"""

Rules = Mapping[str, tuple[str, ...]]
"""By command: the roles of which one is needed."""


@dataclass(frozen=True, slots=True)
class Role:
    """A name for people: whoever may do this much at the forge, is in one of the teams, or is one of the users.

    Teams are the forge's own names: `organisation/team` on GitHub and Gitea, a group's path on GitLab. Users are logins.
    """

    name: str
    permission: str = ""
    teams: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandRules:
    """plumbline.yaml's rules: those of the whole branch and those of each environment."""

    everywhere: Rules = field(default_factory=dict)
    environments: Mapping[str, Rules] = field(default_factory=dict)

    def of(self, word: str, environment: str = "") -> tuple[tuple[str, ...], ...]:
        """The rules that have to be met beside app.yaml's, each as the roles of which one is needed."""
        found = (self.everywhere.get(word), self.environments.get(environment, {}).get(word))
        return tuple(each for each in found if each is not None)

"""The chat-ops grammar: one table of commands, and what a comment says by it. Pure.

A comment is a command by its first line alone, which begins with `/` and a word of the table. Only printable ASCII makes a
command; a reason may be in any script, without characters that hide. What begins like one of ours and is none gets one answer;
ordinary talk, paths and other bots' commands get none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from bot.markdown import code
from worker.domain.command_rules import DEFAULTS, ROLLBACK_PUSH
from worker.domain.environment import DEFAULT_INSTANCE

LONGEST: Final = 500
"""Characters of a command's line."""

SHOWN: Final = 60
"""Characters of a mistaken word that are repeated in the answer."""

ADDRESS: Final = "plumbline"
CLOSE: Final = 0.75
"""How near a word must be to one of ours for it to count as a mistake in it."""

COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
CODE: Final = re.compile(r"[0-9a-z]{8}")
TARGET: Final = re.compile(r"last-converged|~[1-9][0-9]{0,3}|[0-9a-f]{7,64}")
OBJECT: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}(?:/[a-z0-9](?:[-a-z0-9.:]{0,251}[a-z0-9])?){1,2}")
IMAGE: Final = re.compile(
    r"[a-z0-9](?:[a-z0-9._/-]|:[0-9]{1,5}/){0,254}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""An OCI reference: a registry's port stands before a slash, a tag and a digest at the end."""

_WORD: Final = re.compile(r"/([A-Za-z][A-Za-z-]{0,30})")
_LOOKS: Final = re.compile(r"/([^\s/]{2,31})")
"""What may be a misspelt word of ours; a second slash makes it a path."""

_BLANKS: Final = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: how it is written in the help, and its shape; `many` takes all that fit, `rest` all that is left."""

    name: str
    shape: re.Pattern[str]
    help: str
    required: bool = False
    many: bool = False
    rest: bool = False

    @property
    def usage(self) -> str:
        """As the help writes it."""
        text = f"{self.help}…" if self.many or self.rest else self.help
        return f"<{text}>" if self.required else f"[{text}]"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table: a command's word, its arguments in order, what it does, and an example."""

    word: str
    does: str
    example: str
    arguments: tuple[Argument, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The whole line as the help writes it."""
        return " ".join((f"/{self.word}", *(each.usage for each in self.arguments), *(f"[--{f}]" for f in self.flags)))

    @property
    def needs(self) -> str:
        """The role that it needs by default."""
        return DEFAULTS[self.word]


_ANY: Final = re.compile(r".+")
_ONE: Final = Argument("environment", ENVIRONMENT, "environment", required=True)
_MAYBE: Final = replace(_ONE, required=False)
_SOME: Final = replace(_MAYBE, many=True)
_REASON: Final = Argument("reason", _ANY, "reason", rest=True)

_TABLE: Final = (
    Entry("help", "Says which commands there are and who may give them.", "/help"),
    Entry("status", "Says how the environments stand: sync, health, operation.", "/status production", (_MAYBE,)),
    Entry(
        "plan",
        "Predicts again what merging would change; a fork's change request is predicted where its commit is named.",
        "/plan",
        (_SOME, Argument("commit", COMMIT, "full commit id")),
    ),
    Entry("diff", "Shows the prediction of this change request, and what has drifted.", "/diff production", (_MAYBE,)),
    Entry("ok-to-test", "Lets the present commit of a fork's change request be predicted.", "/ok-to-test"),
    Entry("apply", "Says how this change request comes into the cluster: by merging it.", "/apply", (_SOME,)),
    Entry(
        "approve",
        "Confirms exactly the change that waits for it.",
        "/approve production 7k2m91fd",
        (_MAYBE, Argument("code", CODE, "code")),
    ),
    Entry(
        "rollback",
        "Proposes a commit that makes an environment what it was.",
        "/rollback production last-converged",
        (_ONE, Argument("target", TARGET, "commit|~n|last-converged")),
        ("push", "dry-run"),
    ),
    Entry("revert", "Proposes a commit that takes back this merged change request.", "/revert"),
    Entry(
        "adopt",
        "Proposes a commit that takes what drifted into Git.",
        "/adopt production Deployment/shop/web",
        (_ONE, Argument("object", OBJECT, "object")),
    ),
    Entry("image", "Proposes a commit that uses an image.", "/image production ghcr.io/acme/web:1.5.0",
          (_ONE, Argument("image", IMAGE, "name[:tag|@digest]", required=True))),
    Entry("retry", "Tries again what failed.", "/retry production", (_MAYBE,)),
    Entry("hold", "Holds an environment: nothing is converged until `/unhold`.", "/hold production the migration runs",
          (_ONE, _REASON)),
    Entry("unhold", "Lets a held environment go on.", "/unhold production", (_ONE,)),
    Entry("freeze", "Holds every environment that the base branch declares until `/thaw`.", "/freeze the holidays", (_REASON,)),
    Entry("thaw", "Ends a freeze.", "/thaw"),
    Entry(
        "confirm-prune",
        "Confirms exactly the deletions that wait for it.",
        "/confirm-prune production 7k2m91fd",
        (_ONE, Argument("code", CODE, "code", required=True)),
    ),
)  # fmt: skip

COMMANDS: Final[Mapping[str, Entry]] = {entry.word: entry for entry in _TABLE}
"""Every command there is; the parser, the help, the nearest word and the page of the documentation follow from it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a comment asks for: the word, the environments it names, its other arguments and flags by name.

    Arguments: `commit` (plan), `code` (approve, confirm-prune), `target` (rollback), `object` (adopt), `image` (image),
    `reason` (hold, freeze). Flags: `push`, `dry-run` (rollback).
    """

    word: str
    environments: tuple[str, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    @property
    def environment(self) -> str:
        """The one environment that it names, empty where it names none."""
        return self.environments[0] if self.environments else ""

    def argument(self, name: str) -> str:
        """An argument, empty where it was not given."""
        return self.arguments.get(name, "")

    @property
    def rules(self) -> tuple[str, ...]:
        """The names under which its rules stand; all have to be met."""
        return (self.word, ROLLBACK_PUSH) if self.word == "rollback" and "push" in self.flags else (self.word,)

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            **asdict(self),
            "environments": list(self.environments),
            "arguments": dict(self.arguments),
            "flags": sorted(self.flags),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Command:
        """The inverse of `to_json`."""
        return Command(value["word"], tuple(value["environments"]), dict(value["arguments"]), frozenset(value["flags"]))


@dataclass(frozen=True, slots=True)
class Mistake:
    """What begins like a command of ours and is none: `text` says in Markdown what is wrong and what was probably meant."""

    word: str
    text: str


def parse(body: str, instance: str = DEFAULT_INSTANCE) -> Command | Mistake | None:
    """What a comment says: a command, a mistake in one, or None for ordinary talk. Never raises.

    `/plumbline <command>` is always heard, `/plumbline:<instance> <command>` only by the instance of that name.
    """
    line = re.split(r"\r\n|\r|\n", body[: 8 * LONGEST], maxsplit=1)[0].rstrip(" \t")
    if not line.startswith("/"):
        return None
    first, *others = _BLANKS.split(line)
    is_addressed = first in (f"/{ADDRESS}", f"/{ADDRESS}:{instance}")
    if is_addressed:
        if not others:
            return Command("help")
        first, *others = f"/{others[0].removeprefix('/')}", *others[1:]
    word = _WORD.fullmatch(first)
    entry = COMMANDS.get(word[1]) if word else None
    if entry is None:
        return _unknown(first, is_addressed=is_addressed)
    if len(line) > LONGEST:
        return Mistake(entry.word, f"the line is longer than {LONGEST} characters. {_form(entry)}")
    return _read(entry, others)


def _unknown(first: str, *, is_addressed: bool) -> Mistake | None:
    """An answer where the word is near to one of ours, or was said to us; None for talk and other bots' commands."""
    looks = _LOOKS.fullmatch(first)
    near = difflib.get_close_matches(looks[1].lower(), COMMANDS, n=1, cutoff=CLOSE) if looks else []
    if near:
        return Mistake(near[0], f"there is no {quoted(first)}. Did you mean {code(COMMANDS[near[0]].usage)}?")
    if is_addressed:
        return Mistake("", f"there is no {quoted(first)}. {code('/help')} says what there is.")
    return None


def _read(entry: Entry, words: list[str]) -> Command | Mistake:
    takes_reason = bool(entry.arguments) and entry.arguments[-1].rest
    flags = frozenset(word[2:] for word in words if word.startswith("--")) if not takes_reason else frozenset[str]()
    if unknown := sorted(flags - {*entry.flags}):
        return Mistake(entry.word, f"there is no option {quoted('--' + unknown[0])}. {_form(entry)}")
    left = [word for word in words if takes_reason or not word.startswith("--")]
    environments: list[str] = []
    arguments: dict[str, str] = {}
    for argument in entry.arguments:
        taken: list[str] = []
        while left and (argument.many or argument.rest or not taken) and _fits(argument, left[0], entry):
            taken.append(left.pop(0))
        if argument.required and not taken:
            said = f"{quoted(left[0])} is no {argument.help}" if left else f"the {argument.help} is missing"
            return Mistake(entry.word, f"{said}. {_form(entry)}")
        if argument.name == "environment":
            environments += taken
        elif taken:
            arguments[argument.name] = " ".join(taken)
    if left:
        return Mistake(entry.word, f"{quoted(left[0])} does not fit. {_form(entry)}")
    reason = arguments.get("reason", "")
    if reason and not reason.isprintable():
        return Mistake(entry.word, "the reason holds characters that cannot be seen; write it without them.")
    return Command(entry.word, tuple(dict.fromkeys(environments)), arguments, flags)


def _fits(argument: Argument, word: str, entry: Entry) -> bool:
    """Whether a word can be this argument; a commit id is never taken for an environment where one may be named."""
    is_commit = argument.name == "environment" and COMMIT.fullmatch(word) is not None
    is_other = is_commit and any(each.name == "commit" for each in entry.arguments)
    return argument.shape.fullmatch(word) is not None and not is_other


def settled(command: Command, declared: Collection[str]) -> Command | Mistake:
    """The command with its environments held against those that the base branch declares.

    A word alone after `/approve` is an environment where one has this name, and else a code.
    """
    entry = COMMANDS[command.word]
    unknown = [name for name in command.environments if name not in declared]
    takes_code = any(each.name == "code" and not each.required for each in entry.arguments)
    if unknown and takes_code and "code" not in command.arguments and CODE.fullmatch(unknown[0]):
        return replace(command, environments=(), arguments={**command.arguments, "code": unknown[0]})
    if not unknown:
        return command
    near = difflib.get_close_matches(unknown[0], declared, n=1)
    names = ", ".join(code(name) for name in list(declared)[:20]) or "none"
    hint = f"Did you mean {code(near[0])}?" if near else f"There are: {names}."
    return Mistake(command.word, f"the base branch declares no environment {quoted(unknown[0])}. {hint}")


def quoted(word: str) -> str:
    """A word of somebody's as code, shortened."""
    return code(word, SHOWN)


def _form(entry: Entry) -> str:
    return f"Write {code(entry.usage)}, for example {code(entry.example)}."


def help_text(needed: Mapping[str, str], *, by_push: bool = False) -> str:
    """The rows of the table for these words in Markdown; `needed` says of each who may.

    `by_push`: they are options of a push, where nobody can comment.
    """
    rows = "\n".join(
        f"| `{COMMANDS[word].usage.replace('|', chr(92) + '|')}` | {COMMANDS[word].does} | {who} |"
        for word, who in needed.items()
    )
    how = (
        "an option of a push, `plumbline.<command>=<environment>:<the rest>`"
        if by_push
        else "the first line of a new comment"
    )
    return (
        f"| command | what it does | who may |\n|---|---|---|\n{rows}\n\n"
        f"A command is {how}. An environment may need more than this."
    )

"""Strict reading of configuration: every mistake found at once, each with its file, line, path and a suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from worker.domain.environment import Budget
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.yaml_text import Document, Path, read_documents

_T = TypeVar("_T")
LARGEST: Final = 256 << 10
"""Characters of a configuration file; a thousand environments take a third of it."""

LARGEST_NUMBER: Final = 10**9
_DURATION: Final = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_SHARE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%")
_SIZE: Final = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi)?")
_UNITS: Final = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, None: 1, "": 1}


class Section:
    """A mapping of a configuration file that is read key by key; what is not asked for is a mistake.

    Readers return the value or the default; problems gather in the shared list and are raised by `Reader.done`.
    """

    def __init__(self, reader: Reader, value: dict[str, Any], path: Path) -> None:
        self._reader = reader
        self._value = value
        self.path = path
        self._asked: set[str] = set()
        self._missing: list[str] = []

    def problem(self, name: str, message: str, suggestion: str = "") -> None:
        """Notes a mistake at a key of this mapping."""
        self._reader.problem((*self.path, name), message, suggestion)

    def has(self, name: str) -> bool:
        """Whether the key is there with a value."""
        return self._value.get(name) is not None

    def holds_mapping(self, name: str) -> bool:
        """Whether the key is there with a mapping."""
        return isinstance(self._value.get(name), dict)

    def _get(self, name: str, *, required: bool) -> Any:
        self._asked.add(name)
        value = self._value.get(name)
        if value is None and required:
            self._missing.append(name)
        return value

    def text(self, name: str, default: str = "", *, required: bool = False, choices: Sequence[str] = ()) -> str:
        """A line of text, one of `choices` where those are given."""
        value = self._get(name, required=required)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(name, f"`{name}`: expected text, found {_kind(value)}", "put it in quotes")
            return default
        if choices and value not in choices:
            self.problem(name, f"`{name}`: {value!r} is none of {', '.join(choices)}", _nearest(value, choices))
            return default
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """true or false."""
        value = self._get(name, required=False)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.problem(name, f"`{name}`: expected true or false, found {_kind(value)}")
        return default

    def whole(self, name: str, default: int) -> int:
        """A whole number, zero or more."""
        value = self._get(name, required=False)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER):
            return default if value is None else value
        self.problem(name, f"`{name}`: expected a whole number up to {LARGEST_NUMBER}, found {_kind(value)}")
        return default

    def seconds(self, name: str, default: float, *, least: float = 0) -> float:
        """A duration such as `30s`, `5m` or `1h30m`, in seconds; shorter than `least` seconds is a mistake."""
        value = self._get(name, required=False)
        if value is None:
            return default
        found = seconds_of(value) if isinstance(value, str) else None
        if found is None:
            self.problem(name, f"`{name}`: {value!r} is not a duration", "write it like 30s, 5m or 1h30m")
            return default
        if found < least:
            self.problem(name, f"`{name}`: {value} is too short", f"give it {least:g}s or more")
            return default
        return found

    def size(self, name: str, default: int) -> int:
        """A number of bytes such as `64Mi`."""
        value = self._get(name, required=False)
        if value is None:
            return default
        match = _SIZE.fullmatch(str(value)) if not isinstance(value, bool) else None
        if match is None:
            self.problem(name, f"`{name}`: {value!r} is not a size", "write it like 64Mi or 1Gi")
            return default
        return int(match[1]) * _UNITS[match[2]]

    def budget(self, name: str, default: Budget) -> Budget:
        """A number of objects such as `25`, or a share of them such as `30%`."""
        value = self._get(name, required=False)
        if value is None:
            return default
        share = _SHARE.fullmatch(value) if isinstance(value, str) else None
        if share and float(share[1]) <= 100:
            return Budget(None, float(share[1]) / 100)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER:
            return Budget(value, None)
        self.problem(name, f"`{name}`: {value!r} is not a budget", "write a number of objects (25) or a share (30%)")
        return default

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts, None where the key is absent."""
        value = self._get(name, required=False)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problem(name, f"`{name}`: expected a list of texts", f"write `{name}: [one, two]`")
            return None
        return tuple(value)

    def narrowing(self, name: str, without: str) -> tuple[str, ...] | None:
        """A list of texts that narrows what is meant `without` it; None where the key is absent. An empty one is a problem."""
        found = self.texts(name)
        if found == () or (found is None and name in self._value and self._value[name] is None):
            self.problem(name, f"`{name}`: the list is empty", f"leave it out for {without}")
        return found

    def section(self, name: str, *, required: bool = False) -> Section | None:
        """A mapping below this one, None where it is absent (or not a mapping, which is noted)."""
        value = self._get(name, required=required)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.problem(name, f"`{name}`: expected a mapping, found {_kind(value)}")
            return None
        return Section(self._reader, value, (*self.path, name))

    def sections(self, name: str, *, required: bool = False) -> Iterator[Section]:
        """Each mapping of a list below this one."""
        value = self._get(name, required=required)
        if value is None:
            return
        if not isinstance(value, list):
            self.problem(name, f"`{name}`: expected a list, found {_kind(value)}", "start each entry with `- `")
            return
        for position, item in enumerate(value):
            place = (*self.path, name, position)
            if isinstance(item, dict):
                yield Section(self._reader, item, place)
            else:
                self._reader.problem(place, f"`{name}`: expected a mapping, found {_kind(item)}")

    def peek(self, name: str) -> object:
        """What stands at a key, without judging it."""
        return self._value.get(name)

    def names(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._value)

    def end(self) -> None:
        """Notes every key that nobody asked for, and every required one that is missing and not just written wrongly."""
        unknown = [name for name in self._value if name not in self._asked]
        for name in unknown:
            self.problem(name, f"unknown key `{name}`", _nearest(name, sorted(self._asked)))
        meant = {near for name in unknown for near in _near(name, self._asked)}
        for name in self._missing:
            if name not in meant:
                self._reader.problem(self.path, f"`{name}` is missing", f"add `{name}:`")


class Reader:
    """One configuration file: its top mapping, and the problems found in it."""

    def __init__(self, text: str | bytes, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        if len(text) > LARGEST:
            raise DesiredStateError([Problem(f"is larger than {LARGEST >> 10} KiB", file)])
        documents = read_documents(text, file, lines=True)
        if len(documents) > 1:
            raise DesiredStateError([Problem("holds more than one document", file, documents[1].line)])
        self._document = documents[0] if documents else Document({}, 1, {})
        value = self._document.value
        if not isinstance(value, dict):
            raise DesiredStateError([Problem(f"expected a mapping, found {_kind(value)}", file, self._document.line)])
        self.top = Section(self, value, ())

    def problem(self, path: Path, message: str, suggestion: str = "") -> None:
        """Notes a mistake at a place."""
        self._problems.append(Problem(message, self._file, self._document.line_of(path), suggestion=suggestion or None))

    def taken(self) -> tuple[Problem, ...]:
        """What was noted since the last call, in the order of the file; it is no longer noted here."""
        noted, self._problems = self._problems, []
        return tuple(sorted(noted, key=lambda problem: problem.line or 0))

    def done(self) -> None:
        """Raises DesiredStateError with everything noted, in the order of the file."""
        if self._problems:
            raise DesiredStateError(sorted(self._problems, key=lambda problem: problem.line or 0))


def seconds_of(text: str) -> float | None:
    """The seconds of a duration such as `30s`, `5m` or `1h30m`; None where it is none."""
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _near(word: str, known: Iterable[str]) -> list[str]:
    """The known word that was probably meant, none or one."""
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = _near(word, known)
    return f"did you mean `{near[0]}`?" if near else f"known are: {', '.join(known)}"


def _kind(value: Any) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (str, "text"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a mapping"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")

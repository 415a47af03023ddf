"""Which of an image's tags a manifest should name: the highest version in a range, the newest, or the last by a pattern. Pure.

Ranges are those of Masterminds/semver, which Flux and helm use; a prerelease counts only where the range names one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from worker.domain.images import DIGEST, TAG

_VERSION: Final = re.compile(
    r"v?(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})(?:-([0-9A-Za-z.-]+))?(?:[+_][0-9A-Za-z.-]+)?"
)
_BOUND: Final = re.compile(
    r"(=|!=|>=|<=|=>|=<|>|<|~>?|\^)?\s*v?([0-9]{1,18}|[xX*])(?:\.([0-9]{1,18}|[xX*]))?(?:\.([0-9]{1,18}|[xX*]))?(?:-([0-9A-Za-z.-]+))?"
)
_HYPHEN: Final = re.compile(r"([^\s,]+)\s+-\s+([^\s,]+)")
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_LOOKS: Final = re.compile(r"\(\?(?:[=!(]|<[=!]|P=)")
_OPEN: Final = re.compile(r"[*+]|\{[0-9]*,[0-9]*\}")
LONGEST: Final = 200
MOST_OPEN: Final = 3
"""Repetitions without an end in a pattern: what it may cost grows with each by the length of a tag."""

Version: TypeAlias = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
_RELEASE: Final = ((2, 0, ""),)
"""Sorts behind every prerelease."""
_NEXT: Final = (-1, 0, "")
"""Behind a version's last part: sorts right behind that version, and before whatever adds a part to it (1.0.0-a, 1.0.0-a.1)."""


class PolicyError(ValueError):
    """A policy that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a registry: its digest and the Unix time of its push, where those are known."""

    name: str
    digest: str = ""
    pushed: float = 0.0


def version_of(tag: str) -> Version | None:
    """What a tag is as a version, in an order of its own; None where it is none. Build metadata does not count."""
    found = _VERSION.fullmatch(tag)
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3]), _prerelease(found[4])


def _prerelease(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return _RELEASE
    parts = text.split(".")
    return tuple((0, int(part), "") if part.isdecimal() and len(part) < 19 else (1, 0, part) for part in parts)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """From `low` (included) up to `high` (not included); `names_prerelease`: prereleases count too."""

    low: Version
    high: Version | None
    names_prerelease: bool
    inverted: bool = False

    def admits(self, version: Version) -> bool:
        inside = self.low <= version and (self.high is None or version < self.high)
        return inside is not self.inverted


@dataclass(frozen=True, slots=True)
class Semver:
    """The highest version in a range."""

    range: str
    _choices: tuple[tuple[_Bounds, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.range) > LONGEST:
            raise PolicyError(f"the range is longer than {LONGEST} characters")
        choices = tuple(_all_of(part) for part in self.range.split("||"))
        object.__setattr__(self, "_choices", choices)

    def rank(self, tag: Tag) -> tuple[Version, str] | None:
        """Where a tag stands among those of the range; None for one that is not in it."""
        version = version_of(tag.name)
        return (version, tag.name) if version and any(_admitted(version, each) for each in self._choices) else None


def _admitted(version: Version, bounds: Sequence[_Bounds]) -> bool:
    if version[3] != _RELEASE and not any(each.names_prerelease for each in bounds):
        return False
    return all(each.admits(version) for each in bounds)


def _all_of(text: str) -> tuple[_Bounds, ...]:
    found: list[_Bounds] = []
    rest = _HYPHEN.sub(r">=\1 <=\2", text).strip()
    while rest:
        match = _BOUND.match(rest)
        if match is None or rest[match.end() : match.end() + 1] not in ("", ",", " "):
            raise PolicyError(f"{text.strip()!r} is not a range of versions")
        found.append(_bounds(match[0]))
        rest = rest[match.end() :].lstrip(", ")
    if not found:
        raise PolicyError("the range of versions is empty")
    return tuple(found)


def _bounds(text: str) -> _Bounds:
    found = _BOUND.fullmatch(text)
    if found is None:
        raise PolicyError(f"{text!r} is not a range of versions")
    sign = {"=>": ">=", "=<": "<=", "~>": "~", None: "="}.get(found[1], found[1] or "=")
    numbers: list[int] = []
    for part in found.groups()[1:4]:
        if part is None or part in "xX*":
            break
        numbers.append(int(part))
    count, pre = len(numbers), found[5]
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    low: Version = (major, minor, patch, _prerelease(pre) if pre else _RELEASE)
    exact_end: Version = (*low[:3], (*low[3], _NEXT)) if count == 3 else _after(numbers, count)
    named = pre is not None
    if not count:
        return _Bounds((0, 0, 0, ()), None, named, inverted=sign in ("<", ">", "!="))
    if sign in (">=", ">"):
        return _Bounds(low if sign == ">=" else exact_end, None, named)
    if sign in ("<=", "<"):
        return _Bounds((0, 0, 0, ()), exact_end if sign == "<=" else low, named)
    if sign == "~":
        return _Bounds(low, _after(numbers, min(count, 2)), named)
    if sign == "^":
        kept = next((at + 1 for at, number in enumerate(numbers) if number), count)
        return _Bounds(low, _after(numbers, kept), named)
    return _Bounds(low, exact_end, named, inverted=sign == "!=")


def _after(numbers: list[int], kept: int) -> Version:
    """The first version that differs in the numbers that are kept, before its prereleases."""
    if not kept:
        return (10**18, 0, 0, ())
    raised = [*numbers[: kept - 1], numbers[kept - 1] + 1, 0, 0]
    return raised[0], raised[1], raised[2] if len(raised) > 2 else 0, ()


@dataclass(frozen=True, slots=True)
class Newest:
    """The tag that was pushed last; those whose time is not known do not count."""

    def rank(self, tag: Tag) -> tuple[float, str] | None:
        """Where a tag stands."""
        return (tag.pushed, tag.name) if tag.pushed > 0 else None


@dataclass(frozen=True, slots=True)
class Pattern:
    """The last of the tags that match a regular expression as a whole, by what `extract` (`$1`, `$name`) makes of them.

    `order` is numerical or alphabetical.
    """

    pattern: str
    extract: str = ""
    order: str = "alphabetical"
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bare = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", self.pattern)
        if len(self.pattern) > LONGEST:
            raise PolicyError(f"the pattern is longer than {LONGEST} characters")
        if _REPEATED_GROUP.search(bare) or len(_OPEN.findall(bare)) > MOST_OPEN:
            raise PolicyError(f"the pattern repeats a group, or more than {MOST_OPEN} things without an end")
        try:
            compiled = re.compile(self.pattern, re.ASCII)
        except (re.error, OverflowError, RecursionError):
            raise PolicyError("the pattern is not a regular expression") from None
        if _LOOKS.search(bare) or re.search(r"\\[1-9]", self.pattern):
            raise PolicyError("the pattern looks back or ahead, which it may not")
        names: list[str] = re.findall(r"\$\{?(\w+)\}?", self.extract)
        known = {str(number) for number in range(1, compiled.groups + 1)} | set(compiled.groupindex)
        if missing := [name for name in names if name not in known]:
            raise PolicyError(f"the pattern has no group {missing[0]!r}")
        object.__setattr__(self, "_compiled", compiled)

    def rank(self, tag: Tag) -> tuple[int, str, str] | None:
        """Where a tag stands; None for one that does not match, or of which no number comes where one is needed."""
        found = self._compiled.fullmatch(tag.name)
        if found is None:
            return None
        text = tag.name
        if self.extract:
            text = re.sub(r"\$\{?(\w+)\}?", lambda name: self._group(found, name[1]), self.extract)
        if self.order != "numerical":
            return 0, text, tag.name
        return (int(text), "", tag.name) if text.isascii() and text.isdecimal() else None

    @staticmethod
    def _group(found: re.Match[str], name: str) -> str:
        return found[int(name) if name.isdecimal() else name] or ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """One tag, by the digest that it has now."""

    tag: str

    def rank(self, tag: Tag) -> tuple[str] | None:
        """The tag itself, once its digest is known."""
        return (tag.name,) if tag.name == self.tag and tag.digest else None


Policy: TypeAlias = Semver | Newest | Pattern | Pinned


def chosen(policy: Policy, tags: Iterable[Tag], current: str = "") -> Tag | None:
    """The tag that the policy wants; None where there is none, or none that stands above the `current` one.

    What is no tag by the grammar never counts, nor one whose digest is none: tags are other people's words.
    """
    candidates = [
        each for each in tags if TAG.fullmatch(each.name) and (not each.digest or DIGEST.fullmatch(each.digest))
    ]
    ranked = [(rank, each) for each in candidates if (rank := policy.rank(each)) is not None]
    if not ranked:
        return None
    _, best = max(ranked, key=lambda pair: pair[0])
    return None if goes_down(policy, current, best) else best


def goes_down(policy: Policy, current: str, best: Tag) -> bool:
    """Whether the manifest's own tag stands above the best one; where the two have no order in common, it does not."""
    if isinstance(policy, Semver):
        version, other = version_of(current), version_of(best.name)
        return version is not None and other is not None and version > other
    if isinstance(policy, Pattern):
        before, after = policy.rank(Tag(current)), policy.rank(best)
        return before is not None and after is not None and before > after
    return False

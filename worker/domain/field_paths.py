"""Places in an object: patterns of them as plumbline.yaml writes them, and the ones that the API server's messages name.

A pattern is a path as Plumbline prints it (`spec.template.spec.containers[name=istio-proxy].image`) or a JSON pointer (RFC 6901,
`/spec/replicas`). It names what is there and everything below. There is no recursion and no filter in it, so matching costs
one comparison for each name of an object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple, TypeAlias

LONGEST: Final = 500
DEEPEST: Final = 40
IDENTITY: Final = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
"""What names an object: no pattern may cover it."""

SYNTAX: Final = "write it like spec.replicas, spec.template.spec.containers[name=istio-proxy] or /spec/replicas"


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why, `suggestion` what to write."""

    def __init__(self, message: str, suggestion: str = SYNTAX) -> None:
        self.suggestion = suggestion
        super().__init__(message)


class Place(NamedTuple):
    """A list's item: where it stands, and the item (with its keys, where those are all that is known)."""

    position: int
    item: Any


Step: TypeAlias = str | Place
"""A mapping's member by its name, or a list's item."""


@dataclass(frozen=True, slots=True)
class Member:
    """A mapping's member by its name, in which `*` stands for any characters; digits of a JSON pointer are a position too."""

    name: str

    def matches(self, step: Step) -> bool:
        """Whether it names this step."""
        if isinstance(step, Place):
            return self.name.isdecimal() and str(step.position) == self.name
        return fnmatchcase(step, self.name) if "*" in self.name else step == self.name


@dataclass(frozen=True, slots=True)
class Item:
    """A list's item by its key fields, in whose values `*` stands for any characters; all items where there are none."""

    keys: tuple[tuple[str, str], ...]

    def matches(self, step: Step) -> bool:
        """Whether it names this step."""
        if not isinstance(step, Place):
            return False
        item = step.item if isinstance(step.item, dict) else {}
        return all(name in item and fnmatchcase(str(item[name]), value) for name, value in self.keys)


@dataclass(frozen=True, slots=True)
class Element:
    """A list's item by its position, or by its value where it is no mapping: `[0]`, `[example.org/finalizer]`."""

    text: str

    def matches(self, step: Step) -> bool:
        """Whether it names this step."""
        if not isinstance(step, Place):
            return False
        return str(step.position) == self.text or (not isinstance(step.item, dict) and str(step.item) == self.text)


Segment: TypeAlias = Member | Item | Element
Rest: TypeAlias = tuple[Segment, ...]
"""What of a pattern is still to be matched; nothing where it has."""


@dataclass(frozen=True, slots=True)
class FieldPattern:
    """A pattern as it was written, and what it is made of."""

    text: str
    segments: Rest

    def covers(self, steps: Sequence[Step]) -> bool:
        """Whether it names this place, or what it is part of."""
        return len(self.segments) <= len(steps) and all(
            segment.matches(step) for segment, step in zip(self.segments, steps, strict=False)
        )

    def __str__(self) -> str:
        return self.text


def stepped(rests: Sequence[Rest], step: Step) -> tuple[Rest, ...]:
    """What is left of each pattern after one step; those that do not match are gone."""
    return tuple(rest[1:] for rest in rests if rest and rest[0].matches(step))


def read_pattern(text: str) -> FieldPattern:
    """Reads a pattern. Raises PatternError."""
    if len(text) > LONGEST:
        raise PatternError(f"is longer than {LONGEST} characters")
    if text.startswith("/"):
        segments: list[Segment] = [Member(_unescaped(part)) for part in text[1:].split("/")]
        if any("*" in segment.name for segment in segments if isinstance(segment, Member)):
            raise PatternError("is a JSON pointer, which knows no `*`", "write it with dots: metadata.annotations.*")
    else:
        segments = _segments(text.removeprefix("$"))
    if not segments or any(isinstance(segment, Member) and not segment.name for segment in segments):
        raise PatternError("names no field")
    if len(segments) > DEEPEST:
        raise PatternError(f"is more than {DEEPEST} names deep")
    pattern = FieldPattern(text, tuple(segments))
    for place in IDENTITY:
        if pattern.covers(place):
            raise PatternError(f"covers {'.'.join(place)}, by which the object is known", "name the fields below it")
    return pattern


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _segments(text: str) -> list[Segment]:
    found: list[Segment] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            segment, at = _bracket(text, at)
            found.append(segment)
            continue
        begin = at + 1 if text[at] == "." else at
        if begin == at and found:
            raise PatternError(f"cannot be read at {text[at : at + 20]!r}")
        at = min((end for mark in ".[" if (end := text.find(mark, begin)) >= 0), default=len(text))
        name = text[begin:at]
        if not name:
            raise PatternError("has two dots in a row, or ends with one", "name each field on the way")
        if set(name) & set("]\"' "):
            raise PatternError(f"cannot be read at {name[:20]!r}")
        found.append(Member(name))
    return found


def _bracket(text: str, at: int) -> tuple[Segment, int]:
    """What stands between the brackets that begin at `at`, and where it goes on after them."""
    quote = text[at + 1 : at + 2]
    if quote and quote in "\"'":
        end = text.find(f"{quote}]", at + 2)
        if end < 0:
            raise PatternError("has a quoted name without its end", 'write it like metadata.annotations["a.b/c"]')
        return Member(text[at + 2 : end]), end + 2
    end = text.find("]", at)
    if end < 0:
        raise PatternError("has a bracket without its end")
    inside = text[at + 1 : end]
    if not inside or inside[0] in "?@(" or "==" in inside:
        raise PatternError("may not use a filter", "write the item by its key: containers[name=istio-proxy]")
    if inside == "*":
        return Item(()), end + 1
    if "=" not in inside:
        return Element(inside), end + 1
    pairs = [pair.partition("=") for pair in inside.split(",")]
    if not all(name and equals for name, equals, _ in pairs):
        raise PatternError("names an item without its key", "write it like ports[port=80,protocol=UDP]")
    return Item(tuple((name, value.strip("\"'")) for name, _, value in pairs)), end + 1


# -- the API server's own paths ------------------------------------------------------------------------------------------


def located(path: str, body: Any) -> tuple[Step, ...] | None:
    """A place that the API server names (`spec.ports[port=80,protocol="TCP"].nodePort`), as steps in `body`.

    Names may have dots in them, so what the body has decides (structured-merge-diff, fieldpath.PathElement.String). None where
    the body has no such place.
    """
    steps: list[Step] = []
    value, rest = body, path.lstrip(".")
    while rest:
        if rest[0] == "[" and isinstance(value, list):
            place, rest = _item_at(rest, value)
            if place is None:
                return None
            steps.append(place)
            value = place.item
        elif isinstance(value, Mapping):
            names = [
                name for name in value if rest.startswith(name) and rest[len(name) : len(name) + 1] in ("", ".", "[")
            ]
            if not names:
                return None
            name = max(names, key=len)
            steps.append(name)
            value, rest = value[name], rest[len(name) :]
        else:
            return None
        rest = rest.removeprefix(".")
    return tuple(steps)


def _item_at(rest: str, items: list[Any]) -> tuple[Place | None, str]:
    end = rest.find("]")
    while end >= 0:
        inside, after = rest[1:end], rest[end + 1 :]
        named = [Place(at, item) for at, item in enumerate(items) if _is_named(inside, at, item)]
        if named:  # one that leaves keys out may have them by default; one that has them all is meant
            return max(named, key=lambda place: _keys_in(inside, place.item)), after
        end = rest.find("]", end + 1)
    return None, ""


def _is_named(inside: str, position: int, item: Any) -> bool:
    if inside.isdecimal():
        return position == int(inside)
    if inside.startswith("="):
        return not isinstance(item, dict) and inside[1:].strip('"') == str(item)
    if not isinstance(item, dict):
        return False
    pairs = [pair.partition("=") for pair in inside.split(",")]
    known = [(name, value.strip('"')) for name, _, value in pairs if name in item]
    return bool(known) and all(str(item[name]) == value for name, value in known)


def _keys_in(inside: str, item: Any) -> int:
    return sum(f"{name}=" in inside for name in item) if isinstance(item, dict) else 0


def without(body: Any, steps: Sequence[Step]) -> Any:
    """A copy of a value without one place; what does not have it is returned as it is."""
    if not steps:
        return body
    step, *rest = steps
    if isinstance(step, Place):
        if not isinstance(body, list) or step.position >= len(body):
            return body
        kept = [without(body[step.position], rest)] if rest else []
        return [*body[: step.position], *kept, *body[step.position + 1 :]]
    if not isinstance(body, Mapping) or step not in body:
        return body
    if rest:
        return {**body, step: without(body[step], rest)}
    return {name: value for name, value in body.items() if name != step}

"""What is sent of an object beside what lives: the fields that are left to others are taken out of the manifest.

Server-side apply removes a field that its manager alone owns and no longer says. So what is left to others is not said where
somebody else owns it, and is said as it is (not as Git has it) where nobody else does; the next one who writes it has it. A
new object is sent as Git has it. Everything that compares desired with live compares what is sent, so plan, apply, drift
and proof cannot differ in what they ignore.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from worker.domain.environment import OWNER_LABEL
from worker.domain.field_paths import FieldPattern, Place, Rest, Step, stepped
from worker.domain.plan import ABSENT
from worker.domain.resource import Resource
from worker.domain.rules import Resolution
from worker.planning.diffing import MergeKeys, joined, key_text, specified
from worker.planning.owned_fields import FieldPath, Owned, entries_of, fields_of, is_ours, member, position_of
from worker.planning.proof import IDENTITY, UNOWNED_METADATA

Path = tuple[str, ...]
LABEL: Final = ("metadata", "labels", OWNER_LABEL)


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody's claim to fields: those of `patterns` (None: all) that `trees` own (None: whoever does).

    `action` is KEEP where they are left, else they are not, whatever later claims say. `to` names who has them, in words;
    `is_ruled` where policy says so, and not what is usual.
    """

    to: str
    patterns: tuple[FieldPattern, ...] | None = None
    trees: tuple[Owned, ...] | None = None
    action: Resolution = Resolution.KEEP
    is_ruled: bool = True


@dataclass(frozen=True, slots=True)
class Left:
    """A field that Git and the cluster have otherwise, and that is left as it is: where, and to whom."""

    path: str
    to: str
    is_ruled: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent of an object, and what is left to others where Git says something else."""

    resource: Resource
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True)
class _Cursor:
    """A claim on the way down: what of its patterns and trees is still to come, None where it is passed."""

    claim: Claim
    rests: tuple[Rest, ...] | None
    nodes: tuple[Owned, ...] | None

    @property
    def hits(self) -> bool:
        return self.rests is None and self.nodes is None

    def step(self, step: Step, names: Sequence[str]) -> _Cursor | None:
        """The cursor one step down; None where the claim has nothing there. `names` are FieldsV1's for the step."""
        rests, nodes = self.rests, self.nodes
        if rests is not None:
            rests = stepped(rests, step)
            if not rests:
                return None
            rests = None if any(not rest for rest in rests) else rests
        if nodes is not None:
            nodes = tuple(node[name] for node in nodes for name in names if name in node)
            if not nodes:
                return None
            nodes = None if any(not node for node in nodes) else nodes
        return _Cursor(self.claim, rests, nodes)


def _begun(claims: Iterable[Claim]) -> list[_Cursor]:
    return [
        _Cursor(claim, None if claim.patterns is None else tuple(each.segments for each in claim.patterns), claim.trees)
        for claim in claims
    ]


def is_left(claims: Iterable[Claim], live: Resource, path: FieldPath) -> bool:
    """Whether a place, by its names in managedFields, is left to others as a whole."""
    cursors: list[_Cursor] = _begun(claims)
    value: Any = live.body
    for name in path:
        position = position_of(value, name)
        step: Step = name[2:] if name.startswith("f:") else Place(-1, json.loads(name[2:]))
        if position is not None:
            step = Place(position, value[position])
        cursors = [after for each in cursors if (after := each.step(step, (name,))) is not None]
        decided = next((each for each in cursors if each.hits), None)
        if decided is not None:
            return decided.claim.action is Resolution.KEEP
        value = member(value, name)
    return False


def sent(desired: Resource, live: Resource, manager: str, claims: Sequence[Claim]) -> Sent:
    """What is sent of `desired` beside `live`, by the claims of others."""
    if not claims:
        return Sent(desired)
    entries = entries_of(live)
    ours = next((entry for entry in entries if is_ours(entry, manager)), None)
    others = tuple(fields_of(entry) for entry in entries if entry is not ours)
    walk = _Walk(live)
    body = walk.reduced(desired.body, live.body, _Here(_begun(claims), fields_of(ours), others))
    resource = Resource(desired.key, desired.version, body, desired.source)
    return Sent(resource, tuple(walk.left))


@dataclass(frozen=True, slots=True)
class _Here:
    """A place on the way down: what claims it, and what we and others own of it.

    `is_inside` is true inside of what is owned as a whole: there a field cannot be left out, only be as it is.
    """

    cursors: list[_Cursor]
    ours: Owned | None
    others: tuple[Owned, ...]
    path: Path = ()
    text: str = ""
    is_inside: bool = False

    @property
    def claim(self) -> Claim | None:
        """The first claim that decides about this place."""
        return next((each.claim for each in self.cursors if each.hits), None)

    def below(self, step: Step, names: Sequence[str], name: str, text: str) -> _Here:
        """The place one step down; `name` is added to the path where it is a field's."""
        cursors = [after for each in self.cursors if (after := each.step(step, names)) is not None]
        if not cursors:
            return _UNCLAIMED
        owners = [each for each in (self.ours, *self.others) if each is not None]
        ours = next((self.ours[each] for each in names if each in self.ours), None) if self.ours is not None else None
        others = tuple(each[known] for each in self.others for known in names if known in each)
        path = (*self.path, name) if name else self.path
        is_inside = self.is_inside or any(not each for each in owners if self.path)
        return _Here(cursors, ours, others, path, text, is_inside)


_UNCLAIMED: Final = _Here([], None, ())


@dataclass
class _Walk:
    """Goes through manifest, live object and owners together."""

    live: Resource
    left: list[Left] = field(default_factory=list)

    @functools.cached_property
    def keys(self) -> MergeKeys:
        """The keys of the object's lists; most rules never ask for any."""
        return MergeKeys(self.live.body)

    def reduced(self, value: Any, live: Any, here: _Here) -> Any:
        """What is sent at a place; ABSENT where nothing is. `value` is ABSENT where Git has nothing."""
        if not here.cursors:
            return value
        claim = here.claim
        if claim is not None and here.path != LABEL:
            if claim.action is not Resolution.KEEP:
                return value
            if value is not ABSENT:
                differing = specified(live, value, here.path, here.text, self.keys)
                self.left += [Left(change.path, claim.to, claim.is_ruled) for change in differing]
            kept = _is(live) if here.is_inside else retained(here.ours, live, here.others)
            if here.path == LABEL[:2] and OWNER_LABEL in value:
                kept = {**({} if kept is ABSENT else kept), OWNER_LABEL: value[OWNER_LABEL]}
            return kept
        if isinstance(value, dict) or (value is ABSENT and isinstance(live, dict)):
            return self._map(value, live if isinstance(live, dict) else {}, here)
        if isinstance(value, list) or (value is ABSENT and isinstance(live, list)):
            return self._list(value, live if isinstance(live, list) else [], here)
        return value

    def _map(self, value: Any, live: dict[str, Any], here: _Here) -> Any:
        found: dict[str, Any] = {}
        known: dict[str, Any] = {} if value is ABSENT else value
        owned = [name[2:] for name in here.ours or () if name.startswith("f:") and name[2:] not in known]
        for name in (*known, *owned):
            member_ = known.get(name, ABSENT)
            is_fixed = (not here.path and name in IDENTITY) or (here.path == ("metadata",) and name in UNOWNED_METADATA)
            if not is_fixed:
                below = here.below(name, (f"f:{name}",), name, joined(here.text, name))
                member_ = self.reduced(member_, live.get(name), below)
            if member_ is not ABSENT:
                found[name] = member_
        return found if found or (known == {} and value is not ABSENT) else ABSENT

    def _list(self, value: Any, live: list[Any], here: _Here) -> Any:
        keys = self.keys.of(here.path)
        known: list[Any] = [] if value is ABSENT else value
        if not keys and not self.keys.is_set(here.path):
            return self._whole_list(known, live, here) if value is not ABSENT else ABSENT
        found = []
        for position, item in enumerate(known):
            names = [name for name in _names(here) if position_of(known, name) == position]
            theirs = next(
                (now for name in names if (now := member(live, name)) is not None), _matching(live, item, keys)
            )
            below = here.below(Place(position, item), names, "", _item_text(here.text, item, keys))
            kept = self.reduced(item, theirs, below)
            if kept is not ABSENT:
                kept_keys = {name: item[name] for name in keys if name in item} if isinstance(kept, dict) else {}
                found.append({**kept_keys, **kept} if kept_keys else kept)
        for name in here.ours or ():
            if name != "." and position_of(known, name) is None and (now := member(live, name)) is not None:
                below = here.below(Place(live.index(now), now), (name,), "", here.text)
                claim = below.claim
                if claim is not None and claim.action is Resolution.KEEP:
                    kept = retained(below.ours, now, below.others)
                    if kept is not ABSENT:
                        _insert(found, {**_keys_of(name), **kept} if isinstance(kept, dict) else kept, live, keys)
        return found if found or (known == [] and value is not ABSENT) else ABSENT

    def _whole_list(self, known: list[Any], live: list[Any], here: _Here) -> list[Any]:
        found = []
        for position, item in enumerate(known):
            now = live[position] if position < len(live) else None
            below = here.below(Place(position, item), (), "", f"{here.text}[{position}]")
            inside = _Here(below.cursors, None, (), below.path, below.text, is_inside=True)
            kept = self.reduced(item, now, inside)
            found += [] if kept is ABSENT else [kept]
        return found


def retained(ours: Owned | None, live: Any, others: Sequence[Owned]) -> Any:
    """The parts of a live value that we own and nobody else does; ABSENT where there are none."""
    if ours is None or live is None:
        return ABSENT
    if not ours:
        return ABSENT if others else live
    if isinstance(live, dict):
        found = {}
        for name, node in ours.items():
            below = [each[name] for each in others if name in each]
            if name.startswith("f:") and (kept := retained(node, live.get(name[2:]), below)) is not ABSENT:
                found[name[2:]] = kept
        return found or ABSENT
    if isinstance(live, list):
        items = []
        for name, node in ours.items():
            below = [each[name] for each in others if name in each]
            if name != "." and (kept := retained(node, member(live, name), below)) is not ABSENT:
                items.append({**_keys_of(name), **kept} if isinstance(kept, dict) else kept)
        return items or ABSENT
    return ABSENT


def _is(live: Any) -> Any:
    return ABSENT if live is None else live


def _names(here: _Here) -> list[str]:
    """The names that anybody has for the items of a list."""
    return list(dict.fromkeys(name for owned in (here.ours or {}, *here.others) for name in owned if name != "."))


def _keys_of(name: str) -> Mapping[str, Any]:
    """The key fields in an item's name."""
    found: dict[str, Any] = json.loads(name[2:]) if name.startswith("k:") else {}
    return found


def _matching(live: list[Any], item: Any, keys: tuple[str, ...]) -> Any:
    if not isinstance(item, dict):
        return item if item in live else None
    for now in live:
        if isinstance(now, dict) and all(name not in item or now.get(name) == item[name] for name in keys):
            return now
    return None


def _item_text(text: str, item: Any, keys: tuple[str, ...]) -> str:
    if not isinstance(item, dict):
        return f"{text}[{item}]"
    return f"{text}[{key_text(keys, tuple(item.get(name) for name in keys))}]"


def _insert(items: list[Any], item: Any, live: list[Any], keys: tuple[str, ...]) -> None:
    """Puts an item where it stands among those that live, so that putting it there moves nothing."""

    def place(each: Any) -> int:
        found = _matching(live, each, keys)
        return live.index(found) if found is not None else len(live)

    at = next((position for position, each in enumerate(items) if place(each) > place(item)), len(items))
    items.insert(at, item)

"""The proof that applying a manifest would change nothing, from the live object and its managedFields alone.

Server-side apply of a manifest is a no-op when the field set that our manager owns is exactly the set that the manifest
specifies, and each live value is the specified one. The walk goes through manifest, live object and FieldsV1 together
(structured-merge-diff's format: `f:name` a field, `k:{…}` a list item by its keys, `v:…` a set's item, `.` the thing
itself). Whatever does not match exactly is *not proven* and goes to the server; never the other way round.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker.domain.resource import Resource, SecretValue
from worker.planning.quantities import may_hold_quantity, same_quantity
from worker.planning.scopes import BUILT_IN_GROUPS

IDENTITY: Final = frozenset({"apiVersion", "kind"})
UNOWNED_METADATA: Final = frozenset({
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields",
    "deletionTimestamp", "deletionGracePeriodSeconds",
})  # fmt: skip
"""Fields that the API server strips from every manager's set (fieldmanager's stripMeta)."""


DEFAULTS: Final[Mapping[tuple[str, ...], Mapping[str, Any]]] = {
    ("fieldRef",): {"apiVersion": "v1"},
    ("volumeClaimTemplates",): {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"},
    },
    ("volumeClaimTemplates", "spec"): {"volumeMode": "Filesystem"},
}  # fmt: skip
"""What the server adds inside of what is owned as a whole, by the end of the path (core/v1 and apps/v1, defaults.go)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an object is proven unchanged, and if not, the first place that could not be proven."""

    unchanged: bool
    reason: str = ""


_PROVEN: Final = Proof(unchanged=True)
FINISHED: Final = Proof(unchanged=True, reason="it has run to its end, and was removed since")


def prove(desired: Resource, live: Resource, manager: str) -> Proof:
    """Whether a server-side apply of `desired` by `manager` would leave `live` as it is."""
    metadata = live.body.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        return Proof(unchanged=False, reason="it is being deleted")
    owned, others = None, []
    for entry in metadata.get("managedFields") or ():
        if entry.get("operation") != "Apply":
            continue
        if entry.get("manager") != manager:
            others.append(entry)
            continue
        if entry.get("subresource") or owned is not None:
            return Proof(unchanged=False, reason="our manager has more than one entry")
        owned = entry
    if owned is None:
        return Proof(unchanged=False, reason="our manager has not applied it")
    if owned.get("apiVersion") != desired.api_version:
        return Proof(unchanged=False, reason=f"it was applied as {owned.get('apiVersion')}")
    fields = owned.get("fieldsV1")
    if not isinstance(fields, dict):
        return Proof(unchanged=False, reason="the owned fields are not said")
    if (anew := next((entry for entry in others if _is_sorted_out_anew(fields, entry, live.body)), None)) is not None:
        return Proof(unchanged=False, reason=f"what {anew.get('manager')} applied is sorted out anew at each apply")
    return _compared(desired, live, fields, alone=not others)


def _compared(desired: Resource, live: Resource, fields: dict[str, Any], *, alone: bool) -> Proof:
    place = _map(desired.body, live.body, fields, "", depth=0)
    strict = not alone or desired.key.group not in BUILT_IN_GROUPS
    if place is None and strict and not _spelled_alike(desired.body, live.body):
        return Proof(unchanged=False, reason="it is the same only if written otherwise")
    return _PROVEN if place is None else Proof(unchanged=False, reason=f"{place or 'the object'} differs")


# The walk returns None where everything is proven, else the path of the first place that is not, built on the way back:
# most objects are proven, and for those no path is ever made.


def _map(desired: dict[str, Any], live: dict[str, Any], owned: dict[str, Any], parent: str, depth: int) -> str | None:
    """Two maps; `owned` is the FieldsV1 below this place, `parent` its name, `depth` 0 the object itself."""
    seen = 1 if "." in owned else 0
    in_metadata = depth == 1 and parent == "metadata"
    for name, value in desired.items():
        if depth == 0 and name in IDENTITY:
            continue
        if in_metadata and name in UNOWNED_METADATA:
            continue
        below = owned.get("f:" + name)
        if value is None and below is None:
            continue
        if below is None:
            if depth != 0 or name != "metadata":
                return name
            if (place := _map(value, live.get(name) or {}, {}, name, 1)) is not None:
                return _joined(name, place)
            continue
        seen += 1
        now = live.get(name)
        if not below and now == value and type(value) is str:  # most fields there are: no need to call anything
            continue
        if now is None:
            if not below and _is_zero(value):
                continue
            return name
        place = _value(value, now, below, parent, name, depth + 1)
        if place is not None:
            return _joined(name, place)
    return None if seen == len(owned) else ""


def _is_sorted_out_anew(ours: dict[str, Any], entry: dict[str, Any], live: Any) -> bool:
    theirs = entry.get("fieldsV1") or {}
    return _is_at_odds(ours, theirs) or _owns_absent(theirs, live) or _owns_absent(ours, live)


def _is_at_odds(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether one of two appliers owns something as a whole of which the other owns parts.

    Measured on 1.37: the server then sorts their sets out anew at each apply.
    """
    return any(
        bool(below) != bool(theirs[name]) or _is_at_odds(below, theirs[name])
        for name, below in ours.items()
        if name != "." and name in theirs
    )


def _owns_absent(owned: dict[str, Any], live: Any) -> bool:
    """Whether one of several appliers owns a field that the object does not have.

    Measured on 1.37: the server then renews the time of the ownership at each apply.
    """
    for name, below in owned.items():
        if name.startswith("f:") and isinstance(live, dict):
            if live.get(name[2:]) is None or _owns_absent(below, live[name[2:]]):
                return True
        elif name.startswith("k:") and isinstance(live, list):
            position = _position(live, _key(name))
            if position is None or _owns_absent(below, live[position]):
                return True
    return False


def _is_zero(value: Any) -> bool:
    """Whether a value is one that the server may leave out of the stored object (Go's `omitempty`).

    Our manager still owns such a field: had somebody removed it, the server would have taken it out of our set too.
    Empty maps and lists are not among them: measured on 1.37, applying those again renews the time of the ownership.
    """
    return value is False or (isinstance(value, int | float | str) and value in (0, ""))


def _value(desired: Any, live: Any, owned: dict[str, Any], parent: str, name: str, depth: int) -> str | None:
    if not owned:
        if type(desired) is str and desired == live:
            return None
        return None if _same(desired, live, parent, name) else ""
    kind = type(desired)
    if kind is dict:
        return _map(desired, live, owned, name, depth) if type(live) is dict else ""
    if kind is list:
        return _list(desired, live, owned, name, depth) if type(live) is list else ""
    return None if set(owned) == {"."} and _same(desired, live, parent, name) else ""


def _list(desired: list[Any], live: list[Any], owned: dict[str, Any], name: str, depth: int) -> str | None:
    keys = [each for each in owned if each != "."]
    if len(keys) != len(desired):
        return ""
    if keys and keys[0].startswith("v:"):
        return None if _is_same_set(desired, live, keys) else ""
    places: dict[int, int] = {}
    for text in keys:
        if not text.startswith("k:"):
            return ""
        key = _key(text)
        mine, theirs = own_position(desired, key), _position(live, key)
        if mine is None or theirs is None or mine in places:
            return text[2:]
        place = _item(desired[mine], live[theirs], owned[text], key, name, depth)
        if place is not None:
            return _joined(text[2:], place)
        places[mine] = theirs
    order = [places[position] for position in range(len(desired))]
    return None if order == sorted(order) else "order"


def _is_same_set(desired: list[Any], live: list[Any], keys: list[str]) -> bool:
    values = [json.loads(text[2:]) for text in keys]
    return (
        all(item in values and item in live for item in desired)
        and [item for item in live if item in desired] == desired
    )


def _item(
    desired: dict[str, Any], live: dict[str, Any], owned: dict[str, Any], key: dict[str, Any], name: str, depth: int
) -> str | None:
    """Like `_map`, for an item whose key fields may be owned, or be the server's default; or that is owned as a whole."""
    if not owned:
        return None if _equal(desired, live) else ""
    for field in key:
        if field not in desired and f"f:{field}" in owned:
            return field
    return _map(desired, live, owned, name, depth + 1)


@functools.lru_cache(maxsize=4096)
def _key(text: str) -> dict[str, Any]:
    """The key fields of a `k:{…}` entry; the same few keys stand in thousands of objects."""
    found: dict[str, Any] = json.loads(text[2:])
    return found


def own_position(items: list[Any], key: dict[str, Any]) -> int | None:
    """The one item of a manifest that has the key's fields; one that leaves some out may have them by default."""
    exact = _position(items, key)
    if exact is not None:
        return exact
    partial = [
        position
        for position, item in enumerate(items)
        if type(item) is dict
        and any(field in item for field in key)
        and all(field not in item or _equal(item[field], value) for field, value in key.items())
    ]
    return partial[0] if len(partial) == 1 else None


def _position(items: list[Any], key: dict[str, Any]) -> int | None:
    for position, item in enumerate(items):
        if type(item) is not dict:
            continue
        for field, value in key.items():
            found = item.get(field)
            if found != value if type(found) is type(value) else not _equal(found, value):
                break
        else:
            return position
    return None


def _same(desired: Any, live: Any, parent: str, name: str) -> bool:
    """Equality of a leaf, an atomic list or an atomic map, in which there may be quantities and known defaults."""
    if _equal(desired, live):
        return True
    if type(desired) is dict and type(live) is dict:
        wanted = {**_defaults(parent, name), **{each: value for each, value in desired.items() if value is not None}}
        return wanted.keys() == live.keys() and all(
            _same(value, live[each], name, each) for each, value in wanted.items()
        )
    if type(desired) is list and type(live) is list:
        return len(desired) == len(live) and all(
            _same(mine, theirs, parent, name) for mine, theirs in zip(desired, live, strict=True)
        )
    return may_hold_quantity((parent, name)) and same_quantity(desired, live)


def _defaults(parent: str, name: str) -> Mapping[str, Any]:
    return DEFAULTS.get((name,)) or DEFAULTS.get((parent, name)) or {}


def _spelled_alike(desired: Any, live: Any) -> bool:
    """Whether what may be compared by its meaning is written the same in both, wherever it is.

    Custom resources keep a quantity as it is written and have no defaults of the server's; and where several appliers are,
    the server renews the time of the ownership at each apply of another spelling (measured on 1.37).
    """
    return set(_by_meaning(desired, ())) <= set(_by_meaning(live, ()))


def _by_meaning(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if type(value) is dict:
        if path[-1:] in DEFAULTS or path[-2:] in DEFAULTS:
            yield path, repr(sorted(value))
        for name, member in value.items():
            yield from _by_meaning(member, (*path, name))
    elif type(value) is list:
        for item in value:
            yield from _by_meaning(item, path)
    elif value is not None and may_hold_quantity(path):
        yield path, repr(value)


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0, true is not 1; a null member of a map is an absent one."""
    kind = type(left)
    if kind is str:
        return type(right) is str and left == right
    if kind is bool or type(right) is bool:
        return left is right
    if kind is dict:
        return (
            type(right) is dict
            and {name for name, value in left.items() if value is not None} == set(right)
            and all(value is None or _equal(value, right[name]) for name, value in left.items())
        )
    if kind is list:
        return type(right) is list and len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, SecretValue):
        return bool(left == right)
    return isinstance(left, int | float) and isinstance(right, int | float) and left == right


def _joined(name: str, place: str) -> str:
    return f"{name}.{place}" if place else name

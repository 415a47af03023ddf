"""Two states of one object made into field changes: lists by their keys, noise left out, secrets kept sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from worker.domain.plan import ABSENT, FieldChange
from worker.domain.resource import LAST_APPLIED, Body, Resource, SecretValue
from worker.planning.quantities import may_hold_duration, may_hold_quantity, same_duration, same_quantity

Path = tuple[str, ...]
"""Names of fields from the top; a list's items do not add to it (they are told apart in the text only)."""

NOISE: Final = frozenset({
    ("status",),
    *(("metadata", name) for name in (
        "managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink",
        "deletionTimestamp", "deletionGracePeriodSeconds",
    )),
    ("metadata", "annotations", LAST_APPLIED),
    ("metadata", "annotations", "deployment.kubernetes.io/revision"),
})  # fmt: skip
"""What the server or a controller writes by itself, so it is nobody's change."""

LIST_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "resourceClaims": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "webhooks": ("name",),
    "matchConditions": ("name",),
    "schedulingGates": ("name",),
}
"""Merge keys of built-in lists (OpenAPI's x-kubernetes-list-map-keys), for objects without managedFields."""

PORT_KEYS: Final = {"containers": ("containerPort", "protocol"), "spec": ("port", "protocol")}


class MergeKeys:
    """The keys of an object's lists: first as its managedFields show them, else by the built-in table."""

    def __init__(self, *bodies: Body | None) -> None:
        self._seen: dict[Path, tuple[str, ...]] = {}
        self._sets: set[Path] = set()
        for body in bodies:
            for entry in ((body or {}).get("metadata") or {}).get("managedFields") or ():
                self._learn(entry.get("fieldsV1") or {}, ())

    def _learn(self, fields: Mapping[str, Any], path: Path) -> None:
        for name, below in fields.items():
            if name.startswith("f:"):
                self._learn(below, (*path, name[2:]))
            elif name.startswith("k:"):
                self._seen.setdefault(path, tuple(json.loads(name[2:])))
                self._learn(below, path)
            elif name.startswith("v:"):
                self._sets.add(path)

    def of(self, path: Path) -> tuple[str, ...]:
        """The key fields of the list at a path; empty where its items have none."""
        if path in self._seen:
            return self._seen[path]
        if path and path[-1] == "ports":
            return PORT_KEYS.get(path[-2], ()) if len(path) > 1 else ()
        return LIST_KEYS.get(path[-1], ()) if path else ()

    def is_set(self, path: Path) -> bool:
        """Whether the list at a path is a set of values."""
        return path in self._sets or path == ("metadata", "finalizers")


def field_changes(live: Body | None, predicted: Body, keys: MergeKeys | None = None) -> tuple[FieldChange, ...]:
    """Every difference between what is and what will be, in the order of the object's own fields.

    `live` is None for an object that is created: then every field of `predicted` is new.
    """
    known = keys or MergeKeys(live, predicted)
    if live is None:
        return tuple(_leaves(predicted, (), "", known))
    return tuple(_maps(live, predicted, (), "", known))


def status_changes(live: Body | None, predicted: Body) -> tuple[FieldChange, ...]:
    """Every difference of a status that is a field like any other, because its kind has no subresource of that name."""
    old = (live or {}).get("status")
    return tuple(_values(old, predicted.get("status"), ("status",), "status", MergeKeys(live, predicted)))


def specified_differences(desired: Resource, live: Resource) -> tuple[FieldChange, ...]:
    """The fields that the manifest specifies and the live object has otherwise; `old` is live, `new` is specified.

    A status is among them where the manifest has (still) one: it is taken out where the server would ignore it.
    """
    keys = MergeKeys(live.body)
    status = specified(live.body.get("status"), desired.body.get("status"), ("status",), "status", keys)
    return (*specified(live.body, desired.body, (), "", keys), *status)


def _maps(
    old: Mapping[str, Any], new: Mapping[str, Any], path: Path, text: str, keys: MergeKeys
) -> Iterator[FieldChange]:
    for name in [*old, *(name for name in new if name not in old)]:
        below = (*path, name)
        if below in NOISE or (not path and name in ("apiVersion", "kind")):
            continue
        yield from _values(old.get(name), new.get(name), below, joined(text, name), keys)


def _values(old: Any, new: Any, path: Path, text: str, keys: MergeKeys) -> Iterator[FieldChange]:
    if _is_unset(old) and _is_unset(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _maps(old, new, path, text, keys)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path, text, keys)
    elif _is_unset(old):
        yield from _leaves(new, path, text, keys)
    elif _is_unset(new):
        yield from (FieldChange(leaf.path, leaf.new, ABSENT) for leaf in _leaves(old, path, text, keys))
    elif not same(old, new, path):
        yield FieldChange(text, old, new)


def _lists(old: list[Any], new: list[Any], path: Path, text: str, keys: MergeKeys) -> Iterator[FieldChange]:
    if old == new:
        return
    fields = keys.of(path)
    if fields and (before := _by_key(old, fields)) is not None and (after := _by_key(new, fields)) is not None:
        for key in [*before, *(key for key in after if key not in before)]:
            item = f"{text}[{key_text(fields, key)}]"
            yield from _values(before.get(key, ABSENT), after.get(key, ABSENT), path, item, keys)
        common = [key for key in before if key in after]
        if common != [key for key in after if key in before]:
            yield FieldChange(
                f"{text}: order", [key_text(fields, key) for key in before], [key_text(fields, key) for key in after]
            )
        return
    if keys.is_set(path):
        yield from (FieldChange(f"{text}[{value}]", value, ABSENT) for value in old if value not in new)
        yield from (FieldChange(f"{text}[{value}]", ABSENT, value) for value in new if value not in old)
        return
    if len(old) == len(new) and all(isinstance(item, dict) for item in (*old, *new)) and not _is_moved(old, new):
        for position, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _values(one, other, path, f"{text}[{position}]", keys)
        return
    if not same(old, new, path):
        yield FieldChange(text, old, new)


def _is_moved(old: list[Any], new: list[Any]) -> bool:
    """Whether an item stands at another place than before: then the list is one change, not a rewrite of each item."""
    places = {repr(item): position for position, item in enumerate(old)}
    return any(places.get(repr(item), position) != position for position, item in enumerate(new))


def _leaves(value: Any, path: Path, text: str, keys: MergeKeys) -> Iterator[FieldChange]:
    """Every leaf below a value as a change from absent."""
    if isinstance(value, dict) and value:
        for name, member in value.items():
            below = (*path, name)
            if below not in NOISE and not (not path and name in ("apiVersion", "kind")):
                yield from _leaves(member, below, joined(text, name), keys)
        return
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        fields = keys.of(path)
        found = _by_key(value, fields) if fields else None
        named = [key_text(fields, key) for key in found] if found is not None else [str(n) for n in range(len(value))]
        for name, item in zip(named, value, strict=True):
            yield from _leaves(item, path, f"{text}[{name}]", keys)
        return
    if not _is_unset(value):
        yield FieldChange(text, ABSENT, value)


def specified(live: Any, desired: Any, path: Path, text: str, keys: MergeKeys) -> Iterator[FieldChange]:
    """The same of two values at a place (`text` as people read it); None is nothing that is specified, or nothing there."""
    if desired is None:
        return
    if isinstance(desired, dict) and isinstance(live, dict):
        for name, value in desired.items():
            below = (*path, name)
            if below not in NOISE and not (not path and name in ("apiVersion", "kind")):
                yield from specified(live.get(name, ABSENT), value, below, joined(text, name), keys)
        return
    if isinstance(desired, list) and isinstance(live, list):
        yield from _specified_list(live, desired, path, text, keys)
        return
    if _is_unset(live) and _is_empty(desired):
        return
    if not same(live, desired, path):
        yield FieldChange(text, live, desired)


def _specified_list(
    live: list[Any], desired: list[Any], path: Path, text: str, keys: MergeKeys
) -> Iterator[FieldChange]:
    fields = keys.of(path)
    wanted, found = _by_key(desired, fields), _by_key(live, fields)
    if fields and found is not None:
        for item in desired:
            named = wanted and next((key for key, each in wanted.items() if each is item), None)
            label = key_text(fields, named) if named else "item"
            yield from specified(_matching(live, item, fields), item, path, f"{text}[{label}]", keys)
    elif keys.is_set(path):
        yield from (FieldChange(f"{text}[{value}]", ABSENT, value) for value in desired if value not in live)
    elif len(live) == len(desired):
        for position, (now, then) in enumerate(zip(live, desired, strict=True)):
            yield from specified(now, then, path, f"{text}[{position}]", keys)
    else:
        yield FieldChange(text, live, desired)


def _matching(live: list[Any], item: Any, fields: tuple[str, ...]) -> Any:
    """The live item with the same keys, where a key that the manifest leaves out was defaulted by the server."""
    if not isinstance(item, dict):
        return ABSENT
    for now in live:
        if isinstance(now, dict) and all(name not in item or now.get(name) == item[name] for name in fields):
            return now
    return ABSENT


def _by_key(items: Iterable[Any], fields: tuple[str, ...]) -> dict[tuple[Any, ...], Any] | None:
    """The items by their key values in order; None where an item has none of the keys or two are the same."""
    found: dict[tuple[Any, ...], Any] = {}
    for item in items:
        if not isinstance(item, dict) or not any(name in item for name in fields):
            return None
        key = tuple(item.get(name, "TCP" if name == "protocol" else None) for name in fields)
        if key in found:
            return None
        found[key] = item
    return found


def key_text(fields: tuple[str, ...], key: tuple[Any, ...]) -> str:
    """A list item by its key fields: `name=cart`; the protocol TCP, which is the default, is left out."""
    pairs = [f"{name}={value}" for name, value in zip(fields, key, strict=True) if value is not None]
    if fields[-1:] == ("protocol",) and key[-1] == "TCP":
        pairs = pairs[:-1]
    return ",".join(pairs)


def joined(text: str, name: str) -> str:
    """A field's path: names with dots, slashes or brackets stand quoted in brackets."""
    if any(mark in name for mark in "./[]\"' "):
        return f'{text}["{name}"]'
    return f"{text}.{name}" if text else name


def same(old: Any, new: Any, path: Path) -> bool:
    """Whether two values mean the same: JSON equality, null as absent, quantities by value where the field holds one."""
    if isinstance(old, SecretValue) or isinstance(new, SecretValue):
        return bool(old == new)
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, dict) and isinstance(new, dict):
        names = {name for each in (old, new) for name, value in each.items() if value is not None}
        return all(same(old.get(name), new.get(name), (*path, name)) for name in names)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(same(one, other, path) for one, other in zip(old, new, strict=True))
    return (
        bool(old == new)
        or (may_hold_quantity(path) and same_quantity(old, new))
        or (may_hold_duration(path) and same_duration(old, new))
    )


def _is_unset(value: Any) -> bool:
    return value is None or value is ABSENT


def _is_empty(value: Any) -> bool:
    return value in ({}, [], "")

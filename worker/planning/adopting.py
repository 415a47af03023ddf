"""Which drift is taken into Git, where its manifest says it, and whether a change of files does that and nothing else. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from worker.domain.edits.changes import Put, Remove
from worker.domain.edits.places import document_of, steps_of
from worker.domain.environment import OWNER_LABEL
from worker.domain.errors import Refused
from worker.domain.plan import ABSENT
from worker.domain.proposals import VANISHED, Drift
from worker.domain.resource import Body, Resource, ResourceKey
from worker.domain.scrubbing import name_at, scrubbed
from worker.domain.yaml_text import Document
from worker.planning.diffing import MergeKeys, field_changes, joined, specified, specified_differences
from worker.planning.offers import Offer

LONGEST: Final = 64 << 10
"""Bytes of one value, as JSON, that are written into a file."""

MOST_FIELDS: Final = 100
MOST_NAMED: Final = 10

OWN_LABEL: Final = joined("metadata.labels", OWNER_LABEL)

SEALED: Final = "values of Secrets never go to Git"
REVEALING: Final = "its value looks like a secret, which everybody who reads Git could read"
GONE: Final = "it was deleted from the cluster, which is adopted by taking its manifest out of Git by hand"
OURS: Final = "it is Plumbline's own label, which is in no manifest"
LONG: Final = f"its value is longer than {LONGEST >> 10} KiB"


def about(drift: Iterable[Drift], asked: str, declared: Iterable[ResourceKey]) -> tuple[Drift, ...]:
    """The drift of the object that was asked for, or all of it. Raises Refused where there is none."""
    found = tuple(drift)
    if not asked:
        if not found:
            raise Refused("nothing has drifted: every field that Git specifies is in the cluster as Git says")
        return found
    named = {key for key in declared if asked in (f"{key.kind}/{key.name}", f"{key.kind}/{key.namespace}/{key.name}")}
    if not named:
        raise Refused(
            f"{asked} is nothing that Git declares here, and only fields of declared objects are adopted",
            "Write its manifest in a change request of your own",
        )
    if len(named) > 1:
        names = ", ".join(sorted(f"{key.kind}/{key.namespace}/{key.name}" for key in named))
        raise Refused(f"{asked} may be any of {names}", "Name it with its namespace")
    of_it = tuple(each for each in found if each.key in named)
    if not of_it:
        raise Refused(f"{asked} has not drifted: what Git specifies of it is in the cluster as Git says")
    return of_it


def sorted_out(drift: Iterable[Drift]) -> tuple[tuple[Drift, ...], tuple[str, ...]]:
    """The drift that may be taken into Git, and a sentence about each that may not."""
    taken: list[Drift] = []
    left: list[str] = []
    for each in drift:
        why = _why_not(each) or ("too many fields are asked for at once" if len(taken) >= MOST_FIELDS else "")
        if why:
            left.append(left_out(each, why))
        else:
            taken.append(each)
    return tuple(taken), tuple(left)


def left_out(drift: Drift, why: str) -> str:
    """The sentence about drift that is not taken."""
    if drift.field.path == VANISHED:
        return f"{drift.key}: {why}"
    return f"{drift.key}, {drift.field.path}: {why}"


def summed_up(left: Sequence[str]) -> str:
    """Some of these sentences in one."""
    more = f"; and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    return "; ".join(left[:MOST_NAMED]) + more


def _why_not(drift: Drift) -> str:
    if drift.key.kind == "Secret" and not drift.key.group:
        return SEALED
    if drift.field.path == VANISHED:
        return GONE
    if drift.field.path == OWN_LABEL:
        return OURS
    value = drift.field.new
    if value is ABSENT:
        return ""
    try:
        if len(json.dumps(value)) > LONGEST:
            return LONG
    except TypeError:  # sealed where it came in
        return SEALED
    return REVEALING if _looks_secret(drift) else ""


def _looks_secret(drift: Drift) -> bool:
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    scrubbed(drift.field.new, name_at(drift.field.path), note)
    return bool(found)


def in_manifest(drift: Drift, file: str, documents: Sequence[Document]) -> Offer:
    """The change of the manifest itself, in place. Raises NotEditable with the line."""
    values = [document.value for document in documents]
    number, base = document_of(values, drift.key)
    value = values[number]
    for step in base:
        value = value[step]
    path = (*base, *steps_of(drift.field.path, value, documents[number].line))
    if drift.field.new is ABSENT:
        return Offer(file, Remove(number, path))
    return Offer(file, Put(number, path, drift.field.new))


def unproven(
    before: Iterable[Resource],
    made: Iterable[Resource],
    live: Mapping[ResourceKey, Resource],
    sent: Callable[[Resource], Resource],
    adopted: Sequence[Drift],
) -> tuple[str, ...]:
    """What speaks against a change of files that makes `made` of the desired state `before`; nothing where it is proven.

    That is: every adopted field is then as it lives, and nothing else changes. `sent` is what is sent of an object.
    """
    was, now = ({resource.key: resource for resource in each} for each in (before, made))
    places: dict[ResourceKey, list[str]] = {}
    for each in adopted:
        places.setdefault(each.key, []).append(each.field.path)
    found = [f"{key} would come or go" for key in {**was, **now} if (key in was) != (key in now)]
    for key in [key for key in was if key in now]:
        if was[key].version != now[key].version:
            found.append(f"{key} would change its version")
        if was[key].body == now[key].body:
            continue
        if key not in places:
            found.append(f"{key} would change too")
            continue
        known = MergeKeys(live[key].body) if key in live else MergeKeys()
        others = _others(was[key].body, now[key].body, known, places[key])
        found += [f"{key}, {each} would change too" for each in others]
    for key, paths in places.items():
        if key in now and key in live:
            differing = [each.path for each in specified_differences(sent(now[key]), live[key])]
            found += [
                f"{key}, {path} would still be another one"
                for path in paths
                if any(_is_within(each, path) or _is_within(path, each) for each in differing)
            ]
    return tuple(found)


def _others(was: Body, now: Body, keys: MergeKeys, places: Sequence[str]) -> list[str]:
    """The fields that differ and are none of these places nor a part of one."""
    found = []
    for each in field_changes(was, now, keys):
        if any(_is_within(each.path, place) for place in places):
            continue
        if not any(_is_within(place, each.path) for place in places):
            found.append(each.path)
            continue
        sides = ((was, now), (now, was))  # a list that is shown as a whole here, and drifted item by item
        finer = [each.path for one, other in sides for each in specified(one, other, (), "", keys)]
        found += [path for path in finer if not any(_is_within(path, place) for place in places)]
    return found


def _is_within(path: str, place: str) -> bool:
    """Whether a field is this place or a part of it."""
    return path == place or (path.startswith(place) and path[len(place)] in ".[:")


Offered = tuple[Drift, tuple[Offer, ...]]
"""A drifted field, and the ways to say it in Git, the best one first."""

TRIALS: Final = 40
"""Renders that are spent on one adoption."""


def chosen(
    offered: Sequence[Offered], against: Callable[[Sequence[tuple[Drift, Offer]]], Sequence[str]]
) -> tuple[tuple[tuple[Drift, Offer], ...], tuple[str, ...]]:
    """For each field the first way of its that holds beside the others, and a sentence about each field that has none.

    `against` tries them together and says what speaks against it. All at once is tried first, since mostly that holds.
    """
    if not offered:
        return (), ()
    together = tuple((drift, offers[0]) for drift, offers in offered)
    said = against(together)
    if not said:
        return together, ()
    if len(offered) == 1 and len(offered[0][1]) == 1:
        return (), (left_out(offered[0][0], said[0]),)
    picked: tuple[tuple[Drift, Offer], ...] = ()
    left: list[str] = []
    trials = 1
    for drift, offers in offered:
        why = ""
        for offer in offers:
            if trials >= TRIALS:
                why = why or "too much had to be tried before it; ask for it by its object"
                break
            trials += 1
            said = against((*picked, (drift, offer)))
            if not said:
                picked, why = (*picked, (drift, offer)), ""
                break
            why = why or said[0]
        if why:
            left.append(left_out(drift, why))
    return picked, tuple(left)

"""What annotations say of an object's moment: before, with or after the rest, its wave, and what it waits for.

Read as they are: our own, Argo CD's (sync-wave, hook, hook-delete-policy), helm's (hook, hook-weight, hook-delete-policy),
cli-utils' (depends-on) and kapp's (change-group, change-rule), so that repositories need no change.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.domain.resource import Resource, ResourceKey

WAVE: Final = ("plumbline.io/wave", "argocd.argoproj.io/sync-wave")
HOOK: Final = ("plumbline.io/hook", "argocd.argoproj.io/hook", "helm.sh/hook")
DELETE: Final = (
    "plumbline.io/hook-delete-policy",
    "argocd.argoproj.io/hook-delete-policy",
    "helm.sh/hook-delete-policy",
)
WEIGHT: Final = "helm.sh/hook-weight"
DEPENDS: Final = ("plumbline.io/depends-on", "config.kubernetes.io/depends-on")
CHANGE_GROUP: Final = "kapp.k14s.io/change-group"
CHANGE_RULE: Final = "kapp.k14s.io/change-rule"

_RULE: Final = re.compile(r"\s*upsert\s+(after|before)\s+upserting\s+(\S+)\s*")
_OTHER_RULE: Final = re.compile(
    r"\s*(?:upsert|delete|noop)\s+(?:after|before)\s+(?:upserting|deleting|nooping)\s+\S+\s*"
)
_WAVE: Final = re.compile(r"\s*[+-]?\d{1,9}\s*")


class Moment(enum.IntEnum):
    """When an object is applied; hooks of moments that a convergence does not have are NEVER."""

    BEFORE = -1
    MAIN = 0
    AFTER = 1
    NEVER = 2


MOMENTS: Final[Mapping[str, Moment]] = {
    "before": Moment.BEFORE,
    "after": Moment.AFTER,
    "presync": Moment.BEFORE,
    "sync": Moment.MAIN,
    "postsync": Moment.AFTER,
    "syncfail": Moment.NEVER,
    "skip": Moment.NEVER,
    "predelete": Moment.NEVER,
    "postdelete": Moment.NEVER,
    "pre-install": Moment.BEFORE,
    "pre-upgrade": Moment.BEFORE,
    "post-install": Moment.AFTER,
    "post-upgrade": Moment.AFTER,
    "pre-delete": Moment.NEVER,
    "post-delete": Moment.NEVER,
    "pre-rollback": Moment.NEVER,
    "post-rollback": Moment.NEVER,
    "test": Moment.NEVER,
    "test-success": Moment.NEVER,
}
"""Every hook word of the three, lower case. Installing and upgrading are one thing here: converging."""

SUCCEEDED: Final = frozenset({"hook-succeeded", "hooksucceeded"})


class MalformedAnnotation(ValueError):
    """An annotation about order that cannot be read; the text says which and what is expected."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Where an object stands: its moment, its wave (any whole number, 0 by default), and whether it is a hook.

    `removed` says that a hook is to be deleted once it has succeeded.
    """

    moment: Moment = Moment.MAIN
    wave: int = 0
    is_hook: bool = False
    removed: bool = False


def placing(resource: Resource) -> Placing:
    """What an object's annotations say. Raises MalformedAnnotation."""
    annotations = resource.annotations
    if not annotations:
        return _DEFAULT
    words = {
        word.strip().lower() for name in HOOK for word in str(annotations.get(name) or "").split(",") if word.strip()
    }
    moments = {MOMENTS[word] for word in words if word in MOMENTS}
    wave = _whole(annotations, WAVE)
    if not moments:
        return Placing(wave=wave) if wave else _DEFAULT
    chosen = min(moments, key=lambda moment: (moment is Moment.NEVER, moment))
    if WEIGHT in annotations:
        wave = _whole(annotations, (WEIGHT,))
    policies = {word.strip().lower() for name in DELETE for word in str(annotations.get(name) or "").split(",")}
    return Placing(chosen, wave, is_hook=True, removed=bool(policies & SUCCEEDED))


_DEFAULT: Final = Placing()


def _whole(annotations: Mapping[str, str], names: tuple[str, ...]) -> int:
    for name in names:
        value = annotations.get(name)
        if value is None:
            continue
        if not _WAVE.fullmatch(str(value)):
            raise MalformedAnnotation(f"metadata.annotations.{name}: {value!r} is not a whole number")
        return int(value)
    return 0


def dependencies(resource: Resource) -> tuple[ResourceKey, ...]:
    """The objects that have to be there and healthy before this one, by depends-on. Raises MalformedAnnotation."""
    found: list[ResourceKey] = []
    for name in DEPENDS:
        if name in resource.annotations:
            found += parse_dependencies(str(resource.annotations[name]), name)
    return tuple(found)


def parse_dependencies(text: str, name: str = DEPENDS[1]) -> tuple[ResourceKey, ...]:
    """`group/namespaces/ns/Kind/name` or `group/Kind/name`, comma-separated; the core group is empty.

    Raises MalformedAnnotation (cli-utils pkg/object/dependson has the same format).
    """
    keys = []
    for part in text.split(","):
        fields = part.strip().split("/")
        if len(fields) == 5 and fields[1] == "namespaces" and all(fields[2:]):
            keys.append(ResourceKey(fields[0], fields[3], fields[2], fields[4]))
        elif len(fields) == 3 and all(fields[1:]) and "namespaces" not in fields:
            keys.append(ResourceKey(fields[0], fields[1], "", fields[2]))
        else:
            raise MalformedAnnotation(
                f"metadata.annotations.{name}: {part.strip()!r} is not group/namespaces/NAMESPACE/KIND/NAME "
                "or group/KIND/NAME"
            )
    return tuple(keys)


def change_groups(resource: Resource) -> frozenset[str]:
    """The change groups of kapp that an object is in."""
    return frozenset(value.strip() for _, value in _family(resource, CHANGE_GROUP))


def change_rules(resource: Resource) -> Iterator[tuple[str, str]]:
    """The rules of kapp that order creations and changes: (`after` or `before`, the change group).

    Rules about deleting have no place here: pruning has its own order. Raises MalformedAnnotation.
    """
    for name, value in _family(resource, CHANGE_RULE):
        if match := _RULE.fullmatch(value):
            yield match[1], match[2]
        elif not _OTHER_RULE.fullmatch(value):
            raise MalformedAnnotation(f"metadata.annotations.{name}: {value!r} is not a change rule")


def _family(resource: Resource, name: str) -> Iterator[tuple[str, str]]:
    for each, value in sorted(resource.annotations.items()):
        if each == name or each.startswith(f"{name}."):
            yield each, str(value)

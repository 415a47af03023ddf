"""The rules of plumbline.yaml's `policy`: which fields are left to others, and what becomes of conflicts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from worker.domain.environment import Ceiling
from worker.domain.field_paths import FieldPattern, PatternError, read_pattern
from worker.domain.rules import LONGEST_SHAPE, MOST_FIELDS, MOST_RULES, ConflictRule, IgnoreRule, Resolution, Selector
from worker.domain.schema import Section

KIND_SHAPE: Final = re.compile(r"[A-Z*][A-Za-z0-9*]*(?:\.[a-z0-9*][-a-z0-9.*]*)?")
"""A kind as a shell pattern."""


def read_ignore(section: Section) -> tuple[IgnoreRule, ...]:
    """The rules under `ignore`; mistakes are noted with their lines."""
    found = []
    for rule in _rules(section, "ignore"):
        selector, fields, managers = _selector(rule), _fields(rule), _managers(rule)
        if not rule.has("fields") and not rule.has("managers"):
            rule.problem(
                "fields", "`ignore`: the rule does not say what is ignored", "add `fields`, `managers` or both"
            )
        rule.end()
        found.append(IgnoreRule(selector, fields, managers))
    return tuple(found)


def read_conflicts(section: Section, ceiling: Ceiling) -> tuple[ConflictRule, ...]:
    """The rules under `conflicts`; mistakes are noted with their lines, and one that the operator does not allow is one."""
    found = []
    for rule in _rules(section, "conflicts"):
        selector, fields, managers = _selector(rule), _fields(rule), _managers(rule)
        action = rule.text("action", Resolution.REFUSE, required=True, choices=tuple(Resolution))
        if action == Resolution.FORCE and not ceiling.force:
            rule.problem("action", "`action`: force is not allowed for this repository", "app.yaml's ceiling says so")
        rule.end()
        found.append(ConflictRule(selector, Resolution(action), fields, managers))
    return tuple(found)


def _rules(section: Section, name: str) -> Iterator[Section]:
    for number, rule in enumerate(section.sections(name)):
        if number == MOST_RULES:
            section.problem(
                name, f"`{name}`: more than {MOST_RULES} rules", "one rule can name many fields and managers"
            )
            return
        yield rule


def _selector(rule: Section) -> Selector:
    kind, name, namespace = (_shape(rule, each, rule.text(each, "*")) for each in ("kind", "name", "namespace"))
    if not KIND_SHAPE.fullmatch(kind):
        rule.problem(
            "kind", f"`kind`: {kind!r} is not a kind", "write it like Deployment.apps, or Pod in the core group"
        )
    labels = []
    given = rule.section("labels")
    for label in given.names() if given is not None else ():
        assert given is not None
        labels.append((label, _shape(given, label, given.text(label, required=True))))
    return Selector(kind, name, namespace, tuple(labels))


def _shape(section: Section, name: str, text: str) -> str:
    if len(text) > LONGEST_SHAPE:
        section.problem(name, f"`{name}`: longer than {LONGEST_SHAPE} characters", "no name is as long as that")
        return "*"
    return text


def _managers(rule: Section) -> tuple[str, ...]:
    managers = rule.narrowing("managers", "all of them") or ()
    if len(managers) > MOST_FIELDS:
        rule.problem("managers", f"`managers`: more than {MOST_FIELDS}", "use patterns such as *-controller")
        return ()
    return tuple(_shape(rule, "managers", each) for each in managers)


def _fields(rule: Section) -> tuple[FieldPattern, ...]:
    texts = rule.narrowing("fields", "all of them") or ()
    if len(texts) > MOST_FIELDS:
        rule.problem("fields", f"`fields`: more than {MOST_FIELDS}", "name what the fields are part of")
        return ()
    found = []
    for text in texts:
        try:
            found.append(read_pattern(text))
        except PatternError as error:
            rule.problem("fields", f"`fields`: {text[:60]!r} {error}", error.suggestion)
    return tuple(found)

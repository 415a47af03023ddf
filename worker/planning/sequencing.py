"""The stages of a convergence: what is applied, and healthy, before what.

Inside a stage the kinds decide (`ordering`); between stages stand a gate: everything applied so far must be healthy. Most
environments have one stage. Three things make more of them: hooks before and after, waves, and explicit dependencies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.domain.desired import Stage
from worker.domain.errors import Problem
from worker.domain.resource import Resource, ResourceKey
from worker.planning.hooks import (
    MalformedAnnotation,
    Moment,
    Placing,
    change_groups,
    change_rules,
    dependencies,
    placing,
)
from worker.planning.ordering import apply_order

Level = tuple[int, int, int]
"""Moment, wave, and how deep in the dependencies of its wave."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """The stages in their order (at least one, were it empty), hooks that never run, and what is wrong with annotations.

    `removed` are the hooks that go once they have succeeded.
    """

    stages: tuple[Stage, ...]
    never: tuple[Resource, ...] = ()
    removed: frozenset[ResourceKey] = frozenset()
    problems: tuple[Problem, ...] = ()


def sequence(resources: Iterable[Resource]) -> Sequence:
    """The stages of placed objects."""
    every = tuple(resources)
    placed: dict[ResourceKey, Placing] = {}
    problems: list[Problem] = []
    for resource in every:
        try:
            placed[resource.key] = placing(resource)
        except MalformedAnnotation as error:
            problems.append(_problem(resource, str(error), "mend the annotation"))
            placed[resource.key] = Placing()
    never = tuple(resource for resource in every if placed[resource.key].moment is Moment.NEVER)
    applied = tuple(resource for resource in every if placed[resource.key].moment is not Moment.NEVER)
    edges, wrong = _edges(applied)
    problems += wrong
    levels = _levels(applied, placed, edges, problems)
    _bring_forward(applied, levels)
    by_level: dict[Level, list[Resource]] = {}
    for resource in applied:
        by_level.setdefault(levels[resource.key], []).append(resource)
    several = len(by_level) > 1
    stages = tuple(
        Stage(_name(level) if several else "", apply_order(found)) for level, found in sorted(by_level.items())
    )
    removed = frozenset(key for key, each in placed.items() if each.removed)
    return Sequence(stages or (Stage("", ()),), never, removed, tuple(problems))


def _edges(resources: tuple[Resource, ...]) -> tuple[dict[ResourceKey, set[ResourceKey]], list[Problem]]:
    """For each object the ones that come before it."""
    edges: dict[ResourceKey, set[ResourceKey]] = {resource.key: set() for resource in resources}
    groups: dict[str, set[ResourceKey]] = {}
    problems: list[Problem] = []
    speaking = [resource for resource in resources if resource.annotations]
    for resource in speaking:
        for group in change_groups(resource):
            groups.setdefault(group, set()).add(resource.key)
    for resource in speaking:
        try:
            for key in dependencies(resource):
                if key in edges:
                    edges[resource.key].add(key)
                else:
                    problems.append(
                        _problem(
                            resource,
                            f"depends on {key}, which is not in this environment",
                            "add it, or drop the annotation",
                        )
                    )
            for when, group in change_rules(resource):
                for other in groups.get(group, ()):
                    first, then = (other, resource.key) if when == "after" else (resource.key, other)
                    edges[then].add(first)
        except MalformedAnnotation as error:
            problems.append(_problem(resource, str(error), "mend the annotation"))
    return edges, problems


def _levels(
    resources: tuple[Resource, ...],
    placed: Mapping[ResourceKey, Placing],
    edges: Mapping[ResourceKey, set[ResourceKey]],
    problems: list[Problem],
) -> dict[ResourceKey, Level]:
    climb = _Climb({resource.key: resource for resource in resources}, placed, edges, problems)
    for resource in resources:
        climb.level(resource.key)
    return climb.levels


@dataclass(slots=True)
class _Climb:
    """Finds levels from what they depend on; problems on the way are added to `problems`."""

    by_key: Mapping[ResourceKey, Resource]
    placed: Mapping[ResourceKey, Placing]
    edges: Mapping[ResourceKey, set[ResourceKey]]
    problems: list[Problem]
    levels: dict[ResourceKey, Level] = field(default_factory=dict)
    path: list[ResourceKey] = field(default_factory=list)

    def level(self, key: ResourceKey) -> Level:
        if key in self.levels:
            return self.levels[key]
        own = (int(self.placed[key].moment), self.placed[key].wave)
        if key in self.path:
            circle = " -> ".join(str(each) for each in (*self.path[self.path.index(key) :], key))
            self._refuse(key, f"waits for itself: {circle}", "drop one of these dependencies")
            self.levels[key] = (*own, 0)
            return self.levels[key]
        self.path.append(key)
        depth = 0
        for before in sorted(self.edges[key]):
            moment, wave, below = self.level(before)
            if (moment, wave) > own:
                text = f"depends on {before}, which comes later ({_name((moment, wave, 0))})"
                self._refuse(key, text, "put both into one wave, or drop the dependency")
            elif (moment, wave) == own:
                depth = max(depth, below + 1)
        self.path.pop()
        self.levels.setdefault(key, (*own, depth))
        return self.levels[key]

    def _refuse(self, key: ResourceKey, text: str, suggestion: str) -> None:
        self.problems.append(_problem(self.by_key[key], text, suggestion))


def _bring_forward(resources: tuple[Resource, ...], levels: dict[ResourceKey, Level]) -> None:
    """A Namespace or a definition comes with its first user, however late its own wave."""
    first_in: dict[str, Level] = {}
    first_of: dict[tuple[str, str], Level] = {}
    for resource in resources:
        key, level = resource.key, levels[resource.key]
        first_in[key.namespace] = min(level, first_in.get(key.namespace, level))
        first_of[key.group, key.kind] = min(level, first_of.get((key.group, key.kind), level))
    for resource in resources:
        key = resource.key
        if key.group_kind == "Namespace":
            levels[key] = min(levels[key], first_in.get(key.name, levels[key]))
        elif key.group_kind == "CustomResourceDefinition.apiextensions.k8s.io":
            spec = resource.body.get("spec")
            names = spec.get("names") if isinstance(spec, dict) else None
            if isinstance(spec, dict) and isinstance(names, dict):
                kind = (str(spec.get("group", "")), str(names.get("kind", "")))
                levels[key] = min(levels[key], first_of.get(kind, levels[key]))


def _name(level: Level) -> str:
    moment, wave, depth = level
    words = [] if moment == Moment.MAIN else [Moment(moment).name.lower()]
    words += [f"wave {wave}"] if wave or not words else []
    words += [f"step {depth + 1}"] if depth else []
    return ", ".join(words)


def _problem(resource: Resource, message: str, suggestion: str) -> Problem:
    source = resource.source
    return Problem(
        message, source.file if source else None, source.line if source else None, str(resource.key), suggestion
    )

"""plumbline.yaml: which environments a branch declares.

It narrows what the operator's app.yaml allows and never widens it, and an environment counts only where its `branch` is
the branch that the file was read from.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Final

from worker.domain.environment import Ceiling, Environment, Policy
from worker.domain.expression import Expression, ExpressionError
from worker.domain.health import IGNORE, HealthPolicy, HealthRule
from worker.domain.installation import Installation, Repository
from worker.domain.schema import Reader, Section

FILE: Final = "plumbline.yaml"
RENDERERS: Final = ("auto", "yaml", "kustomize", "helm")
GROUP_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]*(?:\.[a-z0-9][-a-z0-9.]*)?")
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Declaration:
    """The environments that a branch declares for itself, in the order of the file."""

    environments: tuple[Environment, ...]

    def environment(self, name: str) -> Environment | None:
        """The environment of that name."""
        return next((each for each in self.environments if each.name == name), None)


def read_declaration(text: str | bytes, installation: Installation, repository: Repository, branch: str) -> Declaration:
    """The environments of a branch. Raises DesiredStateError with every mistake, each with its line."""
    reader = Reader(text, FILE)
    top = reader.top
    version = top.whole("version", 1)
    if version != 1:
        top.problem("version", f"`version`: this Plumbline reads version 1, not {version}")
    found: list[Environment] = []
    names: set[str] = set()
    for section in top.sections("environments", required=True):
        environment = _environment(section, installation, repository, branch)
        if environment.name in names:
            section.problem("name", f"the environment {environment.name} is declared twice", "give each its own name")
        names.add(environment.name)
        found.append(environment)
    top.end()
    reader.done()
    return Declaration(tuple(each for each in found if each.branch == branch))


def _environment(section: Section, installation: Installation, repository: Repository, branch: str) -> Environment:
    name = section.text("name", required=True)
    if name and not NAME.fullmatch(name):
        section.problem("name", f"`name`: {name!r} is not a name", "use lower-case letters, digits and '-', at most 63")
    follows = section.text("branch", branch)
    if not repository.follows(follows):
        allowed = ", ".join(repository.branches)
        section.problem("branch", f"`branch`: {follows} may not have environments", f"app.yaml allows: {allowed}")
    path = _path(section)
    namespace = section.text("namespace", required=True)
    if namespace and not repository.ceiling.allows_namespace(namespace):
        allowed = ", ".join(repository.ceiling.namespaces or ())
        section.problem(
            "namespace", f"`namespace`: {namespace} is not allowed for this repository", f"app.yaml allows: {allowed}"
        )
    cluster = _cluster(section, installation, repository.ceiling)
    policy = section.section("policy")
    environment = Environment(
        repository=repository.name,
        name=name,
        branch=follows,
        path=path,
        cluster=cluster,
        namespace=namespace,
        renderer=section.text("renderer", "auto", choices=RENDERERS),
        policy=_policy(policy, repository.ceiling) if policy else Policy(force=repository.ceiling.force),
        instance=installation.instance,
        values=section.texts("values") or (),
        release=section.text("release", name),
    )
    section.end()
    return environment


def _path(section: Section) -> str:
    given = section.text("path", required=True)
    clean = posixpath.normpath(given) if given else ""
    if given.startswith("/") or clean == ".." or clean.startswith("../") or "\\" in given or "\0" in given:
        section.problem("path", f"`path`: {given!r} leads out of the repository", "give a folder inside it")
        return "."
    return clean


def _cluster(section: Section, installation: Installation, ceiling: Ceiling) -> str:
    usable = [cluster.name for cluster in installation.clusters if ceiling.allows_cluster(cluster.name)]
    if not section.has("cluster") and len(usable) == 1:
        section.text("cluster")
        return usable[0]
    name = section.text("cluster", required=True)
    if name and name not in usable:
        known = ", ".join(usable) or "none"
        section.problem("cluster", f"`cluster`: {name} is not one this repository may use", f"app.yaml allows: {known}")
    return name


def _policy(section: Section, ceiling: Ceiling) -> Policy:
    default = Policy()
    policy = Policy(
        prune=section.flag("prune", default=default.prune),
        settle=section.seconds("settle", default.settle),
        health_timeout=section.seconds("health-timeout", default.health_timeout),
        recreate=section.texts("recreate") or default.recreate,
        health=_health(section.section("health")),
        force=section.flag("force", default=default.force) and ceiling.force,
        prune_budget=section.budget("prune-budget", default.prune_budget),
        unserved=section.text("unserved", default.unserved, choices=("refuse", "skip")),
    )
    section.end()
    return policy


def _health(section: Section | None) -> dict[str, HealthPolicy]:
    """The rules by kind: `ignore`, or a mapping of expressions."""
    found: dict[str, HealthPolicy] = {}
    for kind in section.names() if section is not None else ():
        assert section is not None
        if not GROUP_KIND.fullmatch(kind):
            section.problem(
                kind, f"`health`: {kind!r} is not a kind", "write it like Deployment.apps, or Pod in the core group"
            )
        if section.holds_mapping(kind):
            rule = _health_rule(section.section(kind, required=True))
            if rule is not None:
                found[kind] = rule
        elif section.text(kind, required=True, choices=(IGNORE,)) == IGNORE:
            found[kind] = IGNORE
    return found


def _health_rule(section: Section | None) -> HealthRule | None:
    assert section is not None
    healthy = _expression(section, "healthy", required=True)
    others = {name: _expression(section, name) for name in ("degraded", "suspended", "reason")}
    section.end()
    return HealthRule(healthy, **others) if healthy is not None else None


def _expression(section: Section, name: str, *, required: bool = False) -> Expression | None:
    text = section.text(name, required=required)
    if not text:
        return None
    try:
        return Expression(text)
    except ExpressionError as error:
        section.problem(name, f"`{name}`: the expression {error}", _hint(text, error.column))
    return None


def _hint(text: str, column: int) -> str:
    """What to write instead, for the mistakes that are made most."""
    if column and re.search(r"(?<![=!<>])=(?!=)", text):
        return "write == to compare: status.phase == 'Ready'"
    if column and re.search(r"(?:==|!=|[<>]=?)\s*-?\d", text):
        return "numbers stand between backticks: status.readyReplicas >= `1`"
    if column and re.search(r"\band\b|\bor\b|\bnot\b", text):
        return "write && for and, || for or, ! for not"
    if column:
        return f"it is JMESPath: status.phase == 'Ready'; it goes wrong before {text[column - 1 : column + 19]!r}"
    return "it is JMESPath that only reads the object: status.phase == 'Ready'"

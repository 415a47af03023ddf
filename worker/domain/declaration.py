"""plumbline.yaml: which environments a branch declares.

It narrows what the operator's app.yaml allows and never widens it, and an environment counts only where its `branch` is
the branch that the file was read from.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import Final

from worker.domain.command_rules import CommandRules, Rules
from worker.domain.command_sections import read_commands
from worker.domain.environment import NAMESPACE, Approvers, Ceiling, Converge, Environment, Mode, Policy, Rollback
from worker.domain.errors import DesiredStateError, Problem
from worker.domain.expression import Expression, ExpressionError
from worker.domain.health import IGNORE, HealthPolicy, HealthRule
from worker.domain.image_section import ImagePolicy, read_images
from worker.domain.installation import Installation, Repository
from worker.domain.rule_sections import read_conflicts, read_ignore
from worker.domain.schema import Reader, Section

FILE: Final = "plumbline.yaml"
RENDERERS: Final = ("auto", "yaml", "kustomize", "helm")
RELEASE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,51}[a-z0-9])?")
"""What helm takes for a release (chartutil.ValidateReleaseName)."""

RELEASE_HELP: Final = "use lower-case letters, digits, '-' and '.', at most 53"
LONGEST_PATH: Final = 512
OFTEN: Final = 10.0
"""Seconds: nothing that is done again and again by itself is done more often."""

GROUP_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]*(?:\.[a-z0-9][-a-z0-9.]*)?")
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Broken:
    """An environment that cannot be used as it is declared, and every mistake in it, each with its line.

    `cluster` is the one whose worker says so: its own, or any that the repository may use.
    """

    name: str
    cluster: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """The environments that a branch declares for itself, in the order of the file; a broken one does not touch others.

    `commands` are the rules of who may command them, beside app.yaml's; `images` the images that are kept up to date.
    """

    environments: tuple[Environment, ...]
    broken: tuple[Broken, ...] = ()
    commands: CommandRules = field(default_factory=CommandRules)
    images: tuple[ImagePolicy, ...] = ()

    def environment(self, name: str) -> Environment | None:
        """The environment of that name. Raises DesiredStateError where it is broken."""
        for each in self.broken:
            if each.name == name:
                raise DesiredStateError(each.problems)
        return next((each for each in self.environments if each.name == name), None)

    def targets(self) -> tuple[tuple[str, str], ...]:
        """(name, cluster) of every environment, broken ones too, so that somebody hears of them."""
        declared: tuple[Environment | Broken, ...] = (*self.environments, *self.broken)
        return tuple((each.name, each.cluster) for each in declared)


def read_declaration(text: str | bytes, installation: Installation, repository: Repository, branch: str) -> Declaration:
    """The environments of a branch. Raises DesiredStateError where the file as a whole cannot be read."""
    reader = Reader(text, FILE)
    top = reader.top
    version = top.whole("version", 1)
    if version != 1:
        top.problem("version", f"`version`: this Plumbline reads version 1, not {version}")
    sections = list(top.sections("environments", required=True))
    roles = [role.name for role in repository.roles]
    everywhere = read_commands(top, roles)
    images = read_images(top, [name for each in sections if isinstance(name := each.peek("name"), str)])
    top.end()
    of_the_file = reader.taken()
    environments: list[Environment] = []
    broken: list[Broken] = []
    names = [section.peek("name") for section in sections]
    rules: dict[str, Rules] = {}
    usable = [cluster.name for cluster in installation.clusters if repository.ceiling.allows_cluster(cluster.name)]
    for section, name in zip(sections, names, strict=True):
        rules[str(name)] = read_commands(section, roles)
        environment = _environment(section, installation, repository, branch)
        if names.count(name) > 1:
            section.problem("name", f"the environment {name} is declared twice", "give each its own name")
        problems = reader.taken()
        if problems:
            cluster = environment.cluster if environment.cluster in usable else next(iter(usable), "")
            broken.append(Broken(environment.name, cluster, problems))
        elif environment.branch == branch:
            environments.append(environment)
    if of_the_file:
        raise DesiredStateError([*of_the_file, *(problem for each in broken for problem in each.problems)])
    return Declaration(tuple(environments), tuple(broken), CommandRules(everywhere, rules), images)


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
    if namespace and not NAMESPACE.fullmatch(namespace):
        section.problem("namespace", f"`namespace`: {namespace!r} is not a name of a namespace", "use a-z, 0-9 and '-'")
    elif namespace and not repository.ceiling.allows_namespace(namespace):
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
    if environment.release and not RELEASE.fullmatch(environment.release):
        section.problem("release", f"`release`: {environment.release!r} is not a name of a release", RELEASE_HELP)
    section.end()
    return environment


def _path(section: Section) -> str:
    given = section.text("path", required=True)
    clean = posixpath.normpath(given) if given else ""
    if (
        given.startswith("/")
        or clean == ".."
        or clean.startswith("../")
        or set(given) & set("\\\0\n")
        or len(given) > LONGEST_PATH
    ):
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
        recreate=default.recreate if (named := section.texts("recreate")) is None else named,
        health=_health(section.section("health")),
        force=section.flag("force", default=default.force) and ceiling.force,
        prune_budget=section.budget("prune-budget", default.prune_budget),
        unserved=section.text("unserved", default.unserved, choices=("refuse", "skip")),
        mode=Mode(section.text("mode", default.mode, choices=tuple(Mode))),
        diff_after=section.seconds("diff-after", default.diff_after),
        remind=section.seconds("remind", default.remind, least=OFTEN),
        resync=section.seconds("resync", default.resync, least=OFTEN),
        converge=Converge(section.text("converge", default.converge, choices=tuple(Converge))),
        approvals=_approvals(section, default.approvals),
        approvers=Approvers(section.text("approvers", default.approvers, choices=tuple(Approvers))),
        strict=section.flag("strict", default=default.strict),
        ignore=read_ignore(section),
        conflicts=read_conflicts(section, ceiling),
        rollback=Rollback(section.text("rollback", default.rollback, choices=tuple(Rollback))),
    )
    section.end()
    return policy


def _approvals(section: Section, default: int) -> int:
    """How many people have to approve; nobody's approval is what `converge: automatic` is for."""
    found = section.whole("approvals", default)
    if found < 1:
        section.problem("approvals", "`approvals`: at least 1 person approves", "converge: automatic needs nobody")
        return default
    return found


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

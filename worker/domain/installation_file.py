"""app.yaml: the operator's side, read strictly; secrets only by reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from worker.domain.alerting_file import read_alerts
from worker.domain.command_sections import read_commands, read_roles
from worker.domain.environment import DANGERS, DEFAULT_INSTANCE, Ceiling
from worker.domain.installation import (
    PLACEHOLDER,
    PLAIN,
    Cluster,
    Forge,
    Impersonation,
    Installation,
    Pages,
    RenderLimits,
    Repository,
    SignIn,
)
from worker.domain.registries import read_registries
from worker.domain.schema import Reader, Section
from worker.domain.secret_section import no_doubles, secret_at
from worker.domain.secret_text import SecretReference
from worker.domain.tokens import read_may, read_tokens

KINDS: Final = ("github", "gitlab", "gitea")
"""Forges that there is an adapter for; Forgejo is a gitea."""

LOCAL: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")
ADDRESSES: Final = {"github": "https://github.com", "gitlab": "https://gitlab.com"}
IDENTITY: Final = re.compile(r"[!-z|~](?:[ -z|~]*[!-z|~])?")
"""Printable ASCII without braces, which goes into a header as it is."""

IDENTITY_HELP: Final = "write plain text; {repository}, {environment}, {namespace} and {cluster} are filled in"
PROJECT: Final = re.compile(r"[^/\s]+(?:/[^/\s]+)+")
"""A repository's name at its forge: who owns it (at GitLab, in which groups it is), and its own."""

CREDENTIALS_IN_URL: Final = re.compile(r"^[a-z+]+://[^/@]*:[^/@]*@")


def read_installation(text: str | bytes, file: str) -> Installation:
    """What app.yaml declares. Raises DesiredStateError with every mistake, each with its line."""
    reader = Reader(text, file)
    top = reader.top
    default = RenderLimits()
    limits = top.section("render-limits")
    forges = tuple(_forge(section) for section in top.sections("forges"))
    address = top.text("address", "http://127.0.0.1:8080")
    repositories = tuple(
        _repository(section, [forge.name for forge in forges]) for section in top.sections("repositories")
    )
    roles = list(dict.fromkeys(role.name for each in repositories for role in each.roles))
    installation = Installation(
        address=address,
        redis=secret_at(top, "redis") or SecretReference(env="PLUMBLINE_REDIS_URL"),
        signing_key=secret_at(top, "signing-key") or SecretReference(env="PLUMBLINE_SIGNING_KEY"),
        clusters=tuple(_cluster(section) for section in top.sections("clusters")),
        repositories=repositories,
        forges=forges,
        instance=top.text("instance", DEFAULT_INSTANCE),
        state_namespace=top.text("state-namespace", "plumbline-system"),
        render_limits=_limits(limits, default) if limits else default,
        cache=top.text("cache") or None,
        poll_seconds=top.seconds("poll", 30.0),
        pages=_pages(top, address, [forge.name for forge in forges], roles),
        metrics_token=secret_at(top, "metrics-token"),
        registries=read_registries(top, [forge.name for forge in forges]),
        images_secret=secret_at(top, "images-secret"),
        strict_scopes=top.flag("strict-scopes", default=False),
        alerts=read_alerts(top),
        tokens=read_tokens(top, roles),
    )
    no_doubles(top, "clusters", [cluster.name for cluster in installation.clusters])
    no_doubles(top, "forges", [forge.name for forge in installation.forges])
    no_doubles(top, "repositories", [repository.name for repository in installation.repositories])
    no_doubles(top, "registries", [registry.host for registry in installation.registries])
    top.end()
    reader.done()
    return installation


def _cluster(section: Section) -> Cluster:
    cluster = Cluster(
        name=section.text("name", required=True),
        kubeconfig=secret_at(section, "kubeconfig"),
        context=section.text("context") or None,
    )
    section.end()
    return cluster


def _repository(section: Section, forges: Sequence[str]) -> Repository:
    url = section.text("url", required=True)
    if CREDENTIALS_IN_URL.match(url):
        section.problem("url", "`url`: holds a password", "remove it and name it under `credentials`")
        url = ""
    ceiling = section.section("ceiling", required=True)
    roles = read_roles(section)
    repository = Repository(
        name=section.text("name", required=True),
        url=url,
        secret=secret_at(section, "secret"),
        forge=section.text("forge", PLAIN, choices=(PLAIN, *forges)),
        project=section.text("project"),
        branches=section.narrowing("branches", "main alone") or ("main",),
        ceiling=_ceiling(ceiling) if ceiling else Ceiling((), (), (), ()),
        credentials=secret_at(section, "credentials"),
        impersonate=_impersonation(section),
        drafts=section.flag("drafts", default=True),
        roles=roles,
        commands=read_commands(section, [role.name for role in roles]),
    )
    if repository.forge == PLAIN and repository.secret is None and not section.has("secret"):
        section.problem(
            "secret", "`secret` is missing", "write secret: {file: PATH}, as `plumbline hooks install` prints it"
        )
    if repository.forge != PLAIN and not repository.project:
        section.problem("forge", "`project` is missing", "write the repository's name at the forge: owner/name")
    if repository.project and not PROJECT.fullmatch(repository.project):
        section.problem(
            "project",
            f"`project`: {repository.project} has no owner",
            "write owner/name, as the forge's address has it",
        )
    section.end()
    return repository


def _forge(section: Section) -> Forge:
    kind = section.text("kind", section.text("name", required=True), choices=KINDS)
    app = section.section("app")
    forge = Forge(
        name=section.text("name", required=True),
        kind=kind,
        address=section.text("address", ADDRESSES.get(kind, ""), required=kind not in ADDRESSES).rstrip("/"),
        webhook_secret=secret_at(section, "webhook-secret") or SecretReference(),
        token=secret_at(section, "token"),
        app=str(app.whole("id", 0)) if app else "",
        app_key=secret_at(app, "key") if app else None,
        signing_key=secret_at(section, "signing-key"),
    )
    if forge.name == PLAIN:
        section.problem("name", "`name`: plain is what repositories without a forge have", "give it another name")
    if forge.webhook_secret == SecretReference() and not section.has("webhook-secret"):
        section.problem(
            "name", "`webhook-secret` is missing", "write webhook-secret: {file: PATH}; it is never optional"
        )
    if forge.signing_key is not None and forge.kind != "gitlab":
        section.problem(
            "signing-key", "`signing-key`: only GitLab signs with one", "remove it; webhook-secret is enough"
        )
    if app:
        app.end()
        if forge.kind != "github" or forge.app_key is None:
            section.problem(
                "app", "`app`: needs kind: github, an id and a key", "write app: {id: 1, key: {file: PATH}}"
            )
    if (forge.token is None) == (not app):
        section.problem("name", "give exactly one of `token` and `app`", "a token of a bot user, or a GitHub App")
    if forge.address and not forge.address.startswith("https://") and not forge.address.startswith(LOCAL):
        section.problem("address", f"`address`: {forge.address} is not https", "tokens are sent there")
    section.end()
    return forge


def _pages(top: Section, address: str, forges: Sequence[str], roles: Sequence[str]) -> Pages:
    """`pages: open`, or a mapping with a token, forges to sign in at, or both; nothing: closed."""
    if not top.holds_mapping("pages"):
        return Pages(is_open=top.text("pages", choices=("open",)) == "open")
    section = top.section("pages")
    assert section is not None
    sign_in = []
    for below in section.sections("sign-in"):
        name, client = below.text("forge", required=True), below.text("client", required=True)
        if name and name not in forges:
            below.problem("forge", f"`forge`: {name!r} is none of `forges`", "declare it there first")
        found = secret_at(below, "secret")
        if found is None and not below.has("secret"):
            below.problem("forge", "`secret` is missing", "write secret: {file: PATH}: the OAuth client's own")
        below.end()
        if found is not None:
            sign_in.append(SignIn(name, client, found))
    pages = Pages(token=secret_at(section, "token"), sign_in=tuple(sign_in), may=read_may(section, roles))
    if pages.may and pages.token is None:
        section.problem(
            "may", "`may`: is about who signs in by the token, and there is none", "write token: {file: PATH}"
        )
    no_doubles(section, "sign-in", [each.forge for each in pages.sign_in])
    if not address.startswith("https://") and not address.startswith(LOCAL):
        top.problem("pages", f"`pages`: {address} is not https", "what signs people in would be readable on its way")
    section.end()
    return pages


def _ceiling(section: Section) -> Ceiling:
    ceiling = Ceiling(
        namespaces=section.texts("namespaces") or (),
        kinds=section.narrowing("kinds", "all kinds") or ("*",),
        cluster_scoped=section.texts("cluster-scoped") or (),
        clusters=section.texts("clusters"),
        force=section.flag("force", default=True),
        dangerous=section.texts("dangerous") or (),
    )
    for name in ceiling.dangerous or ():
        if name not in DANGERS:
            section.problem("dangerous", f"`dangerous`: {name!r} is none of {', '.join(DANGERS)}")
    section.end()
    return ceiling


def _impersonation(section: Section) -> Impersonation | None:
    """None only where nothing stands there: an identity that is left empty would be the worker's own."""
    if "impersonate" not in section.names():
        return None
    below = section.section("impersonate")
    if below is None:
        if not section.has("impersonate"):
            section.problem("impersonate", "`impersonate` is empty", "write {user: NAME, groups: [NAME]}, or remove it")
        return None
    user, groups = below.text("user", required=True), below.texts("groups") or ()
    below.end()
    for name, text in (("user", user), *(("groups", group) for group in groups)):
        left = PLACEHOLDER.sub("x", text)
        if not IDENTITY.fullmatch(left) and (text or below.has(name)):
            below.problem(name, f"`{name}`: {text!r} cannot be impersonated", IDENTITY_HELP)
    return Impersonation(user, groups)


def _limits(section: Section, default: RenderLimits) -> RenderLimits:
    limits = RenderLimits(
        seconds=section.whole("seconds", default.seconds),
        memory=section.size("memory", default.memory),
        file_size=section.size("file-size", default.file_size),
        tree_size=section.size("tree-size", default.tree_size),
        files=section.whole("files", default.files),
        objects=section.whole("objects", default.objects),
    )
    section.end()
    return limits

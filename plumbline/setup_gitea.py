"""`plumbline setup gitea`: makes what Plumbline needs at a Gitea or Forgejo, and says what its token may not do.

Secrets that app.yaml names as files and that are not there yet are made: the webhook's secret always, the tokens once somebody
gives the bot user's password. Nothing that is there is overwritten, and no secret is printed.
"""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bot.forges.gitea import Gitea
    from bot.settings import ForgeSettings
    from worker.domain.installation import Forge, Installation, Repository
    from worker.domain.secret_text import SecretReference

SCOPES: Final[tuple[str, ...]] = ("read:user", "write:issue", "write:repository")
"""What the bot's token may do; with it the bot user is best an administrator of the repository."""

TEAMS: Final = "read:organization"
"""What it may do beside that where a role of app.yaml names a team: ask who is in it."""

READING: Final[tuple[str, ...]] = ("read:repository",)
"""What the worker's token may do: fetch."""

EVENTS: Final = ("push", "pull_request", "pull_request_sync", "pull_request_comment", "package")
"""What the webhook sends, in Gitea's words."""

ASKED_FOR: Final = {"admin access"}
"""Grants that Plumbline does its daily work without."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--forge", metavar="NAME", help="the forge's name in app.yaml (needed where there are several)")
    parser.add_argument(
        "--user", metavar="LOGIN", help="make the tokens that are missing as this bot user; its password is asked for"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes what is missing; running it again changes only what differs. 1 where something needed is missing still."""
    from bot.settings import ForgeSettings, declared_forge, installation_by

    installation, root = installation_by(os.environ)
    declared = declared_forge(installation, "gitea", arguments.forge)
    repositories = [each for each in installation.repositories if each.forge == declared.name]
    _make_secrets(declared, repositories, root, arguments.user, dry_run=arguments.dry_run)
    if arguments.dry_run and not _are_there(declared, root):
        address = _address(installation, declared)
        for each in repositories:
            print(f"{each.project}\n  would create or put right webhook {address} (push and pull request events)")
        print("            what the token may do is looked at once these files are there")
        return 1
    settings = ForgeSettings.load(os.environ, "gitea", declared.name)
    done = [_repository(each, settings, root, dry_run=arguments.dry_run) for each in repositories]
    if not repositories:
        print(f"app.yaml lists no repository of {declared.name}; such lines do:\n{_lines(declared)}", file=sys.stderr)
    return 0 if done and all(done) else 1


# -- secrets ---------------------------------------------------------------------------------------------------------


def _make_secrets(
    declared: Forge, repositories: Sequence[Repository], root: Path, user: str | None, *, dry_run: bool
) -> None:
    """Makes the files that are missing. Raises Refused where a token is missing that nobody gave a password for."""
    from plumbline.setup_github import written
    from worker.domain.errors import Refused

    hook = _missing(declared.webhook_secret, root)
    if hook is not None:
        if not dry_run:
            written(hook, secrets.token_hex(32))
        print(f"{'would write' if dry_run else 'wrote':<11} {hook} (mode 600): the webhook's secret")
    token = _missing(declared.token, root)
    wanted = [(token, SCOPES, "the bot's token")]
    if token is not None and (names := [each.name for each in repositories if each.asks_teams]):
        wanted = [(token, (*SCOPES, TEAMS), "the bot's token")]
        print(f"needs       {TEAMS}: roles of {', '.join(names)} name teams")
    wanted += [
        (_missing(each.credentials, root), READING, f"the worker's token for {each.name}") for each in repositories
    ]
    password = ""
    for file, scopes, what in wanted:
        if file is None or file.exists():
            continue
        if user is None and dry_run:
            print(f"missing     {file}: {what}; {_by_hand(declared, file, scopes)}")
            continue
        if user is None:
            raise Refused(f"{file} is not there: it holds {what}", _by_hand(declared, file, scopes))
        if dry_run:
            print(f"would write {file} (mode 600): {what}, of {user}, with {', '.join(scopes)}")
            continue
        password = password or _password(user, declared)
        written(file, _made_token(declared, user, password, scopes))
        print(f"wrote       {file} (mode 600): {what}, of {user}, with {', '.join(scopes)}")


def _missing(reference: SecretReference | None, root: Path) -> Path | None:
    """The file that a secret is to be in and that is not there."""
    if reference is None or reference.file is None or (root / reference.file).exists():
        return None
    return root / reference.file


def _are_there(declared: Forge, root: Path) -> bool:
    return _missing(declared.token, root) is None and _missing(declared.webhook_secret, root) is None


def _by_hand(declared: Forge, file: Path, scopes: Sequence[str]) -> str:
    return (
        f"with --user LOGIN it is made by that user's password; or, signed in as Plumbline's user, make one at "
        f"{declared.address}/user/settings/applications with {', '.join(scopes)}, and paste it into "
        f"(umask 077; cat > {file})"
    )


def _password(user: str, declared: Forge) -> str:
    """Asked for on a terminal, else the first line of the standard input; never an argument, which others can see."""
    if sys.stdin.isatty():
        return getpass.getpass(f"password of {user} at {declared.address}: ")
    return sys.stdin.readline().rstrip("\n")


def _made_token(declared: Forge, user: str, password: str, scopes: Sequence[str]) -> str:
    import httpx

    from worker.domain.errors import Refused, Unavailable

    name = f"plumbline {socket.gethostname()} {secrets.token_hex(3)}"
    try:
        answer = httpx.post(
            f"{declared.address}/api/v1/users/{user}/tokens",
            json={"name": name, "scopes": list(scopes)},
            auth=(user, password),
            timeout=15,
        )
    except httpx.HTTPError as error:
        raise Unavailable(f"{declared.address} does not answer ({type(error).__name__})") from None
    if answer.status_code in (401, 403):
        raise Refused(
            f"{declared.name} does not let {user} make a token by password",
            "check login and password; where two factors are asked for, make the token on the forge's pages",
        )
    if answer.status_code != 201:
        raise Refused(
            f"{declared.name} answers {answer.status_code} where a token is made", "make it on the forge's pages"
        )
    return str(answer.json()["sha1"])


# -- a repository ----------------------------------------------------------------------------------------------------


def _repository(repository: Repository, settings: ForgeSettings, root: Path, *, dry_run: bool) -> bool:
    """Looks at one repository and registers its webhook; whether nothing that is needed is missing."""
    from bot.forges.gitea import Gitea
    from worker.domain.errors import PlumblineError

    print(f"{repository.project}")
    with closing(Gitea.of(settings.declared, repository, settings.credentials)) as forge:
        try:
            is_complete = _grants(forge)
            _register(forge, settings, dry_run=dry_run)
            return _can_fetch(repository, root) and is_complete
        except PlumblineError as error:
            print(f"  error     {error}", file=sys.stderr)
            return False


def _grants(forge: Gitea) -> bool:
    """Prints what the token may do; whether nothing is missing that Plumbline needs every day."""
    grants = forge.grants()
    for grant in grants:
        if grant.is_granted:
            print(f"  granted   {grant.name}")
        else:
            print(f"  missing   {grant.name}: {grant.purpose}")
    missing = {grant.name for grant in grants if not grant.is_granted}
    if "read:user" not in missing:
        print(f"  user      {forge.me().login}")
    return not missing - ASKED_FOR


def _register(forge: Gitea, settings: ForgeSettings, *, dry_run: bool) -> None:
    address = _address(settings.installation, settings.declared)
    there = next((each for each in forge.hooks() if each.get("config", {}).get("url") == address), None)
    if not dry_run:
        forge.put_hook(address, settings.webhook_secrets.shared.opened(), EVENTS)
    differing = _differing(there) if there is not None else []
    if there is not None and not differing:
        print(f"  as it was webhook {address} ({'its secret would be' if dry_run else 'its secret is'} set anew)")
        return
    done = "create" if there is None else "update"
    print(f"  {'would ' + done if dry_run else done + 'd':9} webhook {address} (push and pull request events)")
    if differing:
        print(f"            {'differing' if dry_run else 'put right'}: {', '.join(differing)}")


def _address(installation: Installation, declared: Forge) -> str:
    return f"{installation.address.rstrip('/')}/webhooks/{declared.name}"


def _differing(hook: Mapping[str, Any]) -> list[str]:
    """What of a webhook is not as it has to be; a secret is never told, so it is set anew each time."""
    lacking = [event for event in EVENTS if event not in (hook.get("events") or ())]
    is_json = hook.get("config", {}).get("content_type") == "json"
    return lacking + ["active"] * (not hook.get("active")) + ["content type"] * (not is_json)


def _can_fetch(repository: Repository, root: Path) -> bool:
    """Whether the worker can read the repository by its `url` and `credentials`; what to write into app.yaml where not."""
    from worker.adapters.checkout import Checkout
    from worker.domain.errors import PlumblineError
    from worker.installation_files import secret

    reference = repository.credentials
    credentials = secret(reference, f"{repository.name}.credentials", os.environ, root) if reference else None
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(Checkout.open(repository.url, Path(folder), credentials)) as at,
        ):
            at.tips()
    except PlumblineError as error:
        print(f"  missing   the worker cannot fetch {repository.url}: {error}", file=sys.stderr)
        if credentials is None:
            print(
                f"            if it is private, write `credentials: {{file: {repository.name}-read-token}}` below "
                f"`url` in app.yaml, and run this again with --user: the token may read and nothing else",
                file=sys.stderr,
            )
        return False
    print(f"  granted   fetch of {repository.url}" + (" by its own token" if credentials else ", which is public"))
    return True


def _lines(declared: Forge) -> str:
    return (
        "repositories:\n"
        f"  - name: shop\n    forge: {declared.name}\n    project: OWNER/shop\n"
        f"    url: {declared.address}/OWNER/shop.git\n    ceiling: {{namespaces: [shop]}}"
    )

"""`plumbline setup gitlab`: makes each project's webhook send what is read, and says what the token may not do."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.forges.gitlab import GitLab
    from bot.settings import ForgeSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--forge", metavar="NAME", help="the forge's name in app.yaml (needed where there are several)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Registers, or says what it would do; running it again changes only what differs. 1 where something is missing."""
    from bot.forges.gitlab import GitLab
    from bot.settings import ForgeSettings
    from worker.domain.errors import PlumblineError

    settings = ForgeSettings.load(os.environ, "gitlab", arguments.forge)
    declared = settings.declared
    is_complete = True
    repositories = [each for each in settings.installation.repositories if each.forge == declared.name]
    if not repositories:
        print(
            f"error no repository in app.yaml has `forge: {declared.name}`: add it below `repositories`",
            file=sys.stderr,
        )
        return 1
    for repository in repositories:
        forge = GitLab.of(declared, repository, settings.credentials)
        print(f"{repository.project}")
        try:
            is_complete = _grants(forge) and is_complete
            _register(forge, settings, dry_run=arguments.dry_run)
        except PlumblineError as error:
            print(f"  error     {error}", file=sys.stderr)
            is_complete = False
    return 0 if is_complete else 1


def _grants(forge: GitLab) -> bool:
    """Prints what the token may do; whether nothing is missing that Plumbline needs every day."""
    print(f"  user      {forge.me().login}")
    missing = []
    for grant in forge.grants():
        if grant.is_granted is False:
            print(f"  missing   {grant.name}: {grant.purpose}")
            missing.append(grant.name)
        elif grant.is_granted is None:
            print(f"  unknown   {grant.name}: this GitLab does not say what the token may do")
        else:
            print(f"  granted   {grant.name}")
    return not set(missing) - {"webhook"}


def _register(forge: GitLab, settings: ForgeSettings, *, dry_run: bool) -> None:
    from bot.forges.port import NotPermitted
    from worker.domain.errors import Refused

    address = f"{settings.installation.address.rstrip('/')}/webhooks/{settings.declared.name}"
    secrets = settings.webhook_secrets
    signing = secrets.signing.opened() if secrets.signing else None
    try:
        done, differing = forge.register(address, secrets.shared.opened(), signing, dry_run=dry_run)
    except NotPermitted as error:
        raise Refused(
            f"the webhook cannot be registered: {error}",
            f"have a Maintainer add it below Settings, Webhooks: URL {address}, the secret token: the text "
            f"of `webhook-secret` in app.yaml, {'the signing token: that of `signing-key`, ' if signing else ''}"
            "with push, merge request and comment events; or run this with a Maintainer's token",
        ) from None
    print(f"  {'would ' + done if dry_run else done + 'd':9} webhook {address} (push, merge request and note events)")
    if differing:
        print(f"            {'differing' if dry_run else 'put right'}: {', '.join(differing)}")

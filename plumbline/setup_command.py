"""`plumbline setup`: registers Plumbline with a forge, and says what its credentials lack."""

from __future__ import annotations

import argparse
import importlib
from typing import Final

FORGES: Final = {
    "github": "make a GitHub App from a manifest, and keep its secrets in files",
    "gitea": "make the tokens and the webhooks of a Gitea's repositories, and say what the token lacks",
    "gitlab": "register the webhooks of a GitLab's projects, and say what the token lacks",
}
"""The forges with a setup of their own; each is `plumbline.setup_<forge>`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments, one subcommand per forge."""
    below = parser.add_subparsers(metavar="FORGE", required=True)
    for name, words in FORGES.items():
        forge = below.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        importlib.import_module(f"plumbline.setup_{name}").add_arguments(forge)

"""Who may do what in the demo: people sign in with their account at its Gitea, Ada has a token for the command line."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from sandbox.forge import GiteaServer

TOKEN: Final = "ada-token"  # noqa: S105 - a file's name
CLIENT: Final = "client-secret"
LINES: Final = """\
pages:
  sign-in:
    - {{forge: gitea, client: {client}, secret: {{file: {client_secret}}}}}
tokens:
  - {{name: ada-laptop, secret: {{file: {token}}}, may: [admin], user: {owner}}}
"""


def opened(forge: GiteaServer, folder: Path, address: str, owner: str) -> str:
    """The lines of app.yaml for pages and tokens; their secrets lie in `folder`. Raises SandboxError where Gitea refuses."""
    wanted = {
        "name": "Plumbline",
        "redirect_uris": [f"{address}/login/gitea/done"],
        "confidential_client": True,
    }
    client = forge.ask("POST", "/user/applications/oauth2", wanted)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((CLIENT, str(client["client_secret"])), (TOKEN, secrets.token_hex(32))):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
    return LINES.format(client=client["client_id"], client_secret=CLIENT, token=TOKEN, owner=owner)

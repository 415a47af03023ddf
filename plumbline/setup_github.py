"""`plumbline setup github`: a GitHub App made from a manifest in the browser; its secrets go into files, never onto a screen.

The page is served on this machine only: it posts the manifest to GitHub, GitHub sends the browser back with a code, and that
is exchanged for the App's key and webhook secret.
https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import argparse
import hmac
import html
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from bot.forges.github import APP_PERMISSIONS, PURPOSES
from bot.forges.github_api import CLOUD, TEAM_PERMISSIONS, api_address
from bot.forges.github_door import BY_HAND, READERS
from plumbline.web_address import web_address
from worker.domain.errors import PlumblineError, Refused, Unavailable
from worker.installation_files import CONFIG, installation_of

EVENTS: Final = tuple(sorted(set(READERS) - {"ping", *BY_HAND}))
"""What the App is told of; a ping comes unasked."""

KEY, WEBHOOK_SECRET, TOKEN = "github-app.pem", "github-webhook-secret", "github-token"
SECONDS: Final = 10
HOUR: Final = 3600
"""So long GitHub keeps the code of a new App."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--address", required=True, type=web_address, metavar="URL", help="where GitHub reaches web, as in app.yaml"
    )
    parser.add_argument(
        "--github", default=CLOUD, type=web_address, metavar="URL", help="an Enterprise Server's address"
    )
    parser.add_argument("--organization", metavar="NAME", help="who owns the App (you)")
    parser.add_argument("--name", default="plumbline", help="the App's name, which nobody else at GitHub may have")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files with the secrets go (here)")
    parser.add_argument("--port", type=int, default=0, help="the port of the page on this machine (a free one)")
    parser.add_argument(
        "--teams", action="store_true", help="ask for members: read; done by itself where roles of app.yaml name teams"
    )
    parser.add_argument("--token", action="store_true", help="print the steps for a fine-grained token instead")
    parser.add_argument("--dry-run", action="store_true", help="only print the manifest and what would be written")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Makes the App, or says how; existing files are never overwritten."""
    arguments.teams = asks_teams(given=arguments.teams)
    permissions = needed_permissions(teams=arguments.teams)
    if arguments.token:
        print(token_steps(arguments.github.rstrip("/"), arguments.address.rstrip("/"), permissions))
        return 0
    files = [arguments.folder / name for name in (KEY, WEBHOOK_SECRET)]
    if arguments.dry_run:
        asked = manifest(arguments.name, arguments.address, "http://127.0.0.1/made", permissions)
        print(json.dumps(asked, indent=2))
        for file in files:
            if file.exists():
                print(f"is there    {file}: nothing would be made; move it away, or give another --folder")
            else:
                print(f"would write {file} with mode 600")
        return 0
    for file in files:
        if file.exists():
            raise Refused(f"{file} is there already", "move it away, or give another --folder")
    if not os.access(arguments.folder, os.W_OK | os.X_OK):  # before GitHub is asked: the App's key is told once
        raise Refused(f"{arguments.folder} is no folder that can be written to", "make it, or give another --folder")
    page = Page(arguments)
    print(f"open        {page.url}   in a browser on this machine, within the hour; Ctrl-C gives up", flush=True)
    made = page.wait()
    written(files[0], str(made["pem"]))
    written(files[1], str(made["webhook_secret"]))
    for file in files:
        print(f"wrote       {file} (mode 600)")
    print(f"install     {made['html_url']}/installations/new   on the repositories, then write into app.yaml:")
    print(app_yaml(arguments.github.rstrip("/"), int(made["id"]), files))
    return 0


def asks_teams(*, given: bool) -> bool:
    """Whether GitHub is asked who is in a team: where `--teams` or roles of app.yaml say so. Prints which, and why."""
    path = Path(os.environ.get(CONFIG, "app.yaml"))
    asked = ", ".join(f"{name}: {level}" for name, level in TEAM_PERMISSIONS.items())
    try:
        installation = installation_of(path)
    except PlumblineError as error:
        why = str(error).splitlines()[0] if path.exists() else f"there is no {path} yet"
        names = []
    else:
        forges = {forge.name for forge in installation.forges if forge.kind == "github"}
        names = [each.name for each in installation.repositories if each.forge in forges and each.asks_teams]
        why = f"roles of {', '.join(names)} name teams" if names else f"no role of {path} names a team"
    if given or names:
        print(f"asks for    {asked}: {why if names else 'as --teams says'}")
    else:
        print(f"leaves out  {asked}: {why}; roles that name teams need it, and --teams asks for it")
    return given or bool(names)


def needed_permissions(*, teams: bool) -> Mapping[str, str]:
    """What GitHub is asked for; who is in a team only where a role names one."""
    return {**APP_PERMISSIONS, **(TEAM_PERMISSIONS if teams else {})}


def manifest(name: str, address: str, redirect: str, permissions: Mapping[str, str]) -> dict[str, Any]:
    """What GitHub is asked to make: the permissions and events that the adapter and the door use, and no others."""
    return {
        "name": name,
        "url": address.rstrip("/"),
        "hook_attributes": {"url": f"{address.rstrip('/')}/webhooks/github", "active": True},
        "redirect_url": redirect,
        "public": False,
        "default_permissions": dict(permissions),
        "default_events": list(EVENTS),
    }


def app_yaml(github: str, app: int, files: list[Path]) -> str:
    """The lines of app.yaml for the App."""
    address = "" if github == CLOUD else f"    address: {github}\n"
    return (
        f"forges:\n  - name: github\n{address}    app: {{id: {app}, key: {{file: {files[0]}}}}}\n"
        f"    webhook-secret: {{file: {files[1]}}}"
    )


def token_steps(github: str, address: str, permissions: Mapping[str, str]) -> str:
    """How a fine-grained token and a webhook are made by hand."""
    needed = [f"   {name}: {level:<6} {PURPOSES[name]}" for name, level in permissions.items()]
    asked = [line for line in needed if not line.strip().startswith(("checks", "merge_queues"))]
    events = ", ".join(event for event in EVENTS if event not in ("check_run", "check_suite", "merge_group"))
    return "\n".join([
        f"1. As a user of its own for Plumbline, open {github}/settings/personal-access-tokens/new",
        "   and choose only the repositories that Plumbline serves, with these permissions:",
        *asked,
        f"2. (umask 077; cat > {TOKEN}), paste the token, end with Ctrl-D",
        f"3. (umask 077; openssl rand -hex 32 > {WEBHOOK_SECRET})",
        f"4. In each repository under Settings > Webhooks, add {address}/webhooks/github, content type",
        f"   application/json, the secret of {WEBHOOK_SECRET}, and the events {events}",
        "5. In app.yaml:",
        f"   forges:\n     - name: github\n       token: {{file: {TOKEN}}}\n       webhook-secret: {{file: {WEBHOOK_SECRET}}}",
        "Check runs need a GitHub App; without one there are statuses, comments and deployments.",
    ])  # fmt: skip


def written(file: Path, text: str) -> None:
    """Writes a secret that only its owner can read, to a file that is not there yet."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(text.rstrip("\n") + "\n")


class Page:
    """The page that starts the flow and takes its end, on this machine; `state` proves that the one belongs to the other."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._github = arguments.github.rstrip("/")
        self._state = secrets.token_urlsafe(24)
        self._made: Mapping[str, Any] | None = None
        self._failure: Exception | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Says nothing: the request has the code in it."""

        self._server = HTTPServer(("127.0.0.1", arguments.port), Handler)
        self._server.timeout = HOUR
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        owner = f"organizations/{quote(arguments.organization)}/" if arguments.organization else ""
        self._target = f"{self._github}/{owner}settings/apps/new?state={self._state}"
        permissions = needed_permissions(teams=arguments.teams)
        self._manifest = json.dumps(manifest(arguments.name, arguments.address, f"{self.url}made", permissions))

    def wait(self) -> Mapping[str, Any]:
        """What GitHub made, once the browser came back. Raises Unavailable or Refused."""
        try:
            while self._made is None and self._failure is None:
                self._server.handle_request()
        finally:
            self._server.server_close()
        if self._made is None:
            raise self._failure or Unavailable("the browser did not come back")
        return self._made

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/":
            self._say(handler, 200, self._form())
        elif parts.path != "/made" or "code" not in query:
            self._say(handler, 404, "<p>There is nothing here.")
        elif not hmac.compare_digest(query.get("state", "").encode(), self._state.encode()):
            self._say(handler, 400, "<p>This did not start here; nothing was made. Begin again at the printed address.")
        else:
            try:
                self._made = exchanged(self._github, query["code"])
                self._say(handler, 200, "<p>The App is made. Go on in the terminal.")
            except (Unavailable, Refused) as failure:
                self._failure = failure
                self._say(handler, 502, "<p>GitHub did not give the App's key. The terminal says why.")

    def _form(self) -> str:
        target, text = html.escape(self._target), html.escape(self._manifest)
        return (
            f'<form method="post" action="{target}"><input type="hidden" name="manifest" value="{text}">'
            "<p>GitHub will show the App's name and make it.<p><button>Make the App on GitHub</button></form>"
        )

    def _say(self, handler: BaseHTTPRequestHandler, code: int, text: str) -> None:
        body = f'<!doctype html><meta charset="utf-8"><title>Plumbline</title>{text}'.encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "text/html; charset=utf-8")
        handler.send_header("Content-Security-Policy", f"default-src 'none'; form-action {self._github} 'self'")
        handler.send_header("Referrer-Policy", "no-referrer")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def exchanged(github: str, code: str) -> Mapping[str, Any]:
    """The new App with its key and webhook secret, for the code that GitHub gave. Raises Unavailable and Refused."""
    address = f"{api_address(github)}/app-manifests/{quote(code, safe='')}/conversions"
    request = urllib.request.Request(address, b"", {"Accept": "application/vnd.github+json"})  # noqa: S310 - http(s) by the argument
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            made: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise Refused(
            f"GitHub refuses the code ({error.code})", "it is good for an hour and once: begin again"
        ) from None
    except (OSError, ValueError):
        raise Unavailable(
            "GitHub does not answer; the App is made, delete it in its settings and begin again"
        ) from None
    if not made.get("pem") or not made.get("webhook_secret"):
        print("GitHub gave no key or webhook secret with the App", file=sys.stderr)
        raise Refused("the App has no key or no webhook secret", "delete it in GitHub's settings and begin again")
    return made

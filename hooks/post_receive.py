"""After a push is accepted: say that it was committed, and show how the clusters converge to it. Never fails the push."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from hooks import commands, refs
from hooks import configuration as settings
from hooks.client import Away, post
from hooks.screen import say, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ALERT_SECONDS = 2.0
POLL_SECONDS = 4.0
WATCH_SECONDS = 120.0
LARGEST_DECLARATION = 64 << 10

FORGE_ITSELF = ("SSH_ORIGINAL_COMMAND", "gitea-internal")
"""What Gitea and Forgejo set when they push themselves: the merge button, the editor, the API. A person's push has the command
of their git there. https://github.com/go-gitea/gitea/blob/main/modules/repository/env.go"""


def main() -> int:
    """Returns 0, whatever happens: the commit is in."""
    pushed = refs.read(sys.stdin)
    commands.take_away(pushed)
    updates = [update for update in pushed if update.branch is not None and not update.deletes]
    if not updates:
        return 0
    pairs = refs.options(os.environ)
    try:
        configuration = settings.load()
        asked = commands.lines(pairs, alone=False)
        if asked:
            commands.give(configuration, asked)
        answer = _alert(updates, pairs, configuration)
    except (Away, settings.Misconfigured) as error:
        say([title(f"committed; Plumbline could not be told ({error}) and finds it by itself")])
        return 0
    if _is_forge_itself(os.environ):
        return 0
    seconds, patient = _wait(pairs)
    if seconds <= 0 or answer.get("cursor") is None:
        return 0
    _watch(configuration, answer["cursor"], seconds, patient=patient, colour=_colour(pairs, configuration))
    return 0


def _is_forge_itself(environ: Mapping[str, str]) -> bool:
    """Whether a page or program of the forge waits for this hook and shows nobody what it prints."""
    name, value = FORGE_ITSELF
    return environ.get(name) == value


def _alert(updates: list[refs.Update], pairs: refs.Options, configuration: settings.Configuration) -> dict[str, Any]:
    declaration = {update.branch: text for update in updates if (text := _declaration(update.new)) is not None}
    body = json.dumps({
        "updates": [update.to_json() for update in updates],
        "at": time.time(),
        "declaration": declaration,
        "approvals": [value[:64] for value in refs.chosen(pairs, "plumbline.approve")],
        "by": settings.pusher(configuration),
    })  # fmt: skip
    return post(configuration, "/pushes/committed", body.encode(), ALERT_SECONDS)


def _declaration(revision: str) -> str | None:
    """plumbline.yaml as it was pushed: a hint where to look, which the worker does not believe."""
    run = subprocess.run(
        ["git", "cat-file", "blob", f"{revision}:plumbline.yaml"],
        env=settings.environ(),
        capture_output=True,
        check=False,
    )
    if run.returncode != 0 or len(run.stdout) > LARGEST_DECLARATION:
        return None
    return run.stdout.decode(errors="replace")


def _wait(pairs: refs.Options) -> tuple[float, bool]:
    """How long to watch, and whether to stay until it is converged (when a time was asked for)."""
    given = refs.chosen(pairs, "plumbline.wait")
    if not given:
        return WATCH_SECONDS, False
    text = given[-1].rstrip("s")
    return (min(float(text), 3600.0), True) if text.isdigit() else (WATCH_SECONDS, False)


def _colour(pairs: refs.Options, configuration: settings.Configuration) -> bool:
    return configuration.colour or "1" in refs.chosen(pairs, "plumbline.colour")


def _watch(
    configuration: settings.Configuration, cursor: dict[str, Any], seconds: float, *, patient: bool, colour: bool
) -> None:
    until = time.monotonic() + seconds
    failures = 0
    while time.monotonic() < until:
        request = {"cursor": cursor, "patient": patient, "colour": colour}
        try:
            answer = post(configuration, "/pushes/stream", json.dumps(request).encode(), POLL_SECONDS)
        except Away as away:
            failures += 1
            if failures >= 3:
                say([title(f"goes on converging without being watched ({away})")])
                return
            time.sleep(0.2)
            continue
        failures = 0
        lines = answer.get("lines", [])
        if lines and not say(lines, keep_colour=colour):
            return
        cursor = answer.get("cursor", cursor)
        if answer.get("done"):
            return
    say([title("goes on converging; look at refs/notes/plumbline for the result")])

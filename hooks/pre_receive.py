"""Before a push is accepted: ask the bot what it would change, print that, refuse what must not come in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from hooks import commands, refs
from hooks import configuration as settings
from hooks.client import Away, post
from hooks.screen import safe, say, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACK_LIMIT = 8 << 20
SECONDS = 10.0
"""For everything before the push is decided; forges allow hooks little more."""


def main() -> int:
    """Returns the hook's exit code: 0 lets the push in, 1 refuses it."""
    began = time.monotonic()
    updates = refs.read(sys.stdin)
    pairs = refs.options(os.environ)
    try:
        configuration = settings.load()
    except settings.Misconfigured as error:
        say([title(f"refused: {error}")])
        return 1
    ours = refs.own(updates)
    if ours:
        say(_own_refs(ours))
        return 1
    if any(update.ref == refs.COMMANDS for update in updates):
        return _command(updates, pairs, configuration)
    branches = [update for update in updates if update.branch is not None]
    refusal = _refusal(updates, branches, pairs, configuration)
    if refusal:
        say(refusal)
        return 1
    asked = [update for update in branches if not update.deletes]
    if not asked:
        return 0
    try:
        answer = _ask(asked, pairs, configuration, began)
    except Away as away:
        return _away(asked, configuration, str(away))
    colour = _colour(pairs, configuration)
    say(answer.get("lines", []), keep_colour=colour)
    if answer.get("accept") is None:
        return _away(asked, configuration, "no prediction in time")
    return 0 if answer["accept"] else 1


def _command(updates: list[refs.Update], pairs: refs.Options, configuration: settings.Configuration) -> int:
    """A push of nothing but commands: it comes in, and git says that it did, where all of them were done."""
    asked = commands.lines(pairs, alone=True)
    refusal = _refusal(updates, [], pairs, configuration) or commands.refusal(updates, asked)
    if refusal:
        say(refusal)
        return 1
    return 0 if commands.give(configuration, asked) else 1


def _own_refs(ours: list[refs.Update]) -> list[str]:
    names = ", ".join(safe(update.ref) for update in ours[:3])
    return [title(f"refused: {names}"), "  These refs hold Plumbline's own results; only Plumbline writes them."]


def _refusal(
    updates: list[refs.Update], branches: list[refs.Update], pairs: refs.Options, configuration: settings.Configuration
) -> list[str] | None:
    if len(updates) > refs.LARGEST_PUSH:
        return [title(f"refused: {len(updates)} refs in one push"), f"  Push at most {refs.LARGEST_PUSH} at a time."]
    unknown = refs.unknown_option(pairs)
    if unknown:
        known = ", ".join(refs.KNOWN_OPTIONS)
        return [title(f"refused: there is no push option {safe(unknown[:60])}"), f"  Known are: {known}."]
    for update in branches:
        if update.branch and update.deletes and refs.is_protected(update.branch, configuration.protected):
            return [
                title(f"refused: {safe(update.branch)} would be deleted"),
                "  An environment may follow this branch. Deleting it changes nothing in a cluster; to allow it, take the",
                "  branch out of plumbline.protect in the repository's git configuration.",
            ]
    return None


def _ask(
    asked: list[refs.Update], pairs: refs.Options, configuration: settings.Configuration, began: float
) -> dict[str, Any]:
    pack = _thin_pack(asked)
    header = json.dumps({
        "updates": [update.to_json() for update in asked],
        "approvals": [value[:64] for value in refs.chosen(pairs, "plumbline.approve")],
        "by": settings.pusher(configuration),
        "colour": _colour(pairs, configuration),
        "seconds": max(1.0, SECONDS - 1.0 - (time.monotonic() - began)),
    })  # fmt: skip
    left = SECONDS - (time.monotonic() - began)
    if left <= 0:
        raise Away("reading the push took too long")
    return post(configuration, "/pushes/preview", header.encode() + b"\n" + pack, left)


def _colour(pairs: refs.Options, configuration: settings.Configuration) -> bool:
    return configuration.colour or "1" in refs.chosen(pairs, "plumbline.colour")


def _thin_pack(asked: list[refs.Update]) -> bytes:
    """The pushed objects that the repository did not have, as git packs them for a fetch."""
    names = [update.new for update in asked]
    known = [f"^{update.old}" for update in asked if not update.creates]
    if any(update.creates for update in asked):
        known += [f"^{tip}" for tip in _tips()]
    lines = "\n".join([*names, *known, ""])
    run = subprocess.Popen(
        ["git", "pack-objects", "--revs", "--thin", "--stdout", "-q"],
        env=settings.environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write(lines.encode())
    run.stdin.close()
    pack = run.stdout.read(PACK_LIMIT + 1)
    if len(pack) > PACK_LIMIT:
        run.kill()
        run.wait()
        raise Away(f"more than {PACK_LIMIT >> 20} MiB are pushed, too much for a prediction")
    if run.wait() != 0:
        raise Away("the pushed objects cannot be read")
    return pack


def _tips() -> list[str]:
    """Where the branches point that are there already: a new one shares most of their history."""
    run = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname)", "--count=500", "refs/heads/"],
        env=settings.environ(),
        capture_output=True,
        check=False,
    )
    return run.stdout.decode().split()


def _away(asked: list[refs.Update], configuration: settings.Configuration, why: str) -> int:
    protected = [
        update.branch for update in asked if update.branch and refs.is_protected(update.branch, configuration.protected)
    ]
    refuse = configuration.when_away == "refuse" or (configuration.when_away != "accept" and protected)
    if refuse:
        named = safe(protected[0] if protected else asked[0].ref)
        say([
            title(f"refused: nothing can be predicted for {named} now ({why})"),
            "  Push again when Plumbline is back. To let pushes in meanwhile, the repository's owner runs",
            "  `plumbline hooks install` with --when-away accept, or `git config plumbline.whenAway accept` in it.",
        ])  # fmt: skip
        return 1
    say([title(f"not predicted ({why}); the push is accepted, and what it changes is found later")])
    return 0

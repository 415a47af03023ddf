"""`plumbline environments`, `history`, `rollback`, `hold` and so on: the words of comments, said to a Plumbline server."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

WAITS: Final = 120.0
"""Seconds that an answer is waited for unless `--timeout` says otherwise."""

EPILOG: Final = (
    "Exit code: 0 done, 1 refused, failed or not answered in time, 3 the server cannot be reached, 64 a wrong call. "
    "The token comes from --token-file or from PLUMBLINE_TOKEN, never from the command line."
)

ENVIRONMENT: Final = ("rollback", "hold", "unhold", "approve", "confirm-prune", "retry", "adopt", "image", "history")
OPTIONAL: Final = frozenset({"retry", "approve"})
REASONS: Final = frozenset({"hold", "freeze"})
CONFIRMS: Final = frozenset({"approve", "confirm-prune"})
MORE: Final = {
    "rollback": ("target", "?", "a commit, ~2 (two desired states back) or last-converged (default)"),
    "approve": ("code", "?", "the code of the plan that waits"),
    "confirm-prune": ("code", None, "the code of the plan that waits"),
    "adopt": ("object", "?", "Kind/namespace/name or Kind/name (default: all that drifted)"),
    "image": ("image", None, "name:tag, name@digest or both"),
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of one of these commands, which the parser's name says."""
    word = parser.prog.rpartition(" ")[2]
    if word in ENVIRONMENT:
        parser.add_argument("environment", nargs="?" if word in OPTIONAL else None, default="", help="its name")
    if word in MORE:
        name, count, words = MORE[word]
        parser.add_argument(name, nargs=count, default="", help=words)
    if word == "answer":
        parser.add_argument("ticket", help="what --no-wait printed")
    if word in REASONS:
        parser.add_argument("--reason", default="", metavar="TEXT", help="why; everybody is told")
    if word == "rollback":
        parser.add_argument("--push", action="store_true", help="straight to the branch, where its policy lets it")
        parser.add_argument("--dry-run", action="store_true", help="only say to what and which files; commit nothing")
    if word in CONFIRMS:
        parser.add_argument(
            "--change-request", type=int, default=0, metavar="N", help="whose plan waits (found by itself)"
        )
    parser.add_argument("--server", metavar="URL", help="`address` of app.yaml (PLUMBLINE_SERVER)")
    parser.add_argument(
        "--token-file", type=Path, metavar="PATH", help="where the token is, mode 600 (PLUMBLINE_TOKEN)"
    )
    parser.add_argument("--repository", default="", metavar="NAME", help="its name in app.yaml (the token's only one)")
    parser.add_argument("--json", action="store_true", help="the server's answer as JSON")
    if word not in ("environments", "history"):
        if word != "answer":
            parser.add_argument(
                "--branch", default="", metavar="NAME", help="the branch that declares it (found by itself)"
            )
            parser.add_argument(
                "--no-wait", action="store_true", help="print the ticket at once: `plumbline answer TICKET`"
            )
        parser.add_argument("--timeout", type=_seconds, default=WAITS, metavar="2m", help="how long to wait (2m)")
    parser.epilog = EPILOG
    parser.set_defaults(run=run, word=word)


def _seconds(text: str) -> float:
    from worker.domain.schema import seconds_of

    found = seconds_of(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 30s or 2m")
    return found


def run(arguments: argparse.Namespace) -> int:
    """Asks the server; 0 where it was done."""
    from plumbline.server_client import server_of

    with server_of(arguments.server, arguments.token_file) as server:
        if arguments.word == "environments":
            return _shown(arguments, server.get("/environments", repository=arguments.repository))
        if arguments.word == "history":
            named = {"repository": arguments.repository, "environment": arguments.environment}
            return _shown(arguments, server.get("/history", **named))
        ticket = arguments.ticket if arguments.word == "answer" else ""
        if not ticket:
            asked = server.command(_wish(arguments))
            if arguments.no_wait:
                print(json.dumps(asked) if arguments.json else asked["ticket"])
                return 0
            ticket = str(asked["ticket"])
        found = server.answer(ticket, arguments.timeout, _progress)
    _progress(0)
    return _answered(arguments, found)


def _wish(arguments: argparse.Namespace) -> dict[str, Any]:
    """The command as the line that a comment would have."""
    extra = getattr(arguments, MORE[arguments.word][0]) if arguments.word in MORE else ""
    words = [f"/{arguments.word}", getattr(arguments, "environment", ""), extra, getattr(arguments, "reason", "")]
    words += [f"--{name.replace('_', '-')}" for name in ("push", "dry_run") if getattr(arguments, name, False)]
    wish: dict[str, Any] = {"line": " ".join(word for word in words if word)}
    named = {"repository": arguments.repository, "branch": arguments.branch}
    wish |= {name: value for name, value in named.items() if value}
    number = getattr(arguments, "change_request", 0)
    return wish | ({"number": number} if number else {})


def _progress(seconds: float) -> None:
    """Says on a terminal how long it was waited; 0 takes that away again."""
    if not sys.stderr.isatty():
        return
    words = f"waiting for the answer, {seconds:.0f} s" if seconds else ""
    sys.stderr.write(f"\r\x1b[2K{words}")
    sys.stderr.flush()


def _answered(arguments: argparse.Namespace, found: dict[str, Any]) -> int:
    from plumbline.screen import coloured, safe

    outcome, text = str(found.get("outcome")), str(found.get("text", "")).strip()
    is_done = outcome == "done"
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0 if is_done else 1
    if outcome == "waiting":
        own = f"plumbline answer {found.get('ticket')}"
        text = (
            f"{text}\nThere is no whole answer yet; it goes on: {own}" if text else f"no answer yet; it goes on: {own}"
        )
    stream = sys.stdout if is_done else sys.stderr
    label = coloured(outcome, "32;1" if is_done else "33;1" if outcome == "waiting" else "31;1", stream)
    first, *rest = [safe(line) for line in f"{text[:1].upper()}{text[1:]}".splitlines()] or [""]
    print(f"{label} {first}".rstrip(), file=stream)
    for line in rest:
        print(f"  {line}".rstrip(), file=stream)
    return 0 if is_done else 1


def _shown(arguments: argparse.Namespace, found: dict[str, Any]) -> int:
    if arguments.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif arguments.word == "environments":
        _environments(found["environments"])
    else:
        _history(found["history"])
    return 0


def _environments(rows: list[dict[str, Any]]) -> None:
    from plumbline.screen import coloured, safe
    from plumbline.status_text import COLOURS
    from worker.domain.axes import Plumb
    from worker.domain.convergence import short
    from worker.domain.episode_text import lasted

    now = time.time()
    names = [f"{each['repository']}/{each['environment']}" for each in rows]
    widest, words = max(map(len, names), default=0), max((len(str(each["state"])) for each in rows), default=0)
    for name, each in zip(names, rows, strict=True):
        word = coloured(f"{each['state']:<{words}}", COLOURS.get(Plumb(each["mark"]), "0"))
        axes = f"{each['sync']}, {each['health']}, {each['operation']}"
        print(
            f"{safe(name):<{widest}}  {word}  {axes}; {short(each['revision'])} on {safe(each['branch'])}, "
            f"{lasted(max(0.0, now - each['since']))}"
        )
        print(f"{'':<{widest}}  {safe(each['text'])}")
        for held in each["held"]:
            by, why = f" by {held['by']}" if held["by"] else "", f": {held['why']}" if held["why"] else ""
            print(f"{'':<{widest}}  {safe(held['what'] + by + why)} ({safe(held['release'])})")
    if not rows:
        print("no environment yet: nothing was told of any")


def _history(items: list[dict[str, Any]]) -> None:
    from plumbline.screen import coloured, safe
    from worker.domain.convergence import short
    from worker.domain.episode_text import lasted

    now = time.time()
    for each in items:
        what = short(each["revision"]) if "revision" in each else each["divergence"]
        subject = f"  {each['subject']}" if each.get("subject") else ""
        author = f" by {each['author']}" if each.get("author") else ""
        age = f"{lasted(max(0.0, now - each['at']))} ago"
        print(f"{coloured(safe(what), '1')}  {safe(each['state'])}, {age}{safe(subject + author)}")
        for fact in each["facts"]:
            print(f"  {safe(fact['step']):<10} {safe(fact['text'])}  {fact['seconds']:.1f} s")

"""`plumbline`: the command line. Each command's module is imported only when it runs, so that all start quickly."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

USAGE: Final = 64
INTERRUPTED: Final = 130

COMMANDS: Final = {
    "render": ("render_command", "print the desired state of a folder, as it would be applied"),
    "plan": ("plan_command", "say what applying a folder would change in a cluster"),
    "apply": ("apply_command", "apply a folder, wait until it is healthy, and prove it"),
    "status": ("status_command", "say what is known of an environment"),
    "environments": ("server_command", "ask a server how its environments stand"),
    "history": ("server_command", "ask a server what happened to an environment"),
    "rollback": ("server_command", "have a server propose the commit that takes an environment back"),
    "hold": ("server_command", "have a server hold an environment: nothing is converged until unhold"),
    "unhold": ("server_command", "let a held environment go on"),
    "freeze": ("server_command", "have a server hold every environment of a branch until thaw"),
    "thaw": ("server_command", "end a freeze"),
    "approve": ("server_command", "confirm exactly the plan that waits for it"),
    "confirm-prune": ("server_command", "confirm exactly the deletions that wait for it"),
    "retry": ("server_command", "have what failed converged again"),
    "adopt": ("server_command", "have a server propose the commit that takes drift into Git"),
    "image": ("server_command", "have a server propose the commit that uses an image"),
    "answer": ("server_command", "the answer to a command that was not waited for"),
    "hooks": ("hooks_command", "install Plumbline's hooks into a Git repository"),
    "setup": ("setup_command", "register Plumbline with a forge, and say what its credentials lack"),
    "sandbox": ("sandbox_command", "a real control plane on this machine, for trying things out"),
    "demo": ("demo_command", "play the whole thing on this machine: push, predict, converge, prove"),
}


class Parser(argparse.ArgumentParser):
    """argparse with the exit code 64 for a wrong call (sysexits' EX_USAGE)."""

    def error(self, message: str) -> NoReturn:
        """Prints the usage and what is wrong, and exits."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = Parser(prog="plumbline", description="Keeps Kubernetes clusters true to Git.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    named = next((word for word in given if not word.startswith("-")), None)
    for name, (module, words) in COMMANDS.items():
        below = subparsers.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        if name == named:
            command = importlib.import_module(f"plumbline.{module}")
            command.add_arguments(below)
    parsed = parser.parse_args(given)
    return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    from worker.domain.errors import PlumblineError

    try:
        return int(parsed.run(parsed))
    except PlumblineError as error:
        from plumbline.screen import failure

        failure(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if "PLUMBLINE_DEBUG" in os.environ:
            raise
        print(f"error internal: {type(error).__name__}; this is a fault of Plumbline's", file=sys.stderr)
        print("      PLUMBLINE_DEBUG=1 shows where it happened", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

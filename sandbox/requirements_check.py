"""What this machine must bring, checked before anything is installed. Runs with any Python 3, standard library only."""

import os
import re
import shutil
import subprocess
import sys

PYTHON = (3, 11)
GIT = (2, 36)


COMPILER = (
    "a C compiler, to build Gitea (its SQLite is C)",
    "apt install gcc libc6-dev | dnf install gcc | xcode-select --install",
)
NPM = (
    "npm, to build Gitea's pages (without it they have no style)",
    "apt install npm | dnf install npm | brew install node",
)
"""What only the first build of the sandbox's forge needs, and the commands that bring it."""


def has_compiler():  # type: ignore[no-untyped-def]
    """Whether a C compiler is there that Go finds."""
    return any(shutil.which(name) for name in (os.environ.get("CC") or "cc", "gcc", "clang"))


def main():  # type: ignore[no-untyped-def]
    """Prints what is missing and the command that brings it; the exit code is 1 where something is."""
    problems = []
    if sys.version_info[:2] < PYTHON:
        found = "%d.%d" % sys.version_info[:2]
        problems.append(
            (
                "Python 3.11 or later (this is %s)" % found,
                "apt install python3.11 | dnf install python3.11 | brew install python@3.11",
                "or name another one: make PYTHON=python3.12",
            )
        )  # fmt: skip
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        problems.append(("Python's venv module", "apt install python3-venv", ""))
    git = shutil.which("git")
    said = subprocess.run([git, "--version"], stdout=subprocess.PIPE).stdout.decode() if git else ""  # noqa: PLW1510
    match = re.search(r"(\d+)\.(\d+)", said)
    if match is None or (int(match.group(1)), int(match.group(2))) < GIT:
        problems.append(("git 2.36 or later", "apt install git | dnf install git | brew install git", ""))
    if sys.platform not in ("linux", "darwin"):
        problems.append(("Linux or macOS (for Windows: its Linux subsystem)", "wsl --install", ""))
    for what, command, other in problems:
        sys.stderr.write("missing: %s\n  %s\n" % (what, command) + ("  %s\n" % other if other else ""))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[no-untyped-call]

"""`plumbline hooks`: puts Plumbline's hooks into a bare Git repository, and takes them out again."""

from __future__ import annotations

import argparse
import io
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

HOOKS: Final = ("pre-receive", "post-receive")
KEPT: Final = ".before-plumbline"
MARK: Final = "# Installed by `plumbline hooks install`."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    below = parser.add_subparsers(metavar="ACTION", required=True)
    install = below.add_parser("install", help="install the hooks", description="Installs the hooks into a repository.")
    install.add_argument("repository", type=Path, metavar="REPOSITORY.git")
    install.add_argument("--address", required=True, metavar="URL", help="where the bot's web process is reached")
    install.add_argument("--name", required=True, metavar="NAME", help="the repository's name in app.yaml")
    install.add_argument("--protect", action="append", metavar="BRANCH", help="a branch environments follow (main)")
    install.add_argument("--when-away", choices=("refuse", "accept"), help="what pushes get when the bot is away")
    install.add_argument("--secret-file", type=Path, metavar="FILE", help="the secret to use (a new one is made)")
    install.add_argument("--dry-run", action="store_true", help="only say what would be done")
    install.set_defaults(run=run_install)
    uninstall = below.add_parser("uninstall", help="remove the hooks", description="Restores what was there before.")
    uninstall.add_argument("repository", type=Path, metavar="REPOSITORY.git")
    uninstall.add_argument("--dry-run", action="store_true", help="only say what would be done")
    uninstall.set_defaults(run=run_uninstall)


def run_install(arguments: argparse.Namespace) -> int:
    """Installs, or says what it would do; running it again changes only what is asked for."""
    folder = _git_dir(arguments.repository)
    home = folder / "plumbline"
    secret = home / "secret"
    settings = {
        "plumbline.address": arguments.address,
        "plumbline.repository": arguments.name,
        "plumbline.protect": " ".join(arguments.protect or ["main"]),
        "receive.advertisePushOptions": "true",
    }
    if arguments.when_away:
        settings["plumbline.whenAway"] = arguments.when_away
    if arguments.dry_run:
        print(f"would write {home}/hooks.pyz and {', '.join(str(folder / 'hooks' / name) for name in HOOKS)}")
        for name, value in settings.items():
            print(f"would set   {name} = {value}")
        return 0
    home.mkdir(exist_ok=True, mode=0o700)
    if arguments.secret_file is not None:
        _write(secret, arguments.secret_file.read_bytes().strip() + b"\n", 0o600)
    elif not secret.exists():
        _write(secret, secrets.token_hex(32).encode() + b"\n", 0o600)
    _write(home / "hooks.pyz", archive(), 0o644)
    for name in HOOKS:
        _install_shim(folder / "hooks" / name, home / "hooks.pyz")
    for name, value in settings.items():
        subprocess.run(["git", "config", "--file", folder / "config", name, value], check=True)
    print(f"installed   {folder / 'hooks'}")
    print(f"secret      {secret}   (in app.yaml: secret: {{file: {secret}}})")
    print("undo with   plumbline hooks uninstall " + shlex.quote(str(arguments.repository)))
    return 0


def run_uninstall(arguments: argparse.Namespace) -> int:
    """Removes the hooks and the settings, and puts back the hooks that were there."""
    folder = _git_dir(arguments.repository)
    for name in HOOKS:
        hook = folder / "hooks" / name
        kept = hook.with_name(name + KEPT)
        if hook.exists() and MARK in hook.read_text(errors="replace"):
            print(f"{'would remove' if arguments.dry_run else 'removed'}   {hook}")
            if not arguments.dry_run:
                hook.unlink()
        if kept.exists():
            print(f"{'would restore' if arguments.dry_run else 'restored'}  {hook}")
            if not arguments.dry_run:
                kept.rename(hook)
    if not arguments.dry_run:
        shutil.rmtree(folder / "plumbline", ignore_errors=True)
        subprocess.run(
            ["git", "config", "--file", folder / "config", "--remove-section", "plumbline"],
            check=False,
            capture_output=True,
        )
    return 0


def _git_dir(repository: Path) -> Path:
    from worker.domain.errors import Refused

    for folder in (repository, repository / ".git"):
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return folder.resolve()
    raise Refused(f"{repository} is not a Git repository", "give the bare repository's folder, such as shop.git")


def _install_shim(hook: Path, program: Path) -> None:
    hook.parent.mkdir(exist_ok=True)
    kept = hook.with_name(hook.name + KEPT)
    if hook.exists() and MARK not in hook.read_text(errors="replace") and not kept.exists():
        hook.rename(kept)
    chain = (
        f"input=$(cat)\nif [ -x {shlex.quote(str(kept))} ]; then\n"
        f'  printf "%s\\n" "$input" | {shlex.quote(str(kept))} "$@" || exit $?\nfi\n'
        f'printf "%s\\n" "$input" | '
        if kept.exists()
        else "exec "
    )
    text = f"#!/bin/sh\n{MARK}\n{chain}{shlex.quote(python())} -I -S {shlex.quote(str(program))} {hook.name}\n"
    _write(hook, text.encode(), 0o755)


def python() -> str:
    """The interpreter that the hooks run with: this one's own, outside of any virtual environment, by its full path.

    `python3` on a pusher's PATH may be another one, or a shim that costs every push a tenth of a second.
    """
    own = Path(sys.executable).resolve()
    return str(own) if own.is_file() else "python3"


def archive() -> bytes:
    """The hooks as one zipapp, the same bytes each time."""
    import hooks

    source = Path(hooks.__file__).parent
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as whole:
        for name, content in [
            ("__main__.py", b"import sys\nfrom hooks.__main__ import main\nsys.exit(main())\n"),
            *((f"hooks/{path.name}", path.read_bytes()) for path in sorted(source.glob("*.py"))),
        ]:
            whole.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return target.getvalue()


def _write(path: Path, content: bytes, mode: int) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as target:
        target.write(content)
    fresh.chmod(mode)
    fresh.replace(path)

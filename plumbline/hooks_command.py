"""`plumbline hooks`: puts Plumbline's hooks into a bare Git repository, and takes them out again.

In the folder of a Gitea or Forgejo they go into `hooks/pre-receive.d` and `hooks/post-receive.d`, beside the forge's own, which
stay as they are and are written anew by the forge as it likes.
"""

from __future__ import annotations

import argparse
import io
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from plumbline.web_address import web_address

HOOKS: Final = ("pre-receive", "post-receive")
KEPT: Final = ".before-plumbline"
MARK: Final = "# Installed by `plumbline hooks install`."
OWN: Final = "plumbline"
"""Our hook's name among a forge's: it comes after the forge's own (`gitea`), which knows who may push."""

PUSH_OPTIONS: Final = "receive.advertisePushOptions"
BEFORE: Final = "plumbline.advertisePushOptionsBefore"
"""What the setting was before it was installed over, for `uninstall`."""

UNSET: Final = "unset"
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    below = parser.add_subparsers(metavar="ACTION", required=True)
    install = below.add_parser(
        "install", help="install the hooks", description="Install the hooks into a bare repository."
    )
    install.add_argument("repository", type=Path, metavar="REPOSITORY.git", help="its folder")
    install.add_argument(
        "--address", required=True, type=web_address, metavar="URL", help="where web is reached, as in app.yaml"
    )
    install.add_argument("--name", required=True, metavar="NAME", help="the repository's name in app.yaml")
    install.add_argument(
        "--protect",
        action="append",
        metavar="BRANCH",
        help="a branch that environments follow (main); once, or more often",
    )
    install.add_argument(
        "--when-away",
        choices=("refuse", "accept"),
        help="what pushes get when Plumbline does not answer (protected branches refuse, others accept)",
    )
    install.add_argument("--secret-file", type=Path, metavar="FILE", help="the secret to use (a new one is made)")
    install.add_argument("--dry-run", action="store_true", help="only say what would be done")
    install.set_defaults(run=run_install)
    uninstall = below.add_parser("uninstall", help="remove the hooks", description="Put back what was there before.")
    uninstall.add_argument("repository", type=Path, metavar="REPOSITORY.git", help="its folder")
    uninstall.add_argument("--dry-run", action="store_true", help="only say what would be done")
    uninstall.set_defaults(run=run_uninstall)


def run_install(arguments: argparse.Namespace) -> int:
    """Installs, or says what it would do; running it again changes only what is asked for."""
    folder = _bare(_git_dir(arguments.repository), arguments.repository)
    _require_its_user(folder)
    home = folder / "plumbline"
    secret = home / "secret"
    if _is_readable_on_its_way(arguments.address):
        print(
            f"warning     {arguments.address} is not on this machine and not encrypted: what is pushed can be read on its "
            "way; use https://",
            file=sys.stderr,
        )
    settings = {
        "plumbline.address": arguments.address,
        "plumbline.repository": arguments.name,
        "plumbline.protect": " ".join(arguments.protect or ["main"]),
        PUSH_OPTIONS: "true",
        BEFORE: _configured(folder, BEFORE) or _configured(folder, PUSH_OPTIONS) or UNSET,
    }
    if arguments.when_away:
        settings["plumbline.whenAway"] = arguments.when_away
    if arguments.dry_run:
        print(f"would write {home}/hooks.pyz and {', '.join(str(_place(folder, name)) for name in HOOKS)}")
        made = arguments.secret_file is not None or not secret.exists()
        print(f"would {'write' if made else 'keep '} {secret}")
        for hook in _foreign(folder):
            print(f"would keep  {hook} as {hook.name + KEPT}; it runs first")
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
        _install_shim(_place(folder, name), name, home / "hooks.pyz")
    for name, value in settings.items():
        subprocess.run(["git", "config", "--file", folder / "config", name, value], check=True)
    print(f"installed   {' and '.join(str(_place(folder, name)) for name in HOOKS)}")
    for hook in (folder / "hooks" / (name + KEPT) for name in HOOKS):
        if hook.exists():
            print(f"kept        {hook}; it was there before and runs first")
    print(f"secret      {secret}   (in app.yaml: secret: {{file: {secret}}})")
    print("undo with   plumbline hooks uninstall " + shlex.quote(str(arguments.repository)))
    return 0


def run_uninstall(arguments: argparse.Namespace) -> int:
    """Removes the hooks and the settings, and puts back the hooks that were there."""
    folder = _git_dir(arguments.repository)
    for hook in (place for name in HOOKS for place in _places(folder, name)):
        kept = hook.with_name(hook.name + KEPT)
        if hook.exists() and MARK in hook.read_text(errors="replace"):
            print(f"{'would remove' if arguments.dry_run else 'removed'}   {hook}")
            if not arguments.dry_run:
                hook.unlink()
        if kept.exists():
            print(f"{'would restore' if arguments.dry_run else 'restored'}  {hook}")
            if not arguments.dry_run:
                kept.rename(hook)
    before = _configured(folder, BEFORE)
    if before is not None:
        put_back = "unset" if before == UNSET else f"= {before}"
        print(f"{'would restore' if arguments.dry_run else 'restored'}  {PUSH_OPTIONS} {put_back}")
    if not arguments.dry_run:
        shutil.rmtree(folder / "plumbline", ignore_errors=True)
        if before is not None:
            change = ["--unset-all", PUSH_OPTIONS] if before == UNSET else ["--replace-all", PUSH_OPTIONS, before]
            subprocess.run(["git", "config", "--file", folder / "config", *change], check=False)
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


def _bare(folder: Path, given: Path) -> Path:
    from worker.domain.errors import Refused

    if folder.name == ".git" or _configured(folder, "core.bare") == "false":
        raise Refused(
            f"{given} has a work tree, and people push to bare repositories",
            f"give the bare repository's folder; `git clone --bare {shlex.quote(str(given))} shop.git` makes one",
        )
    return folder


def _is_readable_on_its_way(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _configured(folder: Path, name: str) -> str | None:
    """A value of the repository's own configuration, None where it is not set there."""
    run = subprocess.run(
        ["git", "config", "--file", folder / "config", "--get", name], capture_output=True, text=True, check=False
    )
    return run.stdout.rstrip("\n") if run.returncode == 0 else None


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a hook may be: the one that git starts, and ours among those that a forge's own hook starts."""
    return folder / "hooks" / name, folder / "hooks" / f"{name}.d" / OWN


def _place(folder: Path, name: str) -> Path:
    """Where a hook belongs: beside the forge's own, where there is one."""
    own, among = _places(folder, name)
    return among if among.parent.is_dir() else own


def _require_its_user(folder: Path) -> None:
    """Raises Refused for another user than the repository's: what they write, a forge's or a person's push cannot read."""
    from worker.domain.errors import Refused

    owner = folder.stat().st_uid
    if owner == os.geteuid():
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise Refused(
        f"{folder} belongs to the user {name}, whose pushes could not read what is installed now",
        f"run it as that user: sudo -u {shlex.quote(name)} …",
    )


def _foreign(folder: Path) -> list[Path]:
    """The hooks of somebody else's at the places of ours."""
    hooks = [_place(folder, name) for name in HOOKS]
    return [hook for hook in hooks if hook.exists() and MARK not in hook.read_text(errors="replace")]


def _install_shim(hook: Path, name: str, program: Path) -> None:
    hook.parent.mkdir(exist_ok=True)
    if hook.name == OWN:  # a forge moves and renames its repositories: no path in it
        text = f'exec {shlex.quote(python())} -I -S "${{GIT_DIR:-.}}/plumbline/{program.name}" {name}'
        _write(hook, f"#!/bin/sh\n{MARK}\n{text}\n".encode(), 0o755)
        return
    kept = hook.with_name(hook.name + KEPT)
    if hook in _foreign(hook.parent.parent) and not kept.exists():
        hook.rename(kept)
    chain = (
        f"input=$(cat)\nif [ -x {shlex.quote(str(kept))} ]; then\n"
        f'  printf "%s\\n" "$input" | {shlex.quote(str(kept))} "$@" || exit $?\nfi\n'
        f'printf "%s\\n" "$input" | '
        if kept.exists()
        else "exec "
    )
    text = f"#!/bin/sh\n{MARK}\n{chain}{shlex.quote(python())} -I -S {shlex.quote(str(program))} {name}\n"
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

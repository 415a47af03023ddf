"""A plain Git server: results are notes and refs, written by a signed push that the hooks let through."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from worker.domain.environment import COMMIT_ID
from worker.domain.errors import Unavailable
from worker.domain.secret_text import SecretText

NOTES: Final = "refs/notes/plumbline"
ATTEMPTS: Final = 5
SECONDS: Final = 30
NOTHING: Final = "0" * 40
WRITER: Final = {
    "GIT_AUTHOR_NAME": "Plumbline",
    "GIT_AUTHOR_EMAIL": "plumbline@localhost",
    "GIT_COMMITTER_NAME": "Plumbline",
    "GIT_COMMITTER_EMAIL": "plumbline@localhost",
}


class PlainGit:
    """One repository's results. `secret` is the one that its hooks verify."""

    def __init__(self, url: str, secret: SecretText) -> None:
        self._url = url.removeprefix("file://")
        self._secret = secret

    def write_note(self, revision: str, environment: str, line: str, facts: Mapping[str, Any]) -> bool:
        """Puts an environment's result into the commit's note, beside those of others; whether anything was written.

        The note is readable: a line per environment, then a JSON line per environment. Raises Unavailable.
        """
        if not COMMIT_ID.fullmatch(revision):
            return False
        for _ in range(ATTEMPTS):
            with self._scratch() as scratch:
                before = scratch.ref(NOTES)
                if before:
                    scratch.run("update-ref", NOTES, before)
                old = scratch.note(revision)
                new = merged(old, environment, line, facts)
                if new == old:
                    return False
                scratch.run("notes", "--ref", NOTES, "add", "-f", "-F", "-", revision, data=new.encode())
                after = scratch.text("rev-parse", NOTES)
                if scratch.push([(before or NOTHING, after, NOTES)], self._secret):
                    return True
        raise Unavailable(f"{NOTES} is being written by others all the time", retry_after=2)

    def mark_converged(self, environment: str, revision: str) -> bool:
        """Points refs/plumbline/<environment>/converged to the revision; whether it moved. Raises Unavailable."""
        name = f"refs/plumbline/{environment}/converged"
        for _ in range(ATTEMPTS):
            with self._scratch() as scratch:
                before = scratch.ref(name)
                if before == revision:
                    return False
                if scratch.push([(before or NOTHING, revision, name)], self._secret):
                    return True
        raise Unavailable(f"{name} is being written by others all the time", retry_after=2)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[_Scratch]:
        with tempfile.TemporaryDirectory(prefix="plumbline-notes-") as folder:
            yield _Scratch(Path(folder), Path(self._url))


class _Scratch:
    """A throw-away repository that borrows the real one's objects, so that nothing of it is copied."""

    def __init__(self, folder: Path, remote: Path) -> None:
        self._folder = folder
        self._remote = remote if (remote / "objects").is_dir() else remote / ".git"
        for each in ("objects/info", "refs"):
            (folder / each).mkdir(parents=True)
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "objects" / "info" / "alternates").write_text(f"{self._remote / 'objects'}\n")

    def ref(self, name: str) -> str | None:
        """Where a ref of the real repository points."""
        run = self._git(["--git-dir", str(self._remote), "rev-parse", "--verify", "--quiet", name], own=False)
        return run.stdout.decode().strip() or None

    def note(self, revision: str) -> str:
        """A commit's note, empty where it has none."""
        run = self._git(["notes", "--ref", NOTES, "show", revision])
        return run.stdout.decode(errors="replace") if run.returncode == 0 else ""

    def text(self, *arguments: str) -> str:
        """What a git command prints."""
        return self.run(*arguments).decode().strip()

    def run(self, *arguments: str, data: bytes | None = None) -> bytes:
        """Runs git here. Raises Unavailable where it fails."""
        run = self._git(list(arguments), data=data)
        if run.returncode != 0:
            raise Unavailable(f"git {arguments[0]} failed: {run.stderr.decode(errors='replace').strip()[:300]}")
        return run.stdout

    def push(self, updates: list[tuple[str, str, str]], secret: SecretText) -> bool:
        """Pushes with the signature that the hooks ask for; false where somebody else was faster. Raises Unavailable."""
        lines = sorted(f"{old} {new} {ref}" for old, new, ref in updates)
        message = "write-back\n" + "\n".join(lines)
        signature = hmac.new(secret.opened_bytes(), message.encode(), hashlib.sha256).hexdigest()
        leases = [f"--force-with-lease={ref}:{'' if old == NOTHING else old}" for old, _, ref in updates]
        refspecs = [f"{new}:{ref}" for _, new, ref in updates]
        push = ["push", "--porcelain", "--quiet", *leases]
        run = self._git([*push, "--push-option", f"plumbline.writer={signature}", str(self._remote), *refspecs])
        if run.returncode != 0 and b"does not support push options" in run.stderr:
            run = self._git([*push, str(self._remote), *refspecs])
        if run.returncode == 0:
            return True
        said = (run.stdout + run.stderr).decode(errors="replace")
        if re.search(r"stale info|fetch first|cannot lock ref|failed to update ref|reference already exists", said):
            return False
        raise Unavailable(f"the result cannot be written to {self._remote}: {said.strip().splitlines()[-1][:300]}")

    def _git(
        self, arguments: list[str], *, data: bytes | None = None, own: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_TERMINAL_PROMPT": "0",
            "HOME": str(self._folder),
            "LC_ALL": "C",
            **WRITER,
        }
        if own:
            environ["GIT_DIR"] = str(self._folder)
        try:
            return subprocess.run(
                ["git", *arguments],
                env=environ,
                input=data,
                stdin=subprocess.DEVNULL if data is None else None,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"git {arguments[0]} took longer than {SECONDS} s") from None


def merged(note: str, environment: str, line: str, facts: Mapping[str, Any]) -> str:
    """The note with one environment's two lines replaced or added; other lines stay as they are."""
    words: dict[str, str] = {}
    machine: dict[str, str] = {}
    for each in note.splitlines():
        if each.startswith("{"):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                machine[json.loads(each)["environment"]] = each
        elif ": " in each:
            words[each.partition(": ")[0]] = each
    words[environment] = f"{environment}: {line}"
    machine[environment] = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    names = sorted(words)
    return "\n".join([*(words[name] for name in names), "", *(machine[name] for name in sorted(machine))]) + "\n"

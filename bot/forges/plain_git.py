"""A plain Git server on this machine: results are notes and refs, written into the bare repository itself; so are commits.

The hooks refuse these refs from everybody who pushes; who may write the repository's folder, as the bot may, needs no
push. Each ref moves only from the value that was read (git's own compare and swap), so two bots lose nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from worker.domain.environment import COMMIT_ID
from worker.domain.errors import Moved, Refused, Unavailable

NOTES: Final = "refs/notes/plumbline"
ATTEMPTS: Final = 5
SECONDS: Final = 30
LONGEST_SUBJECT: Final = 200
NOTHING: Final = "0" * 40
WRITER: Final = {
    "GIT_AUTHOR_NAME": "Plumbline",
    "GIT_AUTHOR_EMAIL": "plumbline@localhost",
    "GIT_COMMITTER_NAME": "Plumbline",
    "GIT_COMMITTER_EMAIL": "plumbline@localhost",
}


class PlainGit:
    """One repository's results. Raises Refused where the repository is not a folder of this machine."""

    def __init__(self, url: str) -> None:
        folder = Path(url.removeprefix("file://"))
        found = next((each for each in (folder, folder / ".git") if (each / "objects").is_dir()), None)
        if not folder.is_absolute() or found is None:
            raise Refused(
                f"results cannot be written to {url}: it is not a repository on this machine",
                "run the bot where the repository is, and give its path as url",
            )
        self._git_dir = found

    def write_note(self, revision: str, environment: str, line: str, facts: Mapping[str, Any]) -> bool:
        """Puts an environment's result into the commit's note, beside those of others; whether anything was written.

        The note is readable: a line per environment, then a JSON line per environment. Raises Unavailable.
        """
        if not COMMIT_ID.fullmatch(revision):
            return False
        for _ in range(ATTEMPTS):
            before = self._ref(NOTES)
            old = self._note(NOTES, revision) if before else ""
            new = merged(old, environment, line, facts)
            if new == old:
                return False
            draft = f"{NOTES}-{secrets.token_hex(6)}"
            try:
                if before:
                    self._run("update-ref", draft, before)
                self._run("notes", "--ref", draft, "add", "-f", "-F", "-", revision, data=new.encode())
                after = self._ref(draft) or NOTHING
            finally:
                self._git(["update-ref", "-d", draft])
            if self._move(NOTES, before, after):
                return True
        raise Unavailable(f"{NOTES} is being written by others all the time", retry_after=2)

    def mark_converged(self, environment: str, revision: str) -> bool:
        """Points refs/plumbline/<environment>/converged to the revision; whether it moved. Raises Unavailable."""
        name = f"refs/plumbline/{environment}/converged"
        for _ in range(ATTEMPTS):
            before = self._ref(name)
            if before == revision:
                return False
            if self._move(name, before, revision):
                return True
        raise Unavailable(f"{name} is being written by others all the time", retry_after=2)

    def tips(self) -> dict[str, str]:
        """Every branch and its newest commit. Raises Unavailable."""
        rows = self._run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").decode()
        return {name: tip for tip, _, name in (row.partition(" ") for row in rows.splitlines())}

    def head(self) -> str:
        """The branch that a clone begins with; empty where there is none."""
        return self._git(["symbolic-ref", "--quiet", "--short", "HEAD"]).stdout.decode().strip()

    def file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit, None where there is none."""
        if not COMMIT_ID.fullmatch(revision):
            return None
        run = self._git(["cat-file", "blob", f"{revision}:{path}"])
        return run.stdout if run.returncode == 0 else None

    def commit(self, branch: str, onto: str, message: str, files: Iterable[tuple[str, str, str]]) -> str:
        """A commit as Plumbline on a branch (made where it is new) whose tip is `onto`; its id. No hook runs.

        `files` are paths, git's modes and blobs that the repository has; without a blob the path is taken away. Raises Moved
        where the branch is elsewhere, Refused where it is checked out in a working tree, and Unavailable.
        """
        if self._is_checked_out(branch):
            raise Refused(f"{branch} is checked out in the repository's own working tree", "serve a bare repository")
        made = self._run("commit-tree", self._tree(onto, files), "-p", onto, data=message.encode()).decode().strip()
        name = f"refs/heads/{branch}"
        before = self._ref(name)
        if before not in (None, onto) or not self._move(name, before, made):
            raise Moved(f"the branch {branch}", "in the repository")
        return made

    def keep(self, content: bytes) -> str:
        """The blob of a content that is now in the repository. Raises Unavailable."""
        return self._run("hash-object", "-w", "--stdin", data=content).decode().strip()

    def is_just(self, revision: str, onto: str, files: Iterable[tuple[str, str, str]]) -> bool:
        """Whether a commit makes just these changes on just this commit. Raises Unavailable."""
        facts = self._run("show", "--no-patch", "--format=%T %P", revision, "--").decode().split()
        return facts == [self._tree(onto, files), onto]

    def _tree(self, onto: str, files: Iterable[tuple[str, str, str]]) -> str:
        """The tree of a commit with files changed."""
        gone: list[bytes] = []
        there: list[bytes] = []
        for path, mode, blob in files:
            line = f"{mode} {blob}\t{path}\0" if blob else f"0 {'0' * len(onto)}\t{path}\0"
            (there if blob else gone).append(line.encode(errors="surrogateescape"))
        with tempfile.TemporaryDirectory() as folder:
            index = str(Path(folder) / "index")
            self._run("read-tree", onto, index=index)
            entries = b"".join([*gone, *there])
            self._run("update-index", "-z", "--replace", "--index-info", data=entries, index=index)
            return self._run("write-tree", index=index).decode().strip()

    def _is_checked_out(self, branch: str) -> bool:
        if self._run("rev-parse", "--is-bare-repository").strip() == b"true":
            return False
        return self._git(["symbolic-ref", "-q", "HEAD"]).stdout.decode().strip() == f"refs/heads/{branch}"

    def described(self, revision: str) -> tuple[str, str]:
        """The first line of a commit's message and its author's name; empty where it is not there (any more)."""
        if not COMMIT_ID.fullmatch(revision):
            return "", ""
        run = self._git(["show", "--no-patch", "--format=%s%x00%an", revision, "--"])
        if run.returncode != 0:
            return "", ""
        subject, _, author = run.stdout.decode(errors="replace").strip("\n").partition("\0")
        return subject[:LONGEST_SUBJECT], author[:LONGEST_SUBJECT]

    def commit_text(self, revision: str) -> tuple[tuple[str, ...], str]:
        """A commit's parents and its whole message; nothing where it is not there (any more)."""
        run = (
            self._git(["show", "--no-patch", "--format=%P%x00%B", revision, "--"])
            if COMMIT_ID.fullmatch(revision)
            else None
        )
        if run is None or run.returncode != 0:
            return (), ""
        parents, _, message = run.stdout.decode(errors="replace").partition("\0")
        return tuple(parents.split()), message

    def _move(self, name: str, before: str | None, after: str) -> bool:
        """Whether the ref moved from the value that was read; false where somebody else was faster."""
        run = self._git(["update-ref", name, after, before or NOTHING])
        said = run.stderr.decode(errors="replace")
        if run.returncode != 0 and "but expected" not in said and "already exists" not in said:
            raise Unavailable(f"{name} cannot be written: {said.strip()[:300]}")
        return run.returncode == 0

    def _ref(self, name: str) -> str | None:
        run = self._git(["rev-parse", "--verify", "--quiet", name])
        return run.stdout.decode().strip() or None

    def _note(self, ref: str, revision: str) -> str:
        run = self._git(["notes", "--ref", ref, "show", revision])
        return run.stdout.decode(errors="replace") if run.returncode == 0 else ""

    def _run(self, *arguments: str, data: bytes | None = None, index: str = "") -> bytes:
        run = self._git(list(arguments), data=data, index=index)
        if run.returncode != 0:
            raise Unavailable(f"git {arguments[0]} failed: {run.stderr.decode(errors='replace').strip()[:300]}")
        return run.stdout

    def _git(
        self, arguments: list[str], *, data: bytes | None = None, index: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_DIR": str(self._git_dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "core.hooksPath",
            "GIT_CONFIG_VALUE_1": os.devnull,
            "HOME": os.devnull,
            "LC_ALL": "C",
            **WRITER,
            **({"GIT_INDEX_FILE": index} if index else {}),
        }
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
    """The note with one environment's two lines replaced or added; other lines stay as they are.

    Facts with a `sequence` before that of the ones that are there came late, and change nothing.
    """
    words: dict[str, str] = {}
    machine: dict[str, str] = {}
    for each in note.splitlines():
        if each.startswith("{"):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                machine[json.loads(each)["environment"]] = each
        elif ": " in each:
            words[each.partition(": ")[0]] = each
    known = json.loads(machine.get(environment, "{}"))
    if known.get("sequence", 0) > facts.get("sequence", 0):
        return note
    words[environment] = f"{environment}: {line}"
    machine[environment] = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    names = sorted(words)
    return "\n".join([*(words[name] for name in names), "", *(machine[name] for name in sorted(machine))]) + "\n"

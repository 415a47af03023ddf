"""Git, spoken in one place: commits, trees and blobs by id, branches, ancestry, and pushes that are not accepted yet.

Nothing is ever checked out. Objects are read by one `git cat-file --batch` that stays open, and trees are walked here, so
no hook, filter, attribute (export-ignore, textconv) or submodule of the repository has any effect. A repository on this
machine is read where it lies; any other is mirrored into the cache. Credentials reach only the one process that fetches,
by its environment. Git's memory, the files that it writes and its time are limited, because packs can explode.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from worker.adapters.git_process import FETCH_SECONDS, HARMLESS, LARGEST_BLOB, git_environ, last_words, limited
from worker.adapters.merging import MERGE, Merge, merge_of
from worker.adapters.mirror import alone, bare, forget_mirror, make_mirror
from worker.adapters.trees import FILE, FOLDER, TreeEntry, tree_rows
from worker.domain.environment import COMMIT_ID
from worker.domain.errors import DesiredStateError, Problem, Unavailable
from worker.domain.secret_text import SecretText

GIT_SECONDS: Final = 30
ENTRIES: Final = 200_000
LONGEST_PATH: Final = 1024
LACKS: Final = "did not send all necessary objects"
"""How git says, after a fetch, that what ought to be in the clone is not."""

_BRANCH: Final = re.compile(r"(?!-)(?!.*(?:\.\.|@\{|//))[^\x00-\x20\x7f~^:?*\[\\]+")
_PROPOSED: Final = re.compile(r"refs/(?:pull|merge-requests)/[0-9]{1,18}/head")
"""Where the forges keep the head of a change request in the repository that it would be merged into."""

_FSCK: Final = re.compile(r"object [0-9a-f]+: (\w+: .*)")


class Checkout:
    """One repository's objects. Threads may share it; `close` ends its process."""

    def __init__(self, git_dir: Path, remote: str | None, credentials: SecretText | None = None) -> None:
        self._git_dir = git_dir
        self._remote = remote
        self._credentials = credentials
        self._batch: subprocess.Popen[bytes] | None = None
        self._guard = threading.RLock()

    @staticmethod
    def open(url: str, cache: Path, credentials: SecretText | None = None) -> Checkout:
        """The repository at `url`: in place when it is a folder of this machine, else mirrored under `cache`."""
        local = _local(url)
        if local is not None:
            return Checkout(local, None)
        mirror = cache / "repositories" / re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[-80:]
        make_mirror(mirror)
        return Checkout(mirror, url, credentials)

    # -- references ----------------------------------------------------------------------------------------------

    def tip(self, branch: str) -> str | None:
        """The commit that a branch points to now, None where there is no such branch."""
        return self.tips(branch).get(branch)

    def tips(self, branch: str = "") -> dict[str, str]:
        """Every branch (or the one asked for) and its commit, as the repository says now."""
        if branch and not _BRANCH.fullmatch(branch):
            return {}
        if self._remote is None:
            if branch:
                found = self._object(f"refs/heads/{branch}^{{commit}}")
                return {branch: found[0]} if found else {}
            out = self._git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/")
        else:
            out = self._remote_git("ls-remote", "--", self._remote, f"refs/heads/{branch or '*'}")
        rows = (line.split(None, 1) for line in out.decode(errors="replace").splitlines())
        return {row[1].removeprefix("refs/heads/"): row[0] for row in rows if len(row) == 2}

    def fetch_proposed(self, revision: str, ref: str) -> None:
        """Makes the head of a change request available from its ref (`refs/pull/7/head`) or its branch (`refs/heads/…`).

        Raises DesiredStateError for any other ref, and Unavailable where the repository does not give the commit.
        """
        branch = ref.removeprefix("refs/heads/")
        if not _PROPOSED.fullmatch(ref) and (branch == ref or not _BRANCH.fullmatch(branch)):
            raise DesiredStateError([Problem(f"{ref[:80]!r} is not where a forge keeps the head of a change request")])
        self._make_available(revision, ref)

    def fetch(self, revision: str, branch: str = "") -> None:
        """Makes a commit's objects available. Raises Unavailable where the repository does not give it."""
        self._make_available(revision, f"refs/heads/{branch}" if branch else "")

    def _make_available(self, revision: str, ref: str) -> None:
        _checked(revision)
        if self._remote is not None:
            make_mirror(self._git_dir)
        if self._object(f"{revision}^{{tree}}") is not None:
            return
        if self._remote is None:
            raise Unavailable(f"the commit {revision[:12]} is not in {self._git_dir}")
        with alone(self._git_dir, FETCH_SECONDS) as lock:
            try:
                self._fetch(revision, lock)
            except Unavailable as error:
                if LACKS in str(error):
                    raise self._damaged(f"the commit {revision[:12]}") from None
                if not ref:
                    raise
                kept = ref.removeprefix("refs/").removeprefix("heads/")
                self._fetch(f"+{ref}:refs/plumbline/fetched/{kept}", lock)
        if self._object(f"{revision}^{{tree}}") is None:
            raise Unavailable(f"{_shown(self._remote)} does not give the commit {revision[:12]}")

    def _fetch(self, wanted: str, lock: int) -> None:
        assert self._remote is not None
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
        self._remote_git("fetch", *options, "--", self._remote, wanted, keeps=lock)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older` (a commit contains itself); false where either is not known."""
        if older == newer:
            return True
        _checked(older)
        _checked(newer)
        run = self.run(["merge-base", "--is-ancestor", older, newer])
        return run.returncode == 0

    def tree(self, revision: str) -> str:
        """The id of a commit's tree (of a tree, its own); empty where the commit is not known."""
        found = self._object(f"{_checked(revision)}^{{tree}}")
        return found[0] if found else ""

    def subject(self, revision: str) -> str:
        """The first line of a commit's message."""
        found = self._object(f"{_checked(revision)}^{{commit}}")
        if found is None:
            return ""
        _, _, message = found[2].partition(b"\n\n")
        return message.decode(errors="replace").split("\n", 1)[0]

    # -- objects -------------------------------------------------------------------------------------------------

    def read_file(self, revision: str, path: str) -> bytes | None:
        """A file of a commit; None where there is none. Raises DesiredStateError where it is no plain file."""
        found = self._object(f"{_checked(revision)}:{str(PurePosixPath(path).parent).removeprefix('.')}")
        for mode, name, blob in (
            tree_rows(found[2], len(found[0]) // 2, path) if found is not None and found[1] == "tree" else ()
        ):
            if name != PurePosixPath(path).name:
                continue
            if not mode.startswith(FILE):
                raise DesiredStateError([Problem("is not a plain file", path, suggestion="commit the file itself")])
            return self.blob(blob, path)
        return None

    def entries(self, revision: str, path: str) -> tuple[TreeEntry, ...]:
        """Every file below a folder of a commit, sorted by path.

        Raises DesiredStateError where there is no such folder, where it holds more than anybody writes, and where a tree
        is not as git makes them.
        """
        root = _clean(path)
        top = self._object(f"{_checked(revision)}:{root}")
        if top is None or top[1] != "tree":
            if root and self._is_listed(revision, root):
                raise self._damaged(f"the folder {root} of {revision[:12]}")
            message = f"the folder {root or '.'} does not exist in {revision[:7]}"
            raise DesiredStateError([Problem(message, suggestion="check the environment's path in plumbline.yaml")])
        found: list[TreeEntry] = []
        pending = [(root, top[0])]
        count = 0
        while pending:
            folder, tree = pending.pop()
            rows = self._object(tree)
            if rows is None or rows[1] != "tree":
                raise self._damaged(f"the folder {folder or '.'} of {revision[:12]}")
            for mode, name, entry in tree_rows(rows[2], len(rows[0]) // 2, folder):
                count += 1
                place = f"{folder}/{name}" if folder else name
                if count > ENTRIES:
                    raise DesiredStateError([Problem(f"the folder {root or '.'} holds more than {ENTRIES} entries")])
                if len(place) > LONGEST_PATH:
                    raise DesiredStateError(
                        [Problem(f"has a path of more than {LONGEST_PATH} characters", folder[:80])]
                    )
                if mode == FOLDER:
                    pending.append((place, entry))
                else:
                    found.append(TreeEntry(mode, entry, place))
        return tuple(sorted(found, key=lambda each: each.path))

    def blob(self, blob: str, path: str) -> bytes:
        """A blob's content. Raises DesiredStateError, which names `path`, where it is larger than 64 MiB."""
        found = self._object(blob, path)
        if found is None:
            raise self._damaged(f"the object {blob[:12]} ({path})")
        return found[2]

    def _is_listed(self, revision: str, path: str) -> bool:
        """Whether a commit says that there is a folder, whether or not its tree can be read."""
        parent, _, name = path.rpartition("/")
        found = self._object(f"{_checked(revision)}:{parent}")
        if found is None or found[1] != "tree":
            return bool(parent) and self._is_listed(revision, parent)
        return any(mode == FOLDER and each == name for mode, each, _ in tree_rows(found[2], len(found[0]) // 2, parent))

    def _object(self, name: str, path: str | None = None) -> tuple[str, str, bytes] | None:
        """(id, type, content) of what a name stands for (the file `path`), None where there is nothing."""
        if "\n" in name:
            return None
        with self._guard:
            batch = self._running()
            assert batch.stdin is not None
            assert batch.stdout is not None
            try:
                batch.stdin.write(name.encode() + b"\n")
                batch.stdin.flush()
                header = batch.stdout.readline().split()
                if len(header) != 3 or not header[2].isdigit():
                    if not header:
                        raise self._damaged(f"what {name[:60]} stands for")
                    return None
                size = int(header[2])
                if size > LARGEST_BLOB:
                    self.close()
                    message = f"is larger than {LARGEST_BLOB >> 20} MiB"
                    raise DesiredStateError(
                        [Problem(message, path or name, suggestion="keep it out of the repository")]
                    )
                content = batch.stdout.read(size)
                if len(content) != size or batch.stdout.read(1) != b"\n":
                    raise self._damaged(f"the object {header[0].decode()[:12]}")
            except OSError:
                raise self._damaged(f"what {name[:60]} stands for") from None
            return header[0].decode(), header[1].decode(), content

    def _damaged(self, what: str) -> Unavailable:
        """What to say of objects that ought to be there. A mirror of ours is made anew by the next fetch."""
        self.close()
        if self._remote is None:
            return Unavailable(f"{what} cannot be read from {self._git_dir}: look at it with git fsck")
        forget_mirror(self._git_dir)
        return Unavailable(f"{what} could not be read from the local clone: it is cloned again", retry_after=1)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._batch is not None and self._batch.poll() is not None:
            self.close()
        if self._batch is None:
            self._batch = subprocess.Popen(
                limited("cat-file", "--batch"),
                env=git_environ(self._git_dir),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        return self._batch

    def close(self) -> None:
        """Ends the process that reads objects; the next read starts another."""
        with self._guard:
            if self._batch is not None:
                self._batch.kill()
                self._batch.communicate()
                self._batch = None

    # -- a push that is not accepted yet -------------------------------------------------------------------------

    @contextlib.contextmanager
    def quarantined(self, pack: bytes | None) -> Iterator[Checkout]:
        """This repository and the objects of a thin pack beside it, for the block; nothing is kept.

        Git recomputes every object id. Raises DesiredStateError where the pack is not whole.
        """
        if not pack:
            yield self
            return
        with self.beside() as beside:
            strict = "--strict=" + ",".join(f"{name}=ignore" for name in HARMLESS)
            run = beside.run(["index-pack", "--stdin", "--fix-thin", strict], data=pack)
            if run.returncode != 0:
                raise DesiredStateError([_unreadable(run.stderr.decode(errors="replace"))])
            yield beside

    @contextlib.contextmanager
    def merged(self, base: str, head: str) -> Iterator[tuple[Checkout, Merge]]:
        """What merging one commit into another makes, and a checkout in which it can be read, for the block.

        The merge is a tree, which is read like a commit; its objects are thrown away. Only the commits themselves have a
        say in it: no attribute, merge driver, hook or configuration of the repository. Raises Unavailable where git cannot
        merge them at all.
        """
        with self.beside() as beside:
            run = beside.run([*MERGE, _checked(base), _checked(head)])
            if run.returncode not in (0, 1):
                raise Unavailable(f"git cannot merge {head[:7]} into {base[:7]}: {last_words(run.stderr)}")
            yield beside, merge_of(run.stdout, conflicts=run.returncode == 1)

    @contextlib.contextmanager
    def beside(self) -> Iterator[Checkout]:
        """A repository that has this one's objects and writes its own, for the block."""
        with tempfile.TemporaryDirectory(prefix="plumbline-beside-") as folder:
            git_dir = Path(folder)
            bare(git_dir)
            alternates = [self._git_dir / "objects"]
            inherited = self._git_dir / "objects" / "info" / "alternates"
            if inherited.exists():
                alternates += [self._git_dir / "objects" / line for line in inherited.read_text().splitlines() if line]
            (git_dir / "objects" / "info" / "alternates").write_text("".join(f"{each}\n" for each in alternates))
            beside = Checkout(git_dir, None)
            try:
                yield beside
            finally:
                beside.close()

    # -- git -----------------------------------------------------------------------------------------------------

    def _git(self, *arguments: str) -> bytes:
        run = self.run(list(arguments))
        if run.returncode != 0:
            raise Unavailable(f"git {arguments[0]} failed on {self._git_dir}")
        return run.stdout

    def _remote_git(self, *arguments: str, keeps: int | None = None) -> bytes:
        assert self._remote is not None
        make_mirror(self._git_dir)
        run = self.run(list(arguments), seconds=FETCH_SECONDS, remote=True, keeps=keeps)
        if run.returncode != 0:
            lines = run.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            line = next((each for each in lines if "No space left" in each), lines[-1])
            raise Unavailable(
                f"{_shown(self._remote)} cannot be read: {line.replace(self._remote, _shown(self._remote))}"
            )
        return run.stdout

    def run(
        self,
        arguments: list[str],
        *,
        data: bytes | None = None,
        seconds: int = GIT_SECONDS,
        remote: bool = False,
        keeps: int | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs git in a process group of its own, so that its helpers end with it; it keeps the file `keeps` open."""
        with subprocess.Popen(
            limited(*arguments),
            env=git_environ(self._git_dir, remote=remote, credentials=self._credentials),
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=() if keeps is None else (keeps,),
            start_new_session=True,
        ) as process:
            try:
                out, said = process.communicate(data, timeout=seconds)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Unavailable(f"git {arguments[0]} took longer than {seconds} s") from None
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, said)


def _local(url: str) -> Path | None:
    """The git folder of a repository on this machine, None for any other address."""
    path = Path(url.removeprefix("file://"))
    if not path.is_absolute():
        return None
    for git_dir in (path, path / ".git"):
        if (git_dir / "HEAD").is_file() and (git_dir / "objects").is_dir():
            return git_dir
    raise Unavailable(f"{path} is not a Git repository")


def _unreadable(error: str) -> Problem:
    found = _FSCK.search(error)
    if found:
        return Problem(f"the pushed objects are refused ({found[1]})", suggestion="make the commit again without that")
    return Problem("the pushed objects cannot be read: damaged, or too large", suggestion="push again, or push less")


def _checked(revision: str) -> str:
    if not COMMIT_ID.fullmatch(revision):
        raise DesiredStateError([Problem("a revision must be a full commit id", suggestion="give all 40 characters")])
    return revision


def _clean(path: str) -> str:
    return "" if path in (".", "") else path.strip("/")


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else url

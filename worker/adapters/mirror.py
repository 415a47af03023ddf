"""The local clones of repositories that lie elsewhere: made whole or not at all, written by one process at a time.

The lock is the kernel's (flock), not git's files: it ends with whoever holds it, also with a git whose worker was killed.
So what git left lying is known to be nobody's, and is removed before the next fetch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from worker.domain.errors import Unavailable

POLL: Final = 0.05


def bare(folder: Path) -> None:
    """Makes an empty bare repository."""
    for each in ("objects/pack", "objects/info", "refs/heads"):
        (folder / each).mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    (folder / "HEAD").write_text("ref: refs/heads/main\n")


def make_mirror(folder: Path) -> None:
    """Makes an empty bare repository at a place where there is none; what could not be finished is removed."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=folder.parent))
    try:
        bare(draft)
        with contextlib.suppress(OSError):
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def forget_mirror(folder: Path) -> None:
    """Removes a damaged clone, in one step as others see it; the next fetch makes it again."""
    aside = folder.with_name(f"damaged-{os.getpid()}-{time.monotonic_ns()}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def alone(folder: Path, seconds: float) -> Iterator[int]:
    """Holds the clone's lock for the block, with nothing of an earlier git in the way; gives the lock's descriptor.

    Raises Unavailable where another process keeps it for `seconds`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, folder, seconds)
        make_mirror(folder)
        _sweep(folder)
        try:
            yield descriptor
        except Unavailable:
            _sweep(folder)
            raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Unavailable(f"another process has been fetching into {folder} for {seconds:.0f} s") from None
            time.sleep(POLL)
        else:
            return


def _sweep(folder: Path) -> None:
    """Removes what a git that did not end well left; only for who holds the lock."""
    for left in (*folder.rglob("*.lock"), *(folder / "objects").rglob("tmp_*")):
        left.unlink(missing_ok=True)

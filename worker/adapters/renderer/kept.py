"""Rendered output kept on the worker's disk (mode 700), because it holds Secrets and Redis must not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

LARGEST: Final = 512 << 20
"""Bytes that the folder may hold; the entries that were not used for longest go first."""


class Kept:
    """A folder of rendered outputs by the digest of what they were rendered from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self._unlooked = LARGEST

    def get(self, key: str) -> bytes | None:
        """The output; None where there is none or where what is there is not whole."""
        path = self._folder / key
        try:
            content = path.read_bytes()
        except OSError:
            return None
        head, _, body = content.partition(b"\n")
        if head.decode(errors="replace") != hashlib.sha256(body).hexdigest():
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return body

    def put(self, key: str, body: bytes) -> None:
        """Keeps an output; a full disk only means that it is rendered again."""
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            with os.fdopen(handle, "wb") as target:
                target.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            Path(name).replace(self._folder / key)
            self._unlooked += len(body)
            if self._unlooked > LARGEST // 16:  # looking at every entry costs more than writing one
                self._forget()
                self._unlooked = 0

    def _forget(self) -> None:
        entries = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.iterdir())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= LARGEST:
                return
            path.unlink(missing_ok=True)
            total -= size

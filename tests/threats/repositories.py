"""Repositories made of raw objects, as no honest git would write them, and what rendering makes of them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from worker.adapters.checkout import Checkout
from worker.adapters.renderer import Capabilities, Rendered, Renderer, RenderTools
from worker.domain.environment import Environment
from worker.domain.errors import DesiredStateError
from worker.domain.installation import RenderLimits

Files = dict[str, Any]
"""Names to text or bytes (a file), a mapping (a folder), ("link", target) or ("module", commit id)."""


class RawRepository:
    """A bare repository whose trees are written object by object."""

    def __init__(self, folder: Path, tools: Path | None = None, limits: RenderLimits | None = None) -> None:
        self.folder = folder / "raw.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.folder], check=True)
        self.checkout = Checkout(self.folder, None)
        self.renderer = Renderer(folder / "cache", limits or RenderLimits(), RenderTools(tools))

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        """What a git command prints."""
        run = subprocess.run(["git", *arguments], cwd=self.folder, input=data, capture_output=True, check=True)
        return run.stdout.decode(errors="replace").strip()

    def blob(self, content: str | bytes) -> str:
        """A blob's id."""
        data = content.encode() if isinstance(content, str) else content
        return self.git("hash-object", "-w", "--stdin", data=data)

    def tree(self, rows: list[tuple[str, str | bytes, str]]) -> str:
        """The id of a tree of (mode, name, id), written as given: nothing is sorted or checked."""
        content = b"".join(
            mode.encode() + b" " + (name.encode() if isinstance(name, str) else name) + b"\0" + bytes.fromhex(entry)
            for mode, name, entry in rows
        )
        return self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", data=content)

    def tree_of(self, files: Files) -> str:
        """The id of a tree of files and folders."""
        rows: list[tuple[str, str | bytes, str]] = []
        for name, content in files.items():
            if isinstance(content, dict):
                rows.append(("40000", name, self.tree_of(content)))
            elif isinstance(content, tuple) and content[0] == "link":
                rows.append(("120000", name, self.blob(content[1])))
            elif isinstance(content, tuple):
                rows.append(("160000", name, content[1]))
            else:
                rows.append(("100644", name, self.blob(content)))
        return self.tree(rows)

    def commit(self, files: Files | str) -> str:
        """A commit of files (or of a tree's id) on main."""
        tree = files if isinstance(files, str) else self.tree_of(files)
        body = f"tree {tree}\nauthor A <a@example.com> 0 +0000\ncommitter A <a@example.com> 0 +0000\n\nmade\n"
        commit = self.git("hash-object", "-t", "commit", "-w", "--stdin", data=body.encode())
        self.git("update-ref", "refs/heads/main", commit)
        return commit

    def render(self, files: Files | str, path: str = "app", **options: Any) -> Rendered:
        """What an environment's folder renders to."""
        environment = Environment("r", "e", "main", path, "c", "ns", **options)
        return self.renderer.render_revision(self.checkout, self.commit(files), environment, Capabilities())

    def refusal(self, files: Files | str, path: str = "app", **options: Any) -> str:
        """Why it is refused; an AssertionError where it is not."""
        try:
            rendered = self.render(files, path, **options)
        except DesiredStateError as error:
            assert "Traceback" not in str(error)
            return str(error)
        raise AssertionError(f"rendered {[str(resource.key) for resource in rendered.resources]}")

    def names(self, files: Files | str, path: str = "app", **options: Any) -> list[str]:
        """The names of what it renders to."""
        return sorted(resource.key.name for resource in self.render(files, path, **options).resources)

    def close(self) -> None:
        """Ends git."""
        self.checkout.close()

"""A bare Git repository that a forge's double works on: commits, merges and refs by git itself, without a work tree."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NOTHING: Final = "0" * 40

TreeFile = str | tuple[str, bytes | str] | None
"""A file's text, or its mode with its bytes or its blob's id; None takes it out."""


class Conflict(Exception):
    """Git cannot merge the two, or cannot put the one on top of the other."""


class BareGit:
    """One bare repository with a first commit on main."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(folder)], check=True)
        for name in ("uploadpack.allowAnySHA1InWant", "uploadpack.allowFilter"):
            self.run("config", name, "true")
        self.set_ref("refs/heads/main", self.commit("", {"README.md": "the shop\n"}, "First"))

    def run(
        self, *arguments: str, data: bytes | None = None, index: str = "", who: str = "Ada", committer: str = ""
    ) -> str:
        """What git printed, without the last line end. Raises CalledProcessError."""
        email = f"{who.lower()}@example.org"
        environ = {
            "PATH": os.environ.get("PATH", os.defpath), "GIT_DIR": str(self.folder), "HOME": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": who, "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": committer or who, "GIT_COMMITTER_EMAIL": email,
            **({"GIT_INDEX_FILE": index} if index else {}),
        }  # fmt: skip
        run = subprocess.run(["git", *arguments], env=environ, input=data, capture_output=True, check=True)
        return run.stdout.decode().rstrip("\n")

    def tip(self, ref: str) -> str:
        """The commit of a full ref name, empty where there is none."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except subprocess.CalledProcessError:
            return ""

    def refs(self, prefix: str) -> dict[str, str]:
        """Every ref below a prefix and its commit."""
        lines = self.run("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines)

    def set_ref(self, name: str, commit: str) -> None:
        """Points a ref to a commit; an empty commit deletes it."""
        self.run("update-ref", *(["-d", name] if not commit else [name, commit]))

    def tree(self, onto: str, files: Mapping[str, TreeFile]) -> str:
        """The tree of a commit or tree with these files put in or (None) taken out. Raises KeyError for one that is not there."""
        with tempfile.TemporaryDirectory() as folder:
            index = f"{folder}/index"
            if onto:
                self.run("read-tree", onto, index=index)
            there = set(self.run("ls-files", "-z", index=index).split("\0"))
            lines = []
            for path, content in files.items():
                if content is None and path not in there:
                    raise KeyError(path)
                mode, blob = self._entry(content)
                lines.append(f"{mode} {blob}\t{path}\0")
            self.run("update-index", "-z", "--index-info", data="".join(lines).encode(), index=index)
            return self.run("write-tree", index=index)

    def _entry(self, content: TreeFile) -> tuple[str, str]:
        if content is None:
            return "0", NOTHING
        if isinstance(content, str):
            return "100644", self.blob(content)
        mode, inside = content
        return mode, inside if isinstance(inside, str) else self.blob(inside)

    def blob(self, content: str | bytes) -> str:
        """The id of a content that is now in the repository."""
        return self.run(
            "hash-object", "-w", "--stdin", data=content if isinstance(content, bytes) else content.encode()
        )

    def commit_tree(self, tree: str, parents: list[str], message: str, who: str = "Ada", committer: str = "") -> str:
        """A commit of a tree."""
        words = ["commit-tree", tree, *(word for each in parents for word in ("-p", each)), "-m", message]
        return self.run(*words, who=who, committer=committer)

    def commit(self, onto: str, files: Mapping[str, TreeFile], message: str, who: str = "Ada") -> str:
        """A commit of files on another commit (or as the first)."""
        return self.commit_tree(self.tree(onto, files), [onto] if onto else [], message, who)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether a commit is in another's history."""
        try:
            self.run("merge-base", "--is-ancestor", older, newer)
        except subprocess.CalledProcessError:
            return False
        return True

    def merge(self, base: str, head: str, method: str, message: str) -> str:
        """The commit that merging head into base makes, the forge's way. Raises Conflict."""
        if method == "rebase":
            tip = base
            for each in self.run("rev-list", "--reverse", f"{base}..{head}").splitlines():
                parent = self.run("rev-parse", f"{each}^")
                subject = self.run("log", "-1", "--format=%B", each)
                tree = self._merged(tip, each, parent)
                tip = self.commit_tree(tree, [tip], subject, committer="Forge")  # a rebase always makes new commits
            return tip
        return self.commit_tree(self._merged(base, head), [base] if method == "squash" else [base, head], message)

    def _merged(self, ours: str, theirs: str, ancestor: str = "") -> str:
        if ancestor:  # git 2.39 takes no merge base: a commit of the same trees on one made of the ancestor says it
            root = self.commit_tree(f"{ancestor}^{{tree}}", [], "base")
            ours, theirs = (self.commit_tree(f"{each}^{{tree}}", [root], "side") for each in (ours, theirs))
        try:
            return self.run("merge-tree", "--write-tree", ours, theirs).splitlines()[0]
        except subprocess.CalledProcessError as error:
            raise Conflict(f"{theirs} does not merge into {ours}") from error

    def read(self, revision: str, path: str) -> bytes | None:
        """A file of a commit."""
        try:
            self.run("cat-file", "-e", f"{revision}:{path}")
        except subprocess.CalledProcessError:
            return None
        return subprocess.run(
            ["git", "--git-dir", str(self.folder), "cat-file", "blob", f"{revision}:{path}"],
            capture_output=True,
            check=False,
        ).stdout

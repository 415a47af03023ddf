"""The bot's commits in a plain Git repository: on exactly the tip that was judged, or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot.forges.plain_git import PlainGit
from tests.doubles.bare_git import BareGit
from worker.domain.blobs import blob_id
from worker.domain.errors import Moved, Refused


@pytest.fixture
def bare(tmp_path: Path) -> BareGit:
    return BareGit(tmp_path / "r.git")


def test_a_commit_changes_just_its_files_on_the_branch_and_on_a_new_one(bare: BareGit) -> None:
    root = bare.tip("refs/heads/main")
    first = bare.commit(root, {"a": "1\n", "b/c": "1\n", "kept": ("100755", b"#!\n")}, "First")
    second = bare.commit(first, {"a": "2\n", "b/c": None, "b": "file\n", "new": "1\n"}, "Second")
    bare.set_ref("refs/heads/main", second)
    hook = bare.folder / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    plain = PlainGit(str(bare.folder))
    blobs = {path: bare.run("rev-parse", f"{first}:{path}").strip() for path in ("a", "b/c")}
    files = [("a", "100644", blobs["a"]), ("b", "", ""), ("b/c", "100644", blobs["b/c"]), ("new", "", "")]
    made = plain.commit("side", second, "Back\n\nWhy\n", files)
    assert plain.tips() == {"main": second, "side": made}
    assert bare.run("rev-parse", f"{made}^{{tree}}") == bare.run("rev-parse", f"{first}^{{tree}}")
    assert bare.run("show", "-s", "--format=%P|%cn|%B", made).strip() == f"{second}|Plumbline|Back\n\nWhy"
    assert plain.is_just(made, second, files)
    assert not plain.is_just(made, second, files[:3])
    assert not plain.is_just(made, first, files)
    onto_main = plain.commit("main", second, "Back", files)
    assert plain.tips()["main"] == onto_main
    assert plain.file(onto_main, "a") == b"1\n"
    assert plain.file(onto_main, "new") is None


@pytest.mark.parametrize("content", [b"", b"a: 1\r\n", b"\x00\xff" * 1000, "für\n".encode()])
def test_a_content_is_kept_byte_by_byte_under_the_id_that_is_told_without_git(bare: BareGit, content: bytes) -> None:
    (bare.folder / "info" / "attributes").write_text("* text eol=lf\n")
    plain, root = PlainGit(str(bare.folder)), bare.tip("refs/heads/main")
    blob = plain.keep(content)
    assert blob == blob_id(content, root)
    made = plain.commit("side", root, "New", [("x", "100644", blob)])
    assert plain.file(made, "x") == content


def test_a_commit_s_parents_and_words_are_told_and_nothing_of_one_that_is_not_there(bare: BareGit) -> None:
    plain, root = PlainGit(str(bare.folder)), bare.tip("refs/heads/main")
    side = bare.commit(root, {"a": "1\n"}, "Side\n\nPlumbline-Image: x")
    merge = bare.commit_tree(f"{side}^{{tree}}", [root, side], "Merge")
    assert plain.commit_text(side) == ((root,), "Side\n\nPlumbline-Image: x\n\n")
    assert plain.commit_text(merge)[0] == (root, side)
    for unknown in ("e" * 40, "--all", "main", ""):
        assert plain.commit_text(unknown) == ((), "")


def test_a_branch_that_moved_is_left_where_it_is(bare: BareGit) -> None:
    root = bare.tip("refs/heads/main")
    tip = bare.commit(root, {"a": "1\n"}, "Faster")
    bare.set_ref("refs/heads/main", tip)
    with pytest.raises(Moved):
        PlainGit(str(bare.folder)).commit("main", root, "Late", [])
    assert bare.tip("refs/heads/main") == tip


def test_a_branch_that_somebody_has_checked_out_there_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(tmp_path)], check=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=Ada", "-c", "user.email=ada@localhost"]
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "First"], check=True)
    tip = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    plain = PlainGit(str(tmp_path))
    with pytest.raises(Refused, match="checked out"):
        plain.commit("main", tip, "Back", [])
    assert plain.tips() == {"main": tip}
    assert plain.commit("side", tip, "Back", []) == plain.tips()["side"]

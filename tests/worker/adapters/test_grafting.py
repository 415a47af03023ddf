"""A rollback's tree, made by git of histories as they may come: what the environment reads is the target's, nothing else moved."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doubles.bare_git import BareGit, TreeFile
from worker.adapters.checkout import Checkout
from worker.adapters.grafting import grafted
from worker.adapters.reading_inputs import read_inputs
from worker.domain.environment import Environment
from worker.planning.returning import restored

PRODUCTION = Environment("shop", "production", "main", "production", "c", "ns")
KUSTOMIZATION = "resources:\n- ../base  # not ../elsewhere\n- a.yaml\n"

NAMES = (
    "production/a.yaml",
    "production/b.yaml",
    "production/deep/c.yaml",
    "production/README.md",
    "staging/a.yaml",
    "base/d.yaml",
    "elsewhere/e.yaml",
    "plumbline.yaml",
    "c.yaml",
)
Files = dict[str, TreeFile]

CONTENT = st.one_of(
    st.sampled_from(["one\n", "two\n", "three\n"]),
    st.tuples(st.sampled_from(["100644", "100755"]), st.sampled_from([b"\xff\x00", b"#!/bin/sh\n"])),
)
TREE = st.dictionaries(st.sampled_from(NAMES), CONTENT)


def listed(git: BareGit, tree: str) -> dict[str, tuple[str, str]]:
    """path -> (mode, blob) of every file of a tree."""
    found = {}
    for line in git.run("ls-tree", "-r", "-z", tree).split("\0")[:-1]:
        facts, _, path = line.partition("\t")
        mode, _, blob = facts.split(" ")
        found[path] = (mode, blob)
    return found


def replaced(git: BareGit, onto: str, files: Files) -> str:
    """A commit on another that has exactly these files."""
    gone: Files = dict.fromkeys(listed(git, onto))
    return git.commit(onto, {**gone, **files}, "next")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=TREE, after=TREE)
def test_any_two_trees(before: Files, after: Files) -> None:
    kept: Files = {"production/z.yaml": "z\n"}
    with tempfile.TemporaryDirectory() as folder:
        git = BareGit(Path(folder) / "r.git")
        target = replaced(git, git.tip("refs/heads/main"), before | kept)
        tip = replaced(git, target, after | kept)
        checkout = Checkout(git.folder, None)
        try:
            wanted, present = read_inputs(checkout, target, PRODUCTION), read_inputs(checkout, tip, PRODUCTION)
            files = restored(wanted, present)
            with grafted(checkout, tip, files) as (beside, tree):
                assert read_inputs(beside, tree, PRODUCTION) == wanted
                made = {entry.path: (entry.mode, entry.id) for entry in beside.entries(tree, "")}
        finally:
            checkout.close()
        read = set(wanted.files) | set(present.files)
        there = listed(git, tip)
        assert {path: entry for path, entry in made.items() if path not in read} == {
            path: entry for path, entry in there.items() if path not in read
        }
        assert all(path.startswith("production/") and path.endswith(".yaml") for path in (each.path for each in files))


def test_a_base_outside_the_folder_goes_back_too_and_what_a_comment_names_does_not(tmp_path: Path) -> None:
    git = BareGit(tmp_path / "r.git")
    first: Files = {
        "production/kustomization.yaml": KUSTOMIZATION,
        "production/a.yaml": "one\n",
        "base/kustomization.yaml": "resources: [d.yaml]\n",
        "base/d.yaml": "one\n",
        "base/notes.txt": "one\n",
        "elsewhere/e.yaml": "one\n",
    }
    target = git.commit(git.tip("refs/heads/main"), first, "first")
    tip = git.commit(target, dict.fromkeys(("base/d.yaml", "base/notes.txt", "elsewhere/e.yaml"), "two\n"), "second")
    checkout = Checkout(git.folder, None)
    try:
        files = restored(read_inputs(checkout, target, PRODUCTION), read_inputs(checkout, tip, PRODUCTION))
    finally:
        checkout.close()
    assert [each.path for each in files] == ["base/d.yaml"]


def test_a_file_takes_the_place_of_a_folder_and_the_other_way_round(tmp_path: Path) -> None:
    git = BareGit(tmp_path / "r.git")
    start = git.tip("refs/heads/main")
    target = git.commit(start, {"production/a.yaml": "one\n", "production/b.yaml/c.yaml": "one\n"}, "first")
    tip = git.commit(start, {"production/a.yaml/c.yaml": "two\n", "production/b.yaml": "two\n"}, "second")
    checkout = Checkout(git.folder, None)
    try:
        wanted = read_inputs(checkout, target, PRODUCTION)
        with grafted(checkout, tip, restored(wanted, read_inputs(checkout, tip, PRODUCTION))) as (beside, tree):
            assert read_inputs(beside, tree, PRODUCTION) == wanted
    finally:
        checkout.close()

"""Which files take a merge back on top of a branch that has gone on: as a table."""

from __future__ import annotations

import pytest

from worker.domain.revert import NONE, Entry, Merged, Three
from worker.domain.rollback import Restored
from worker.planning.reverting import Judged, sentences, taken_back

FILE, PROGRAM = "100644", "100755"
ONE, TWO, OTHER, MADE = ("1" * 40, "2" * 40, "3" * 40, "4" * 40)


def judged(before: Entry, after: Entry, now: Entry, *, together: str = "", **present: Entry) -> Judged:
    """The one file `f`, which the merge changed, where the branch has it as `now`."""
    there = {name.replace("__", "/"): entry for name, entry in {"f": now, **present}.items() if entry != NONE}
    return taken_back([Merged("f", before, after)], there, lambda _: together, lambda _: "ccccccc (Later)")


@pytest.mark.parametrize(
    ("before", "after", "now", "made"),
    [
        ((FILE, ONE), (FILE, TWO), (FILE, TWO), Restored("f", ONE, FILE, "f", FILE)),
        (NONE, (FILE, TWO), (FILE, TWO), Restored("f", "", "", "f", FILE)),
        ((FILE, ONE), NONE, NONE, Restored("f", ONE, FILE, "f", "")),
        ((FILE, ONE), (PROGRAM, ONE), (PROGRAM, ONE), Restored("f", ONE, FILE, "f", PROGRAM)),
        ((FILE, ONE), (PROGRAM, ONE), (PROGRAM, OTHER), Restored("f", OTHER, FILE, "f", PROGRAM)),
    ],
)
def test_a_file_that_is_as_the_merge_left_it_goes_back(before: Entry, after: Entry, now: Entry, made: Restored) -> None:
    found = judged(before, after, now)
    assert (found.files, found.merges, found.conflicts) == ([made], {}, {})


def test_what_is_back_already_is_left_alone() -> None:
    found = judged((FILE, ONE), (FILE, TWO), (FILE, ONE))
    assert (found.files, found.conflicts) == ([], {})


def test_what_was_changed_elsewhere_in_the_file_is_kept() -> None:
    found = judged((FILE, ONE), (FILE, TWO), (FILE, OTHER), together=MADE)
    assert found.files == [Restored("f", MADE, FILE, "f", FILE)]
    assert found.merges == {"f": Three(OTHER, TWO, ONE)}
    assert sentences(7, found.files, found.merges) == ("1 file as before #7", "what was changed since is kept in f")


@pytest.mark.parametrize(
    ("before", "after", "now", "why"),
    [
        ((FILE, ONE), (FILE, TWO), (FILE, OTHER), "the same lines were changed again by ccccccc (Later)"),
        ((FILE, ONE), (FILE, TWO), NONE, "it was taken away since by ccccccc (Later)"),
        (NONE, (FILE, TWO), (FILE, OTHER), "it was made by the merge and changed again by ccccccc (Later)"),
        ((FILE, ONE), NONE, (FILE, OTHER), "it was put there again by ccccccc (Later)"),
        (("120000", ONE), ("120000", TWO), ("120000", OTHER), "its mode was changed again by ccccccc (Later)"),
    ],
)
def test_what_was_changed_again_is_in_conflict_and_named(before: Entry, after: Entry, now: Entry, why: str) -> None:
    found = judged(before, after, now)
    assert (found.files, found.conflicts) == ([], {"f": why})


def test_a_file_does_not_come_back_where_a_folder_is_now() -> None:
    found = judged((FILE, ONE), NONE, NONE, f__inside=(FILE, TWO))
    assert (found.files, found.conflicts) == ([], {"f": "something else has its place now"})
    merged = [Merged("f", (FILE, ONE), NONE), Merged("f/inside", NONE, (FILE, TWO))]
    swapped = taken_back(merged, {"f/inside": (FILE, TWO)}, lambda _: "", lambda _: "")
    assert [(each.path, each.blob) for each in swapped.files] == [("f", ONE), ("f/inside", "")]
    assert swapped.conflicts == {}


def test_a_file_does_not_come_back_below_a_file() -> None:
    merged = [Merged("f/inside", (FILE, ONE), NONE)]
    found = taken_back(merged, {"f": (FILE, TWO)}, lambda _: "", lambda _: "")
    assert found.conflicts == {"f/inside": "something else has its place now"}

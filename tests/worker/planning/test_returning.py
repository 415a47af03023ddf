"""Which revision a rollback goes back to, and which files make it: as tables."""

from __future__ import annotations

import pytest

from worker.domain.errors import Refused
from worker.domain.rollback import Inputs, Restored
from worker.planning.returning import (
    Converged,
    chosen,
    converged_revisions,
    earlier,
    made_already,
    require_plain,
    restored,
    sentences,
)

ONE, TWO, THREE = "a1" * 20, "a2" * 20, "b3" * 20
FILE, PROGRAM, LINK = "100644", "100755", "120000"


def reads(folder: str = "app", *, whole: tuple[str, ...] = (), **files: str) -> Inputs:
    """Inputs in a folder, by name -> blob."""
    return Inputs(folder, {f"{folder}/{name}" if folder else name: (FILE, blob) for name, blob in files.items()}, whole)


def test_what_converged_is_known_once_and_latest_first() -> None:
    history = [
        {"revision": ONE, "outcome": "converged"},
        {"revision": TWO, "outcome": "converged"},
        {"revision": THREE, "outcome": "failed"},
        {"revision": f"worktree:{THREE}", "outcome": "converged"},
        {"revision": ONE, "outcome": "converged"},
    ]
    assert converged_revisions(history) == (ONE, TWO)


@pytest.mark.parametrize(
    ("asked", "named"),
    [("", ""), ("last-converged", ""), ("~1", ""), ("~12", ""), (ONE, ONE), ("b3b3", THREE), ("a1a1a1a", ONE)],
)
def test_a_revision_is_named_by_as_much_of_its_id_as_tells_it_apart(asked: str, named: str) -> None:
    assert chosen(asked, (ONE, TWO, THREE)) == named


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("aaaa", "never converged"),
        ("c" * 40, "never converged"),
        ("~0", "is no revision"),
        ("~", "is no revision"),
        ("main", "is no revision"),
        ("a1a", "is no revision"),
        ("HEAD~1", "is no revision"),
    ],
)
def test_a19_what_did_not_converge_or_is_no_id_is_refused(asked: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        chosen(asked, (ONE, TWO, THREE))


def test_an_id_that_two_revisions_begin_with_is_refused() -> None:
    with pytest.raises(Refused, match="names 2 revisions"):
        chosen("a1a1", (ONE, "a1a1" + "0" * 36))


@pytest.mark.parametrize(
    ("asked", "found"),
    [("", "third"), ("last-converged", "third"), ("~1", "third"), ("~2", "first"), ("~3", None), ("~99", None)],
)
def test_only_revisions_that_read_something_else_count(asked: str, found: str | None) -> None:
    candidates = [
        Converged("present", reads(a="3")),
        Converged("same", reads(a="3")),
        Converged("unreadable", None),
        Converged("third", reads(a="2")),
        Converged("second", reads(a="2")),
        Converged("first", reads(a="1")),
    ]
    if found is None:
        with pytest.raises(Refused, match="only 2 earlier desired states"):
            earlier(asked, reads(a="3"), candidates)
        return
    assert earlier(asked, reads(a="3"), candidates).revision == found


def test_where_nothing_differs_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(Refused, match="nothing that converged there differs"):
        earlier("", reads(a="1"), [Converged(ONE, reads(a="1"))])


@pytest.mark.parametrize(
    ("target", "present", "files"),
    [
        (reads(a="1"), reads(a="1"), ()),
        (reads(a="1"), reads(a="2"), (Restored("app/a", "1", FILE, "app/a", FILE),)),
        (reads(a="1"), reads(), (Restored("app/a", "1", FILE, "app/a", ""),)),
        (reads(), reads(a="1"), (Restored("app/a", was=FILE),)),
        (reads("old", a="1"), reads("new", a="1"), ()),
        (reads("old", a="1"), reads("new", a="2"), (Restored("new/a", "1", FILE, "old/a", FILE),)),
        (reads("", a="1"), reads("new", a="2"), (Restored("new/a", "1", FILE, "a", FILE),)),
        (Inputs("", {"plumbline.yaml": (FILE, "1")}), Inputs("", {"plumbline.yaml": (FILE, "2")}), ()),
        (
            Inputs("app", {"app/run": (PROGRAM, "1")}),
            Inputs("app", {"app/run": (FILE, "1")}),
            (Restored("app/run", "1", PROGRAM, "app/run", FILE),),
        ),
        # A base outside the folder is put back; one that only the present reads stays, for others may read it.
        (
            Inputs("app", {"base/b": (FILE, "1")}),
            Inputs("app", {"base/b": (FILE, "2"), "other/c": (FILE, "1")}),
            (Restored("base/b", "1", FILE, "base/b", FILE),),
        ),
        # A folder that is read with everything in it is put back with everything in it.
        (
            Inputs("app", {"lib/b": (FILE, "1")}, ("lib",)),
            Inputs("app", {"lib/b": (FILE, "1"), "lib/c": (FILE, "1")}, ("lib",)),
            (Restored("lib/c", was=FILE),),
        ),
    ],
)
def test_the_files_make_what_is_read_equal_and_nothing_else(
    target: Inputs, present: Inputs, files: tuple[Restored, ...]
) -> None:
    assert restored(target, present) == files


def test_links_and_submodules_are_refused_whichever_side_has_them() -> None:
    require_plain([Restored("a", "1", FILE, "a", PROGRAM), Restored("b", was=FILE)])
    for file in (Restored("a", "1", LINK, "a", FILE), Restored("a", was=LINK), Restored("a", "1", "160000", "a", "")):
        with pytest.raises(Refused, match="a is a link or a submodule"):
            require_plain([file])


def test_files_that_others_read_come_first() -> None:
    files = (Restored("base/b", "1", FILE, "base/b", FILE), Restored("new/a", "1", FILE, "old/a", FILE), Restored("c"))
    assert sentences(ONE, files, {"base/b": ("staging",)}) == (
        "base/b is shared: staging changes with it",
        "2 files as in a1a1a1a and 1 taken away that a1a1a1a does not have",
        "old/a is now new/a",
    )


OURS = f"Roll back production to a1a1a1a\n\n1 file\n\nPlumbline-Rollback-To: {ONE}\nPlumbline-Environment: production\n"


@pytest.mark.parametrize(
    ("message", "is_ours"),
    [
        (OURS, True),
        (OURS.rstrip("\n") + "\nRequested-by: ada\n", True),
        (OURS.replace("production\n", "staging\n"), False),
        (OURS.replace(ONE, TWO), False),
        (OURS + "\nThis says what another commit said.\n", False),
        ("Two\n", False),
        ("", False),
    ],
)
def test_a_rollback_that_was_made_already_is_known_by_its_trailers_alone(message: str, *, is_ours: bool) -> None:
    others = [(TWO, "Something else\n")]
    assert made_already([*others, (THREE, message)], ONE, "production") == (THREE if is_ours else "")

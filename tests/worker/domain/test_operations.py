"""Which phase of an operation may follow which: the table is the test."""

from __future__ import annotations

import pytest

from worker.domain.convergence import ImpossibleTransition, Operation, Phase

TABLE = """
from \\ to    queued planning applying waiting settling succeeded failed superseded held left
queued        =      +        -        -       -        -         +      +          +      +
planning      -      =        +        +       -        -         +      +          +      +
applying      -      +        =        +       -        -         +      +          +      +
waiting       -      +        +        =       +        +         +      +          +      +
settling      -      +        -        -       =        +         +      +          -      +
succeeded     -      +        -        -       -        =         -      -          -      +
failed        -      +        -        +       -        -         =      -          -      +
superseded    -      +        -        -       -        -         -      =          -      +
held          -      +        -        -       -        -         -      +          =      +
left          -      +        -        -       -        -         -      -          -      =
"""
"""+ may follow, - never, = stays what it is (and may learn something new)."""

HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
PAIRS = [
    (Phase(row[0]), Phase(name), sign) for row in ROWS for name, sign in zip(HEAD[3:], row[1:], strict=True)
]  # fmt: skip


def test_the_table_names_every_pair_once() -> None:
    assert len(PAIRS) == len(Phase) ** 2
    assert {(before, after) for before, after, _ in PAIRS} == {(before, after) for before in Phase for after in Phase}


@pytest.mark.parametrize(("before", "after", "sign"), PAIRS, ids=str)
def test_an_operation_goes_only_where_the_table_lets_it(before: Phase, after: Phase, sign: str) -> None:
    operation = Operation("a" * 40, "main", before, 1.0, 2.0, said="before")
    if sign == "-":
        with pytest.raises(ImpossibleTransition, match=f"^{before} -> {after}$"):
            operation.to(after, said="after")
        return
    moved = operation.to(after, said="after")
    assert (moved.phase, moved.said, moved.revision) == (after, "after", operation.revision)
    assert (operation.phase, operation.said) == (before, "before"), "a value stays what it is"


def test_what_is_open_is_what_something_is_still_done_about() -> None:
    open_ones = {Phase.QUEUED, Phase.PLANNING, Phase.APPLYING, Phase.WAITING, Phase.SETTLING}
    assert {phase for phase in Phase if phase.is_open} == open_ones
